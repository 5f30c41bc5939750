// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/chunk_bits.hpp"

#include <gtest/gtest.h>

#include <bitset>
#include <random>
#include <utility>
#include <vector>

namespace bounce {
namespace {

using Holes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

Holes holes_of(const ChunkBits& bits) {
    Holes holes;
    bits.holes([&](std::uint32_t at, std::uint32_t pages) { holes.emplace_back(at, pages); });
    return holes;
}

TEST(ChunkBits, ZeroMeansOneHole) {
    const ChunkBits bits{};
    EXPECT_EQ(holes_of(bits), (Holes{{0, 512}}));
    EXPECT_EQ(bits.largest_hole(), 512U);
    EXPECT_EQ(bits.used(), 0U);
}

TEST(ChunkBits, FullHasNone) {
    ChunkBits bits{};
    bits.set(0, 512, true);
    EXPECT_TRUE(holes_of(bits).empty());
    EXPECT_EQ(bits.largest_hole(), 0U);
    EXPECT_EQ(bits.used(), 512U);
}

TEST(ChunkBits, AgreesWithABitsetOnRandomRanges) {
    std::mt19937 random(7);
    ChunkBits bits{};
    std::bitset<512> model;
    for (int round = 0; round < 5000; ++round) {
        const auto from = static_cast<std::uint32_t>(random() % 512);
        const auto count = static_cast<std::uint32_t>(random() % (513 - from));
        const bool used = random() % 2 == 0;
        bits.set(from, count, used);
        for (std::uint32_t i = from; i < from + count; ++i) model.set(i, used);

        ASSERT_EQ(bits.used(), model.count());
        Holes expected;
        for (std::uint32_t i = 0; i < 512; ++i) {
            if (model[i]) continue;
            if (!expected.empty() && expected.back().first + expected.back().second == i) {
                ++expected.back().second;
            } else {
                expected.emplace_back(i, 1);
            }
        }
        ASSERT_EQ(holes_of(bits), expected);
    }
}

}  // namespace
}  // namespace bounce
