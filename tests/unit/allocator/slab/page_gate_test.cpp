// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A page map that is closed, begins anew, and gets its memory chunk by chunk.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "allocator/slab/page_map.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Map = PageMap<StdAtomics>;

struct Pages {
    Pages(std::uint32_t first, std::uint32_t end)
        : words(std::make_unique<Map::Word[]>(Map::words_needed(end))), map(first, end, words.get()) {}

    std::uint32_t alloc(std::uint32_t pages) {
        bool unsettled = false;
        return map.alloc({.pages = pages}, unsettled);
    }
    std::uint32_t take_all() {
        std::uint32_t taken = 0;
        while (alloc(1) != kNoPage) ++taken;
        return taken;
    }

    std::unique_ptr<Map::Word[]> words;
    Map map;
};

TEST(PageGate, ClosedItGivesNothingAndReopenedAllThatIsFree) {
    Pages pages(100, 3000);
    const std::uint32_t kept = pages.alloc(700);
    pages.map.close();
    EXPECT_EQ(pages.alloc(1), kNoPage);
    EXPECT_EQ(pages.map.drain(), 700U);
    pages.map.free(kept, 300);
    EXPECT_EQ(pages.alloc(1), kNoPage);
    EXPECT_EQ(pages.map.drain(), 400U);
    EXPECT_EQ(pages.map.used_pages(), 400U);
    pages.map.reopen();
    EXPECT_EQ(pages.map.free_pages(), 2500U);
    EXPECT_EQ(pages.take_all(), 2500U);
}

TEST(PageGate, BeginsAnewWithoutAPage) {
    for (const std::uint32_t first : {0U, 256U}) {
        Pages pages(first, 2048);
        for (int round = 0; round < 3; ++round) {
            const std::uint32_t run = round == 0 ? kNoPage : pages.alloc(600);
            if (run != kNoPage) pages.map.free(run, 600);
            pages.map.close();
            ASSERT_EQ(pages.map.drain(), 0U);
            pages.map.restart();
            pages.map.reopen();
            EXPECT_EQ(pages.map.free_pages(), 0U);
            EXPECT_EQ(pages.alloc(1), kNoPage);
            pages.map.extend(512, true);
            EXPECT_EQ(pages.map.free_pages(), 512 - first);
            EXPECT_EQ(pages.alloc(513), kNoPage);
            const std::uint32_t all = pages.alloc(512 - first);
            ASSERT_EQ(all, first);
            pages.map.free(all, 512 - first);
            pages.map.extend(2048, true);
            EXPECT_EQ(pages.map.free_pages(), 2048 - first);
        }
        EXPECT_EQ(pages.alloc(2048 - first), first);
    }
}

TEST(PageGate, BadChunksAreNeverHandedOut) {
    Pages pages(0, 4 * 512);
    std::mt19937 random(1);
    for (int round = 0; round < 10; ++round) {
        pages.map.close();
        ASSERT_EQ(pages.map.drain(), 0U);
        pages.map.restart();
        pages.map.reopen();
        std::vector<bool> good(4);
        std::uint32_t pages_good = 0;
        for (std::uint32_t chunk = 0; chunk < 4; ++chunk) {
            good[chunk] = random() % 2 == 0;
            pages_good += good[chunk] ? 512U : 0U;
            pages.map.extend((chunk + 1) * 512, good[chunk]);
        }
        std::vector<std::uint32_t> taken;
        for (std::uint32_t page = pages.alloc(1); page != kNoPage; page = pages.alloc(1)) {
            ASSERT_TRUE(good[page / 512]);
            taken.push_back(page);
        }
        EXPECT_EQ(taken.size(), pages_good);
        // Closed and taken back, it is the same.
        pages.map.close();
        EXPECT_EQ(pages.map.drain(), pages_good);
        pages.map.reopen();
        for (const std::uint32_t page : taken) pages.map.free(page, 1);
        EXPECT_EQ(pages.map.free_pages(), pages_good);
    }
}

// One that claimed before, and asks the gate after all is over: what it has is left to the gate.
TEST(PageGate, WhoComesTooLateIsNotAdmitted) {
    PageGate<StdAtomics, PageGeometry>::Word words[9]{};
    PageGate<StdAtomics, PageGeometry> gate(words, 1, 512);
    const std::uint32_t before = gate.ticket();
    EXPECT_TRUE(gate.admits(before, 500, 12));
    EXPECT_FALSE(gate.admits(before, 500, 13));
    gate.close(true);
    gate.close(true);
    EXPECT_FALSE(gate.admits(before, 0, 1));
    EXPECT_FALSE(gate.open(0));
    gate.hold(0, 6);
    gate.close(false);
    EXPECT_FALSE(gate.admits(before, 0, 1));
    EXPECT_TRUE(gate.open(0));
    EXPECT_EQ(gate.regain(0, 3), 2U);
    EXPECT_EQ(gate.regain(0, ~std::uint64_t{0}), 4U);
    gate.set_bad(0, true);
    EXPECT_FALSE(gate.admits(gate.ticket(), 0, 1));
}

}  // namespace
}  // namespace bounce
