// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is wanted of a run of pages, and the best hole for it so far.
#pragma once

#include <cstdint>

#include "allocator/base/bits.hpp"

namespace bounce {

inline constexpr std::uint32_t kNoPage = ~std::uint32_t{0};

struct PageWish {
    std::uint32_t pages;
    std::uint32_t align = 1;       // power of two
    std::uint32_t last = kNoPage;  // the run begins at or below this page
    /// Power of two, or 0: no run goes over a multiple of it, counted from `origin` pages below page 0.
    std::uint64_t boundary = 0;
    std::uint64_t origin = 0;
    std::uint32_t kept = 0;  // so many of its first pages do not; 0: all of them
};

struct PageFit {
    std::uint32_t start = kNoPage;
    std::uint32_t hole = ~std::uint32_t{0};  // pages of the hole; the smallest one is best

    [[nodiscard]] bool found() const noexcept { return start != kNoPage; }

    void consider(const PageWish& wish, std::uint32_t hole_start, std::uint32_t hole_pages) noexcept {
        if (hole_pages < wish.pages || hole_pages >= hole) return;
        std::uint64_t at = round_up(hole_start, wish.align);
        if (wish.boundary != 0) {
            const std::uint32_t kept = wish.kept != 0 ? wish.kept : wish.pages;
            if (kept > wish.boundary) return;
            const std::uint64_t position = wish.origin + at;
            // Aligned to more than the boundary it cannot cross one, so the next multiple of it is as good as aligned.
            if (round_down(position, wish.boundary) != round_down(position + kept - 1, wish.boundary)) {
                at = round_up(position, wish.boundary) - wish.origin;
            }
        }
        if (at + wish.pages > std::uint64_t{hole_start} + hole_pages || at > wish.last) return;
        start = static_cast<std::uint32_t>(at);
        hole = hole_pages;
    }
    void consider(const PageFit& other) noexcept {
        if (other.found() && other.hole < hole) *this = other;
    }
};

}  // namespace bounce
