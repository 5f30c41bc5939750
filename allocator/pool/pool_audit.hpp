// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// For those who look at a live pool from the side: walks over slabs, runs and slots, and a number for each slot by
// which others may keep something of their own about it. Nothing here changes the pool or waits for anybody; what is
// seen is a snapshot, each word for itself.
#pragma once

#include <cstdint>

#include "allocator/pool/pool.hpp"

namespace bounce {

class PoolAudit {
public:
    using Extent = SlabCore::Extent;

    explicit PoolAudit(const Pool& pool) noexcept : pool_(pool) {}

    /// One more than the largest number that place_of() can have for a region; as long as the pool lives.
    [[nodiscard]] std::uint64_t places(RegionId id) const noexcept;
    /// The number of a slot or run that is the caller's, and begins at this address. Of those that are handed out no
    /// two have the same. Arithmetic only: what the caller says of its own slot is right.
    [[nodiscard, gnu::always_inline]] std::uint64_t place_of(SlotHandle handle, Gpa gpa) const noexcept {
        const Pool::View& view = pool_.view_of(handle);
        // Relaxed: the caller was handed the slot after the region had come.
        const std::uint64_t end = view.end.load(std::memory_order_relaxed);
        return state_index((gpa - view.first_gpa + end) >> kSlotSizes[handle.size_class()].state_shift);
    }

    /// The next slab or run that begins in [offset, until); its pages are 0 when none does.
    [[nodiscard]] Extent next(RegionId id, std::uint64_t offset, std::uint64_t until) const noexcept;
    /// How many of its slots are away from home: handed out, or kept by contexts.
    [[nodiscard]] std::uint32_t out(RegionId id, const Extent& extent) const noexcept;

    struct SlotState {
        Gpa gpa;  // as the device says it
        std::uint64_t bytes = 0;
        std::uint64_t place = 0;      // as place_of()
        bool out = false;             // away from home
        std::uint8_t kind = 0;        // 2, 3: a SlotKind; 0: a mapping, or free
        std::uint8_t generation = 0;  // of the token that it has, or would have next
    };
    [[nodiscard]] SlotState slot(RegionId id, const Extent& extent, std::uint32_t slot) const noexcept;
    /// The generation that a handle's state says, as in SlotState.
    [[nodiscard]] static std::uint8_t generation_of(SlotHandle handle) noexcept {
        return static_cast<std::uint8_t>(handle.bits() >> SlotHandle::kGenerationShift);
    }

    /// Bytes of all slots that are away from home, as the pool counts them.
    [[nodiscard]] std::uint64_t away_bytes() const noexcept;
    [[nodiscard]] bool there(RegionId id) const noexcept;

private:
    const Pool& pool_;
};

}  // namespace bounce
