// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

class PoolQuota : public testing::Test {
protected:
    /// Takes until it is refused; the code that it was refused with.
    int fill(ContextGroup& group, std::uint64_t bytes, std::vector<Slot>& slots) {
        for (;;) {
            Slot slot;
            const auto taken = pool_->alloc(group, pool_->context(group), bytes, slot);
            if (!taken) return taken.code();
            slots.push_back(slot);
        }
    }
    void give_back(ContextGroup& group, std::vector<Slot>& slots) {
        for (const Slot& slot : slots) ASSERT_TRUE(pool_->free(group, pool_->context(group), slot)) << last_error();
        slots.clear();
    }
    std::uint64_t used(const ContextGroup& group) const { return pool_->quota(group).used; }
    void TearDown() override {
        for (ContextGroup* group : {&a_, &b_}) {
            EXPECT_TRUE(pool_->set_quota(*group, 0, 0));
            pool_->close_group(*group);
            EXPECT_EQ(used(*group), 0U);
        }
        EXPECT_EQ(pool_->reserve().promised, 0U);
        EXPECT_EQ(pool_->stats().used_bytes, 0U);
    }

    std::unique_ptr<Pool> pool_ = make_pool(4 * kMiB);
    ContextGroup a_;
    ContextGroup b_;
};

TEST_F(PoolQuota, AllThatIsAwayFromHomeIsPaidFor) {
    std::vector<Slot> slots(3);
    ASSERT_TRUE(pool_->alloc(a_, pool_->context(a_), 1500, slots[0]));
    EXPECT_GE(used(a_), 1500U);
    ASSERT_TRUE(pool_->alloc(a_, nullptr, 100 * kKiB, slots[1]));
    ASSERT_TRUE(pool_->alloc(a_, pool_->context(a_), 20 * kKiB, slots[2]));
    EXPECT_GE(used(a_), 121 * kKiB);
    EXPECT_EQ(used(a_), pool_->stats().used_bytes_hiwater);
    EXPECT_EQ(used(b_), 0U);
    give_back(a_, slots);
    pool_->close_group(a_);
    EXPECT_EQ(used(a_), 0U);
    const auto block = pool_->alloc(request_of(5000, 64, SlotKind::kCoherent), &b_);
    ASSERT_TRUE(block);
    EXPECT_GE(used(b_), 5000U);
    ASSERT_TRUE(pool_->free(*block, SlotKind::kCoherent, &b_));
    EXPECT_EQ(used(b_), 0U);
}

TEST_F(PoolQuota, TheCeilingIsReachedAndNotPassed) {
    ASSERT_TRUE(pool_->set_quota(a_, 0, 256 * kKiB));
    std::vector<Slot> slots;
    EXPECT_EQ(fill(a_, 4096, slots), EDQUOT);
    EXPECT_EQ(slots.size(), 64U);
    EXPECT_NE(std::string(last_error()).find("262144"), std::string::npos) << last_error();
    EXPECT_EQ(used(a_), 256 * kKiB);
    Slot other;
    EXPECT_TRUE(pool_->alloc(b_, pool_->context(b_), 4096, other)) << "others do not mind";
    EXPECT_TRUE(pool_->free(b_, pool_->context(b_), other));
    give_back(a_, slots);
    EXPECT_EQ(fill(a_, 64 * kKiB, slots), EDQUOT);
    EXPECT_EQ(slots.size(), 4U);
    give_back(a_, slots);
}

TEST_F(PoolQuota, WhatAnotherThreadKeepsIsGivenUpFirst) {
    ASSERT_TRUE(pool_->set_quota(a_, 0, 256 * kKiB));
    std::vector<Slot> theirs;
    std::thread([&] {
        std::vector<Slot> slots;
        EXPECT_EQ(fill(a_, 1024, slots), EDQUOT);
        for (const Slot& slot : slots) ASSERT_TRUE(pool_->free(a_, pool_->context(a_), slot));
        std::vector<Slot> mine;
        EXPECT_EQ(fill(a_, 4096, mine), EDQUOT);
        EXPECT_EQ(mine.size(), 64U) << "what the context keeps of other sizes counts as used";
        for (const Slot& slot : mine) ASSERT_TRUE(pool_->free(a_, pool_->context(a_), slot));
        // The thread goes on: its context keeps what it does.
        std::thread([&] {
            EXPECT_EQ(fill(a_, 2048, theirs), EDQUOT);
            EXPECT_EQ(theirs.size(), 128U);
        }).join();
    }).join();
    give_back(a_, theirs);
}

TEST_F(PoolQuota, QuotasChangeLive) {
    std::vector<Slot> slots;
    ASSERT_TRUE(pool_->set_quota(a_, 0, 64 * kKiB));
    EXPECT_EQ(fill(a_, 4096, slots), EDQUOT);
    ASSERT_TRUE(pool_->set_quota(a_, 0, 128 * kKiB));
    EXPECT_EQ(fill(a_, 4096, slots), EDQUOT);
    EXPECT_EQ(slots.size(), 32U);
    ASSERT_TRUE(pool_->set_quota(a_, 0, 4096));
    Slot none;
    EXPECT_EQ(pool_->alloc(a_, nullptr, 64, none).code(), EDQUOT);
    give_back(a_, slots);
    ASSERT_TRUE(pool_->set_quota(a_, 0, 0));
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    give_back(a_, slots);
}

TEST_F(PoolQuota, ImpossibleQuotasAreRefused) {
    EXPECT_EQ(pool_->set_quota(a_, 4097, 4096).code(), EINVAL);
    EXPECT_EQ(pool_->set_quota(a_, 0, std::uint64_t{1} << 63).code(), EINVAL);
    EXPECT_EQ(pool_->set_quota(a_, 4 * kMiB, 0).code(), ENOSPC) << "an eighth is for tails";
    EXPECT_EQ(pool_->set_quota(a_, ~std::uint64_t{0}, 0).code(), ENOSPC);
    ASSERT_TRUE(pool_->set_quota(a_, 2 * kMiB, 0));
    EXPECT_EQ(pool_->set_quota(b_, 2 * kMiB, 0).code(), ENOSPC);
    EXPECT_NE(std::string(last_error()).find("4194304"), std::string::npos) << last_error();
    EXPECT_EQ(pool_->set_reserve(2 * kMiB).code(), ENOSPC);
    EXPECT_EQ(pool_->set_reserve(~std::uint64_t{0}).code(), ENOSPC);
    EXPECT_TRUE(pool_->set_quota(b_, kMiB, 0));
    EXPECT_EQ(pool_->reserve().floors, 3 * kMiB);
    EXPECT_EQ(pool_->reserve().promised, 3 * kMiB);
    EXPECT_TRUE(pool_->set_quota(a_, kMiB, 0));
    EXPECT_EQ(pool_->reserve().floors, 2 * kMiB);
}

class PoolFloors : public PoolQuota, public testing::WithParamInterface<std::uint64_t> {};

// Whatever one takes, in whatever sizes, and however much of it it gives back: the other's floor is there, to the byte.
TEST_P(PoolFloors, AreSureWhateverOthersTake) {
    constexpr std::uint64_t kFloor = kMiB;
    ASSERT_TRUE(pool_->set_quota(b_, kFloor, 0));
    std::vector<Slot> held;
    for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{1500}, GetParam(), 9 * kKiB, 128 * kKiB}) {
        EXPECT_EQ(fill(a_, bytes, held), ENOSPC) << bytes;
    }
    EXPECT_NE(std::string(last_error()).find("promised"), std::string::npos) << last_error();
    // Every other one comes back, and it takes what it can again.
    std::vector<Slot> kept;
    std::vector<Slot> back;
    for (std::size_t i = 0; i < held.size(); ++i) (i % 2 == 0 ? kept : back).push_back(held[i]);
    held = std::move(kept);
    give_back(a_, back);
    EXPECT_EQ(fill(a_, 4096, held), ENOSPC);
    std::vector<Slot> mine;
    while (used(b_) + kSlotBytes[class_of(GetParam())] <= kFloor) {
        Slot slot;
        ASSERT_TRUE(pool_->alloc(b_, nullptr, GetParam(), slot)) << used(b_) << ": " << last_error();
        mine.push_back(slot);
    }
    give_back(b_, mine);
    give_back(a_, held);
}
INSTANTIATE_TEST_SUITE_P(Sizes, PoolFloors, testing::Values(64, 256, 1500, 4096, 9000, 16384));

TEST_F(PoolQuota, TheReserveIsForRequestsWithPriority) {
    ASSERT_TRUE(pool_->set_reserve(512 * kKiB));
    std::vector<Slot> slots;
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    EXPECT_NE(std::string(last_error()).find("524288"), std::string::npos) << last_error();
    EXPECT_LE(slots.size(), 1024U - 128U);
    EXPECT_GE(slots.size(), 1024U - 128U - 32U);
    Slot slot;
    ASSERT_TRUE(pool_->alloc_slow(a_, nullptr, 4096, slot, true)) << "a request";
    slots.push_back(slot);
    b_.priority.store(true);
    std::vector<Slot> urgent;
    EXPECT_EQ(fill(b_, 4096, urgent), ENOSPC);
    EXPECT_GE(urgent.size() + slots.size(), 1000U) << "a device";
    give_back(b_, urgent);
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    ASSERT_TRUE(pool_->set_reserve(0));
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    EXPECT_GE(slots.size(), 1000U);
    give_back(a_, slots);
}

TEST_F(PoolQuota, EmptySlabsOfOthersAreNotInTheWay) {
    std::vector<Slot> slots;
    EXPECT_EQ(fill(a_, 64, slots), ENOSPC);
    give_back(a_, slots);
    ASSERT_TRUE(pool_->set_quota(b_, kMiB, 0));
    // All pages are those of empty slabs.
    EXPECT_EQ(fill(a_, 64 * kKiB, slots), ENOSPC);
    EXPECT_GE(slots.size(), 40U);
    give_back(a_, slots);
}

TEST_F(PoolQuota, AFloorIsGivenBackWithTheQuota) {
    ASSERT_TRUE(pool_->set_quota(b_, 2 * kMiB, 0));
    std::vector<Slot> slots;
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    const std::size_t before = slots.size();
    ASSERT_TRUE(pool_->set_quota(b_, 0, 0));
    EXPECT_EQ(fill(a_, 4096, slots), ENOSPC);
    EXPECT_GT(slots.size(), before + 500);
    give_back(a_, slots);
}

TEST(PoolQuotaGrowth, WhatIsPromisedMakesItGrow) {
    GrowthConfig growth;
    growth.limit_bytes = 16 * kMiB;
    growth.in_line = true;
    auto made = Pool::create(region_config(4 * kMiB, 4 * kGiB), growth);
    ASSERT_TRUE(made) << last_error();
    Pool& pool = **made;
    ContextGroup a;
    ContextGroup b;
    EXPECT_EQ(pool.set_quota(b, 8 * kMiB, 0).code(), ENOSPC) << "what has not grown yet is not promised";
    ASSERT_TRUE(pool.set_quota(b, 3 * kMiB, 0));
    std::vector<Slot> slots;
    for (Slot slot; pool.alloc(a, nullptr, 64 * kKiB, slot);) slots.push_back(slot);
    EXPECT_GE(slots.size() * 64 * kKiB, 11 * kMiB);
    Slot mine[40];
    for (Slot& slot : mine) ASSERT_TRUE(pool.alloc(b, nullptr, 64 * kKiB, slot)) << last_error();
    for (const Slot& slot : mine) ASSERT_TRUE(pool.free(b, nullptr, slot));
    for (const Slot& slot : slots) ASSERT_TRUE(pool.free(a, nullptr, slot));
    pool.close_group(a);
    pool.close_group(b);
}

// Two that fill the pool at once leave the third its floor.
TEST(PoolQuotaThreads, FloorsHoldWhileOthersFight) {
    auto pool = make_pool(8 * kMiB);
    ContextGroup greedy;
    ContextGroup modest;
    ASSERT_TRUE(pool->set_quota(modest, 2 * kMiB, 0));
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            std::vector<Slot> held;
            for (std::uint64_t i = 0; !stop.load(); ++i) {
                Slot slot;
                if (pool->alloc(greedy, pool->context(greedy), 64U << (i % 9 + static_cast<unsigned>(t)), slot)) {
                    held.push_back(slot);
                } else if (held.size() > 100 && i % 3 == 0) {
                    // Some of it, so that there is something to fight for.
                    EXPECT_TRUE(pool->free(greedy, pool->context(greedy), held[i % held.size()]));
                    held[i % held.size()] = held.back();
                    held.pop_back();
                }
            }
            for (const Slot& slot : held) EXPECT_TRUE(pool->free(greedy, pool->context(greedy), slot));
        });
    }
    for (int round = 0; round < 30; ++round) {
        std::vector<Slot> mine;
        while (pool->quota(modest).used + 4096 <= 2 * kMiB) {
            Slot slot;
            const auto taken = pool->alloc(modest, nullptr, 4096, slot);
            EXPECT_TRUE(taken) << round << ", " << mine.size() << ": " << last_error();
            if (!taken) break;
            mine.push_back(slot);
        }
        for (const Slot& slot : mine) EXPECT_TRUE(pool->free(modest, nullptr, slot));
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(pool->set_quota(modest, 0, 0));
    pool->close_group(greedy);
    pool->close_group(modest);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
    EXPECT_EQ(pool->quota(greedy).used, 0U);
}

}  // namespace
}  // namespace bounce
