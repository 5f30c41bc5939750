// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The pages of a chunk as they were seen word by word: 1 is used, 0 is free.
#pragma once

#include <bit>
#include <cstdint>

namespace bounce {

/// In pages.
struct ChunkSummary {
    std::uint32_t free = 0;
    std::uint32_t largest = 0;  // hole
    std::uint32_t head = 0;     // free ones in a row at the beginning
    std::uint32_t tail = 0;     // and at the end
};

template <std::uint32_t kWords, std::uint32_t kWordBits>
struct ChunkView {
    static constexpr std::uint32_t kPages = kWords * kWordBits;
    static constexpr std::uint64_t kFullWord = ~std::uint64_t{0} >> (64 - kWordBits);

    std::uint64_t words[kWords];

    /// Calls visit(first page, pages) for each hole, lowest first.
    template <class Visit>
    void holes(Visit&& visit) const noexcept {
        std::uint32_t start = kPages;  // of the hole that is open, if one is
        std::uint64_t before = 1;      // the page before, as if it were used
        for (std::uint32_t i = 0; i < kWords; ++i) {
            std::uint64_t edges = (words[i] ^ (words[i] << 1 | before)) & kFullWord;
            before = words[i] >> (kWordBits - 1);
            for (; edges != 0; edges &= edges - 1) {
                const std::uint32_t at = i * kWordBits + static_cast<std::uint32_t>(std::countr_zero(edges));
                if (start == kPages) {
                    start = at;
                } else {
                    visit(start, at - start);
                    start = kPages;
                }
            }
        }
        if (start != kPages) visit(start, kPages - start);
    }

    /// Takes about as long for many holes as for few.
    [[nodiscard]] ChunkSummary summary() const noexcept {
        ChunkSummary sum;
        bool used = false;
        std::uint32_t open = 0;  // length of the hole that reaches up to here
        for (const std::uint64_t word : words) {
            if (word == 0) {
                open += kWordBits;
                continue;
            }
            open += static_cast<std::uint32_t>(std::countr_zero(word));
            if (!used) sum.head = open;
            if (open > sum.largest) sum.largest = open;
            grow_inside(word, sum.largest);
            used = true;
            open = kWordBits - static_cast<std::uint32_t>(std::bit_width(word));
        }
        if (!used) sum.head = open;
        if (open > sum.largest) sum.largest = open;
        sum.free = kPages - count();
        sum.tail = open;
        return sum;
    }

private:
    // Of used pages. Without the instruction that not every machine has, and without the call that takes its place.
    [[nodiscard]] std::uint32_t count() const noexcept {
        constexpr std::uint64_t kOnes = ~std::uint64_t{0};
        std::uint64_t bytes = 0;
        for (const std::uint64_t word : words) {
            const std::uint64_t pairs = word - (word >> 1 & kOnes / 3);
            const std::uint64_t nibbles = (pairs & kOnes / 5) + (pairs >> 2 & kOnes / 5);
            bytes += (nibbles + (nibbles >> 4)) & kOnes / 17;
        }
        // A byte is at most 8 a word; sixteen bits hold all.
        static_assert(kWords < 32);
        constexpr std::uint64_t kEven = kOnes / 257;
        return static_cast<std::uint32_t>(((bytes & kEven) + (bytes >> 8 & kEven)) * (kOnes / 65535) >> 48);
    }

    // The largest hole when one inside this word, which has a used page, is larger than what is known.
    static void grow_inside(std::uint64_t word, std::uint32_t& largest) noexcept {
        if (largest + 2 >= kWordBits) return;
        // Free pages with used ones somewhere on both sides.
        std::uint64_t holes = ~word & (~std::uint64_t{0} >> std::countl_zero(word)) & (word | (0 - word));
        if (holes == 0 || holes >> std::countr_zero(holes) >> largest == 0) return;
        // Then bit i: free, and so are `length` - 1 above it.
        for (std::uint32_t length = 1; length <= largest && holes != 0;) {
            const std::uint32_t step = length < largest + 1 - length ? length : largest + 1 - length;
            holes &= holes >> step;
            length += step;
        }
        for (; holes != 0; holes &= holes >> 1) ++largest;
    }
};

}  // namespace bounce
