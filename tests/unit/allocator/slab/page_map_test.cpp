// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/page_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Map = PageMap<StdAtomics>;

struct Pages {
    Pages(std::uint32_t first, std::uint32_t end)
        : words(std::make_unique<Map::Word[]>(Map::words_needed(end))), map(first, end, words.get()) {}

    std::uint32_t alloc(std::uint32_t pages, std::uint32_t align = 1, std::uint32_t last = kNoPage) {
        return alloc(PageWish{.pages = pages, .align = align, .last = last});
    }
    std::uint32_t alloc(const PageWish& wish) {
        bool unsettled = false;
        const std::uint32_t born = map.born_end();
        const std::uint32_t start = map.alloc(wish, unsettled);
        // Alone, nothing is unsettled but a chunk that was used for the first time.
        EXPECT_EQ(unsettled, map.born_end() != born);
        return start;
    }

    std::unique_ptr<Map::Word[]> words;
    Map map;
};

TEST(PageMap, HandsOutEveryPageOnce) {
    Pages pages(3, 1500);
    std::vector<bool> seen(1500);
    for (int i = 3; i < 1500; ++i) {
        const std::uint32_t page = pages.alloc(1);
        ASSERT_NE(page, kNoPage);
        ASSERT_GE(page, 3U);
        ASSERT_LT(page, 1500U);
        ASSERT_FALSE(seen[page]);
        seen[page] = true;
    }
    EXPECT_EQ(pages.map.free_pages(), 0U);
    EXPECT_EQ(pages.alloc(1), kNoPage);
}

TEST(PageMap, RunsSpanChunks) {
    Pages pages(100, 3000);
    EXPECT_EQ(pages.alloc(2900), 100U);
    EXPECT_EQ(pages.alloc(1), kNoPage);
    pages.map.free(100, 2900);
    EXPECT_EQ(pages.alloc(2901), kNoPage);
    // Two in the middle of chunks leave a hole over two chunk boundaries.
    EXPECT_EQ(pages.alloc(300), 100U);
    EXPECT_EQ(pages.alloc(2600), 400U);
}

TEST(PageMap, RunsSpanTheBorderOfChunksThatArePartlyFull) {
    Pages pages(0, 2048);
    ASSERT_EQ(pages.alloc(2048), 0U);
    pages.map.free(400, 300);
    pages.map.free(1500, 200);
    EXPECT_EQ(pages.alloc(301), kNoPage);
    EXPECT_EQ(pages.alloc(200), 1500U);
    EXPECT_EQ(pages.alloc(300), 400U);
    pages.map.free(1023, 514);
    EXPECT_EQ(pages.alloc(514), 1023U);
}

TEST(PageMap, KeepsToAlignmentAndLimit) {
    Pages pages(5, 2048);
    EXPECT_EQ(pages.alloc(1, 512) % 512, 0U);
    EXPECT_EQ(pages.alloc(3, 16) % 16, 0U);
    EXPECT_EQ(pages.alloc(1, 1, 4), kNoPage);
    EXPECT_LE(pages.alloc(1, 1, 5), 5U);
    EXPECT_EQ(pages.alloc(1, 1, 5), kNoPage);
    EXPECT_EQ(pages.alloc(600, 512) % 512, 0U);
}

TEST(PageMap, KeepsToBoundaries) {
    Pages pages(5, 4096);
    EXPECT_EQ(pages.alloc({.pages = 12, .boundary = 16}), 16U);
    EXPECT_EQ(pages.alloc({.pages = 11, .boundary = 16}), 5U);
    EXPECT_EQ(pages.alloc({.pages = 17, .boundary = 16}), kNoPage);
    // Page 0 is 512 pages above a multiple of 1024.
    EXPECT_EQ(pages.alloc({.pages = 1000, .boundary = 1024, .origin = 512}), 512U);
    EXPECT_EQ(pages.alloc({.pages = 1024, .boundary = 1024, .origin = 512}), 1536U);
}

TEST(PageMap, TakesTheSmallestHoleThatFits) {
    Pages pages(0, 512);
    ASSERT_EQ(pages.alloc(512), 0U);
    pages.map.free(10, 20);
    pages.map.free(100, 8);
    pages.map.free(200, 50);
    EXPECT_EQ(pages.alloc(7), 100U);
    EXPECT_EQ(pages.alloc(9), 10U);
    EXPECT_EQ(pages.alloc(40), 200U);
}

TEST(PageMap, PrefersTheFullestChunkAndUsedOnesToFreshOnes) {
    Pages pages(0, 6 * 512);
    std::vector<std::uint32_t> chunks;
    for (int i = 0; i < 4; ++i) chunks.push_back(pages.alloc(512));
    pages.map.free(chunks[1], 512);
    pages.map.free(chunks[2] + 100, 400);
    pages.map.free(chunks[3] + 20, 30);
    EXPECT_EQ(pages.alloc(25) / 512, chunks[3] / 512);
    EXPECT_EQ(pages.alloc(25) / 512, chunks[2] / 512);
    // The whole one is still there.
    EXPECT_EQ(pages.alloc(512), chunks[1]);
    EXPECT_EQ(pages.map.born_end(), 4 * 512U);
    EXPECT_EQ(pages.alloc(512), 4 * 512U);
    EXPECT_EQ(pages.map.born_end(), 5 * 512U);
}

TEST(PageMap, PartOfARunComesBack) {
    Pages pages(0, 1024);
    ASSERT_EQ(pages.alloc(1024), 0U);
    pages.map.free(500, 24);
    EXPECT_EQ(pages.map.free_pages(), 24U);
    EXPECT_EQ(pages.alloc(24), 500U);
}

TEST(PageMap, FindsAHoleIfThereIsOne) {
    constexpr std::uint32_t kFirst = 77;
    constexpr std::uint32_t kEnd = 77 + 4000;
    Pages pages(kFirst, kEnd);
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
    for (int round = 0; round < 10000; ++round) {
        // More is taken than given back for a while, then less.
        if (runs.empty() || random() % 5 < (round / 1000 % 2 == 0 ? 3U : 2U)) {
            const auto align = std::uint32_t{1} << (random() % 10);
            const auto wanted = static_cast<std::uint32_t>(1 + random() % (std::uint32_t{1} << (random() % 11)));
            const std::uint32_t start = pages.alloc(wanted, align);
            if (start == kNoPage) {
                ASSERT_LT(largest(align), wanted);
                continue;
            }
            ASSERT_EQ(start % align, 0U);
            ASSERT_GE(start, kFirst);
            ASSERT_LE(start + wanted, kEnd);
            for (std::uint32_t i = start; i < start + wanted; ++i) {
                ASSERT_FALSE(used[i]);
                used[i] = true;
            }
            runs[start] = wanted;
        } else {
            auto victim = std::next(runs.begin(), static_cast<std::ptrdiff_t>(random() % runs.size()));
            pages.map.free(victim->first, victim->second);
            for (std::uint32_t i = 0; i < victim->second; ++i) used[victim->first + i] = false;
            runs.erase(victim);
        }
    }
    for (const auto& [start, count] : runs) pages.map.free(start, count);
    EXPECT_EQ(pages.map.free_pages(), kEnd - kFirst);
    EXPECT_EQ(pages.alloc(kEnd - kFirst), kFirst);
}

// More chunks that nearly fit than one search looks at: it says that it has not seen all, and where it ended the next
// one goes on.
TEST(PageMap, FindsTheOneThatFitsAmongManyThatNearlyDo) {
    constexpr std::uint32_t kChunks = 5000;
    Pages pages(0, kChunks * 512);
    ASSERT_EQ(pages.alloc(kChunks * 512), 0U);
    for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk) pages.map.free(chunk * 512 + 1, 40);
    constexpr std::uint32_t kFit = 4000 * 512 + 1;
    pages.map.free(kFit + 40, 7);
    const PageWish wish{.pages = 47};
    std::uint32_t start = kNoPage;
    int attempts = 0;
    for (bool unsettled = true; unsettled && start == kNoPage; ++attempts) {
        unsettled = false;
        start = pages.map.alloc(wish, unsettled);
    }
    EXPECT_EQ(start, kFit);
    EXPECT_LE(attempts, 10);
    // When there is none, that is never certain as long as some were passed over.
    bool unsettled = false;
    ASSERT_EQ(pages.map.alloc(wish, unsettled), kNoPage);
    EXPECT_TRUE(unsettled);
    // A size of which no hole comes close is.
    EXPECT_EQ(pages.alloc(100), kNoPage);
}

// A claim that was not finished: bits that no hint knows of.
TEST(PageMap, WhatAStoppedThreadHasClaimedIsInNobodysWay) {
    Pages pages(0, 4 * 512);
    ASSERT_EQ(pages.alloc(1), 0U);
    pages.words[3].fetch_or(~std::uint64_t{0});         // in a chunk that is in use
    pages.words[2 * 8 + 7].fetch_or(std::uint64_t{1});  // and in one that was never used
    EXPECT_EQ(pages.alloc(4 * 512 - 65), kNoPage);
    EXPECT_EQ(pages.alloc(1024), 3 * 64 + 64U);
    std::uint32_t singles = 0;
    while (pages.alloc(1) != kNoPage) ++singles;
    EXPECT_EQ(singles, 4 * 512U - 1 - 64 - 1 - 1024);
}

// A chunk that was taken out of its set and is to come back into it.
TEST(PageMap, WhatAStoppedThreadHidesIsRecovered) {
    constexpr std::uint32_t kChunks = 300;
    Pages pages(0, kChunks * 512);
    ASSERT_EQ(pages.alloc(kChunks * 512), 0U);
    for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk) pages.map.free(chunk * 512 + chunk, 3);
    // Bits, then hints, then sets.
    for (std::size_t i = kChunks * (8 + 1); i < Map::words_needed(kChunks * 512); ++i) pages.words[i].store(0);
    std::uint32_t found = 0;
    while (pages.alloc(3) != kNoPage) ++found;
    EXPECT_EQ(found, kChunks);
}

struct Stress {
    std::uint32_t first;
    std::uint32_t end;
    std::uint32_t longest;  // run
    std::uint32_t most;     // pages a thread holds
    std::uint32_t align;    // at most
};

class PageMapStress : public ::testing::TestWithParam<Stress> {};

// Threads take runs of all sizes, which lie in each other's way, and give them back. No page has two holders, and in
// the end all can be had in one run.
TEST_P(PageMapStress, RunsDoNotOverlapAndAllComesBack) {
    const Stress& stress = GetParam();
    Pages pages(stress.first, stress.end);
    const auto holders = std::make_unique<std::atomic<std::uint8_t>[]>(stress.end);
    std::atomic<int> overlaps{0};
    std::atomic<std::uint64_t> taken{0};
    const auto work = [&](std::uint32_t id) {
        std::mt19937 random(id);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> mine;
        std::uint32_t held = 0;
        const auto drop = [&](std::size_t index) {
            const auto [start, count] = mine[index];
            for (std::uint32_t i = start; i < start + count; ++i) holders[i].store(0, std::memory_order_relaxed);
            pages.map.free(start, count);
            held -= count;
            mine[index] = mine.back();
            mine.pop_back();
        };
        for (int round = 0; round < 30000; ++round) {
            const auto count =
                static_cast<std::uint32_t>(1 + random() % std::max(1U, stress.longest >> (random() % 10)));
            const auto align = std::uint32_t{1} << (random() % 16 < 12 ? 0 : random() % stress.align);
            bool unsettled = false;
            const std::uint32_t start = pages.map.alloc({.pages = count, .align = align}, unsettled);
            if (start == kNoPage) {
                if (!mine.empty()) drop(random() % mine.size());
                continue;
            }
            if (start < stress.first || start + count > stress.end || start % align != 0) overlaps.fetch_add(1);
            for (std::uint32_t i = start; i < start + count; ++i) {
                if (holders[i].exchange(1, std::memory_order_relaxed) != 0) overlaps.fetch_add(1);
            }
            mine.emplace_back(start, count);
            held += count;
            while (held > stress.most) drop(random() % mine.size());
            taken.fetch_add(1, std::memory_order_relaxed);
        }
        while (!mine.empty()) drop(mine.size() - 1);
    };
    std::vector<std::thread> threads;
    for (std::uint32_t id = 0; id < 4; ++id) threads.emplace_back(work, id);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(overlaps.load(), 0);
    EXPECT_GT(taken.load(), 1000U);
    EXPECT_EQ(pages.map.free_pages(), stress.end - stress.first);
    EXPECT_EQ(pages.alloc(stress.end - stress.first), stress.first);
}

INSTANTIATE_TEST_SUITE_P(Regions, PageMapStress,
                         ::testing::Values(Stress{0, 200, 100, 60, 4},        // a few words
                                           Stress{0, 1024, 300, 400, 6},      // two chunks
                                           Stress{500, 2100, 700, 500, 10},   // borders, and ends inside chunks
                                           Stress{7, 20000, 3000, 4000, 10},  // never full
                                           Stress{0, 40000, 2, 20000, 1}));   // many small ones

TEST(PageMap, MetadataIsSmall) {
    for (const std::uint64_t bytes : {std::uint64_t{4} << 20, std::uint64_t{64} << 20, std::uint64_t{1} << 40}) {
        const std::size_t needed = Map::bytes_needed(static_cast<std::uint32_t>(bytes / kPageBytes));
        EXPECT_LE(needed * 2500, bytes) << bytes;
    }
}

}  // namespace
}  // namespace bounce
