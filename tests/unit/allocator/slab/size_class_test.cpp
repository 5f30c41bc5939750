// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/size_class.hpp"

#include <gtest/gtest.h>

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

double waste(std::uint64_t bytes, const SizeClass& size_class, std::uint32_t pages) {
    return 1.0 - static_cast<double>(bytes) * size_class.slots(pages) / static_cast<double>(pages * kPageBytes);
}

TEST(SizeClass, IsTheSmallestThatHolds) {
    for (std::uint64_t bytes = 1; bytes <= kMaxSlotBytes; ++bytes) {
        const std::uint32_t found = class_of(bytes);
        ASSERT_LT(found, kClasses);
        ASSERT_GE(class_bytes(found), bytes);
        ASSERT_TRUE(found == 0 || class_bytes(found - 1) < bytes) << bytes;
    }
}

TEST(SizeClass, RoundingAndTailWasteAtMost17Percent) {
    for (std::uint64_t bytes = kMinSlotBytes; bytes <= kMaxSlotBytes; ++bytes) {
        const SizeClass& size_class = kSizeClasses[class_of(bytes)];
        ASSERT_LE(waste(bytes, size_class, size_class.first_pages), 0.17) << bytes;
        ASSERT_LE(waste(bytes, size_class, size_class.later_pages), 0.17) << bytes;
        ASSERT_LE(waste(bytes, size_class, size_class.max_pages), 0.17) << bytes;
    }
    // Above, whole pages are handed out.
    for (std::uint64_t bytes = kMaxSlotBytes + 1; bytes <= 65536; ++bytes) {
        ASSERT_LE(1.0 - static_cast<double>(bytes) / static_cast<double>(round_up(bytes, kPageBytes)), 0.17) << bytes;
    }
}

TEST(SizeClass, AnEthernetFrameWastesAtMost7Percent) {
    const SizeClass& size_class = kSizeClasses[class_of(1500)];
    EXPECT_LE(waste(1500, size_class, size_class.first_pages), 0.07);
    EXPECT_LE(waste(1500, size_class, size_class.later_pages), 0.07);
    EXPECT_LE(waste(1500, size_class, size_class.max_pages), 0.07);
}

TEST(SizeClass, TailsAreAsSmallAsPromised) {
    for (const SizeClass& size_class : kSizeClasses) {
        const auto tail = [&](std::uint64_t pages) { return pages * kPageBytes % size_class.bytes; };
        EXPECT_LE(tail(size_class.first_pages) * 16, size_class.first_pages * kPageBytes) << size_class.bytes;
        EXPECT_LE(tail(size_class.later_pages) * 32, size_class.later_pages * kPageBytes) << size_class.bytes;
        EXPECT_GE(size_class.slots(size_class.min_pages), 1U);
        EXPECT_GE(size_class.max_pages, size_class.later_pages);
        EXPECT_LE(size_class.max_pages, kPagesPerChunk);
        EXPECT_LE(size_class.slots(size_class.max_pages), kMaxSlabSlots);
        // A page has one word of bits: a slab needs no more words than pages.
        EXPECT_LE(size_class.slots(size_class.max_pages), 64U * size_class.max_pages);
    }
}

TEST(SizeClass, MultiplesOfAnAlignmentGetAClassThatIsOneToo) {
    for (std::uint64_t align = 16; align <= kPageBytes; align *= 2) {
        for (std::uint64_t bytes = align; bytes <= kMaxSlotBytes; bytes += align) {
            ASSERT_EQ(class_bytes(class_of(bytes)) % align, 0U) << bytes << " aligned to " << align;
        }
    }
}

TEST(SizeClass, SlotOfIsDivision) {
    for (const SizeClass& size_class : kSizeClasses) {
        for (std::uint64_t offset = 0; offset < kChunkBytes; ++offset) {
            ASSERT_EQ(size_class.slot_of(offset), offset / size_class.bytes) << offset;
        }
    }
}

}  // namespace
}  // namespace bounce
