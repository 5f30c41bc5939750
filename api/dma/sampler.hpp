// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Histograms of some of a device's mappings. Which ones are counted follows from their slots, so that no counter is
// shared by threads that map.
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/slab/slot_handle.hpp"
#include "allocator/stats/histogram.hpp"
#include "api/dma/ticks.hpp"

namespace bounce {

class Sampler {
public:
    static constexpr std::uint32_t kMostSample = 64;

    Log2Histogram sizes;   // bytes
    Log2Histogram copies;  // ticks
    Log2Histogram holds;   // ticks

    /// One in `every` (a power of two up to kMostSample) of the lives of a slot; of slots that are used in turn not all
    /// at once.
    [[nodiscard]] static bool chosen(SlotHandle handle, std::uint32_t every) noexcept {
        return (((handle.bits() >> SlotHandle::kGenerationShift) ^ handle.slot()) & (every - 1)) == 0;
    }

    void mapped(std::uint64_t addr, std::uint64_t bytes, std::uint64_t begin, std::uint64_t end) noexcept {
        sizes.add(bytes);
        copies.add(end - begin);
        Pending& place = pending_[place_of(addr)];
        // Relaxed: whose time it is is in `addr`, written last; a mix-up of two costs one wrong value.
        place.addr.store(0, std::memory_order_relaxed);
        place.begin.store(end, std::memory_order_relaxed);
        place.addr.store(addr, std::memory_order_relaxed);
    }
    void unmapped(std::uint64_t addr) noexcept {
        Pending& place = pending_[place_of(addr)];
        if (place.addr.load(std::memory_order_relaxed) != addr) return;
        const std::uint64_t begin = place.begin.load(std::memory_order_relaxed);
        place.addr.store(0, std::memory_order_relaxed);
        if (const std::uint64_t now = ticks(); now > begin) holds.add(now - begin);
    }

private:
    struct Pending {
        std::atomic<std::uint64_t> addr{0};
        std::atomic<std::uint64_t> begin{0};
    };
    static constexpr std::size_t kPending = 256;
    static std::size_t place_of(std::uint64_t addr) noexcept {
        return static_cast<std::size_t>((addr >> 6) * 0x9e37'79b9'7f4a'7c15U >> 56);
    }
    static_assert(kPending == 1u << 8);

    Pending pending_[kPending];
};

}  // namespace bounce
