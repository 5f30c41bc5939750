// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slot_ops.hpp"

#include <gtest/gtest.h>

#include <bit>

namespace bounce {
namespace {

using Ops = SlotOps<StdAtomics>;

TEST(SlotOps, ClaimsTheLowestAndTheLastUsedComesBackFirst) {
    Ops::Word words[2]{};
    const Ops::Bits bits{words, 0, 100};
    Ops::birth(bits);
    for (std::uint32_t i = 1; i < 100; ++i) ASSERT_EQ(Ops::claim(bits), i);
    EXPECT_EQ(Ops::claim(bits), kNoSlot);
    EXPECT_FALSE(Ops::any(bits));
    Ops::give(words[1], 1);
    EXPECT_TRUE(Ops::any(bits));
    Ops::give(words[1], 2);
    Ops::give(words[0], 1);
    EXPECT_EQ(Ops::claim(bits), 0U);
    EXPECT_EQ(Ops::claim(bits), 64U);
    EXPECT_FALSE(Ops::claim_bit(words[1], 1));
    EXPECT_TRUE(Ops::claim_bit(words[1], 2));
}

TEST(SlotOps, OnlyAWholeSlabDies) {
    Ops::Word words[2]{};
    const Ops::Bits bits{words, 0, 65};
    const auto none = [](std::uint32_t, std::uint64_t) { FAIL(); };
    Ops::birth(bits);
    EXPECT_FALSE(Ops::kill(bits, none));
    EXPECT_EQ(Ops::claim(bits), 1U);
    Ops::give(words[0], 3);
    EXPECT_TRUE(Ops::kill(bits, none));
    EXPECT_EQ(Ops::claim(bits), kNoSlot);
}

// Slabs share words at both ends: what one does leaves the bits of the others as they are.
TEST(SlotOps, NeighboursInAWordStayAsTheyAre) {
    const auto none = [](std::uint32_t, std::uint64_t) { FAIL(); };
    for (std::uint32_t first = 0; first < 64; ++first) {
        for (const std::uint32_t slots : {1U, 5U, 63U, 64U, 65U, 130U, 512U}) {
            Ops::Word words[10]{};
            const Ops::Bits bits{words, first, first + slots};
            std::uint64_t others[10];
            for (std::uint32_t i = 0; i < 10; ++i) {
                others[i] = i < bits.count() ? ~bits.mask(i) : ~std::uint64_t{0};
                words[i].store(others[i]);
            }
            const auto all = [](std::uint32_t) { return ~std::uint64_t{0}; };
            EXPECT_FALSE(Ops::any(bits));
            EXPECT_EQ(Ops::claim(bits), kNoSlot);
            std::uint32_t index = 0;
            std::uint64_t got = 0;
            EXPECT_FALSE(Ops::claim_from(bits, 0, 64, all, true, index, got));
            Ops::birth(bits);
            EXPECT_FALSE(Ops::kill(bits, none));
            Ops::give(words[0], std::uint64_t{1} << first);
            EXPECT_TRUE(Ops::any(bits));
            for (std::uint32_t i = 0; i < slots; ++i) ASSERT_EQ(Ops::claim(bits), i);
            ASSERT_EQ(Ops::claim(bits), kNoSlot);
            for (std::uint32_t i = 0; i < bits.count(); ++i) Ops::give(words[i], bits.mask(i));
            std::uint32_t taken = 0;
            while (Ops::claim_from(bits, slots / 2, 7, all, true, index, got)) {
                ASSERT_EQ(got & ~bits.mask(index), 0U);
                ASSERT_EQ(bits.slot(index, got), slots / 2 + taken);
                taken += static_cast<std::uint32_t>(std::popcount(got));
                ASSERT_LE(std::popcount(got), 7);
            }
            EXPECT_EQ(taken, slots - slots / 2);
            for (std::uint32_t i = 0; i < bits.count(); ++i) Ops::give(words[i], bits.mask(i));
            EXPECT_TRUE(Ops::kill(bits, none));
            for (std::uint32_t i = 0; i < 10; ++i) ASSERT_EQ(words[i].load(), others[i]) << first << ' ' << slots;
        }
    }
}

// A killer that misses a bit in a later word says what it took of each word, and of none else's.
TEST(SlotOps, WhatAKillerTookItGivesBack) {
    Ops::Word words[3]{};
    const Ops::Bits bits{words, 60, 60 + 70};
    for (std::uint32_t i = 0; i < 3; ++i) words[i].store(bits.mask(i));
    words[2].store(1);  // one of two: seen before anything is taken
    const auto none = [](std::uint32_t, std::uint64_t) { FAIL(); };
    EXPECT_FALSE(Ops::kill(bits, none));
    EXPECT_EQ(words[0].load(), bits.mask(0));
}

TEST(SlotOps, StatesAreDroppedOnceAndGenerationsGrow) {
    Ops::State state{};
    std::uint8_t seen = 0;
    for (unsigned round = 0; round < 3 * kGenerations; ++round) {
        EXPECT_EQ(Ops::take(state, 2), round % kGenerations);
        EXPECT_FALSE(Ops::drop(state, 1, round, seen));
        EXPECT_EQ(state_kind(seen), 2U);
        EXPECT_FALSE(Ops::drop(state, 2, round + 1, seen));
        EXPECT_TRUE(Ops::drop(state, 2, round, seen));
        EXPECT_FALSE(Ops::drop(state, 2, round, seen));
        EXPECT_EQ(state_kind(seen), 0U);
    }
}

}  // namespace
}  // namespace bounce
