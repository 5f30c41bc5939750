// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How large slabs are when they are born, and when they die.
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/unit/allocator/slab/slab_core_fixture.hpp"

namespace bounce {
namespace {

TEST(SlabLife, ASmallPoolServesEveryClassAtOnce) {
    for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{0x103000}}) {
        Core core(base, 4 * kMiB);
        Placement placement;
        std::uint64_t payload = 0;
        // Each class three times, and runs of every size up to 64 KiB.
        for (int round = 0; round < 3; ++round) {
            for (const SizeClass& size_class : kSizeClasses) {
                ASSERT_EQ(core.alloc(size_class.bytes, placement), 0) << size_class.bytes << " of round " << round;
                payload += size_class.bytes;
            }
            for (std::uint64_t bytes = 24576; bytes <= 65536; bytes += 4096) {
                ASSERT_EQ(core.alloc(bytes, placement), 0) << bytes << " of round " << round;
                payload += bytes;
            }
        }
        EXPECT_GE(payload, 2 * kMiB);
    }
}

TEST(SlabLife, OneOfEachClassTakesLittleOfASmallPool) {
    Core core(0, 4 * kMiB);
    Placement placement;
    std::uint64_t fewest = 0;
    for (const SizeClass& size_class : kSizeClasses) {
        ASSERT_EQ(core.alloc(size_class.bytes, placement), 0);
        fewest += size_class.min_pages;
    }
    // What is left is one piece: no class took more than its slot needs, or than a 256th of the pool.
    EXPECT_EQ(core.alloc(4 * kMiB - (fewest + 40) * kPageBytes, placement), 0);
}

TEST(SlabLife, WhereThereIsRoomAFirstSlabHasASmallTail) {
    Core core(0, 64 * kMiB);
    // A slab for one slot of 2304 bytes has a tail of 1792, one of first_pages next to none.
    std::vector<Placement> slots(kSizeClasses[class_of(2304)].slots(kSizeClasses[class_of(2304)].first_pages));
    ASSERT_GT(slots.size(), 1U);
    for (Placement& slot : slots) ASSERT_EQ(core.alloc(2304, slot), 0);
    for (std::size_t i = 0; i < slots.size(); ++i) EXPECT_EQ(slots[i].offset, slots[0].offset + i * 2304);
}

TEST(SlabLife, EmptySlabsGoBeforeTheyAreInTheWay) {
    Core core(0, 4 * kMiB);
    std::vector<Placement> runs;
    Placement placement;
    // A hole of 16 pages low down, then a slab in it that is empty soon.
    ASSERT_EQ(core.alloc(65536, placement), 0);
    Placement low = placement;
    for (int i = 0; i < 40; ++i) {
        ASSERT_EQ(core.alloc(65536, placement), 0);
        runs.push_back(placement);
    }
    ASSERT_EQ(core.core.free(low, 1), 0);
    ASSERT_EQ(core.alloc(20000, placement), 0);
    ASSERT_EQ(placement.offset, low.offset);
    ASSERT_EQ(core.core.free(placement, 1), 0);
    // Runs come and go elsewhere; before long one of them gets the hole again, though other room is left.
    bool again = false;
    for (int i = 0; i < 20 && !again; ++i) {
        ASSERT_EQ(core.alloc(65536, placement), 0);
        again = placement.offset == low.offset;
    }
    EXPECT_TRUE(again);
}

}  // namespace
}  // namespace bounce
