// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/growth.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kNever = ~std::uint64_t{0};

GrowthPolicy policy_of(std::uint64_t limit, std::uint64_t low = 0, std::uint64_t high = 0, std::uint64_t delay = 0) {
    GrowthConfig config;
    config.limit_bytes = limit;
    config.low_watermark = low;
    config.high_watermark = high;
    config.shrink_delay_ms = delay;
    return GrowthPolicy(config);
}

TEST(Growth, ThirtyTwoRegionsReachAnyLimit) {
    for (const std::uint64_t first : {64 * kKiB, kMiB, 4 * kMiB, 3 * kMiB + 4096}) {
        for (const std::uint64_t limit : {8 * kMiB, kGiB, 7 * kGiB + 12288, 1024 * kGiB}) {
            const GrowthPolicy policy = policy_of(limit);
            std::uint64_t total = first;
            unsigned regions = 1;
            while (const std::uint64_t bytes = policy.next_region(total, 0, false)) {
                EXPECT_EQ(bytes % kPageBytes, 0U);
                EXPECT_TRUE(bytes % kChunkBytes == 0 || total + bytes > limit - kPageBytes);
                total += bytes;
                ++regions;
            }
            EXPECT_LE(regions, 32U) << first << " to " << limit;
            EXPECT_LE(total, limit);
            EXPECT_GT(total, limit - 64 * kKiB) << "but what is too small for a region";
        }
    }
}

TEST(Growth, EachRegionDoublesTheTotal) {
    const GrowthPolicy policy = policy_of(64 * kMiB);
    EXPECT_EQ(policy.next_region(4 * kMiB, 0, false), 4 * kMiB);
    EXPECT_EQ(policy.next_region(8 * kMiB, 0, false), 8 * kMiB);
    EXPECT_EQ(policy.next_region(48 * kMiB, 0, false), 16 * kMiB);
    EXPECT_EQ(policy.next_region(64 * kMiB, 0, false), 0U);
    EXPECT_EQ(policy.next_region(80 * kMiB, 0, false), 0U);
    EXPECT_EQ(policy.next_region(4 * kMiB, 17 * kMiB, false), 18 * kMiB) << "as large as a request that failed";
    EXPECT_EQ(policy.next_region(4 * kMiB, 61 * kMiB, false), 4 * kMiB) << "which can never be had";
    EXPECT_EQ(policy_of(5 * kMiB).next_region(4 * kMiB, 0, true), 0U) << "no hugepage fits";
    EXPECT_EQ(policy_of(0).next_region(4 * kMiB, 0, false), 0U);
}

TEST(Growth, GrowsBelowTheLowWatermark) {
    const GrowthPolicy policy = policy_of(kGiB, kMiB);
    GrowthState state{.total = 4 * kMiB, .ready = 4 * kMiB};
    EXPECT_EQ(policy.pressure_mark(state, true), 3 * kMiB);
    EXPECT_EQ(policy.pressure_mark(state, false), kNever);
    state.used = 3 * kMiB;
    EXPECT_FALSE(policy.short_of_memory(state));
    state.used += 64;
    EXPECT_TRUE(policy.short_of_memory(state));
    state.coming = 4 * kMiB;
    EXPECT_FALSE(policy.short_of_memory(state)) << "more is on its way";
    state.used = 0;
    state.wanted = 3 * kMiB;
    EXPECT_FALSE(policy.short_of_memory(state));
    state.wanted = 5 * kMiB;
    EXPECT_TRUE(policy.short_of_memory(state));
    EXPECT_EQ(policy_of(kGiB).pressure_mark({.ready = 4 * kMiB}, true), 3 * kMiB) << "a quarter";
    EXPECT_EQ(policy_of(kGiB, 8 * kMiB).pressure_mark({.ready = 4 * kMiB}, true), 0U);
}

TEST(Growth, ShrinksAboveTheHighWatermarkWhenEnoughIsLeft) {
    const GrowthPolicy policy = policy_of(kGiB);
    GrowthState state{.total = 64 * kMiB, .ready = 64 * kMiB, .used = 17 * kMiB};
    EXPECT_FALSE(policy.spare(state, 32 * kMiB));
    state.used = 15 * kMiB;
    EXPECT_TRUE(policy.spare(state, 32 * kMiB));
    state.ready -= 32 * kMiB;
    EXPECT_FALSE(policy.short_of_memory(state)) << "it does not grow at once again";
    EXPECT_FALSE(policy.spare({.ready = 4 * kMiB}, 4 * kMiB)) << "the last";
    const GrowthPolicy eager = policy_of(kGiB, 16 * kMiB, 1);
    EXPECT_TRUE(eager.spare({.ready = 64 * kMiB, .used = 15 * kMiB}, 32 * kMiB));
    EXPECT_FALSE(eager.spare({.ready = 64 * kMiB, .used = 16 * kMiB}, 32 * kMiB));
    EXPECT_FALSE(eager.spare({.ready = 64 * kMiB, .used = 0, .wanted = 64}, 32 * kMiB));
}

TEST(Growth, NeverGrowsAndShrinksInTurns) {
    for (const std::uint64_t low : {std::uint64_t{0}, kMiB, 40 * kMiB}) {
        for (const std::uint64_t high : {std::uint64_t{0}, std::uint64_t{1}, 8 * kMiB}) {
            const GrowthPolicy policy = policy_of(kGiB, low, high);
            for (std::uint64_t used = 0; used <= 128 * kMiB; used += kMiB / 2) {
                for (const std::uint64_t region : {16 * kMiB, 64 * kMiB}) {
                    const GrowthState before{.total = 128 * kMiB, .ready = 128 * kMiB, .used = used};
                    if (!policy.spare(before, region)) continue;
                    const GrowthState after{.total = 128 * kMiB - region, .ready = 128 * kMiB - region, .used = used};
                    EXPECT_FALSE(policy.short_of_memory(after)) << used;
                }
            }
        }
    }
}

TEST(Growth, SpareForLongMeansAllTheTime) {
    GrowthPolicy policy = policy_of(kGiB, 0, 0, 100);
    EXPECT_FALSE(policy.spare_for_long(true, 1000));
    EXPECT_FALSE(policy.spare_for_long(true, 1099));
    EXPECT_FALSE(policy.spare_for_long(false, 1100));
    EXPECT_FALSE(policy.spare_for_long(true, 1200));
    EXPECT_TRUE(policy.spare_for_long(true, 1300));
    GrowthPolicy never = policy_of(kGiB);
    EXPECT_FALSE(never.spare_for_long(true, 0));
    EXPECT_FALSE(never.spare_for_long(true, kNever));
}

}  // namespace
}  // namespace bounce
