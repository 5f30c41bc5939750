// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/hole_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace bounce {
namespace {

using Holes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

Holes holes_of(const HoleTree& tree, std::uint32_t pages) {
    Holes holes;
    tree.each(pages, [&](std::uint32_t at, std::uint32_t hole) {
        holes.emplace_back(at, hole);
        return false;
    });
    return holes;
}

struct Chunks {
    Chunks(std::uint32_t first, std::uint32_t end)
        : bits((end + 511) / 512), nodes(HoleTree::nodes_needed(bits.size())) {
        bits.front().set(0, first, true);
        bits.back().set((end - 1) % 512 + 1, 511 - (end - 1) % 512, true);
    }

    std::vector<ChunkBits> bits;
    std::vector<HoleNode> nodes;
};

void update(HoleTree& tree, const Chunks& all, std::uint32_t first_chunk, std::uint32_t last_chunk) {
    for (std::uint32_t chunk = first_chunk; chunk <= last_chunk; ++chunk) {
        tree.set_leaf(chunk, HoleTree::leaf_of(all.bits[chunk], [](std::uint32_t, std::uint32_t) {}));
    }
    tree.settle();
}

TEST(HoleTree, KnowsWhereTheRegionEnds) {
    for (const std::uint32_t chunks : {1U, 2U, 3U, 5U, 7U, 8U, 33U}) {
        for (const std::uint32_t first : {0U, 5U}) {
            Chunks all(first, chunks * 512 - 7);
            const HoleTree tree(all.bits, all.nodes);
            EXPECT_EQ(tree.longest(), chunks * 512 - 7 - first);
            EXPECT_EQ(holes_of(tree, 1), (Holes{{first, chunks * 512 - 7 - first}}));
            EXPECT_TRUE(holes_of(tree, chunks * 512 - 6 - first).empty());
        }
    }
}

TEST(HoleTree, AgreesWithALookAtEveryPage) {
    constexpr std::uint32_t kChunks = 13;
    std::mt19937 random(3);
    Chunks all(9, kChunks * 512);
    HoleTree tree(all.bits, all.nodes);
    std::vector<bool> used(kChunks * 512);
    for (std::uint32_t i = 0; i < 9; ++i) used[i] = true;
    for (int round = 0; round < 3000; ++round) {
        const auto from = static_cast<std::uint32_t>(9 + random() % (kChunks * 512 - 9));
        const auto pages = static_cast<std::uint32_t>(1 + random() % (kChunks * 512 - from));
        const bool take = random() % 2 == 0;
        const std::uint32_t count = std::min(pages, std::uint32_t{1} << (random() % 12));
        for (std::uint32_t i = from; i < from + count; ++i) {
            used[i] = take;
            all.bits[i / 512].set(i % 512, 1, take);
        }
        update(tree, all, from / 512, (from + count - 1) / 512);

        Holes expected;
        const std::uint32_t least = std::uint32_t{1} << (random() % 12);
        std::uint32_t longest = 0;
        for (std::uint32_t at = 0; at < used.size();) {
            std::uint32_t end = at;
            while (end < used.size() && !used[end]) ++end;
            if (end - at >= least) expected.emplace_back(at, end - at);
            longest = std::max(longest, end - at);
            at = std::max(end, at + 1);
        }
        ASSERT_EQ(tree.longest(), longest);
        ASSERT_EQ(holes_of(tree, least), expected);
    }
}

TEST(HoleTree, StopsWhenTheVisitorHasSeenEnough) {
    Chunks all(0, 4 * 512);
    for (ChunkBits& bits : all.bits) bits.set(100, 1, true);
    HoleTree tree(all.bits, all.nodes);
    update(tree, all, 0, 3);
    int calls = 0;
    tree.each(1, [&](std::uint32_t, std::uint32_t) { return ++calls == 2; });
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace bounce
