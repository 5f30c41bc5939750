// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/page_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace bounce {
namespace {

constexpr std::uint32_t kNoLimit = kNoPage;

struct Table {
    Table(std::uint32_t first, std::uint32_t end)
        : bits((end + 511) / 512), infos((end + 511) / 512), pages(first, end, bits, infos) {}

    std::vector<ChunkBits> bits;
    std::vector<ChunkInfo> infos;
    PageTable pages;
};

TEST(PageTable, HandsOutEveryPageOnce) {
    Table table(3, 1500);
    std::vector<bool> seen(1500);
    for (int i = 3; i < 1500; ++i) {
        const std::uint32_t page = table.pages.alloc(1, 1, kNoLimit);
        ASSERT_NE(page, kNoPage);
        ASSERT_GE(page, 3U);
        ASSERT_LT(page, 1500U);
        ASSERT_FALSE(seen[page]);
        seen[page] = true;
    }
    EXPECT_EQ(table.pages.free_pages(), 0U);
    EXPECT_EQ(table.pages.alloc(1, 1, kNoLimit), kNoPage);
}

TEST(PageTable, RunsSpanChunks) {
    Table table(100, 3000);
    EXPECT_EQ(table.pages.alloc(2900, 1, kNoLimit), 100U);
    EXPECT_EQ(table.pages.alloc(1, 1, kNoLimit), kNoPage);
    table.pages.free(100, 2900);
    EXPECT_EQ(table.pages.alloc(2901, 1, kNoLimit), kNoPage);
    // Two in the middle of chunks leave a hole over two chunk boundaries.
    const std::uint32_t low = table.pages.alloc(300, 1, kNoLimit);
    EXPECT_EQ(low, 100U);
    EXPECT_EQ(table.pages.alloc(2600, 1, kNoLimit), 400U);
}

TEST(PageTable, KeepsToAlignmentAndLimit) {
    Table table(5, 2048);
    EXPECT_EQ(table.pages.alloc(1, 512, kNoLimit) % 512, 0U);
    EXPECT_EQ(table.pages.alloc(3, 16, kNoLimit) % 16, 0U);
    EXPECT_EQ(table.pages.alloc(1, 1, 4), kNoPage);
    EXPECT_LE(table.pages.alloc(1, 1, 5), 5U);
    EXPECT_EQ(table.pages.alloc(1, 1, 5), kNoPage);
    EXPECT_EQ(table.pages.alloc(600, 512, kNoLimit) % 512, 0U);
}

TEST(PageTable, TakesTheSmallestHoleThatFits) {
    Table table(0, 512);
    const std::uint32_t all = table.pages.alloc(512, 1, kNoLimit);
    ASSERT_EQ(all, 0U);
    table.pages.free(10, 20);
    table.pages.free(100, 8);
    table.pages.free(200, 50);
    EXPECT_EQ(table.pages.alloc(7, 1, kNoLimit), 100U);
    EXPECT_EQ(table.pages.alloc(9, 1, kNoLimit), 10U);
    EXPECT_EQ(table.pages.alloc(40, 1, kNoLimit), 200U);
}

TEST(PageTable, PrefersTheFullestChunk) {
    Table table(0, 4 * 512);
    std::vector<std::uint32_t> chunks;
    for (int i = 0; i < 4; ++i) chunks.push_back(table.pages.alloc(512, 1, kNoLimit));
    table.pages.free(chunks[1], 512);
    table.pages.free(chunks[2] + 100, 400);
    table.pages.free(chunks[3] + 20, 30);
    EXPECT_EQ(table.pages.alloc(25, 1, kNoLimit) / 512, chunks[3] / 512);
    EXPECT_EQ(table.pages.alloc(25, 1, kNoLimit) / 512, chunks[2] / 512);
    // The whole one is still there.
    EXPECT_EQ(table.pages.alloc(512, 1, kNoLimit), chunks[1]);
}

TEST(PageTable, FindsAHoleIfThereIsOne) {
    constexpr std::uint32_t kFirst = 77;
    constexpr std::uint32_t kEnd = 77 + 4000;
    Table table(kFirst, kEnd);
    std::vector<bool> used(kEnd);
    std::map<std::uint32_t, std::uint32_t> runs;
    std::mt19937 random(11);
    const auto largest = [&](std::uint32_t align) {
        std::uint32_t best = 0;
        for (std::uint32_t at = kFirst; at < kEnd; ++at) {
            if (used[at] || at % align != 0) continue;
            std::uint32_t end = at;
            while (end < kEnd && !used[end]) ++end;
            best = std::max(best, end - at);
        }
        return best;
    };
    for (int round = 0; round < 4000; ++round) {
        if (runs.empty() || random() % 5 < 3) {
            const auto align = std::uint32_t{1} << (random() % 10);
            const auto pages = static_cast<std::uint32_t>(1 + random() % (std::uint32_t{1} << (random() % 11)));
            const std::uint32_t start = table.pages.alloc(pages, align, kNoLimit);
            if (start == kNoPage) {
                ASSERT_LT(largest(align), pages);
                continue;
            }
            ASSERT_EQ(start % align, 0U);
            ASSERT_LE(start + pages, kEnd);
            for (std::uint32_t i = start; i < start + pages; ++i) {
                ASSERT_FALSE(used[i]);
                used[i] = true;
            }
            runs[start] = pages;
        } else {
            auto victim = std::next(runs.begin(), static_cast<std::ptrdiff_t>(random() % runs.size()));
            table.pages.free(victim->first, victim->second);
            for (std::uint32_t i = 0; i < victim->second; ++i) used[victim->first + i] = false;
            runs.erase(victim);
        }
    }
    for (const auto& [start, pages] : runs) table.pages.free(start, pages);
    EXPECT_EQ(table.pages.free_pages(), kEnd - kFirst);
    EXPECT_EQ(table.pages.alloc(kEnd - kFirst, 1, kNoLimit), kFirst);
}

}  // namespace
}  // namespace bounce
