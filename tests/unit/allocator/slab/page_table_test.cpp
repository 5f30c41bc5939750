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
        : bits((end + 511) / 512),
          infos(bits.size()),
          nodes(HoleTree::nodes_needed(bits.size())),
          pages(first, end, bits, infos, nodes) {}

    std::uint32_t alloc(std::uint32_t count, std::uint32_t align = 1, std::uint32_t last = kNoLimit) {
        return pages.alloc({.pages = count, .align = align, .last = last});
    }

    std::vector<ChunkBits> bits;
    std::vector<ChunkInfo> infos;
    std::vector<HoleNode> nodes;
    PageTable pages;
};

TEST(PageTable, HandsOutEveryPageOnce) {
    Table table(3, 1500);
    std::vector<bool> seen(1500);
    for (int i = 3; i < 1500; ++i) {
        const std::uint32_t page = table.alloc(1);
        ASSERT_NE(page, kNoPage);
        ASSERT_GE(page, 3U);
        ASSERT_LT(page, 1500U);
        ASSERT_FALSE(seen[page]);
        seen[page] = true;
    }
    EXPECT_EQ(table.pages.free_pages(), 0U);
    EXPECT_EQ(table.alloc(1), kNoPage);
}

TEST(PageTable, RunsSpanChunks) {
    Table table(100, 3000);
    EXPECT_EQ(table.alloc(2900), 100U);
    EXPECT_EQ(table.alloc(1), kNoPage);
    table.pages.free(100, 2900);
    EXPECT_EQ(table.alloc(2901), kNoPage);
    // Two in the middle of chunks leave a hole over two chunk boundaries.
    const std::uint32_t low = table.alloc(300);
    EXPECT_EQ(low, 100U);
    EXPECT_EQ(table.alloc(2600), 400U);
}

TEST(PageTable, KeepsToAlignmentAndLimit) {
    Table table(5, 2048);
    EXPECT_EQ(table.alloc(1, 512) % 512, 0U);
    EXPECT_EQ(table.alloc(3, 16) % 16, 0U);
    EXPECT_EQ(table.alloc(1, 1, 4), kNoPage);
    EXPECT_LE(table.alloc(1, 1, 5), 5U);
    EXPECT_EQ(table.alloc(1, 1, 5), kNoPage);
    EXPECT_EQ(table.alloc(600, 512) % 512, 0U);
}

TEST(PageTable, TakesTheSmallestHoleThatFits) {
    Table table(0, 512);
    const std::uint32_t all = table.alloc(512);
    ASSERT_EQ(all, 0U);
    table.pages.free(10, 20);
    table.pages.free(100, 8);
    table.pages.free(200, 50);
    EXPECT_EQ(table.alloc(7), 100U);
    EXPECT_EQ(table.alloc(9), 10U);
    EXPECT_EQ(table.alloc(40), 200U);
}

TEST(PageTable, PrefersTheFullestChunk) {
    Table table(0, 4 * 512);
    std::vector<std::uint32_t> chunks;
    for (int i = 0; i < 4; ++i) chunks.push_back(table.alloc(512));
    table.pages.free(chunks[1], 512);
    table.pages.free(chunks[2] + 100, 400);
    table.pages.free(chunks[3] + 20, 30);
    EXPECT_EQ(table.alloc(25) / 512, chunks[3] / 512);
    EXPECT_EQ(table.alloc(25) / 512, chunks[2] / 512);
    // The whole one is still there.
    EXPECT_EQ(table.alloc(512), chunks[1]);
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
            const std::uint32_t start = table.alloc(pages, align);
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
    EXPECT_EQ(table.alloc(kEnd - kFirst), kFirst);
}

TEST(PageTable, AWindowIsNotCrossed) {
    Table table(500, 3000);
    const auto place = [&](std::uint32_t pages, std::uint32_t kept, std::uint64_t window) {
        // Page 0 lies 512 pages behind a multiple of 1024.
        return table.pages.alloc({.pages = pages, .kept = kept, .window = window, .window_base = 512});
    };
    EXPECT_EQ(place(20, 20, 1024), 512U);  // not the twelve before it
    EXPECT_EQ(place(12, 12, 1024), 500U);
    EXPECT_EQ(place(1024, 1024, 1024), 1536U);
    EXPECT_EQ(place(1024, 1024, 1024), kNoPage);
    EXPECT_EQ(place(60, 32, 32), 544U);
    EXPECT_EQ(place(12, 12, 16), 532U);  // the hole before it is the best
    EXPECT_EQ(place(70, 60, 64), 640U);
    EXPECT_EQ(place(70, 59, 64), 768U);  // at 710 it would be one too many
    EXPECT_EQ(table.pages.alloc({.pages = 3, .align = 4, .kept = 3, .window = 4, .window_base = 512}) % 4, 0U);
}

TEST(PageTable, FindsTheOneHoleAmongThousandsOfChunks) {
    constexpr std::uint32_t kChunks = 1000;
    Table table(0, kChunks * 512);
    // Every second page of the whole region, but one hole of two in the middle, and one of three across chunks.
    for (std::uint32_t page = 0; page < kChunks * 512; ++page) ASSERT_EQ(table.alloc(1), page);
    for (std::uint32_t page = 0; page < kChunks * 512; page += 2) table.pages.free(page, 1);
    EXPECT_EQ(table.alloc(2), kNoPage);
    table.pages.free(500 * 512 + 101, 1);
    EXPECT_EQ(table.alloc(3, 1, 500 * 512 + 99), kNoPage);
    EXPECT_EQ(table.alloc(2, 4, 500 * 512 + 99), kNoPage);
    EXPECT_EQ(table.alloc(3), 500U * 512 + 100);
    table.pages.free(800 * 512 - 1, 1);
    EXPECT_EQ(table.alloc(4), kNoPage);
    EXPECT_EQ(table.alloc(3), 800U * 512 - 2);
}

}  // namespace
}  // namespace bounce
