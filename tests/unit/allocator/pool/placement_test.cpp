// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The order of regions on machines that are not here.
#include "allocator/pool/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace bounce {
namespace {

constexpr NodeId kN0{0}, kN1{1}, kN2{2}, kN3{3};
using Indices = std::vector<unsigned>;

Indices sequence_of(const RegionOrder& order, std::uint32_t turn = 0) {
    const auto sequence = order.sequence(turn);
    return {sequence.begin(), sequence.end()};
}

std::unique_ptr<NodeMap> map_of(std::uint32_t nodes) {
    auto map = std::make_unique<NodeMap>();
    for (std::uint32_t i = 0; i < nodes; ++i) map->add(NodeId{static_cast<std::int32_t>(i)});
    return map;
}

/// Four nodes, nothing symmetric: row i has what node i has to the others.
std::unique_ptr<NodeMap> lopsided() {
    constexpr std::uint32_t kDistances[4][4] = {{10, 21, 31, 41}, {22, 10, 42, 32}, {43, 23, 10, 33}, {34, 24, 44, 10}};
    auto map = map_of(4);
    for (std::int32_t i = 0; i < 4; ++i)
        for (std::int32_t j = 0; j < 4; ++j) map->set_distance(NodeId{i}, NodeId{j}, kDistances[i][j]);
    return map;
}

struct Machine {
    std::unique_ptr<NodeMap> map;
    std::vector<NodeId> regions;

    [[nodiscard]] RegionOrder order(NumaPolicy policy, NodeId thread, NodeId device = kAnyNode) const {
        return {*map, regions, {policy, device}, thread};
    }
    [[nodiscard]] Indices tried(NumaPolicy policy, NodeId thread, NodeId device = kAnyNode) const {
        return sequence_of(order(policy, thread, device));
    }
};

constexpr NumaPolicy kAll[] = {NumaPolicy::kLocal, NumaPolicy::kPreferred, NumaPolicy::kInterleave,
                               NumaPolicy::kStrict};

TEST(RegionOrder, WithoutRegionsThereIsNothingToTry) {
    EXPECT_TRUE(RegionOrder().sequence(7).empty());
    const Machine machine{map_of(2), {}};
    for (const NumaPolicy policy : kAll) {
        const RegionOrder order = machine.order(policy, kN0);
        EXPECT_TRUE(order.sequence(3).empty());
        EXPECT_EQ(order.local(), 0U);
        EXPECT_EQ(order.allowed(), 0U);
    }
}

TEST(RegionOrder, OnOneNodeEveryPolicyTakesRegionsAsTheyWereAdded) {
    const Machine machine{map_of(1), {kN0, kAnyNode, kN0}};
    for (const NumaPolicy policy : kAll) {
        const RegionOrder order = machine.order(policy, kN0);
        EXPECT_EQ(sequence_of(order), (Indices{0, 2, 1}));  // what is there for certain goes first
        EXPECT_EQ(order.local(), 7U);
        EXPECT_EQ(order.allowed(), 7U);
    }
}

TEST(RegionOrder, LocalBeginsAtTheThreadAndGoesOutwards) {
    const Machine machine{lopsided(), {kN3, kN2, kN1, kN0}};
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN0), (Indices{3, 2, 1, 0}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1), (Indices{2, 3, 0, 1}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN2), (Indices{1, 2, 0, 3}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN3), (Indices{0, 2, 3, 1}));
    EXPECT_EQ(machine.order(NumaPolicy::kLocal, kN2).local(), 0b0010U);
    EXPECT_EQ(machine.order(NumaPolicy::kLocal, kN2).allowed(), 0b1111U);
}

TEST(RegionOrder, LocalOfTwoNodesTakesAllOfOneFirst) {
    const Machine machine{map_of(2), {kN0, kN1, kN0, kN1}};
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1), (Indices{1, 3, 0, 2}));
    EXPECT_EQ(machine.order(NumaPolicy::kLocal, kN1).local(), 0b1010U);
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1, kN0), (Indices{1, 3, 0, 2})) << "the device's node is a hint";
}

TEST(RegionOrder, TheDevicesNodeDecidesBetweenEquallyFarOnes) {
    Machine machine{map_of(4), {kN0, kN1, kN2, kN3}};
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1), (Indices{1, 0, 2, 3}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1, kN3), (Indices{1, 3, 0, 2}));
    EXPECT_EQ(machine.tried(NumaPolicy::kPreferred, kN2, kN3), (Indices{3, 2, 0, 1})) << "and so does the thread's";
    machine.map->set_distance(kN1, kN2, 19);
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1, kN3), (Indices{1, 2, 3, 0})) << "but not between others";
}

TEST(RegionOrder, PreferredBeginsAtTheDevice) {
    const Machine machine{lopsided(), {kN0, kN1, kN2, kN3}};
    for (const NodeId thread : {kN0, kN1, kN2, kN3, kAnyNode}) {
        EXPECT_EQ(machine.tried(NumaPolicy::kPreferred, thread, kN2), (Indices{2, 1, 3, 0}));
        EXPECT_EQ(machine.order(NumaPolicy::kPreferred, thread, kN2).local(), 0b0100U);
    }
    EXPECT_EQ(machine.tried(NumaPolicy::kPreferred, kN3), machine.tried(NumaPolicy::kLocal, kN3))
        << "a device that does not say where it is";
}

TEST(RegionOrder, InterleaveGoesRoundTheNodes) {
    const Machine machine{lopsided(), {kN1, kN3, kN1, kN0}};
    const Indices expected[] = {{3, 0, 2, 1}, {0, 2, 1, 3}, {1, 3, 0, 2}};
    for (const NodeId thread : {kN0, kN2, kAnyNode}) {
        const RegionOrder order = machine.order(NumaPolicy::kInterleave, thread, kN3);
        for (std::uint32_t turn = 0; turn < 9; ++turn) EXPECT_EQ(sequence_of(order, turn), expected[turn % 3]) << turn;
        EXPECT_EQ(order.local(), 0b1111U);
        EXPECT_EQ(order.allowed(), 0b1111U);
    }
    const Machine with_any{map_of(2), {kAnyNode, kN1, kAnyNode}};
    EXPECT_EQ(sequence_of(with_any.order(NumaPolicy::kInterleave, kN0), 0), (Indices{1, 0, 2}));
    EXPECT_EQ(sequence_of(with_any.order(NumaPolicy::kInterleave, kN0), 1), (Indices{0, 2, 1}));
    EXPECT_EQ(sequence_of(with_any.order(NumaPolicy::kInterleave, kN0), ~0U), (Indices{0, 2, 1}));
}

TEST(RegionOrder, StrictNeverGoesElsewhere) {
    const Machine machine{lopsided(), {kN0, kN1, kN0, kAnyNode}};
    RegionOrder order = machine.order(NumaPolicy::kStrict, kN0);
    EXPECT_EQ(sequence_of(order), (Indices{0, 2, 3}));
    EXPECT_EQ(order.local(), 0b1101U);
    EXPECT_EQ(order.allowed(), 0b1101U);
    order = machine.order(NumaPolicy::kStrict, kN0, kN1);
    EXPECT_EQ(sequence_of(order), (Indices{1, 3})) << "the device's node, not the thread's";
    EXPECT_EQ(machine.tried(NumaPolicy::kStrict, kN2), (Indices{3})) << "no region is bound to the node";
    EXPECT_EQ(machine.tried(NumaPolicy::kStrict, kAnyNode), (Indices{3}));
    const Machine elsewhere{map_of(2), {kN1, kN1}};
    order = elsewhere.order(NumaPolicy::kStrict, kN0);
    EXPECT_TRUE(order.sequence().empty());
    EXPECT_EQ(order.local(), 0U);
    EXPECT_EQ(order.allowed(), 0U);
}

TEST(RegionOrder, AThreadWithoutARegionHasTheNearestForLocal) {
    const Machine machine{lopsided(), {kN0, kN3, kN3}};
    RegionOrder order = machine.order(NumaPolicy::kLocal, kN1);
    EXPECT_EQ(sequence_of(order), (Indices{0, 1, 2}));
    EXPECT_EQ(order.local(), 0b001U);
    order = machine.order(NumaPolicy::kLocal, kN2);
    EXPECT_EQ(sequence_of(order), (Indices{1, 2, 0}));
    EXPECT_EQ(order.local(), 0b110U);
    const Machine equal{map_of(3), {kN0, kN1}};
    EXPECT_EQ(equal.order(NumaPolicy::kLocal, kN2).local(), 0b11U) << "both are the nearest";
}

TEST(RegionOrder, MemoryWithoutCpusIsReachedByItsDistance) {
    Machine machine{map_of(3), {kN0, kN1, kN2}};  // node 2: no thread is ever there
    machine.map->set_distance(kN0, kN2, 14);
    machine.map->set_distance(kN1, kN2, 28);
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN0), (Indices{0, 2, 1}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1), (Indices{1, 0, 2}));
    EXPECT_EQ(machine.tried(NumaPolicy::kPreferred, kN1, kN2), (Indices{2, 1, 0}));
    EXPECT_EQ(machine.tried(NumaPolicy::kStrict, kN1, kN2), (Indices{2}));
}

TEST(RegionOrder, WhereTheKernelPutPagesCountsAsNear) {
    const Machine machine{lopsided(), {kN1, kAnyNode, kN0}};
    RegionOrder order = machine.order(NumaPolicy::kLocal, kN0);
    EXPECT_EQ(sequence_of(order), (Indices{2, 1, 0}));
    EXPECT_EQ(order.local(), 0b110U);
    order = machine.order(NumaPolicy::kLocal, kN3);
    EXPECT_EQ(sequence_of(order), (Indices{1, 0, 2}));
    EXPECT_EQ(order.local(), 0b010U);
}

TEST(RegionOrder, AThreadThatIsNobodyKnowsWhereTakesThemAsTheyWereAdded) {
    const Machine machine{lopsided(), {kN3, kN0, kAnyNode, kN1}};
    const RegionOrder order = machine.order(NumaPolicy::kLocal, kAnyNode);
    EXPECT_EQ(sequence_of(order), (Indices{0, 1, 2, 3}));
    EXPECT_EQ(order.local(), 0b1111U);
}

TEST(RegionOrder, ADistanceBelowLocalDoesNotMakeANodeHome) {
    Machine machine{map_of(2), {kN1, kN0, kAnyNode}};
    machine.map->set_distance(kN0, kN1, 0);
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN0), (Indices{1, 2, 0}));
    EXPECT_EQ(machine.order(NumaPolicy::kLocal, kN0).local(), 0b110U);
    machine.map->set_distance(kN0, kN1, ~0U);
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN0), (Indices{1, 2, 0}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN0, kN1), (Indices{1, 2, 0}));
}

TEST(RegionOrder, NodesThatTheMachineDoesNotHaveAreFarFromAll) {
    const Machine machine{lopsided(), {NodeId{77}, kN1}};
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, kN1), (Indices{1, 0}));
    EXPECT_EQ(machine.tried(NumaPolicy::kLocal, NodeId{77}), (Indices{0, 1}));
}

// Of whatever machine: a permutation of what is allowed, home first, distances ascending.
TEST(RegionOrder, OfTheLargestPoolIsAPermutationByDistance) {
    const auto map = lopsided();
    std::vector<NodeId> regions;
    for (std::int32_t i = 0; i < 64; ++i) regions.push_back(NodeId{(i * 7) % 4});
    for (const NumaPolicy policy : kAll) {
        for (std::uint32_t turn = 0; turn < 5; ++turn) {
            const RegionOrder order(*map, regions, {policy, kAnyNode}, kN2);
            Indices tried = sequence_of(order, turn);
            if (policy == NumaPolicy::kLocal) {
                EXPECT_TRUE(std::is_sorted(tried.begin(), tried.end(), [&](unsigned a, unsigned b) {
                    return map->distance(kN2, regions[a]) < map->distance(kN2, regions[b]);
                }));
            }
            std::uint64_t mask = 0;
            for (const unsigned region : tried) mask |= std::uint64_t{1} << region;
            EXPECT_EQ(mask, order.allowed());
            EXPECT_EQ(tried.size(), policy == NumaPolicy::kStrict ? 16U : 64U);
            EXPECT_EQ(order.local() & ~order.allowed(), 0U);
        }
    }
    regions.push_back(kN2);
    EXPECT_EQ(RegionOrder(*map, regions, {}, kN2).sequence().size(), 64U) << "the 65th does not exist";
}

}  // namespace
}  // namespace bounce
