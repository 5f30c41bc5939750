// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/colour.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace bounce {
namespace {

TEST(Colour, StatesKeepToTheirGroupOfLines) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 4096; ++i) {
        const std::uint64_t at = state_index(i);
        EXPECT_EQ(at / (kColours * kCacheLine), i / (kColours * kCacheLine));
        seen.insert(at);
    }
    EXPECT_EQ(seen.size(), 4096U);
}

TEST(Colour, EightInARowAreInEightLines) {
    for (std::uint64_t first = 0; first < 4096; first += 8) {
        std::set<std::uint64_t> lines;
        for (std::uint64_t i = first; i < first + 8; ++i) lines.insert(state_index(i) / kCacheLine);
        EXPECT_EQ(lines.size(), 8U);
    }
}

// Whatever the word: each bit has one colour, and no line has states of two.
TEST(Colour, NoLineHasTwoColours) {
    for (const std::uint32_t among : {1U, 2U, 4U, 8U}) {
        std::vector<std::set<std::uint64_t>> lines(among);
        for (std::uint64_t word = 0; word < 64; ++word) {
            std::uint64_t all = 0;
            for (std::uint32_t value = 0; value < among; ++value) {
                const std::uint64_t bits = Colour{value, among}.bits(word);
                EXPECT_EQ(bits & all, 0U);
                all |= bits;
                for (std::uint32_t bit = 0; bit < 64; ++bit)
                    if ((bits >> bit & 1) != 0) lines[value].insert(state_index(word * 64 + bit) / kCacheLine);
            }
            EXPECT_EQ(all, ~std::uint64_t{0});
        }
        for (std::uint32_t a = 0; a < among; ++a)
            for (std::uint32_t b = 0; b < a; ++b)
                for (const std::uint64_t line : lines[a]) EXPECT_FALSE(lines[b].contains(line));
        // The colour of a context is its number.
        EXPECT_EQ((Colour{among + 1, among}.bits(3)), (Colour{1, among}.bits(3)));
    }
}

}  // namespace
}  // namespace bounce
