// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slot_ops.hpp"

#include <gtest/gtest.h>

namespace bounce {
namespace {

using Ops = SlotOps<StdAtomics>;

TEST(SlotOps, ClaimsTheLowestAndTheLastUsedComesBackFirst) {
    Ops::Word words[2]{};
    Ops::birth(words, 100, 0);
    for (std::uint32_t i = 0; i < 100; ++i) ASSERT_EQ(Ops::claim(words, 2), i);
    EXPECT_EQ(Ops::claim(words, 2), kNoSlot);
    EXPECT_FALSE(Ops::any(words, 2));
    Ops::give(words[1], 1);
    EXPECT_TRUE(Ops::any(words, 2));
    Ops::give(words[1], 2);
    Ops::give(words[0], 1);
    EXPECT_EQ(Ops::claim(words, 2), 0U);
    EXPECT_EQ(Ops::claim(words, 2), 64U);
    EXPECT_FALSE(Ops::claim_bit(words[1], 1));
    EXPECT_TRUE(Ops::claim_bit(words[1], 2));
}

TEST(SlotOps, OnlyAWholeSlabDies) {
    Ops::Word words[2]{};
    const auto none = [](std::uint32_t, std::uint64_t) { FAIL(); };
    Ops::birth(words, 65, 1);
    EXPECT_FALSE(Ops::kill(words, 65, none));
    EXPECT_EQ(Ops::claim(words, 2), 1U);
    Ops::give(words[0], 3);
    EXPECT_TRUE(Ops::kill(words, 65, none));
    EXPECT_EQ(Ops::claim(words, 2), kNoSlot);
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
