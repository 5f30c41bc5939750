// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Many slots at once.
#include "allocator/pool/pool_bulk.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

class PoolBulk : public testing::Test {
protected:
    void SetUp() override {
        RegionConfig config;
        config.bytes = 8 * kMiB;
        config.base_gpa = Gpa{std::uint64_t{4} << 30};
        auto made = Pool::create(config);
        ASSERT_TRUE(made) << last_error();
        pool_ = std::move(*made);
        context_ = pool_->open_context(pool_->direct());
    }
    void TearDown() override { pool_->close_context(context_); }

    Result<void> take(std::uint64_t bytes, std::vector<Slot>& slots) {
        return pool_->alloc_bulk(pool_->direct(), context_, bytes, slots.data(),
                                 static_cast<std::uint32_t>(slots.size()));
    }
    Result<void> give(const std::vector<Slot>& slots) {
        return pool_->free_bulk(pool_->direct(), context_, slots.data(), static_cast<std::uint32_t>(slots.size()));
    }
    void expect_empty() { EXPECT_EQ(pool_->stats().slots, 0U); }

    std::unique_ptr<Pool> pool_;
    Context* context_ = nullptr;
};

TEST_F(PoolBulk, EachIsOneOfItsOwn) {
    for (const std::uint64_t bytes :
         {std::uint64_t{1}, std::uint64_t{1500}, std::uint64_t{4096}, std::uint64_t{30000}}) {
        for (const std::size_t n : {1U, 7U, 32U, 33U, 200U}) {
            for (int round = 0; round < 3; ++round) {
                std::vector<Slot> slots(n);
                ASSERT_TRUE(take(bytes, slots)) << last_error();
                std::set<std::uint64_t> at;
                for (const Slot& slot : slots) {
                    EXPECT_TRUE(pool_->check(slot, SlotKind::kStreaming, bytes)) << last_error();
                    at.insert(slot.gpa.value);
                }
                EXPECT_EQ(at.size(), n);
                EXPECT_EQ(pool_->stats().slots, n);
                ASSERT_TRUE(give(slots)) << last_error();
                expect_empty();
            }
        }
    }
}

TEST_F(PoolBulk, AllOrNothing) {
    std::vector<Slot> slots(100);
    EXPECT_EQ(take(kMiB, slots).code(), ENOSPC);
    expect_empty();
    for (const Slot& slot : slots) EXPECT_EQ(slot.hva, nullptr);
    slots.resize(7);
    EXPECT_TRUE(take(kMiB, slots)) << last_error();
    EXPECT_TRUE(give(slots));
    slots.resize(0);
    EXPECT_TRUE(take(4096, slots));
    EXPECT_TRUE(give(slots));
}

TEST_F(PoolBulk, WhatCanBeFreedIsFreed) {
    std::vector<Slot> slots(64);
    ASSERT_TRUE(take(4096, slots));
    std::vector<Slot> twice = slots;
    twice.insert(twice.begin() + 40, slots[3]);
    EXPECT_EQ(give(twice).code(), EALREADY);
    expect_empty();
    EXPECT_EQ(give(slots).code(), EALREADY);
    expect_empty();
}

TEST_F(PoolBulk, ClassesMayTakeTurns) {
    const auto bytes_of = [](std::uint32_t i) { return std::uint64_t{i % 3 == 0 ? 64U : i % 3 == 1 ? 4096U : 65536U}; };
    for (int round = 0; round < 5; ++round) {
        std::vector<Slot> slots(60);
        std::uint32_t done = 0;
        const auto sink = [&](std::uint32_t i, const KeptSlot& kept, std::uint32_t epoch) {
            slots[i] = {kept.gpa, kept.hva, epoch, kept.handle};
        };
        ASSERT_TRUE(pool_->alloc_many(pool_->direct(), context_, 60, bytes_of, sink, done)) << last_error();
        EXPECT_EQ(done, 60U);
        for (std::uint32_t i = 0; i < 60; ++i)
            EXPECT_TRUE(pool_->check(slots[i], SlotKind::kStreaming, bytes_of(i))) << i << ": " << last_error();
        ASSERT_TRUE(give(slots)) << last_error();
        expect_empty();
    }
}

TEST_F(PoolBulk, DoesWithoutAContext) {
    std::vector<Slot> slots(50);
    ASSERT_TRUE(pool_->alloc_bulk(pool_->direct(), nullptr, 4096, slots.data(), 50)) << last_error();
    ASSERT_TRUE(pool_->free_bulk(pool_->direct(), nullptr, slots.data(), 50)) << last_error();
    expect_empty();
}

}  // namespace
}  // namespace bounce
