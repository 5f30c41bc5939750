// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Split virtqueue, driver side (virtio 1.2, section 2.7). A descriptor is free (on the list through next_), or part of
// one chain. In order, descriptors are used round the table and come back in the same order, so that the list is never
// changed (section 2.7.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "api/virtio/split_ring.hpp"
#include "api/virtio/virtqueue.hpp"

namespace bounce {

class SplitQueue final : public Virtqueue {
public:
    static Result<std::unique_ptr<SplitQueue>> create(Device& device, const QueueConfig& config) noexcept {
        return make<SplitQueue>(device, config);
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
    SplitQueue(Device& device, const QueueConfig& config) noexcept : Virtqueue(device, config) {}
    static Result<void> check(const QueueConfig& config) noexcept;
    Result<void> init() noexcept;
    void restart_ring() noexcept override;
    void free_descriptors(std::uint32_t head, const Chain& chain) noexcept override;
    [[gnu::noinline]] Result<void> add_any(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept;
    /// Reads the next of `ready` used elements. False: it breaks the queue.
    bool next_used(std::uint16_t& ready, std::uint32_t& head, std::uint32_t& len) noexcept;

    SplitRing ring_;
    std::unique_ptr<std::uint16_t[]> next_;  // by descriptor: the next of its chain, or of the free list
    std::uint16_t avail_index_ = 0;          // added
    std::uint16_t published_ = 0;            // of these: shown to the device
    std::uint16_t last_used_ = 0;            // collected
    std::uint16_t seen_used_ = 0;            // the used index when it was last looked at, and found possible
};

}  // namespace bounce
