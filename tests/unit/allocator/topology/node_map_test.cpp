// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/topology/node_map.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace bounce {
namespace {

TEST(NodeMap, AnEmptyOneKnowsNothing) {
    const auto map = std::make_unique<NodeMap>();
    EXPECT_EQ(map->nodes(), 0U);
    EXPECT_EQ(map->highest(), kAnyNode);
    EXPECT_FALSE(map->has(NodeId{0}));
    EXPECT_FALSE(map->has(kAnyNode));
    EXPECT_EQ(map->node_of_cpu(0), kAnyNode);
    EXPECT_EQ(map->distance(NodeId{0}, NodeId{0}), NodeMap::kLocalDistance);
    EXPECT_EQ(map->distance(NodeId{0}, NodeId{1}), NodeMap::kRemoteDistance);
}

TEST(NodeMap, NodesAreInTheOrderOfTheirNumbersWhateverTheOrderOfAdding) {
    const auto map = std::make_unique<NodeMap>();
    ASSERT_TRUE(map->add(NodeId{8}));
    map->set_cpu(5, NodeId{8});
    ASSERT_TRUE(map->add(NodeId{252}, false));
    map->set_distance(NodeId{8}, NodeId{252}, 17);
    map->set_distance(NodeId{252}, NodeId{8}, 28);
    ASSERT_TRUE(map->add(NodeId{0}));
    map->set_cpu(1, NodeId{0});
    ASSERT_TRUE(map->add(NodeId{9}));
    ASSERT_EQ(map->nodes(), 4U);
    EXPECT_EQ(map->node(0), NodeId{0});
    EXPECT_EQ(map->node(1), NodeId{8});
    EXPECT_EQ(map->node(2), NodeId{9});
    EXPECT_EQ(map->node(3), NodeId{252});
    EXPECT_EQ(map->highest(), NodeId{252});
    EXPECT_TRUE(map->has_memory(1));
    EXPECT_FALSE(map->has_memory(3));
    EXPECT_EQ(map->node_of_cpu(5), NodeId{8});
    EXPECT_EQ(map->node_of_cpu(1), NodeId{0});
    EXPECT_EQ(map->distance(NodeId{8}, NodeId{252}), 17U);
    EXPECT_EQ(map->distance(NodeId{252}, NodeId{8}), 28U);
    EXPECT_EQ(map->distance(NodeId{252}, NodeId{252}), NodeMap::kLocalDistance);
    EXPECT_EQ(map->distance(NodeId{9}, NodeId{8}), NodeMap::kRemoteDistance);
}

TEST(NodeMap, AnyNodeIsAsNearAsCanBe) {
    const auto map = std::make_unique<NodeMap>();
    ASSERT_TRUE(map->add(NodeId{0}));
    EXPECT_EQ(map->distance(NodeId{0}, kAnyNode), NodeMap::kLocalDistance);
    EXPECT_EQ(map->distance(kAnyNode, NodeId{0}), NodeMap::kLocalDistance);
}

TEST(NodeMap, WhatDoesNotFitIsNotThere) {
    const auto map = std::make_unique<NodeMap>();
    EXPECT_FALSE(map->add(kAnyNode));
    for (std::uint32_t i = 0; i < NodeMap::kMaxNodes; ++i) {
        EXPECT_TRUE(map->add(NodeId{static_cast<std::int32_t>(i)}));
        EXPECT_FALSE(map->add(NodeId{static_cast<std::int32_t>(i)}));
    }
    EXPECT_FALSE(map->add(NodeId{64}));
    EXPECT_FALSE(map->has(NodeId{64}));
    map->set_cpu(NodeMap::kMaxCpus - 1, NodeId{63});
    EXPECT_EQ(map->node_of_cpu(NodeMap::kMaxCpus - 1), NodeId{63});
    map->set_cpu(NodeMap::kMaxCpus, NodeId{1});
    EXPECT_EQ(map->node_of_cpu(NodeMap::kMaxCpus), kAnyNode);
    EXPECT_EQ(map->node_of_cpu(~0U), kAnyNode);
}

}  // namespace
}  // namespace bounce
