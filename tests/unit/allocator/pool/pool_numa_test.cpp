// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pools with regions on several nodes: hwloc is given a machine with four, whose CPUs 0 and 1 are those of this one.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include "allocator/topology/topology.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kRegion = 2 * kMiB;
constexpr std::uint64_t kStep = kGiB;

RegionConfig region_on(NodeId node, std::uint64_t index) {
    RegionConfig config = region_config(kRegion, 4 * kGiB + index * kStep);
    config.node = node;
    return config;
}

class PoolNuma : public testing::Test {
protected:
    using Regions = std::vector<std::uint32_t>;

    void SetUp() override {
        ::setenv("HWLOC_SYNTHETIC", "node:4 pu:1", 1);
        auto topology = Topology::create();
        if (!topology || (*topology)->nodes() != 4) GTEST_SKIP() << "this build has one node";
        // The thread stays at one CPU, whose number is that of its node.
        ASSERT_EQ(::sched_getaffinity(0, sizeof before_, &before_), 0);
        std::size_t cpu = 0;
        while (cpu < 4 && !CPU_ISSET(cpu, &before_)) ++cpu;
        if (cpu == 4) GTEST_SKIP() << "none of CPUs 0 to 3 may be used";
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
        pinned_ = true;
        cpu_ = cpu;
        here_ = NodeId{static_cast<std::int32_t>(cpu)};
        there_ = NodeId{static_cast<std::int32_t>((cpu + 1) % 4)};
    }
    void TearDown() override {
        ::unsetenv("HWLOC_SYNTHETIC");
        if (pinned_) ::sched_setaffinity(0, sizeof before_, &before_);
    }

    static std::unique_ptr<Pool> make(std::initializer_list<NodeId> nodes, NumaPolicy policy = NumaPolicy::kLocal) {
        std::unique_ptr<Pool> pool;
        for (const NodeId node : nodes) {
            if (pool == nullptr) {
                auto made = Pool::create(region_on(node, 0), {}, {.numa_policy = policy});
                EXPECT_TRUE(made) << last_error();
                if (!made) return nullptr;
                pool = std::move(*made);
            } else {
                EXPECT_TRUE(pool->add_region(region_on(node, pool->regions()))) << last_error();
            }
        }
        return pool;
    }
    static AllocRequest by(NumaPolicy policy, NodeId node = kAnyNode, std::uint64_t bytes = kMiB) {
        AllocRequest request = request_of(bytes);
        request.rule = {policy, node};
        return request;
    }
    /// The regions that requests are served from until there is no more.
    static std::vector<std::uint32_t> fill(Pool& pool, const AllocRequest& request) {
        std::vector<std::uint32_t> from;
        for (;;) {
            const auto slot = pool.alloc(request);
            if (!slot) {
                EXPECT_EQ(slot.code(), ENOSPC) << last_error();
                return from;
            }
            from.push_back(slot->region().value);
        }
    }
    /// The thread goes on at another CPU, of another node; false: there is none that it may use.
    bool move() {
        std::size_t cpu = 0;
        while (cpu < 4 && (cpu == cpu_ || !CPU_ISSET(cpu, &before_))) ++cpu;
        if (cpu == 4) return false;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (::sched_setaffinity(0, sizeof one, &one) != 0) return false;
        moved_to_ = NodeId{static_cast<std::int32_t>(cpu)};
        return true;
    }
    /// Regions of `count` slots that a thread of `group` has at once and gives back again.
    static std::vector<std::uint32_t> pass(Pool& pool, ContextGroup& group, unsigned count, std::uint64_t bytes) {
        std::vector<Slot> slots;
        Regions from;
        for (unsigned i = 0; i < count; ++i) {
            Slot slot;
            const auto taken = pool.alloc(group, pool.context(group), bytes, slot);
            EXPECT_TRUE(taken) << last_error();
            if (!taken) break;
            slots.push_back(slot);
            from.push_back(slot.region().value);
        }
        for (const Slot& slot : slots) EXPECT_TRUE(pool.free(group, pool.context(group), slot)) << last_error();
        return from;
    }
    static std::ptrdiff_t of(const Regions& from, std::uint32_t region) {
        return std::count(from.begin(), from.end(), region);
    }
    static constexpr std::uint64_t kAll = ~std::uint64_t{0};

    NodeId here_, there_, moved_to_;

private:
    std::size_t cpu_ = 0;
    cpu_set_t before_{};
    bool pinned_ = false;
};

TEST_F(PoolNuma, LocalTakesFromTheThreadsNodeFirst) {
    const auto pool = make({there_, here_});
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kLocal)), (Regions{1, 1, 0, 0}));
}

TEST_F(PoolNuma, PreferredTakesFromTheDevicesNodeFirst) {
    const auto pool = make({here_, there_});
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kPreferred, there_)), (Regions{1, 1, 0, 0}));
}

TEST_F(PoolNuma, InterleaveTakesTurns) {
    const auto pool = make({NodeId{0}, NodeId{1}, NodeId{2}, NodeId{3}});
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kInterleave)), (Regions{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST_F(PoolNuma, StrictIsFullWhenTheNodeIs) {
    const auto pool = make({there_, here_});
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict)), (Regions{1, 1}));
    EXPECT_NE(std::string(last_error()).find("strict"), std::string::npos) << last_error();
    EXPECT_EQ(pool->stats().full, 1U);
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict, there_)), (Regions{0, 0}));
}

TEST_F(PoolNuma, StrictJudgesByTheNodesRegionsOnly) {
    const auto pool = make({there_});
    const auto slot = pool->alloc(by(NumaPolicy::kStrict));
    EXPECT_EQ(slot.code(), E2BIG) << "it would never succeed";
    EXPECT_NE(std::string(last_error()).find("node " + std::to_string(here_.value)), std::string::npos) << last_error();
    ASSERT_TRUE(pool->add_region(region_on(here_, 1)));
    EXPECT_EQ(pool->alloc(by(NumaPolicy::kStrict, kAnyNode, 2 * kRegion)).code(), E2BIG);
    AllocRequest masked = by(NumaPolicy::kStrict);
    masked.max_address = 4 * kGiB + kRegion - 1;  // the other region is below it
    EXPECT_EQ(pool->alloc(masked).code(), ERANGE);
    masked.rule.node = there_;
    EXPECT_TRUE(pool->alloc(masked)) << last_error();
}

TEST_F(PoolNuma, AMaskThatTheLocalRegionDoesNotMeetIsMetElsewhere) {
    const auto pool = make({there_, here_});
    AllocRequest masked = by(NumaPolicy::kLocal);
    masked.max_address = 4 * kGiB + kRegion - 1;
    const auto slot = pool->alloc(masked);
    ASSERT_TRUE(slot) << last_error();
    EXPECT_EQ(slot->region().value, 0U);
}

TEST_F(PoolNuma, RegionsWithoutANodeAreAtEveryNode) {
    const auto pool = make({kAnyNode, there_});
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict)), (Regions{0, 0}));
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kLocal)), (Regions{1, 1}));
    const auto unbound = make({kAnyNode, kAnyNode});
    EXPECT_EQ(fill(*unbound, by(NumaPolicy::kStrict, there_)), (Regions{0, 0, 1, 1}));
}

TEST_F(PoolNuma, ANodeThatIsNotThereIsNamedWithTheHighest) {
    const auto pool = make({here_});
    EXPECT_EQ(pool->add_region(region_on(NodeId{17}, 1)).code(), EINVAL);
    EXPECT_STREQ(last_error(), "there is no NUMA node 17, the highest is 3");
    EXPECT_EQ(pool->check_node(NodeId{4}).code(), EINVAL);
    EXPECT_TRUE(pool->check_node(NodeId{3}));
    EXPECT_TRUE(pool->check_node(kAnyNode));
    EXPECT_EQ(pool->regions(), 1U);
    EXPECT_FALSE(Pool::create(region_on(NodeId{17}, 0)));
}

TEST_F(PoolNuma, ContextsKeepSlotsOfTheThreadsNodeOnly) {
    const auto pool = make({there_, here_});
    ContextGroup group(kAll, {});
    // More than the node has: what comes from the other one goes back there.
    const auto first = pass(*pool, group, 600, 4096);
    EXPECT_GE(of(first, 1), 480);
    EXPECT_GE(of(first, 0), 80);
    EXPECT_EQ(of(pass(*pool, group, 300, 4096), 0), 0);
    EXPECT_GE(of(pass(*pool, group, 40, 64 * kKiB), 0), 1);
    EXPECT_EQ(of(pass(*pool, group, 16, 64 * kKiB), 0), 0);
    EXPECT_EQ(pool->count(group).allocs, pool->count(group).frees);
    pool->close_group(group);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
}

TEST_F(PoolNuma, WhatAThreadKeptStaysBehindWhenItMoves) {
    if (!move()) GTEST_SKIP() << "the thread may use one CPU only";
    const NodeId second = moved_to_;
    const auto pool = make({here_, second});
    TearDown();
    SetUp();  // back to the first
    for (const std::uint64_t bytes : {std::uint64_t{4096}, std::uint64_t{16 * kKiB}}) {
        ContextGroup group(kAll, {});
        EXPECT_EQ(of(pass(*pool, group, 60, bytes), 0), 60);
        ASSERT_TRUE(move());
        EXPECT_EQ(of(pass(*pool, group, 60, 2048), 0), 0) << "it had none of these";
        EXPECT_EQ(of(pass(*pool, group, 60, bytes), 0), 0);
        TearDown();
        SetUp();
        pool->close_group(group);
    }
}

TEST_F(PoolNuma, AThreadThatMovesLeavesItsRunBehind) {
    if (!move()) GTEST_SKIP() << "the thread may use one CPU only";
    const auto pool = make({here_, moved_to_});
    TearDown();
    SetUp();
    ContextGroup group(kAll, {});
    EXPECT_EQ(pass(*pool, group, 1, 256 * kKiB), (Regions{0}));
    EXPECT_EQ(pass(*pool, group, 1, 256 * kKiB), (Regions{0}));
    ASSERT_TRUE(move());
    EXPECT_EQ(pass(*pool, group, 1, 256 * kKiB), (Regions{1}));
    pool->close_group(group);
}

TEST_F(PoolNuma, AStrictThreadIsObeyedTheMomentItMoves) {
    if (!move()) GTEST_SKIP() << "the thread may use one CPU only";
    const auto pool = make({here_, moved_to_});
    TearDown();
    SetUp();
    ContextGroup group(kAll, {NumaPolicy::kStrict, kAnyNode});
    EXPECT_EQ(of(pass(*pool, group, 60, 4096), 0), 60);
    ASSERT_TRUE(move());
    EXPECT_EQ(of(pass(*pool, group, 60, 4096), 1), 60);
    pool->close_group(group);
}

TEST_F(PoolNuma, AStrictDeviceOfANodeHasContexts) {
    const auto pool = make({here_, there_});
    ContextGroup group(kAll, {NumaPolicy::kStrict, there_});
    EXPECT_EQ(of(pass(*pool, group, 60, 4096), 1), 60);
    EXPECT_EQ(of(pass(*pool, group, 60, 4096), 1), 60);
    const std::uint64_t by_no_context = group.allocs.load();
    EXPECT_EQ(pass(*pool, group, 1, 4096), (Regions{1}));
    EXPECT_EQ(group.allocs.load(), by_no_context);
    pool->close_group(group);
}

TEST_F(PoolNuma, InterleaveTakesTurnsWithContexts) {
    const auto pool = make({NodeId{0}, NodeId{1}, NodeId{2}, NodeId{3}}, NumaPolicy::kInterleave);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(pass(*pool, pool->direct(), 8, 4096), (Regions{0, 1, 2, 3, 0, 1, 2, 3}));
    // Also where no region is entirely below the mask.
    ContextGroup group(4 * kGiB + kStep + kMiB, {NumaPolicy::kInterleave, kAnyNode});
    const auto masked = pass(*pool, group, 40, 4096);
    EXPECT_GE(of(masked, 0), 10);
    EXPECT_GE(of(masked, 1), 10);
    pool->close_group(group);
}

TEST_F(PoolNuma, ContextsThatWereFilledBeforeNodesMatteredStartAgain) {
    const auto pool = make({there_});
    ContextGroup local(kAll, {});
    ContextGroup turns(kAll, {NumaPolicy::kInterleave, kAnyNode});
    EXPECT_EQ(of(pass(*pool, local, 40, 4096), 0), 40);
    EXPECT_EQ(of(pass(*pool, turns, 40, 4096), 0), 40);
    ASSERT_TRUE(pool->add_region(region_on(here_, 1)));
    EXPECT_EQ(of(pass(*pool, local, 40, 4096), 1), 40);
    EXPECT_EQ(of(pass(*pool, turns, 40, 4096), 1), 20);
    pool->close_group(local);
    pool->close_group(turns);
}

TEST_F(PoolNuma, ADrainedRegionIsLeftOut) {
    const auto pool = make({here_, there_});
    ContextGroup group(kAll, {});
    EXPECT_EQ(of(pass(*pool, group, 40, 4096), 0), 40);
    ASSERT_TRUE(pool->drain_region(RegionId{0}));
    EXPECT_EQ(of(pass(*pool, group, 40, 4096), 1), 40);
    EXPECT_EQ(pool->alloc(by(NumaPolicy::kStrict)).code(), ENOSPC);
    ASSERT_TRUE(pool->remove_region(RegionId{0})) << last_error();
    EXPECT_EQ(pool->alloc(by(NumaPolicy::kStrict)).code(), E2BIG);
    pool->close_group(group);
}

TEST_F(PoolNuma, ARemovedRegionComesBackAtItsNode) {
    const auto pool = make({there_, here_});
    ASSERT_TRUE(pool->drain_region(RegionId{1}));
    ASSERT_TRUE(pool->remove_region(RegionId{1})) << last_error();
    const auto same = pool->add_region(region_on(here_, 1));
    ASSERT_TRUE(same) << last_error();
    EXPECT_EQ(same->value, 1U);
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict)), (Regions{1, 1}));
}

TEST_F(PoolNuma, ARangeThatComesBackAtAnotherNodeIsAnotherRegion) {
    const auto pool = make({there_, here_});
    ASSERT_TRUE(pool->drain_region(RegionId{1}));
    ASSERT_TRUE(pool->remove_region(RegionId{1})) << last_error();
    const auto other = pool->add_region(region_on(there_, 1));
    ASSERT_TRUE(other) << last_error();
    EXPECT_EQ(other->value, 2U);
    EXPECT_EQ(pool->alloc(by(NumaPolicy::kStrict)).code(), E2BIG);
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict, there_)), (Regions{0, 0, 2, 2}));
}

TEST_F(PoolNuma, AMappingHandedInThatNamesANodeWhichIsNotThereIsAtNone) {
    const auto pool = make({there_});
    alignas(4096) static std::byte mapping[kRegion];
    RegionConfig config = region_on(NodeId{17}, 1);
    config.imported_hva = mapping;
    ASSERT_TRUE(pool->add_region(config)) << last_error();
    EXPECT_EQ(fill(*pool, by(NumaPolicy::kStrict)), (Regions{1, 1}));
}

TEST_F(PoolNuma, APoolGrowsAtTheNodeOfItsFirstRegion) {
    GrowthConfig growth;
    growth.limit_bytes = 2 * kRegion;
    growth.in_line = true;
    auto made = Pool::create(region_on(here_, 0), growth);
    ASSERT_TRUE(made) << last_error();
    Pool& pool = **made;
    EXPECT_EQ(pool.alloc(by(NumaPolicy::kStrict, there_)).code(), E2BIG) << "growing does not help";
    EXPECT_EQ(pool.regions(), 1U);
    EXPECT_EQ(fill(pool, by(NumaPolicy::kStrict)), (Regions{0, 0, 1, 1}));
    EXPECT_EQ(pool.region(RegionId{1}).node(), here_);
}

// What its contexts keep goes home, so the next slot comes from where the policy says.
TEST_F(PoolNuma, APolicyThatIsChangedHoldsAtOnce) {
    const auto pool = make({here_, there_});
    ASSERT_NE(pool, nullptr);
    ContextGroup group(~std::uint64_t{0}, {NumaPolicy::kLocal, there_});
    EXPECT_EQ(pass(*pool, group, 4, 4096), Regions(4, 0));
    pool->set_numa_policy(group, NumaPolicy::kPreferred);
    EXPECT_EQ(pass(*pool, group, 4, 4096), Regions(4, 1));
    pool->set_numa_policy(group, NumaPolicy::kInterleave);
    Regions turns = pass(*pool, group, 4, 4096);
    EXPECT_EQ(std::count(turns.begin(), turns.end(), 0U), 2);
    pool->set_numa_policy(group, NumaPolicy::kLocal);
    EXPECT_EQ(pass(*pool, group, 4, 4096), Regions(4, 0));
    pool->close_group(group);
}

}  // namespace
}  // namespace bounce
