// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/interval_tree.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace bounce {
namespace {

TEST(IntervalTree, AgainstALookAtAllOfThem) {
    std::mt19937 random(7);
    std::vector<Interval> nodes(300);
    std::vector<bool> in(nodes.size());
    IntervalTree tree;
    for (int step = 0; step < 20'000; ++step) {
        const std::size_t i = random() % nodes.size();
        if (in[i]) {
            tree.remove(nodes[i]);
        } else {
            nodes[i].begin = random() % 1000;
            nodes[i].end = nodes[i].begin + 1 + random() % (random() % 10 == 0 ? 500 : 20);
            tree.insert(nodes[i]);
        }
        in[i] = !in[i];
        const std::uint64_t begin = random() % 1000;
        const std::uint64_t end = begin + 1 + random() % 30;
        std::set<const Interval*> found;
        tree.overlapping(begin, end, [&](Interval& node) { return found.insert(&node).second; });
        std::set<const Interval*> expected;
        for (std::size_t j = 0; j < nodes.size(); ++j) {
            if (in[j] && nodes[j].begin < end && begin < nodes[j].end) expected.insert(&nodes[j]);
        }
        ASSERT_EQ(found, expected) << "step " << step;
    }
}

TEST(IntervalTree, StopsWhenTold) {
    Interval nodes[4];
    IntervalTree tree;
    for (auto& node : nodes) {
        node.begin = 0;
        node.end = 10;
        tree.insert(node);
    }
    int calls = 0;
    tree.overlapping(5, 6, [&](Interval&) { return ++calls < 2; });
    EXPECT_EQ(calls, 2);
    tree.overlapping(10, 20, [&](Interval&) { return ++calls < 100; });
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace bounce
