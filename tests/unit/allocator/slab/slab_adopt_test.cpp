// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "tests/unit/allocator/slab/slab_core_fixture.hpp"

namespace bounce {
namespace {

// A region that does not begin at a chunk's start, as those are where offsets and positions differ.
constexpr std::uint64_t kOddBase = (std::uint64_t{1} << 32) + 5 * kPageBytes;

TEST(SlabAdopt, LocatesSlotsAndRunsFromTheirInside) {
    Core core(kOddBase, 4 * kMiB);
    for (const std::uint64_t bytes : {64u, 1500u, 9000u, 20480u, 20481u, 3u << 20}) {
        Placement placement;
        ASSERT_EQ(core.alloc(bytes, placement), 0);
        FoundSlot found;
        std::uint64_t start = 0;
        for (const std::uint64_t inside : {std::uint64_t{0}, bytes / 2, bytes - 1}) {
            ASSERT_TRUE(core.core.locate(placement.offset + inside, found, start)) << bytes;
            EXPECT_EQ(start, placement.offset);
            EXPECT_GE(found.bytes, bytes);
            EXPECT_EQ(core.core.placement_of(found).index, placement.index);
            EXPECT_EQ(core.core.placement_of(found).generation, placement.generation);
        }
        if (bytes < 4096) continue;
        ASSERT_EQ(core.core.free(placement, 1), 0);
        if (found.run()) {
            EXPECT_FALSE(core.core.locate(placement.offset, found, start));
        }
    }
    FoundSlot found;
    std::uint64_t start = 0;
    EXPECT_FALSE(core.core.locate(4 * kMiB - 1, found, start));
}

TEST(SlabAdopt, TheTailOfASlabIsNoSlot) {
    Core core(kOddBase, 4 * kMiB);
    Placement placement;
    ASSERT_EQ(core.alloc(1500, placement), 0);
    const SlabCore::Extent extent = core.core.next_extent(0);
    ASSERT_NE(extent.pages, 0u);
    const std::uint64_t used = std::uint64_t{extent.slots} * kSizeClasses[extent.size_class].bytes;
    ASSERT_LT(used, extent.pages * kPageBytes) << "another class is needed for this test";
    FoundSlot found;
    std::uint64_t start = 0;
    EXPECT_TRUE(core.core.locate(extent.offset + used - 1, found, start));
    EXPECT_FALSE(core.core.locate(extent.offset + used, found, start));
}

// What one core has is built in another, and then is as if that had handed it out.
TEST(SlabAdopt, AnotherCoreGoesOn) {
    Core old(kOddBase, 8 * kMiB);
    std::vector<Placement> out;
    std::vector<std::uint64_t> sizes;
    for (std::uint64_t i = 0; i < 600; ++i) {
        Placement placement;
        const std::uint64_t bytes = i % 50 == 7 ? 30'000 : 64 + i * 37 % 9000;
        ASSERT_EQ(old.alloc(bytes, placement), 0);
        if (i % 3 == 0) {
            ASSERT_EQ(old.core.free(placement, 1), 0);
        } else {
            out.push_back(placement);
            sizes.push_back(bytes);
        }
    }
    Core fresh(kOddBase, 8 * kMiB);
    std::uint64_t extents = 0;
    for (SlabCore::Extent extent = old.core.next_extent(0); extent.pages != 0;
         extent = old.core.next_extent(extent.offset + extent.pages * kPageBytes)) {
        std::vector<std::uint8_t> kinds(extent.slots);
        for (const Placement& placement : out) {
            const std::uint64_t inside = placement.offset - extent.offset;
            if (inside >= extent.pages * kPageBytes) continue;
            kinds[extent.size_class == kRunClass ? 0 : inside / kSizeClasses[extent.size_class].bytes] = 1;
        }
        if (extent.size_class == kRunClass && kinds[0] == 0) continue;
        ASSERT_TRUE(fresh.core.take_extent(extent.offset, extent.pages));
        EXPECT_FALSE(fresh.core.take_extent(extent.offset, 1)) << "taken twice";
        fresh.core.found_extent(extent, kinds.data());
        ++extents;
    }
    EXPECT_GT(extents, 20u);
    EXPECT_EQ(fresh.usage.bytes(), old.usage.bytes());
    // Nothing of it is handed out again.
    std::set<std::uint64_t> taken;
    for (const Placement& placement : out) taken.insert(placement.offset);
    std::vector<Placement> more;
    for (Placement placement; fresh.alloc(1000, placement) == 0;) {
        for (const Placement& held : out) {
            ASSERT_TRUE(placement.offset + 1000 <= held.offset || held.offset + 64 <= placement.offset);
        }
        more.push_back(placement);
    }
    EXPECT_GT(more.size(), 100u);
    for (const Placement& placement : more) EXPECT_EQ(fresh.core.free(placement, 1), 0);
    // All of it comes home, once.
    for (std::size_t i = 0; i < out.size(); ++i) {
        FoundSlot found;
        std::uint64_t start = 0;
        ASSERT_TRUE(fresh.core.locate(out[i].offset, found, start));
        EXPECT_EQ(start, out[i].offset);
        const Placement token = fresh.core.placement_of(found);
        EXPECT_EQ(fresh.core.check(token, 1, sizes[i]), 0);
        EXPECT_EQ(fresh.core.free(token, 1), 0);
        EXPECT_NE(fresh.core.free(token, 1), 0);
    }
    EXPECT_EQ(fresh.usage.bytes(), 0u);
    fresh.core.close();
    EXPECT_EQ(fresh.core.sweep(), 0u);
}

TEST(SlabAdopt, KindsAreKept) {
    Core core(kOddBase, 4 * kMiB);
    const std::uint32_t size_class = class_of(512);
    const std::uint32_t pages = kSizeClasses[size_class].min_pages;
    const std::uint32_t slots = kSizeClasses[size_class].slots(pages);
    std::vector<std::uint8_t> kinds(slots);
    kinds[0] = 2;
    kinds[1] = 3;
    kinds[2] = 1;
    ASSERT_TRUE(core.core.take_extent(7 * kPageBytes, pages));
    core.core.found_extent({7 * kPageBytes, pages, size_class, slots}, kinds.data());
    for (const unsigned slot : {0u, 1u, 2u}) {
        FoundSlot found;
        std::uint64_t start = 0;
        ASSERT_TRUE(core.core.locate(7 * kPageBytes + slot * 512, found, start));
        EXPECT_EQ(core.core.kind_of(found), kinds[slot] == 1 ? 0u : kinds[slot]);
        const Placement token = core.core.placement_of(found);
        EXPECT_EQ(core.core.free(token, kinds[slot] % 3 + 1), EPERM);
        EXPECT_EQ(core.core.free(token, kinds[slot]), 0);
    }
}

TEST(SlabAdopt, PagesThatAreNotThere) {
    Core core(kOddBase, 4 * kMiB);
    EXPECT_FALSE(core.core.take_extent(4 * kMiB - kPageBytes, 2));
    EXPECT_FALSE(core.core.take_extent(4 * kMiB, 1));
    EXPECT_FALSE(core.core.take_extent(0, 0));
    ASSERT_TRUE(core.core.take_extent(4 * kMiB - kPageBytes, 1));
    core.core.leave_extent(4 * kMiB - kPageBytes, 1);
    ASSERT_TRUE(core.core.take_extent(0, 1024));
    Placement placement;
    EXPECT_EQ(core.alloc(64, placement), ENOSPC);
    core.core.leave_extent(0, 1024);
    EXPECT_EQ(core.alloc(64, placement), 0);
}

}  // namespace
}  // namespace bounce
