// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Who has which context, and how much contexts may keep.
#include "allocator/pool/contexts.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

class ContextsTest : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(made_) << last_error(); }

    Result<Contexts> made_ = Contexts::create();
    ContextGroup group_;
    ContextGroup other_;
};

TEST_F(ContextsTest, GroupsAreNeverTheSame) {
    EXPECT_NE(group_.id, 0U);
    EXPECT_NE(group_.id, other_.id);
    EXPECT_EQ(ContextGroup(5).max_address, 5U);
}

TEST_F(ContextsTest, AThreadFindsItsOwnInItsGroup) {
    Contexts& contexts = *made_;
    EXPECT_EQ(contexts.find(group_, 1), nullptr);
    Context* const mine = contexts.open(group_, 1);
    Context* const hers = contexts.open(group_, 2);
    Context* const elsewhere = contexts.open(other_, 1);
    ASSERT_TRUE(mine != nullptr && hers != nullptr && elsewhere != nullptr);
    EXPECT_EQ(contexts.find(group_, 1), mine);
    EXPECT_EQ(contexts.find(group_, 2), hers);
    EXPECT_EQ(contexts.find(other_, 1), elsewhere);
    EXPECT_EQ(contexts.all().size(), 3U);
    contexts.close(*hers);
    EXPECT_EQ(contexts.find(group_, 2), nullptr);
    // The place is used again.
    EXPECT_EQ(contexts.open(other_, 3), hers);
    EXPECT_EQ(contexts.all().size(), 3U);
}

TEST_F(ContextsTest, ThereAreSoManyAndNoMore) {
    Contexts& contexts = *made_;
    std::set<Context*> all;
    for (std::uint32_t i = 0; i < Contexts::kMost; ++i) all.insert(contexts.open(group_, 0));
    EXPECT_EQ(all.count(nullptr), 0U);
    EXPECT_EQ(all.size(), Contexts::kMost);
    EXPECT_EQ(contexts.open(group_, 0), nullptr);
    contexts.close(**all.begin());
    EXPECT_EQ(contexts.open(group_, 0), *all.begin());
}

TEST_F(ContextsTest, TogetherTheyKeepAPartOfThePool) {
    Contexts& contexts = *made_;
    contexts.set_pool_bytes(64 * kMiB);
    Context* const one = contexts.open(group_, 1);
    EXPECT_FALSE(contexts.grant(*one, kMiB + 1));
    EXPECT_TRUE(contexts.grant(*one, kMiB));
    EXPECT_FALSE(contexts.grant(*one, 1));
    // The other's share is half, but there is nothing left of the budget.
    Context* const two = contexts.open(group_, 2);
    EXPECT_FALSE(contexts.grant(*two, 1));
    contexts.give_back(*one, 3 * kMiB / 4);
    EXPECT_FALSE(contexts.grant(*two, kMiB / 2 + 1));
    EXPECT_TRUE(contexts.grant(*two, kMiB / 2));
    EXPECT_FALSE(contexts.grant(*two, 1));
    EXPECT_TRUE(contexts.grant(*one, kMiB / 4));
    EXPECT_FALSE(contexts.grant(*one, 1));
}

TEST_F(ContextsTest, AClosedOneLeavesItsShareToTheOthers) {
    Contexts& contexts = *made_;
    contexts.set_pool_bytes(64 * kMiB);
    Context* const one = contexts.open(group_, 1);
    Context* const two = contexts.open(group_, 2);
    EXPECT_FALSE(contexts.grant(*one, kMiB));
    contexts.close(*two);
    EXPECT_TRUE(contexts.grant(*one, kMiB));
}

TEST_F(ContextsTest, AVisitIsOfThoseWhoAreOutside) {
    Contexts& contexts = *made_;
    Context* const idle = contexts.open(group_, 1);
    Context* const inside = contexts.open(group_, 2);
    Context* const closed = contexts.open(group_, 3);
    contexts.close(*closed);
    ASSERT_TRUE(contexts.enter(*inside));
    std::set<Context*> visited;
    bool all = true;
    const auto visit = [&](Context& context) {
        visited.insert(&context);
        EXPECT_FALSE(contexts.enter(context));
        EXPECT_FALSE(Contexts::Ops::take(context.taken));
    };
    const auto then = [&](bool all_of_them) {
        all = all_of_them;
        EXPECT_TRUE(contexts.attention());
        EXPECT_FALSE(contexts.enter(*idle));
    };
    contexts.visit_idle(nullptr, visit, then);
    EXPECT_EQ(visited, std::set<Context*>{idle});
    EXPECT_FALSE(all);
    EXPECT_FALSE(contexts.attention());
    Contexts::Ops::leave(inside->mark);
    // Somebody else is at it.
    ASSERT_TRUE(Contexts::Ops::take(idle->taken));
    visited.clear();
    contexts.visit_idle(nullptr, visit, then);
    EXPECT_EQ(visited, std::set<Context*>{inside});
    EXPECT_FALSE(all);
    Contexts::Ops::give_up(idle->taken);
    visited.clear();
    contexts.visit_idle(inside, visit, then);
    EXPECT_EQ(visited, (std::set<Context*>{idle, inside}));
    EXPECT_TRUE(all);
    EXPECT_TRUE(contexts.enter(*idle));
}

// A signal handler in the middle of an operation of its thread wants all contexts empty: not that one.
TEST_F(ContextsTest, AVisitorThatIsInsideLeavesItsOwnAlone) {
    Contexts& contexts = *made_;
    Context* const own = contexts.open(group_, 1);
    ASSERT_TRUE(contexts.enter(*own));
    bool all = true;
    contexts.visit_idle(
        own, [](Context&) { ADD_FAILURE(); }, [&](bool all_of_them) { all = all_of_them; });
    EXPECT_FALSE(all);
}

TEST_F(ContextsTest, FullKeepsAllOutUntilItIsCleared) {
    Contexts& contexts = *made_;
    Context* const context = contexts.open(group_, 1);
    EXPECT_FALSE(contexts.full());
    contexts.set_full();
    EXPECT_TRUE(contexts.full());
    EXPECT_TRUE(contexts.attention());
    EXPECT_FALSE(contexts.enter(*context));
    contexts.clear_full();
    EXPECT_FALSE(contexts.full());
    EXPECT_TRUE(contexts.enter(*context));
}

}  // namespace
}  // namespace bounce
