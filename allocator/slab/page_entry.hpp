// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the tables say of a page, in 32 bits:
//
//   0..8 distance | 9..15 size class | 16..17 birth | 18..20 kind | 21..31 length
#pragma once

#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/size_class.hpp"
#include "allocator/slab/slot_handle.hpp"

namespace bounce {

inline constexpr std::uint32_t kRunClass = 127;  // in place of a size class

/// What a page is part of. `birth` counts, modulo 4, what began its life on this page; a token carries it too, as it
/// does the size class: in the same bits (slot_handle.hpp). Above what a token knows of is how long a slab or run is.
struct PageEntry {
    enum Kind : std::uint32_t { kNone = 0, kSlab = 1, kRun = 2, kRunBody = 3, kDead = 4 };
    static constexpr std::uint32_t kMaxDistance = 511;
    static constexpr unsigned kKindShift = SlotHandle::kRegionShift;
    static constexpr unsigned kLengthShift = kKindShift + 3;
    /// Where an entry may not differ from of_slot() and of_run().
    static constexpr std::uint32_t kOfToken = (std::uint32_t{1} << kLengthShift) - 1;
    /// A run that is longer has this length, and its own in the entries of its next kLengthParts pages, lowest first.
    static constexpr std::uint32_t kLongRun = ~std::uint32_t{0} >> kLengthShift;
    static constexpr unsigned kLengthBits = 32 - kLengthShift;
    static constexpr std::uint32_t kLengthParts = (32 + kLengthBits - 1) / kLengthBits;

    Kind kind = kNone;
    std::uint32_t birth = 0;
    std::uint32_t distance = 0;  // to the first page of its slab; of its run, or as far as it goes
    std::uint32_t size_class = 0;
    std::uint32_t length = 0;  // on a first page: in pages

    [[nodiscard]] constexpr std::uint32_t pack() const {
        return length << kLengthShift | static_cast<std::uint32_t>(kind) << kKindShift |
               size_class << SlotHandle::kClassShift | birth << SlotHandle::kBirthShift | distance;
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
                packed & kMaxDistance, packed >> SlotHandle::kClassShift & 127, packed >> kLengthShift};
    }
};
static_assert(kPagesPerChunk < PageEntry::kLongRun && PageEntry::kLengthParts < PageEntry::kLongRun);

/// What begins on a page, by its entry: a slab of this class and so many pages, or none.
class Shape {
public:
    constexpr Shape() noexcept = default;
    constexpr explicit Shape(std::uint32_t entry) noexcept : entry_(entry) {}

    [[nodiscard]] constexpr bool is_slab() const noexcept {
        constexpr std::uint32_t kKind = std::uint32_t{7} << PageEntry::kKindShift;
        return (entry_ & (kKind | PageEntry::kMaxDistance)) == std::uint32_t{PageEntry::kSlab} << PageEntry::kKindShift;
    }
    // Of a slab:
    [[nodiscard]] constexpr std::uint32_t size_class() const noexcept {
        return entry_ >> SlotHandle::kClassShift & 127;
    }
    [[nodiscard]] constexpr std::uint32_t pages() const noexcept { return entry_ >> PageEntry::kLengthShift; }
    [[nodiscard]] constexpr std::uint32_t slots() const noexcept { return kSizeClasses[size_class()].slots(pages()); }

    /// The same slab, in the same of its lives (or as many as there are births since).
    friend constexpr bool operator==(Shape, Shape) = default;

private:
    std::uint32_t entry_ = 0;
};

}  // namespace bounce
