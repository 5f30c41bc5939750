// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/refusals.hpp"

#include <gtest/gtest.h>

namespace bounce {
namespace {

constexpr Demand kDemand{4096, 64, 1 << 20, 8192};

TEST(Refusals, CoverWhatAsksForMore) {
    Refusals refusals;
    EXPECT_FALSE(refusals.knows(3, kDemand));
    refusals.note(3, kDemand);
    EXPECT_TRUE(refusals.knows(3, kDemand));
    EXPECT_TRUE(refusals.knows(3, {4097, 128, 65536, 8192}));
    EXPECT_TRUE(refusals.knows(3, {4096, 64, 1 << 20, 4096}));
    EXPECT_FALSE(refusals.knows(3, {4095, 64, 1 << 20, 8192}));
    EXPECT_FALSE(refusals.knows(3, {4096, 32, 1 << 20, 8192}));
    EXPECT_FALSE(refusals.knows(3, {4096, 64, (1 << 20) + 1, 8192}));
    EXPECT_FALSE(refusals.knows(3, {4096, 64, 1 << 20, 16384}));
    EXPECT_FALSE(refusals.knows(3, {4096, 64, 1 << 20, 0}));
}

TEST(Refusals, EndWithTheirEpoch) {
    Refusals refusals;
    refusals.note(3, kDemand);
    EXPECT_FALSE(refusals.knows(5, kDemand));
    refusals.note(5, {8192, 64, 1 << 20, 8192});
    EXPECT_FALSE(refusals.knows(5, kDemand));
    EXPECT_FALSE(refusals.knows(3, kDemand));
    EXPECT_TRUE(refusals.knows(5, {8192, 64, 1 << 20, 8192}));
}

TEST(Refusals, TheLesserDemandTakesTheGreaterOnesPlace) {
    Refusals refusals;
    // Each is less than the one before: one entry.
    for (std::uint64_t bytes = 4096; bytes > 64; bytes -= 64) refusals.note(3, {bytes, 1, 4096, 0});
    // As many others as there is room for beside it.
    for (std::uint64_t i = 1; i < 8; ++i) refusals.note(3, {64, std::uint64_t{1} << i, std::uint64_t{4096} >> i, 0});
    EXPECT_TRUE(refusals.knows(3, {128, 1, 4096, 0}));
    // One more: the oldest goes.
    refusals.note(3, {1, 4096, 4096, 0});
    EXPECT_FALSE(refusals.knows(3, {128, 1, 4096, 0}));
    EXPECT_TRUE(refusals.knows(3, {1, 4096, 4096, 0}));
}

}  // namespace
}  // namespace bounce
