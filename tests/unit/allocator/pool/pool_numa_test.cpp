// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pools with regions on several nodes: hwloc is given a machine with four, whose CPUs 0 and 1 are those of this one.
#include <gtest/gtest.h>
#include <sched.h>

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
        here_ = NodeId{static_cast<std::int32_t>(cpu)};
        there_ = NodeId{static_cast<std::int32_t>((cpu + 1) % 4)};
    }
    void TearDown() override {
        ::unsetenv("HWLOC_SYNTHETIC");
        if (pinned_) ::sched_setaffinity(0, sizeof before_, &before_);
    }

    std::unique_ptr<Pool> make(std::initializer_list<NodeId> nodes) {
        std::unique_ptr<Pool> pool;
        for (const NodeId node : nodes) {
            if (pool == nullptr) {
                auto made = Pool::create(region_on(node, 0));
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
            from.push_back(slot->region.value);
        }
    }
    using Regions = std::vector<std::uint32_t>;

    NodeId here_, there_;

private:
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
    EXPECT_EQ(slot->region.value, 0U);
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

}  // namespace
}  // namespace bounce
