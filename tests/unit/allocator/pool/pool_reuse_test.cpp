// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which slot comes back: the one freed last, or all of a window in turn.
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

class PoolReuse : public ::testing::Test {
protected:
    /// The addresses that so many pairs of one slot at a time get.
    std::set<std::uint64_t> addresses(std::uint64_t bytes, unsigned pairs) {
        std::set<std::uint64_t> seen;
        Context* const context = pool_->context(group_);
        for (unsigned i = 0; i < pairs; ++i) {
            Slot slot;
            EXPECT_TRUE(pool_->alloc(group_, context, bytes, slot)) << last_error();
            seen.insert(slot.gpa.value);
            EXPECT_TRUE(pool_->free(group_, context, slot)) << last_error();
        }
        return seen;
    }
    void TearDown() override {
        EXPECT_EQ(pool_->stats().used_bytes, 0U);
        AllocRequest all;
        all.bytes = kPoolBytes;
        EXPECT_TRUE(pool_->alloc(all)) << last_error();
        pool_->close_group(group_);
    }

    static constexpr std::uint64_t kPoolBytes = 64 * kMiB;
    std::unique_ptr<Pool> pool_ = make_pool(kPoolBytes);
    ContextGroup group_;
};

TEST_F(PoolReuse, TheOneFreedLastComesBackFirst) {
    EXPECT_EQ(addresses(4096, 1000).size(), 1U);
}

TEST_F(PoolReuse, AWindowIsGoneThroughInTurn) {
    pool_->set_reuse(group_, 2 * kMiB);
    (void)addresses(4096, 2000);  // the class grows to the window
    const auto round = addresses(4096, 512);
    EXPECT_GE(round.size(), 400U) << "most of 512 pairs get a slot of their own";
    const auto many = addresses(4096, 20000);
    EXPECT_GE(many.size() * 4096, 2 * kMiB - 256 * kKiB);
    EXPECT_LE(many.size() * 4096, 4 * kMiB) << "and they stay within about the window";
}

TEST_F(PoolReuse, ThePoolIsGoneThroughInTurn) {
    pool_->set_reuse(group_, kPoolBytes);
    EXPECT_GE(addresses(4096, 40000).size() * 4096, kPoolBytes / 2);
}

TEST_F(PoolReuse, ANarrowerWindowGivesTheRestBack) {
    pool_->set_reuse(group_, kPoolBytes);
    (void)addresses(4096, 40000);
    pool_->set_reuse(group_, 2 * kMiB);
    (void)addresses(4096, 60000);
    EXPECT_LE(addresses(4096, 20000).size() * 4096, 4 * kMiB);
    pool_->set_reuse(group_, 0);
    (void)addresses(4096, 1000);
    EXPECT_LE(addresses(4096, 1000).size(), 2U);
}

TEST_F(PoolReuse, SmallAndLargeSlotsToo) {
    pool_->set_reuse(group_, kMiB);
    for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{1500}, std::uint64_t{20480}}) {
        (void)addresses(bytes, 40000);
        const auto seen = addresses(bytes, 40000);
        EXPECT_GE(seen.size() * bytes, kMiB / 2) << bytes;
        EXPECT_LE(seen.size() * bytes, 2 * kMiB) << bytes;
    }
}

}  // namespace
}  // namespace bounce
