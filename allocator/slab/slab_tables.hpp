// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The private tables of one region: what a page belongs to, and bits, states and descriptors of slabs. They live in
// memory that the owner hands in, zeroed; zero means not yet born, so what is never used is never touched. Pages are
// numbered from the 2 MiB boundary of the GPA at or below the region, so that alignment of a page number is alignment
// of the GPA.
//
// States and bits lie as densely as the slots that they are of. The state of a slot is where its position is, divided
// by the power of two at or below the size of its class, or by that of a page, which keeps slots apart; the bits of a
// slab begin where its first page is, divided likewise. Divisors do not get into each other's way: what is divided has
// the size of the region added to it, so that for each divisor there is a part of the table of its own, right behind
// that of the next larger one.
// States are not in order, but as colour.hpp says.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/colour.hpp"
#include "allocator/slab/home_index.hpp"
#include "allocator/slab/page_entry.hpp"
#include "allocator/slab/page_map.hpp"
#include "allocator/slab/size_class.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {

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
    Ops::Word* words = nullptr;                     // of bits
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
    [[nodiscard, gnu::always_inline]] Shape shape(std::uint32_t head) const noexcept {
        return Shape(entries[head].load(std::memory_order_relaxed));
    }
    /// Of the run that begins there, in pages; as long as somebody holds it.
    [[nodiscard]] std::uint32_t run_pages(std::uint32_t head) const noexcept;

    [[nodiscard, gnu::always_inline]] Ops::State& state(std::uint32_t head, std::uint32_t slot,
                                                        std::uint32_t size_class) const noexcept {
        return states[state_index(dense(head, slot * kSlotBytes[size_class], size_class))];
    }
    /// The number of a slot's bit.
    [[nodiscard, gnu::always_inline]] std::uint64_t bit(std::uint32_t head, std::uint32_t slot,
                                                        std::uint32_t size_class) const noexcept {
        return dense(head, 0, size_class) + slot;
    }
    /// A page of the slab whose bit that is, if it has such slots.
    [[nodiscard]] std::uint32_t page_of(std::uint64_t of, std::uint32_t size_class) const noexcept {
        return static_cast<std::uint32_t>((of << kSlotSizes[size_class].state_shift) / kPageBytes) - end;
    }
    [[nodiscard, gnu::always_inline]] Ops::Bits bits(std::uint32_t head, Shape slab) const noexcept {
        const std::uint64_t start = bit(head, 0, slab.size_class());
        const auto offset = static_cast<std::uint32_t>(start % 64);
        return {words + start / 64, offset, offset + slab.slots()};
    }

private:
    [[nodiscard, gnu::always_inline]] std::uint64_t dense(std::uint32_t head, std::uint32_t inside,
                                                          std::uint32_t size_class) const noexcept {
        return ((std::uint64_t{end} + head) * kPageBytes + inside) >> kSlotSizes[size_class].state_shift;
    }
};

}  // namespace bounce
