// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/credit.hpp"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace bounce {
namespace {

TEST(Credit, WithoutQuotaEverythingIsAllowedAndCounted) {
    Credit credit;
    Credit::Step step;
    ASSERT_TRUE(credit.take(1 << 30, step));
    EXPECT_EQ(credit.used(), 1U << 30);
    EXPECT_EQ(step.kept_promise(), 0);
    EXPECT_FALSE(step.within_floor());
    EXPECT_EQ(credit.affordable(64, 17), 17U);
    EXPECT_EQ(credit.move(1 << 30).kept_promise(), 0);
    EXPECT_EQ(credit.used(), 0U);
}

TEST(Credit, TheCeilingIsExact) {
    Credit credit;
    credit.set(0, 4096);
    Credit::Step step;
    EXPECT_EQ(credit.affordable(64, 100), 64U);
    EXPECT_TRUE(credit.take(4095, step));
    EXPECT_FALSE(credit.take(2, step));
    EXPECT_EQ(credit.affordable(64, 100), 0U);
    EXPECT_TRUE(credit.take(1, step));
    EXPECT_FALSE(credit.take(1, step));
    EXPECT_EQ(credit.used(), 4096U);
}

TEST(Credit, WhatIsPromisedIsWhatIsLeftOfTheFloor) {
    Credit credit;
    EXPECT_EQ(credit.set(1000, 0).kept_promise(), -1000);
    Credit::Step step;
    ASSERT_TRUE(credit.take(600, step));
    EXPECT_TRUE(step.within_floor());
    EXPECT_EQ(step.kept_promise(), 600);
    ASSERT_TRUE(credit.take(600, step));
    EXPECT_FALSE(step.within_floor());
    EXPECT_EQ(step.kept_promise(), 400);
    EXPECT_EQ(credit.move(100).kept_promise(), 0);
    EXPECT_EQ(credit.move(300).kept_promise(), -200);
}

TEST(Credit, QuotasChangeUnderUse) {
    Credit credit;
    Credit::Step step;
    ASSERT_TRUE(credit.take(5000, step));
    EXPECT_EQ(credit.set(2000, 4000).kept_promise(), 0);
    EXPECT_EQ(credit.used(), 5000U);
    EXPECT_EQ(credit.affordable(1, 1), 0U);
    EXPECT_FALSE(credit.take(1, step));
    credit.move(1500);
    EXPECT_TRUE(credit.take(500, step));
    EXPECT_FALSE(credit.take(1, step));
    EXPECT_EQ(credit.set(0, 0).kept_promise(), 0);
    EXPECT_TRUE(credit.take(1, step));
    EXPECT_EQ(credit.used(), 4001U);
}

// Whatever the order of takes, gives and changes: at rest the promise is what is left of the floor.
TEST(Credit, StepsAddUpWhateverTheirOrder) {
    Credit credit;
    std::atomic<std::int64_t> promised{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(t);
            for (int i = 0; i < 20000; ++i) {
                const std::uint64_t bytes = random() % 500;
                Credit::Step step;
                if (t == 0 && i % 100 == 0)
                    promised -= credit.set(random() % 2000, i % 200 == 0 ? 3000 : 0).kept_promise();
                if (!credit.take(bytes, step)) continue;
                promised -= step.kept_promise();
                promised -= credit.move(static_cast<std::int64_t>(bytes)).kept_promise();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(credit.used(), 0U);
    EXPECT_EQ(static_cast<std::uint64_t>(promised.load()), credit.floor());
}

}  // namespace
}  // namespace bounce
