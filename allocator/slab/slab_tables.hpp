// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The private tables of one region: what a page belongs to, and bits, states and descriptors of slabs. They live in
// memory that the owner hands in, zeroed; zero means not yet born, so what is never used is never touched. Pages are
// numbered from the 2 MiB boundary of the GPA at or below the region, so that alignment of a page number is alignment
// of the GPA.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/home_index.hpp"
#include "allocator/slab/page_map.hpp"
#include "allocator/slab/size_class.hpp"
#include "allocator/slab/slot_handle.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {

inline constexpr std::uint32_t kSlotsPerPage = kPageBytes / kMinSlotBytes;
inline constexpr std::uint32_t kRunClass = 127;  // in place of a size class

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
    /// Of the page on which this run begins, packed.
    static constexpr std::uint32_t of_run(SlotHandle run) {
        return (run.bits() & SlotHandle::kOfPage) + (std::uint32_t{kRun} << kKindShift);
    }
    static constexpr PageEntry unpack(std::uint32_t packed) {
        return {static_cast<Kind>(packed >> kKindShift & 7), packed >> SlotHandle::kBirthShift & 3,
                packed & kMaxDistance, packed >> SlotHandle::kClassShift & 127};
    }
};

/// Size class, slots and pages of the slab or run that begins on a page; zero when nothing does.
struct Shape {
    /// Besides, in the table only: somebody beyond its floor has, or had, something of it (SlabCore::mark_beyond()).
    static constexpr std::uint64_t kBeyond = std::uint64_t{1} << 24;

    std::uint32_t size_class = 0;
    std::uint32_t slots = 0;
    std::uint32_t pages = 0;

    [[nodiscard]] constexpr bool alive() const { return pages != 0; }
    [[nodiscard]] constexpr bool is_slab() const { return alive() && size_class < kClasses; }
    [[nodiscard]] constexpr std::uint64_t pack() const {
        return std::uint64_t{pages} << 32 | std::uint64_t{slots} << 8 | size_class;
    }
    static constexpr Shape unpack(std::uint64_t packed) {
        return {static_cast<std::uint32_t>(packed & 0xff), static_cast<std::uint32_t>(packed >> 8 & 0xffff),
                static_cast<std::uint32_t>(packed >> 32)};
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
    std::byte* alive = nullptr;  // set at creation; a forked child finds it zeroed
    ClassInfo* classes = nullptr;
    Pages::Word* pages = nullptr;
    Home::Word* home = nullptr;
    std::atomic<std::uint32_t>* entries = nullptr;  // of each page
    Ops::Word* words = nullptr;                     // of each page; a slab has its first ones
    Ops::State* states = nullptr;                   // kSlotsPerPage for each page; a slab has its first ones
    std::atomic<std::uint64_t>* shapes = nullptr;   // of each page; of the slab or run that begins there

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
        return Shape::unpack(shapes[head].load(std::memory_order_relaxed));
    }
    [[nodiscard, gnu::always_inline]] Ops::State& state(std::uint32_t head, std::uint32_t slot) const noexcept {
        return states[std::size_t{head} * kSlotsPerPage + slot];
    }
};

}  // namespace bounce
