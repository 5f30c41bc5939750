// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A split ring filled by hand, for the bare subjects: no checks but those without which it would crash, nothing
// private. The least code that can drive a device, to measure the library against.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tools/common/bare_wire.hpp"
#include "tools/common/little_endian.hpp"

namespace bounce::tools {

// virtio 1.2, section 2.7.
inline constexpr std::uint16_t kBareDescNext = 1;
inline constexpr std::uint16_t kBareDescWrite = 2;

class BareRing {
public:
    static constexpr std::uint64_t kPage = 4096;
    [[nodiscard]] static constexpr std::uint64_t pages(std::uint64_t bytes) noexcept {
        return (bytes + kPage - 1) / kPage * kPage;
    }
    [[nodiscard]] static constexpr std::uint64_t bytes(std::uint32_t size) noexcept {
        return avail_at(size) + pages(6 + std::uint64_t{2} * size) + pages(6 + std::uint64_t{8} * size);
    }

    /// memory: zeroed, bytes(size) of it.
    BareRing(BareConnection& connection, std::uint32_t queue, std::uint32_t size, bool event_idx, std::byte* memory,
             bool polls) noexcept;
    /// Once the descriptors are there.
    void start();

    void put_desc(std::uint32_t index, std::uint64_t addr, std::uint32_t bytes, std::uint16_t flags,
                  std::uint16_t next) noexcept;

    /// Adds the chain that begins there; seen after publish().
    void put(std::uint16_t head) noexcept {
        store_le(avail_ + 4 + std::size_t{2} * (avail_index_ & mask_), head);
        ++avail_index_;
    }
    /// Shows what was added, and kicks when that is wanted. Throws Failure.
    void publish();

    /// How many are done that were not taken yet.
    [[nodiscard]] std::uint16_t ready() const noexcept {
        // Acquire: pairs with the device's release of used idx; what it wrote before is seen after.
        const std::uint16_t index = byte_swap_unless_little(field(used_ + 2).load(std::memory_order_acquire));
        return static_cast<std::uint16_t>(index - used_seen_);
    }
    struct Used {
        std::uint32_t id;
        std::uint32_t bytes;
    };
    /// The next of them.
    Used take() noexcept {
        const std::byte* element = used_ + 4 + std::size_t{8} * (used_seen_++ & mask_);
        return {load_le<std::uint32_t>(element), load_le<std::uint32_t>(element + 4)};
    }

    /// Is the device still there? Waits for a call, if the ring is not polled. Throws DeviceLost, Failure.
    void idle();
    [[nodiscard]] bool polls() const noexcept { return polls_; }

private:
    static constexpr std::uint64_t avail_at(std::uint32_t size) noexcept { return pages(std::uint64_t{16} * size); }
    static std::atomic_ref<std::uint16_t> field(std::byte* at) noexcept {
        return std::atomic_ref(*reinterpret_cast<std::uint16_t*>(at));
    }

    BareConnection& connection_;
    std::uint32_t queue_;
    bool polls_;
    bool event_idx_;
    std::uint16_t mask_;
    std::uint16_t avail_index_ = 0;
    std::uint16_t published_ = 0;
    std::uint16_t used_seen_ = 0;
    std::byte* desc_;
    std::byte* avail_;
    std::byte* used_;
};

}  // namespace bounce::tools
