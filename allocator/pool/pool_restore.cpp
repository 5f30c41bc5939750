// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Slots by address alone, and slots that another process handed out.
#include <bit>
#include <cerrno>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {

Result<Pool::Place> Pool::locate(Gpa gpa) const noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(rest));
        const Part& part = *parts_[i];
        const std::uint64_t offset = gpa - part.region.address();
        if (offset >= part.region.bytes()) continue;
        Place place{.region = RegionId{i}, .found = {}, .start = {}};
        std::uint64_t start = 0;
        if (!part.core.locate(offset, place.found, start)) break;
        place.start = part.region.address() + start;
        return place;
    }
    return fail(EFAULT, "address 0x%llx is not in any slot of the pool", gpa.value);
}

Slot Pool::token_at(const Place& place) const noexcept {
    const Part& part = *parts_[place.region.value];
    const Placement placement = part.core.placement_of(place.found);
    return Slot{part.region.address() + placement.offset, part.region.hva() + placement.offset, part.region.epoch(),
                SlotHandle(place.region, placement.index, placement.generation)};
}

SlabCore::Extent Pool::next_extent(RegionId id, std::uint64_t offset) const noexcept {
    if (id.value >= regions() || (present() >> id.value & 1) == 0) return {};
    const Part& part = *parts_[id.value];
    return offset < part.region.bytes() ? part.core.next_extent(offset) : SlabCore::Extent{};
}

Result<void> Pool::restore(const Restored* extents, std::size_t n) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    if (hooks_.any()) return fail(ENOTSUP, "the pool has share hooks: sharing its memory has scrubbed it");
    if (const std::uint64_t allocs = ever_allocated(); allocs != 0)
        return fail(EBUSY, "%llu slots were handed out by this pool before, expected a fresh one", allocs);
    // What may fail comes first, and is undone as a whole.
    for (std::size_t i = 0; i < n; ++i) {
        const Restored& one = extents[i];
        if (parts_[one.region.value]->core.take_extent(one.extent.offset, one.extent.pages)) continue;
        for (std::size_t j = 0; j < i; ++j)
            parts_[extents[j].region.value]->core.leave_extent(extents[j].extent.offset, extents[j].extent.pages);
        return fail(EBUSY, "%llu pages at offset %llu of region %llu are not to be had", one.extent.pages,
                    one.extent.offset, one.region.value);
    }
    for (std::size_t i = 0; i < n; ++i) {
        const Restored& one = extents[i];
        parts_[one.region.value]->core.found_extent(one.extent, one.kinds);
        for (std::uint32_t slot = 0; slot < one.extent.slots; ++slot) {
            if (one.kinds[slot] != 0) counts_.allocs[one.kinds[slot]].fetch_add(1, std::memory_order_relaxed);
        }
    }
    note_pressure();
    return {};
}

Result<void> Pool::release(const Slot& slot, SlotKind kind) noexcept {
    Ending ending;
    if (auto begun = begin_free(slot, kind, 0, ending); !begun) return begun;
    ending.kind = kind;
    put_home(ending);
    return {};
}

}  // namespace bounce
