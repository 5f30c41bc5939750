// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The private tables of one region: what a page belongs to, and bits, states and descriptors of slabs. They live in
// memory that the owner hands in, zeroed; zero means not yet born, so what is never used is never touched. Pages are
// numbered from the 2 MiB boundary of the GPA at or below the region, so that alignment of a page number is alignment
// of the GPA.
//
// States and words lie as densely as those who use them. A slot's state is where its position is, divided by the power
// of two at or below the size of its class, which keeps slots apart; a slab's words are where its first page is,
// divided likewise (Shape::word_shift()). Divisors do not get into each other's way: what is divided has the size of
// the region added to it, so that for each divisor there is a part of the table of its own, right behind that of the
// next larger one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/home_index.hpp"
#include "allocator/slab/page_map.hpp"
#include "allocator/slab/size_class.hpp"
#include "allocator/slab/slab_shape.hpp"
#include "allocator/slab/slot_handle.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {

/// What a page is part of. `birth` counts, modulo 4, what began its life on this page; a token carries it too, as it
/// does the size class: in the same bits (slot_handle.hpp).
struct PageEntry {
    enum Kind : std::uint32_t { kNone = 0, kSlab = 1, kRun = 2, kRunBody = 3, kDead = 4 };
    static constexpr std::uint32_t kMaxDistance = 511;
    static constexpr unsigned kKindShift = SlotHandle::kRegionShift;

    Kind kind = kNone;
    std::uint32_t birth = 0;
    std::uint32_t distance = 0;  // to the first page of its slab; of its run, or as far as it goes
    std::uint32_t size_class = 0;

    [[nodiscard]] constexpr std::uint32_t pack() const {
        return static_cast<std::uint32_t>(kind) << kKindShift | size_class << SlotHandle::kClassShift |
               birth << SlotHandle::kBirthShift | distance;
    }
    /// Of the page on which this slot begins, packed, that many pages behind its slab's first.
    static constexpr std::uint32_t of_slot(SlotHandle slot, std::uint32_t distance) {
        return (slot.bits() & SlotHandle::kOfPage) + (std::uint32_t{kSlab} << kKindShift) + distance;
    }
    static constexpr PageEntry unpack(std::uint32_t packed) {
        return {static_cast<Kind>(packed >> kKindShift & 7), packed >> SlotHandle::kBirthShift & 3,
                packed & kMaxDistance, packed >> SlotHandle::kClassShift & 127};
    }
};

/// One size class of a region. All of it hints but `exhausted`.
struct alignas(kCacheLine) ClassInfo {
    std::atomic<std::uint64_t> exhausted;   // the epoch in which nothing was found, or 0
    std::atomic<std::uint32_t> current;     // page + 1 of the slab that is allocated from
    std::atomic<std::uint32_t> turn;        // the slot of it that is next in turn
    std::atomic<std::uint32_t> slab_pages;  // of its slabs
};

/// Where the tables are. Nothing here changes after creation.
struct SlabTables {
    using Ops = SlotOps<StdAtomics>;
    using Pages = PageMap<StdAtomics>;
    using Home = HomeIndex<StdAtomics>;

    std::uint32_t first = 0;  // page number of the region's first page
    std::uint32_t end = 0;
    std::uint32_t word_base = 0;  // `end`, or some more: what is added to page numbers
    std::byte* alive = nullptr;  // set at creation; a forked child finds it zeroed
    ClassInfo* classes = nullptr;
    Pages::Word* pages = nullptr;
    Home::Word* home = nullptr;
    std::atomic<std::uint32_t>* entries = nullptr;  // of each page
    std::atomic<std::uint16_t>* shapes = nullptr;   // of each page; of the slab or run that begins there
    Ops::Word* words = nullptr;
    Ops::State* states = nullptr;

    SlabTables(Gpa base, std::uint64_t bytes, std::byte* memory) noexcept;
    /// How much memory the tables of such a region take; it must be aligned to a cache line.
    static std::size_t bytes_needed(Gpa base, std::uint64_t bytes) noexcept;

    [[nodiscard]] std::uint32_t chunks() const noexcept {
        return (end + static_cast<std::uint32_t>(kPagesPerChunk) - 1) / static_cast<std::uint32_t>(kPagesPerChunk);
    }
    // Inlined wherever it is: the hot path looks at single fields.
    [[nodiscard, gnu::always_inline]] PageEntry entry(std::uint32_t page) const noexcept {
        return PageEntry::unpack(entries[page].load(std::memory_order_relaxed));
    }
    [[nodiscard, gnu::always_inline]] inline Shape shape(std::uint32_t head) const noexcept {
        return Shape(shapes[head].load(std::memory_order_relaxed));
    }
    [[nodiscard, gnu::always_inline]] Ops::State& state(std::uint32_t head, std::uint32_t slot,
                                                        std::uint32_t size_class) const noexcept {
        const std::uint64_t position = std::uint64_t{head} * kPageBytes + slot * kSlotBytes[size_class];
        return states[(position + std::uint64_t{end} * kPageBytes) >> kStateShift[size_class]];
    }

    /// The number of the first word of the slab of this shape that begins on this page, and how many there are.
    [[nodiscard, gnu::always_inline]] std::size_t first_word(std::uint32_t head, Shape slab) const noexcept {
        return (std::size_t{word_base} + head) >> slab.word_shift();
    }
    static constexpr std::uint32_t words_of(Shape slab) noexcept { return Ops::words_of(slab.slots()); }
    /// A page of whichever slab has this word now, for one that took it for a word of a slab of this shape.
    [[nodiscard]] std::uint32_t page_of_word(std::size_t word, Shape slab) const noexcept {
        return static_cast<std::uint32_t>(((word + 1) << slab.word_shift()) - 1 - word_base);
    }

    // The length of a run, in pages; who holds the run writes it.
    [[nodiscard]] std::uint32_t run_pages(std::uint32_t head) const noexcept;
    void set_run(std::uint32_t head, std::uint32_t length) noexcept;
    void forget_run(std::uint32_t head) noexcept;
};

}  // namespace bounce
