// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/chunk_view.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace bounce {
namespace {

using Holes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

// What the view says, against what one finds page by page.
template <class View>
void expect_right(const View& view) {
    std::vector<bool> used(View::kPages);
    for (std::uint32_t i = 0; i < View::kPages; ++i) {
        used[i] =
            (view.words[i * std::size(view.words) / View::kPages] >> (i % (View::kPages / std::size(view.words))) &
             1) != 0;
    }
    Holes expected;
    ChunkSummary sum;
    for (std::uint32_t i = 0; i < View::kPages; ++i) {
        if (used[i]) continue;
        ++sum.free;
        if (!expected.empty() && expected.back().first + expected.back().second == i) {
            ++expected.back().second;
        } else {
            expected.emplace_back(i, 1);
        }
        sum.largest = std::max(sum.largest, expected.back().second);
    }
    if (!used[0]) sum.head = expected.front().second;
    if (!used[View::kPages - 1]) sum.tail = expected.back().second;

    Holes holes;
    view.holes([&](std::uint32_t at, std::uint32_t pages) { holes.emplace_back(at, pages); });
    ASSERT_EQ(holes, expected);
    const ChunkSummary got = view.summary();
    ASSERT_EQ(got.free, sum.free);
    ASSERT_EQ(got.largest, sum.largest);
    ASSERT_EQ(got.head, sum.head);
    ASSERT_EQ(got.tail, sum.tail);
}

TEST(ChunkView, EmptyAndFull) {
    ChunkView<8, 64> view{};
    expect_right(view);
    for (auto& word : view.words) word = view.kFullWord;
    expect_right(view);
}

TEST(ChunkView, RandomRanges) {
    std::mt19937 random(7);
    ChunkView<8, 64> view{};
    for (int round = 0; round < 20000; ++round) {
        const auto from = static_cast<std::uint32_t>(random() % 512);
        const auto count = static_cast<std::uint32_t>(random() % std::min(513 - from, 1U << (random() % 10)));
        const bool use = random() % 2 == 0;
        for (std::uint32_t i = from; i < from + count; ++i) {
            const std::uint64_t bit = std::uint64_t{1} << (i % 64);
            view.words[i / 64] = use ? view.words[i / 64] | bit : view.words[i / 64] & ~bit;
        }
        ASSERT_NO_FATAL_FAILURE(expect_right(view));
    }
}

TEST(ChunkView, EveryChunkOfTheModel) {
    for (std::uint64_t bits = 0; bits < 16; ++bits) {
        ASSERT_NO_FATAL_FAILURE(expect_right(ChunkView<2, 2>{{bits & 3, bits >> 2}}));
    }
    for (std::uint64_t bits = 0; bits < 4096; ++bits) {
        ASSERT_NO_FATAL_FAILURE(expect_right(ChunkView<3, 4>{{bits & 15, bits >> 4 & 15, bits >> 8}}));
    }
}

}  // namespace
}  // namespace bounce
