// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_fast.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "tests/unit/allocator/slab/slab_core_fixture.hpp"

namespace bounce {
namespace {

TEST(SlabCore, TheSlotUsedLastComesBackFirst) {
    Core core(0, 4 * kMiB);
    for (const unsigned bytes : {64U, 100U, 1500U, 4096U, 16384U, 20480U}) {
        Placement first;
        Placement again;
        ASSERT_EQ(core.alloc(bytes, first), 0);
        ASSERT_EQ(core.core.free(first, 1), 0);
        ASSERT_EQ(core.alloc(bytes, again), 0);
        EXPECT_EQ(first.offset, again.offset) << bytes;
        EXPECT_NE(first.generation, again.generation) << bytes;
        ASSERT_EQ(core.core.free(again, 1), 0);
    }
}

TEST(SlabCore, GenerationsAreCaughtAcrossLivesOfAPage) {
    Core core(0, 64 * 1024);
    Placement old;
    ASSERT_EQ(core.alloc(4096, old), 0);
    ASSERT_EQ(core.core.free(old, 1), 0);
    // The page lives on as part of a run, then as another slab, which begins where the old slot was.
    Placement run;
    ASSERT_EQ(core.alloc(64 * 1024, run), 0);
    EXPECT_EQ(run.offset, 0U);
    EXPECT_EQ(core.core.free(old, 1), ESTALE);
    EXPECT_EQ(core.core.check(run, 1, 65536), 0);
    ASSERT_EQ(core.core.free(run, 1), 0);
    EXPECT_EQ(core.core.free(run, 1), EALREADY);
    Placement small;
    ASSERT_EQ(core.alloc(64, small), 0);
    EXPECT_EQ(small.offset, 0U);
    EXPECT_EQ(core.core.free(old, 1), ESTALE);
    EXPECT_EQ(core.core.free(run, 1), ESTALE);
    EXPECT_EQ(core.core.check(small, 1, 64), 0);
}

TEST(SlabCore, ASlotGetsAnotherGenerationEachTime) {
    Core core(0, kMiB);
    Placement first;
    ASSERT_EQ(core.alloc(4096, first), 0);
    Placement current = first;
    for (unsigned i = 1; i < kGenerations; ++i) {
        ASSERT_EQ(core.core.free(current, 1), 0);
        ASSERT_EQ(core.alloc(4096, current), 0);
        ASSERT_EQ(current.offset, first.offset);
        // After one free nobody can tell whether the slot has been handed out again.
        ASSERT_EQ(core.core.free(first, 1), i == 1 ? EALREADY : ESTALE) << i;
    }
}

TEST(SlabCore, EveryOtherAddressIsRefused) {
    Core core(0x3000, kMiB);
    Placement slot;
    ASSERT_EQ(core.alloc(1500, slot), 0);
    for (std::uint64_t offset = 0; offset < kMiB; offset += 8) {
        if (offset == slot.offset) continue;
        const int code = core.core.free({offset, slot.generation}, 1);
        ASSERT_TRUE(code == EFAULT || code == EALREADY) << offset << ": " << code;
        // A multiple of the slot size from the slot is a slot of its slab, if it is not in the tail.
        ASSERT_TRUE(code == EFAULT || (offset - slot.offset) % 1536 == 0);
    }
    EXPECT_EQ(core.core.free(slot, 1), 0);
}

// What begins behind the last slot of a slab is none, whatever a token says, in every life of the pages.
TEST(SlabCore, TheTailOfASlabIsNoSlot) {
    for (std::uint32_t c = 0; c < kClasses; ++c) {
        Core core(0, 2 * kMiB);
        Placement slot;
        ASSERT_EQ(core.alloc(kSizeClasses[c].bytes, slot), 0);
        unsigned slots = 1;
        Placement other = slot;
        for (std::uint32_t i = 1; i < kMaxSlabSlots; ++i) {
            other.offset = slot.offset + std::uint64_t{i} * kSizeClasses[c].bytes;
            other.index = slot_index(c, i);
            if (other.offset >= 2 * kMiB) break;
            FoundSlot found;
            const int code = core.core.check(other, 1, 0);
            slots += code == 0 ? 1U : 0U;  // a free slot: its state does not say so
            if (code == 0) continue;
            EXPECT_EQ(core.core.begin_free(other, 1, 0, found), code) << c << ' ' << i;
            EXPECT_TRUE(code == EFAULT || code == ESTALE) << code;
        }
        EXPECT_LE(slots, kMaxSlabSlots);
        ASSERT_EQ(core.core.free(slot, 1), 0);
        // The pages serve another class, and then this one again.
        Placement run;
        ASSERT_EQ(core.alloc(kMiB + kMiB / 2, run), 0);
        ASSERT_EQ(core.core.free(run, 1), 0);
        std::vector<Placement> small(100);
        for (Placement& each : small) ASSERT_EQ(core.alloc(64, each), 0);
        for (const Placement& each : small) ASSERT_EQ(core.core.free(each, 1), 0);
    }
}

TEST(SlabCore, AddressesInsideASlotAreFound) {
    Core core(0, 16 * kMiB);
    for (const std::uint64_t bytes :
         {std::uint64_t{1500}, std::uint64_t{20480}, 100 * 4096 + std::uint64_t{1}, 6 * kMiB}) {
        Placement slot;
        ASSERT_EQ(core.alloc(bytes, slot), 0);
        for (const std::uint64_t at : {std::uint64_t{0}, bytes / 3, bytes - 1}) {
            EXPECT_EQ(core.core.find_inside(slot.offset + at, bytes - at, 1), 0);
            EXPECT_EQ(core.core.find_inside(slot.offset + at, bytes - at, 2), EPERM);
            EXPECT_EQ(core.core.find_inside(slot.offset + at, 2 * bytes, 1), EFAULT);
        }
        ASSERT_EQ(core.core.free(slot, 1), 0);
        EXPECT_EQ(core.core.find_inside(slot.offset + bytes / 2, 1, 1), EFAULT);
    }
    EXPECT_EQ(core.core.find_inside(15 * kMiB, 1, 1), EFAULT);
}

TEST(SlabCore, BeginFreeKeepsTheSlotOutOfReach) {
    Core core(0, 64 * 1024);
    std::vector<Placement> slots(16);
    for (Placement& slot : slots) ASSERT_EQ(core.alloc(4096, slot), 0);
    Placement other;
    ASSERT_EQ(core.alloc(4096, other), ENOSPC);
    FoundSlot found;
    EXPECT_EQ(core.core.begin_free(slots[3], 1, 4097, found), EFAULT);
    EXPECT_EQ(core.core.begin_free(slots[3], 2, 4096, found), EPERM);
    ASSERT_EQ(core.core.begin_free(slots[3], 1, 4096, found), 0);
    EXPECT_EQ(core.core.begin_free(slots[3], 1, 4096, found), EALREADY);
    EXPECT_EQ(core.core.free(slots[3], 1), EALREADY);
    EXPECT_EQ(core.core.check(slots[3], 1, 0), EALREADY);
    ASSERT_EQ(core.alloc(4096, other), ENOSPC);
    core.core.finish_free(found);
    ASSERT_EQ(core.alloc(4096, other), 0);
    EXPECT_EQ(other.offset, slots[3].offset);
    EXPECT_EQ(core.alloc(4096, other), ENOSPC);
}

TEST(SlabCore, UsageIsExact) {
    Core core(0, 4 * kMiB);
    Placement a;
    Placement b;
    ASSERT_EQ(core.alloc(100, a), 0);
    EXPECT_EQ(core.usage.bytes(), 104U);
    ASSERT_EQ(core.alloc(kMiB + 1, b), 0);
    EXPECT_EQ(core.usage.bytes(), 104U + kMiB + 4096);
    ASSERT_EQ(core.core.free(b, 1), 0);
    ASSERT_EQ(core.core.free(a, 1), 0);
    EXPECT_EQ(core.usage.bytes(), 0U);
    EXPECT_EQ(core.usage.most_bytes(), 104U + kMiB + 4096);
}

}  // namespace
}  // namespace bounce
