// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the hot path needs of a region's tables, in one cache line: from an address to the slot, its size class and its
// state, and back. Positions count from page 0, the 2 MiB boundary of the GPA at or below the region.
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/base/mutation.hpp"
#include "allocator/base/types.hpp"
#include "allocator/slab/context.hpp"
#include "allocator/slab/slab_tables.hpp"

namespace bounce {

/// A slot or run found by address.
struct FoundSlot {
    std::uint32_t head = 0;
    std::uint32_t slot = 0;
    std::uint32_t size_class = 0;  // kRunClass: a run
    bool stale = false;            // the token is of an earlier life of the page
    std::uint64_t bytes = 0;       // of the slot or run

    [[nodiscard]] bool run() const noexcept { return size_class == kRunClass; }
};

struct alignas(kCacheLine) SlotView {
    using Ops = SlabTables::Ops;

    // V1: of the region, behind its last byte; 0: none of the rest is there yet. Whoever makes a view in place stores
    // this last, with release; pairs with the acquire in Pool::begin().
    std::atomic<std::uint64_t> end{0};
    const std::atomic<std::uint32_t>* entries = nullptr;
    Ops::State* states = nullptr;
    bool checked = true;

    SlotView() noexcept = default;
    SlotView(const SlabTables& tables, bool check) noexcept
        : entries(tables.entries), states(tables.states), checked(check) {}

    [[nodiscard]] Ops::State& state_of_run(std::uint64_t position, std::uint64_t region_end) const noexcept {
        return states[state_index((position + region_end) >> kSlotSizes[kRunClass].state_shift)];
    }
    [[nodiscard]] bool unchecked(unsigned kind) const noexcept { return !checked && kind == 1; }

    /// Where the entry of a slot's page and the slot's state are, by its token.
    struct Place {
        const std::atomic<std::uint32_t>* entry;
        std::uint32_t expected;  // of what stands there, as long as the token is right
        std::uint64_t state;     // there only then
    };

    /// Can there be a slot with this handle at this position, which is inside the region (below `region_end`, its end)?
    /// Then `place` is where. Not for runs, which have no bytes here. `size`: of the handle's size class.
    [[gnu::always_inline]] bool place_of(std::uint64_t position, std::uint64_t region_end, SlotHandle handle,
                                         const SlotSize& size, Place& place) const noexcept {
        const std::uint32_t inside = handle.slot() * size.bytes;  // its slab
        place.entry = &entries[position / kPageBytes];
        place.expected = PageEntry::of_slot(handle, inside / kPageBytes);
        place.state = state_index((position + region_end) >> size.state_shift);
        // The slab begins with a page, and has a chunk at most: from further behind, the distance would reach into the
        // size class.
        constexpr std::uint32_t kDistance = kChunkBytes - kPageBytes;
        return (inside & ~kDistance) == position % kPageBytes;
    }
    [[gnu::always_inline]] bool place_of(std::uint64_t position, std::uint64_t region_end, SlotHandle handle,
                                         Place& place) const noexcept {
        return place_of(position, region_end, handle, kSlotSizes[handle.size_class()], place);
    }
    /// The state of the slot or run that has [position, position + bytes); false: there is none, or it is a run that is
    /// so long that its length is elsewhere.
    [[gnu::always_inline]] bool find_inside(std::uint64_t position, std::uint64_t bytes, std::uint64_t region_end,
                                            Place& place) const noexcept {
        constexpr std::uint32_t kKind = std::uint32_t{7} << PageEntry::kKindShift;
        const std::atomic<std::uint32_t>* first = &entries[position / kPageBytes];
        std::uint32_t entry = first->load(std::memory_order_relaxed);
        const std::uint32_t distance = entry & PageEntry::kMaxDistance;
        const std::uint32_t kind = entry & kKind;
        constexpr auto bits_of = [](PageEntry::Kind one) { return std::uint32_t{one} << PageEntry::kKindShift; };
        std::uint64_t begin = position / kPageBytes - distance;
        if (distance != 0) entry = (first - distance)->load(std::memory_order_relaxed);
        begin *= kPageBytes;
        const std::uint32_t length = entry >> PageEntry::kLengthShift & PageEntry::kLongRun;
        const std::uint32_t size_class = entry >> SlotHandle::kClassShift & 127;
        const SlotSize& size = kSlotSizes[size_class];
        std::uint64_t room = std::uint64_t{length} * kPageBytes;
        if (kind == bits_of(PageEntry::kSlab)) {
            if ((entry & kKind) != kind || size.bytes == 0) return false;
            const std::uint32_t slot = kSizeClasses[size_class].slot_of(position - begin);
            if (slot >= kSizeClasses[size_class].slots(length)) return false;
            begin += std::uint64_t{slot} * size.bytes;
            room = size.bytes;
        } else if ((kind != bits_of(PageEntry::kRun) && kind != bits_of(PageEntry::kRunBody)) ||
                   (entry & kKind) != bits_of(PageEntry::kRun) || length == PageEntry::kLongRun) {
            return false;
        }
        if (!fits(position - begin, bytes, room)) return false;
        place.state = state_index((begin + region_end) >> size.state_shift);
        return true;
    }
    /// Is the slot in a slab as its token says?
    [[gnu::always_inline]] static bool holds(Place& place) noexcept {
        const std::uint32_t seen = place.entry->load(std::memory_order_relaxed);
        const std::uint32_t other = (seen ^ place.expected) & PageEntry::kOfToken;
        place.expected = seen;
        return other == 0;
    }
    /// Still, after holds()?
    [[gnu::always_inline]] static bool still_holds(const Place& place) noexcept {
        return place.entry->load(std::memory_order_relaxed) == place.expected;
    }
    [[nodiscard]] static std::uint64_t position_of(std::uint32_t head, SlotHandle handle) noexcept {
        return std::uint64_t{head} * kPageBytes + handle.slot() * kSlotBytes[handle.size_class()];
    }
    /// The first page of the slab, or of the run.
    [[nodiscard]] static std::uint32_t head_of(std::uint64_t position, SlotHandle handle) noexcept {
        return static_cast<std::uint32_t>((position - handle.slot() * kSlotBytes[handle.size_class()]) / kPageBytes);
    }

    /// Ends the hold on a slot: true, once. It stays out of reach until it goes home or to a context.
    [[gnu::always_inline]] bool drop(Ops::State& state, SlotHandle handle, unsigned kind) const noexcept {
        if (unchecked(kind)) [[unlikely]] {  // by which the code is laid out, no more
            // What another kind has got meanwhile is checked as ever.
            if (state_kind(state.load(std::memory_order_relaxed)) != 0) return false;
            state.store(handle.next().state(0), std::memory_order_relaxed);
            return true;
        }
        std::uint8_t seen =
            handle.state(BOUNCE_MUTATED(kSlotKind) ? state_kind(state.load(std::memory_order_relaxed)) : kind);
        return Ops::drop(state, seen, handle.next().state(0));
    }
};

}  // namespace bounce
