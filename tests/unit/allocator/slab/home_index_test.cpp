// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/home_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Home = HomeIndex<StdAtomics>;
constexpr std::uint32_t kClasses = 3;

/// An index and what it speaks of: slabs by their first page.
struct Index {
    explicit Index(std::uint32_t chunks)
        : words(std::make_unique<Home::Word[]>(Home::words_needed(chunks, kClasses))), home(words.get(), chunks) {}

    struct Slab {
        std::uint32_t size_class;
        bool any;
    };
    [[nodiscard]] std::uint32_t class_at(std::uint32_t page) const {
        const auto slab = slabs.find(page);
        return slab == slabs.end() ? Home::kNoClass : slab->second.size_class;
    }
    void add(std::uint32_t page, std::uint32_t size_class) {
        slabs[page] = {size_class, true};
        home.list_born(page, size_class);
    }
    std::vector<std::uint32_t> visit(std::uint32_t size_class, std::uint32_t from) {
        std::vector<std::uint32_t> seen;
        home.visit(
            size_class, from, [this](std::uint32_t page) { return class_at(page); },
            [this](std::uint32_t page) {
                const auto slab = slabs.find(page);
                return slab == slabs.end() || !slab->second.any ? Home::kNoClass : slab->second.size_class;
            },
            [&](std::uint32_t page) {
                seen.push_back(page);
                return slabs[page].any ? Visit::kKeep : Visit::kEmpty;
            });
        return seen;
    }

    std::unique_ptr<Home::Word[]> words;
    Home home;
    std::map<std::uint32_t, Slab> slabs;
};

using Seen = std::vector<std::uint32_t>;

TEST(HomeIndex, VisitsTheSlabsOfAClassByAddressAndAround) {
    Index index(1000);
    for (const std::uint32_t page : {0U, 31U, 32U, 511U, 512U, 300'000U}) index.add(page, page % 2);
    EXPECT_EQ(index.visit(0, 0), (Seen{0, 32, 512, 300'000}));
    EXPECT_EQ(index.visit(1, 0), (Seen{31, 511}));
    EXPECT_EQ(index.visit(2, 0), (Seen{}));
    // Around to the end of the chunk where it began.
    EXPECT_EQ(index.visit(0, 600), (Seen{300'000, 0, 32, 512}));
    EXPECT_EQ(index.visit(1, 500), (Seen{511, 31, 511}));
    EXPECT_EQ(index.visit(0, 512 * 1000), (Seen{0, 32, 512, 300'000}));
}

TEST(HomeIndex, WhatHasNothingAtHomeIsNotVisitedAgainUntilItHas) {
    Index index(4);
    index.add(5, 0);
    index.add(700, 0);
    index.slabs[5].any = false;
    EXPECT_EQ(index.visit(0, 0), (Seen{5, 700}));
    EXPECT_EQ(index.visit(0, 0), (Seen{700}));
    index.slabs[5].any = true;
    index.home.list(5, 0);
    EXPECT_EQ(index.visit(0, 0), (Seen{5, 700}));
}

TEST(HomeIndex, TheSecondLookListsAgain) {
    Index index(1);
    index.add(5, 0);
    index.home.doubt(5, [](std::uint32_t) { return 1U; });
    index.slabs[5].size_class = 1;
    EXPECT_EQ(index.visit(0, 0), (Seen{}));
    EXPECT_EQ(index.visit(1, 0), (Seen{5}));
}

TEST(HomeIndex, WhatIsLeftOfADeadSlabIsPutAway) {
    Index index(1);
    index.add(5, 0);
    index.slabs.erase(5);
    EXPECT_EQ(index.visit(0, 0), (Seen{}));
    index.home.visit_all(0, 1, [](std::uint32_t page) { ADD_FAILURE() << page; });
    for (std::size_t i = 0; i < Home::words_needed(1, kClasses); ++i) EXPECT_EQ(index.words[i].load(), 0U) << i;
}

TEST(HomeIndex, AllOfThemAreVisitedFromAnywhereAndAround) {
    Index index(2000);
    for (const std::uint32_t chunk : {3U, 70U, 1500U}) index.add(chunk * 512 + chunk % 512, chunk % 3);
    const auto all = [&](std::uint32_t from, std::uint32_t most) {
        Seen seen;
        const std::uint32_t end =
            index.home.visit_all(from, most, [&](std::uint32_t page) { seen.push_back(page / 512); });
        seen.push_back(end);
        return seen;
    };
    EXPECT_EQ(all(0, 10), (Seen{3, 70, 1500, 0}));
    EXPECT_EQ(all(0, 2), (Seen{3, 70, 1500}));
    EXPECT_EQ(all(71, 10), (Seen{1500, 3, 70, 1500}));
    EXPECT_EQ(all(70, 1), (Seen{70, 1500}));
    EXPECT_EQ(all(1600, 1), (Seen{3, 70}));
    EXPECT_EQ(all(70, 3), (Seen{70, 1500, 3, 70}));
}

// A doubt that is never ended: found all the same, and left alone.
TEST(HomeIndex, WhatAStoppedThreadDoubtsIsFound) {
    Index index(1);
    index.add(5, 0);
    index.words[0].store(std::uint64_t{1} << (32 + 5));
    EXPECT_EQ(index.visit(0, 0), (Seen{5}));
    index.home.list(5, 0);
    index.slabs[5].any = false;
    EXPECT_EQ(index.visit(0, 0), (Seen{5}));
    EXPECT_EQ(index.visit(0, 0), (Seen{5}));
}

}  // namespace
}  // namespace bounce
