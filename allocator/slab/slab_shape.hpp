// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What begins on a page, in 16 bits: a slab of this class and so many pages, a run, or (all zero) nothing.
#pragma once

#include <bit>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/size_class.hpp"

namespace bounce {

inline constexpr std::uint32_t kRunClass = 127;  // in place of a size class

class Shape {
public:
    static constexpr unsigned kPartBits = 9;

    constexpr Shape() noexcept = default;
    constexpr explicit Shape(std::uint16_t packed) noexcept : packed_(packed) {}
    /// A slab of 1 to kPagesPerChunk pages.
    constexpr Shape(std::uint32_t size_class, std::uint32_t pages) noexcept
        : packed_(static_cast<std::uint16_t>((size_class + 1) << kPartBits | (pages - 1))) {}
    /// Part of the length of a run: the lowest bits of `part`. The length of a long run goes on with its next pages.
    static constexpr Shape of_run(std::uint32_t part) noexcept {
        return Shape(static_cast<std::uint16_t>(kRunClass << kPartBits | (part & kPart)));
    }

    [[nodiscard]] constexpr std::uint16_t pack() const noexcept { return packed_; }
    [[nodiscard]] constexpr bool is_slab() const noexcept { return size_class() < kClasses; }
    /// Of a slab; of anything else, none.
    [[nodiscard]] constexpr std::uint32_t size_class() const noexcept {
        return (std::uint32_t{packed_} >> kPartBits) - 1;
    }
    [[nodiscard]] constexpr std::uint32_t slots() const noexcept {
        return is_slab() ? kSizeClasses[size_class()].slots(pages()) : 0;
    }
    /// Of a slab.
    [[nodiscard]] constexpr std::uint32_t pages() const noexcept { return run_part() + 1; }
    /// Of a slab: its words are where those of so large a group of pages are, as a power of two. The slab covers the
    /// last page of each group that it has a word of, so no other has that word.
    [[nodiscard]] constexpr std::uint32_t word_shift() const noexcept {
        const std::uint32_t of_class = kSizeClasses[size_class()].word_shift;
        const auto of_pages = static_cast<std::uint32_t>(std::bit_width(pages())) - 1;
        return of_class < of_pages ? of_class : of_pages;
    }
    [[nodiscard]] constexpr std::uint32_t run_part() const noexcept { return packed_ & kPart; }

    friend constexpr bool operator==(Shape, Shape) = default;

private:
    static constexpr std::uint32_t kPart = (1U << kPartBits) - 1;
    std::uint16_t packed_ = 0;
};
static_assert(kClasses < kRunClass && kPagesPerChunk == 1U << Shape::kPartBits);

}  // namespace bounce
