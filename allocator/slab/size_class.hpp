// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Size classes: eight to a doubling, so that rounding up to a class wastes at most 1/9, and how many pages a slab of
// each has. With a tail of less than 1/16 of a slab, rounding and tail together waste less than 17 %.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

/// From here on whole pages are handed out (runs): rounding up to pages wastes less than 17 % from six pages on.
inline constexpr std::uint32_t kMaxSlotBytes = 20480;
inline constexpr std::uint32_t kMaxSlabSlots = 512;
inline constexpr std::uint32_t kMaxSlabWords = kMaxSlabSlots / 64;

struct SizeClass {
    std::uint32_t bytes = 0;
    std::uint64_t inverse = 0;      // floor(2^40 / bytes) + 1
    std::uint16_t min_pages = 0;    // hold one slot
    std::uint16_t first_pages = 0;  // fewest pages with a tail below 1/16
    std::uint16_t later_pages = 0;  // fewest pages with a tail of at most 1/32
    std::uint16_t max_pages = 0;    // a multiple of later_pages: at most kMaxSlabSlots slots and one chunk
    std::uint8_t state_shift = 0;   // of positions, to where states and bits are (slab_tables.hpp)

    /// offset / bytes, for offsets inside a slab. Exact: offset <= 2^21 and bytes < 2^15, so the error that the rounded
    /// inverse makes, offset * bytes / 2^40, stays below 1.
    [[nodiscard]] constexpr std::uint32_t slot_of(std::uint64_t offset) const {
        return static_cast<std::uint32_t>(offset * inverse >> 40);
    }
    [[nodiscard]] constexpr std::uint32_t slots(std::uint32_t pages) const {
        const std::uint32_t slots = slot_of(pages * kPageBytes);
        return slots < kMaxSlabSlots ? slots : kMaxSlabSlots;
    }
};

/// The smallest class with slots of at least `bytes`, which must be at most kMaxSlotBytes. A multiple of a power of two
/// up to 4096 gets a class that is one too.
constexpr std::uint32_t class_of(std::uint64_t bytes) {
    if (bytes <= kMinSlotBytes) return 0;
    const std::uint64_t last = bytes - 1;
    const int octave = static_cast<int>(std::bit_width(last)) - 7;
    return static_cast<std::uint32_t>(octave) * 8 + static_cast<std::uint32_t>((last >> (octave + 3)) & 7) + 1;
}

constexpr std::uint32_t class_bytes(std::uint32_t index) {
    if (index == 0) return kMinSlotBytes;
    const std::uint32_t octave = (index - 1) / 8;
    return (9 + (index - 1) % 8) << (octave + 3);
}

inline constexpr std::uint32_t kClasses = class_of(kMaxSlotBytes) + 1;
static_assert(class_bytes(kClasses - 1) == kMaxSlotBytes);

/// class_of(), by eights of bytes: every class is a multiple of 8. A load where that takes ten instructions.
inline constexpr auto kClassOfEights = [] {
    std::array<std::uint8_t, kMaxSlotBytes / 8 + 1> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint8_t>(class_of(i * 8U));
    return table;
}();
/// The same for 1 to kMaxSlotBytes bytes, for the hot path.
constexpr std::uint32_t fast_class_of(std::uint64_t bytes) {
    return kClassOfEights[(bytes + 7) / 8];
}

constexpr SizeClass make_size_class(std::uint32_t bytes) {
    SizeClass made;
    made.bytes = bytes;
    made.inverse = (std::uint64_t{1} << 40) / bytes + 1;
    made.min_pages = static_cast<std::uint16_t>((bytes + kPageBytes - 1) / kPageBytes);
    const auto tail = [bytes](std::uint64_t pages) { return pages * kPageBytes % bytes; };
    std::uint32_t pages = made.min_pages;
    while (tail(pages) * 16 >= pages * kPageBytes) ++pages;
    made.first_pages = static_cast<std::uint16_t>(pages);
    while (tail(pages) * 32 > pages * kPageBytes) ++pages;
    made.later_pages = static_cast<std::uint16_t>(pages);
    std::uint64_t most = (std::uint64_t{kMaxSlabSlots} * bytes + kPageBytes - 1) / kPageBytes;
    most = most < kPagesPerChunk ? most : kPagesPerChunk;
    made.max_pages = static_cast<std::uint16_t>(most - most % pages);
    // Two slots of one class, or of classes with the same shift, are never closer together than 1 << state_shift.
    made.state_shift = static_cast<std::uint8_t>(std::bit_width(bytes < kPageBytes ? bytes : kPageBytes) - 1);
    return made;
}

inline constexpr auto kSizeClasses = [] {
    std::array<SizeClass, kClasses> table{};
    for (std::uint32_t i = 0; i < kClasses; ++i) table[i] = make_size_class(class_bytes(i));
    return table;
}();

/// Bytes of a slot, by what 7 bits can hold; 0 for what is no size class.
inline constexpr auto kSlotBytes = [] {
    std::array<std::uint32_t, 128> table{};
    for (std::uint32_t i = 0; i < kClasses; ++i) table[i] = class_bytes(i);
    return table;
}();

/// What the hot path knows of a size class.
struct SlotSize {
    std::uint32_t bytes = 0;
    std::uint32_t state_shift = std::countr_zero(kPageBytes);
};
/// By what 7 bits can hold; what is no size class has no bytes, and the shift of a run.
inline constexpr auto kSlotSizes = [] {
    std::array<SlotSize, 128> table{};
    for (std::uint32_t i = 0; i < kClasses; ++i) table[i] = {class_bytes(i), kSizeClasses[i].state_shift};
    return table;
}();

}  // namespace bounce
