// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_tables.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace bounce {
namespace {

TEST(PageEntry, IsWhatItWasMadeOf) {
    for (const std::uint32_t kind : {0U, 1U, 2U, 3U, 4U}) {
        for (const std::uint32_t length : {0U, 1U, 512U, PageEntry::kLongRun}) {
            const PageEntry entry{static_cast<PageEntry::Kind>(kind), 3, 511, kRunClass, length};
            const PageEntry read = PageEntry::unpack(entry.pack());
            EXPECT_EQ(read.kind, kind);
            EXPECT_EQ(read.birth, 3U);
            EXPECT_EQ(read.distance, 511U);
            EXPECT_EQ(read.size_class, kRunClass);
            EXPECT_EQ(read.length, length);
        }
    }
}

TEST(Shape, IsThatOfASlabOnItsFirstPageOnly) {
    for (std::uint32_t c = 0; c < kClasses; ++c) {
        const std::uint32_t pages = kSizeClasses[c].max_pages;
        const Shape shape(PageEntry{PageEntry::kSlab, 2, 0, c, pages}.pack());
        ASSERT_TRUE(shape.is_slab());
        ASSERT_EQ(shape.size_class(), c);
        ASSERT_EQ(shape.pages(), pages);
        ASSERT_EQ(shape.slots(), kSizeClasses[c].slots(pages));
        ASSERT_NE(shape, Shape(PageEntry{PageEntry::kSlab, 3, 0, c, pages}.pack()));
    }
    EXPECT_FALSE(Shape().is_slab());
    EXPECT_FALSE(Shape(PageEntry{PageEntry::kSlab, 0, 1, 5}.pack()).is_slab());
    EXPECT_FALSE(Shape(PageEntry{PageEntry::kRun, 0, 0, kRunClass, 9}.pack()).is_slab());
    EXPECT_FALSE(Shape(PageEntry{PageEntry::kDead, 0, 0, 5}.pack()).is_slab());
}

class Tables : public testing::Test {
protected:
    static constexpr std::uint32_t kPages = 1200;
    static constexpr Gpa kBase{3 * kPageBytes};
    std::vector<std::byte> memory_ = std::vector<std::byte>(bytes() + kCacheLine);
    SlabTables tables_{kBase, kPages* kPageBytes, aligned()};

    static std::size_t bytes() { return SlabTables::bytes_needed(kBase, kPages * kPageBytes); }
    std::byte* aligned() {
        void* start = memory_.data();
        std::size_t room = memory_.size();
        return static_cast<std::byte*>(std::align(kCacheLine, bytes(), start, room));
    }
};

// The smallest slabs of every class, one behind the other over the region and in every place that they can have: no two
// slots that can be there at the same time have a state or a bit in common, not even the tail of a slab with the next.
TEST_F(Tables, NoTwoSlotsShareAStateOrABit) {
    std::vector<int> state_of(
        memory_.size() - static_cast<std::size_t>(reinterpret_cast<std::byte*>(tables_.states) - memory_.data()), -1);
    std::vector<int> bit_of(state_of.size(), -1);
    for (const bool largest : {false, true}) {
        for (std::uint32_t phase = 0; phase < kClasses; ++phase) {
            std::fill(state_of.begin(), state_of.end(), -1);
            std::fill(bit_of.begin(), bit_of.end(), -1);
            int slab = 0;
            for (std::uint32_t head = tables_.first; head < tables_.end; ++slab) {
                const std::uint32_t c = (phase + static_cast<std::uint32_t>(slab)) % (kClasses + 1);
                const bool run = c == kClasses;
                const SizeClass& size = kSizeClasses[run ? 0 : c];
                const std::uint32_t pages = run ? 1 : largest ? size.max_pages : size.min_pages;
                if (head + pages > tables_.end) break;
                const std::uint32_t size_class = run ? kRunClass : c;
                const std::uint32_t slots = run ? 1 : size.slots(pages);
                const bool tail = !run && slots * size.bytes < pages * kPageBytes;
                for (std::uint32_t i = 0; i < slots + (tail ? 1 : 0); ++i) {
                    const auto at = static_cast<std::size_t>(&tables_.state(head, i, size_class) - tables_.states);
                    ASSERT_LT(at, state_of.size());
                    ASSERT_EQ(state_of[at], -1) << c << ' ' << i;
                    state_of[at] = slab;
                }
                for (std::uint32_t i = 0; i < slots && !run; ++i) {
                    const std::uint64_t at = tables_.bit(head, i, c);
                    ASSERT_LT(at, bit_of.size());
                    ASSERT_EQ(bit_of[at], -1) << c << ' ' << i;
                    bit_of[at] = slab;
                    // Whoever has the bit finds the slab.
                    const std::uint32_t page = tables_.page_of(at, c);
                    ASSERT_TRUE(page >= head && page < head + pages) << c << ' ' << i;
                }
                head += pages;
            }
        }
    }
}

TEST_F(Tables, BitsBeginWhereTheyShould) {
    const std::uint32_t c = class_of(1500);
    const Shape slab(PageEntry{PageEntry::kSlab, 0, 0, c, 192}.pack());
    const SlabTables::Ops::Bits bits = tables_.bits(tables_.first, slab);
    EXPECT_EQ(bits.end - bits.first, 512U);
    const std::uint64_t first = tables_.bit(tables_.first, 0, c);
    EXPECT_EQ(bits.words, tables_.words + first / 64);
    EXPECT_EQ(bits.first, first % 64);
}

TEST_F(Tables, ALongRunHasItsLengthInItsNextPages) {
    constexpr std::uint32_t kShort = PageEntry::kLongRun - 1;
    tables_.entries[20].store(PageEntry{PageEntry::kRun, 0, 0, kRunClass, kShort}.pack() | PageEntry::kBeyond);
    EXPECT_EQ(tables_.run_pages(20), kShort);
    for (const std::uint32_t pages : {kShort + 1, kShort + 2, 1000000U, 0x7fffffffU}) {
        tables_.entries[20].store(PageEntry{PageEntry::kRun, 0, 0, kRunClass, PageEntry::kLongRun}.pack());
        for (std::uint32_t i = 0; i < PageEntry::kLengthParts; ++i) {
            const std::uint32_t part = pages >> i * PageEntry::kLengthBits & PageEntry::kLongRun;
            tables_.entries[21 + i].store(PageEntry{PageEntry::kRunBody, 1, i + 1, kRunClass, part}.pack());
        }
        EXPECT_EQ(tables_.run_pages(20), pages);
    }
}

}  // namespace
}  // namespace bounce
