// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/rate_limit.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace bounce {
namespace {

constexpr std::uint64_t kNow = 1'000'000'000'000;

int take_all(RateLimit& limit, std::uint64_t now) {
    int taken = 0;
    while (limit.take(now)) ++taken;
    return taken;
}

TEST(RateLimit, AFullBucketGivesTheBurstAndNoMore) {
    RateLimit limit;
    EXPECT_EQ(take_all(limit, kNow), 16);
    EXPECT_FALSE(limit.take(kNow));
}

TEST(RateLimit, RefillsEightASecond) {
    RateLimit limit;
    take_all(limit, kNow);
    EXPECT_FALSE(limit.take(kNow + RateLimit::kIntervalNs - 1));
    EXPECT_TRUE(limit.take(kNow + RateLimit::kIntervalNs));
    EXPECT_FALSE(limit.take(kNow + RateLimit::kIntervalNs));
    EXPECT_EQ(take_all(limit, kNow + 1'000'000'000), 7);
}

TEST(RateLimit, NeverHoldsMoreThanTheBurst) {
    RateLimit limit;
    take_all(limit, kNow);
    EXPECT_EQ(take_all(limit, kNow + 3'600'000'000'000), 16);
}

TEST(RateLimit, WorksFromTimeZero) {
    RateLimit limit;
    EXPECT_EQ(take_all(limit, 0), 16);
}

TEST(RateLimit, ManyThreadsTakeTheBurstBetweenThem) {
    RateLimit limit;
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 1000; ++n)
                if (limit.take(kNow)) taken.fetch_add(1);
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(taken.load(), 16);
}

}  // namespace
}  // namespace bounce
