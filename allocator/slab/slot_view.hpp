// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the hot path needs of a region's tables, in one cache line: from an address to the slot, its size class and its
// state, and back. Positions count from page 0, the 2 MiB boundary of the GPA at or below the region.
#pragma once

#include <atomic>
#include <cstdint>

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

// A token's generation: that of the slot, and the birth count of the page on which the slot begins.
constexpr std::uint8_t token_generation(unsigned generation, unsigned birth) {
    return static_cast<std::uint8_t>(birth << 6 | generation);
}
/// The generation of the token after this one.
constexpr std::uint8_t next_generation(unsigned generation) {
    return static_cast<std::uint8_t>((generation & ~(kGenerations - 1)) | ((generation + 1) & (kGenerations - 1)));
}

struct alignas(kCacheLine) SlotView {
    using Ops = SlabTables::Ops;

    std::uint64_t begin = 0;  // position of the region's first byte
    std::uint64_t bytes = 0;  // of the region
    const std::atomic<std::uint32_t>* entries = nullptr;
    Ops::State* states = nullptr;
    bool checked = true;

    SlotView() noexcept = default;
    SlotView(const SlabTables& tables, std::uint64_t region_bytes, bool check) noexcept
        : begin(std::uint64_t{tables.first} * kPageBytes),
          bytes(region_bytes),
          entries(tables.entries),
          states(tables.states),
          checked(check) {}

    [[nodiscard]] Ops::State& state(std::uint32_t head, std::uint32_t slot) const noexcept {
        return states[std::size_t{head} * kSlotsPerPage + slot];
    }
    [[nodiscard]] bool unchecked(unsigned kind) const noexcept { return !checked && kind == 1; }

    /// Is this slot, of which a token of this generation speaks, at this position, which is inside the region? Then it
    /// is in the slab that begins at page `head`. Not for runs.
    [[gnu::always_inline]] bool is_at(std::uint64_t position, std::uint16_t index, unsigned generation,
                                      std::uint32_t& head) const noexcept {
        const auto page = static_cast<std::uint32_t>(position / kPageBytes);
        const std::uint32_t entry = entries[page].load(std::memory_order_relaxed);
        const std::uint32_t size_class = class_of_index(index);
        head = page - (entry & PageEntry::kMaxDistance);
        return PageEntry::all_but_distance(entry) == PageEntry::slab_page(size_class, generation / kGenerations) &&
               position_of(head, index) == position;
    }
    /// After drop(): is it still in the slab in which is_at() saw it? (Then it stays there, for it is held.)
    [[gnu::always_inline]] bool still_at(std::uint64_t position, std::uint32_t head, std::uint16_t index,
                                         unsigned generation) const noexcept {
        const auto page = static_cast<std::uint32_t>(position / kPageBytes);
        return entries[page].load(std::memory_order_relaxed) ==
               (PageEntry::slab_page(class_of_index(index), generation / kGenerations) << 9 | (page - head));
    }
    [[gnu::always_inline]] static std::uint64_t position_of(std::uint32_t head, std::uint16_t index) noexcept {
        return std::uint64_t{head} * kPageBytes + slot_of_index(index) * kSlotBytes[class_of_index(index)];
    }

    /// Ends the hold on a slot: true, once. It stays out of reach until it goes home or to a context.
    [[gnu::always_inline]] bool drop(std::uint32_t head, std::uint32_t slot, unsigned kind,
                                     unsigned generation) const noexcept {
        if (unchecked(kind)) return true;
        std::uint8_t seen = 0;
        return Ops::drop(state(head, slot), kind, generation, seen);
    }

    /// A context hands out a slot, or the first page of a run; its position.
    [[gnu::always_inline]] std::uint64_t hand_out(CachedSlot slot, unsigned kind) const noexcept {
        if (!unchecked(kind)) {
            Ops::hand_out(state(slot.head(), slot.slot()), kind, slot.generation() & (kGenerations - 1));
        }
        return position_of(slot.head(), slot.index());
    }
};
static_assert(sizeof(SlotView) == kCacheLine);

}  // namespace bounce
