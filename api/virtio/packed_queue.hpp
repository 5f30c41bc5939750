// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Packed virtqueue, driver side (virtio 1.2, section 2.8). Descriptors are made available round the ring, and the
// device overwrites them with what it has used, in any order but from the same place on. So which request is meant is
// told by its id alone, and ids come from a free list that only the driver sees. How many descriptors a request took is
// private as well: it says where the next used descriptor will be.
//
// Of what was added and not published the flags of the very first descriptor are kept back: the device walks the ring
// in order, so without these nothing behind them is available either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "api/virtio/packed_ring.hpp"
#include "api/virtio/virtqueue.hpp"

namespace bounce {

class PackedQueue final : public Virtqueue {
public:
    static Result<std::unique_ptr<PackedQueue>> create(Device& device, const QueueConfig& config) noexcept {
        return make<PackedQueue>(device, config);
    }

    Result<void> add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept override;
    bool publish() noexcept override;
    Result<std::size_t> collect(std::span<bounce_completion> completions) noexcept override;
    bool arm() noexcept override;
    void disarm() noexcept override;
    [[nodiscard]] bounce_ring_layout layout() const noexcept override;
    [[nodiscard]] std::uint32_t notification_data() const noexcept override;

private:
    friend class Virtqueue;
    PackedQueue(Device& device, const QueueConfig& config) noexcept : Virtqueue(device, config) {}
    static Result<void> check(const QueueConfig& config) noexcept;
    Result<void> init() noexcept;
    void restart_ring() noexcept override;
    void free_descriptors(std::uint32_t id, const Chain& chain) noexcept override;
    [[gnu::noinline]] Result<void> add_any(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept;
    void added(std::uint16_t id, std::uint16_t first, std::uint32_t used) noexcept;
    std::uint16_t put_flags(std::uint32_t n, std::uint32_t n_out) noexcept;
    /// A descriptor whose flags say that it is used: which request. False: it breaks the queue.
    bool next_used(std::uint32_t& id, std::uint32_t& len) noexcept;
    [[nodiscard]] bool wants_kick(std::uint32_t added) const noexcept;
    [[nodiscard]] bool is_used(std::uint16_t flags) const noexcept {
        return (flags & kPackedBoth) == used_.used_flags();
    }

    PackedRing ring_;
    PackedPosition avail_;           // where the next descriptor is made available
    PackedPosition used_;            // where the next used one comes
    PackedPosition published_;       // avail_ at the last publish()
    std::uint16_t held_at_ = 0;      // the first descriptor that is not published,
    std::uint16_t held_flags_ = 0;   // and its flags
    std::uint32_t unpublished_ = 0;  // descriptors
};

}  // namespace bounce
