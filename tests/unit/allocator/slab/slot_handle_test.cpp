// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slot_handle.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "allocator/slab/slab_tables.hpp"
#include "allocator/slab/slot_view.hpp"

namespace bounce {
namespace {

TEST(SlotHandle, IsWhatItWasMadeOf) {
    for (const std::uint32_t region : {0U, 1U, 63U}) {
        for (const std::uint32_t size_class : {0U, 1U, kClasses - 1, kRunClass}) {
            for (const std::uint32_t slot : {0U, 63U, kMaxSlabSlots - 1}) {
                for (const unsigned generation : {0U, 1U, 63U, 64U, 200U, 255U}) {
                    const std::uint16_t index = slot_index(size_class, slot);
                    const SlotHandle handle(RegionId{region}, index, static_cast<std::uint8_t>(generation));
                    EXPECT_EQ(handle.region().value, region);
                    EXPECT_EQ(handle.index(), index);
                    EXPECT_EQ(handle.size_class(), size_class);
                    EXPECT_EQ(handle.slot(), slot);
                    EXPECT_EQ(handle.generation(), generation);
                    EXPECT_EQ(SlotHandle(handle.bits()), handle);
                }
            }
        }
    }
}

TEST(SlotHandle, GenerationsGoRoundAndChangeNothingElse) {
    const SlotHandle first(RegionId{5}, slot_index(7, 300), token_generation(0, 2));
    SlotHandle handle = first;
    for (unsigned i = 0; i < kGenerations; ++i) {
        EXPECT_EQ(handle.generation(), token_generation(i, 2));
        EXPECT_EQ(handle.state(1), make_state(1, i));
        EXPECT_EQ(handle.state(0), make_state(0, i));
        EXPECT_EQ(handle.index(), first.index());
        EXPECT_EQ(handle.region(), first.region());
        handle = handle.next();
    }
    EXPECT_EQ(handle, first);
}

TEST(SlotHandle, SaysWhatTheEntryOfItsPageIs) {
    for (std::uint32_t birth = 0; birth < 4; ++birth) {
        const SlotHandle handle(RegionId{63}, slot_index(kClasses - 1, 511), token_generation(63, birth));
        for (const std::uint32_t distance : {0U, 1U, PageEntry::kMaxDistance}) {
            const std::uint32_t entry = PageEntry::of_slot(handle, distance);
            EXPECT_EQ(entry, (PageEntry{PageEntry::kSlab, birth, distance, kClasses - 1}.pack()));
            const PageEntry read = PageEntry::unpack(entry);
            EXPECT_EQ(read.kind, PageEntry::kSlab);
            EXPECT_EQ(read.birth, birth);
            EXPECT_EQ(read.distance, distance);
            EXPECT_EQ(read.size_class, kClasses - 1);
        }
    }
}

// Whatever a token says is looked up inside the tables, or not at all.
TEST(SlotView, NoHandleLeadsAstray) {
    std::atomic<std::uint32_t> entries[4]{};
    SlotView view;
    view.entries = entries;
    for (std::uint64_t bits = 0; bits <= 0xffffffff; bits += 65521) {
        for (const std::uint64_t position : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{16383}}) {
            SlotView::Place place;
            const bool possible =
                view.place_of(position, 4 * kPageBytes, SlotHandle(static_cast<std::uint32_t>(bits)), place);
            EXPECT_EQ(place.entry, &entries[position / kPageBytes]);
            EXPECT_FALSE(possible && SlotView::holds(place));  // of no slab that is there
        }
    }
}

// A distance of more than a chunk would look like another size class.
TEST(SlotView, NoHandleMeansASlabOfAnotherClass) {
    constexpr std::uint32_t kPages = 2048;
    const auto entries = std::make_unique<std::atomic<std::uint32_t>[]>(kPages);
    std::vector<std::byte> memory(SlabTables::bytes_needed(Gpa{0}, kPages * kPageBytes) + kCacheLine);
    void* aligned = memory.data();
    std::size_t room = memory.size();
    const SlabTables tables(Gpa{0}, kPages * kPageBytes,
                            static_cast<std::byte*>(std::align(kCacheLine, room - kCacheLine, aligned, room)));
    const SlabTables::Ops::State* const states = tables.states;
    SlotView view;
    view.entries = entries.get();
    for (std::uint32_t real = 0; real < kClasses; ++real) {
        for (const std::uint32_t first : {0U, 700U}) {
            for (std::uint32_t i = 0; i < kPagesPerChunk; ++i)
                entries[first + i].store(PageEntry{PageEntry::kSlab, 1, i, real, i == 0 ? 512U : 0U}.pack());
            for (std::uint32_t other = 0; other < kClasses; ++other) {
                for (std::uint32_t slot = 0; slot < kMaxSlabSlots; ++slot) {
                    const SlotHandle handle(RegionId{}, slot_index(other, slot), token_generation(0, 1));
                    const std::uint64_t inside = std::uint64_t{slot} * kSlotBytes[other];
                    // No other page of the slab has such an entry, and no other place in the page is a slot's.
                    const std::uint64_t page = first + inside / kPageBytes % kPagesPerChunk;
                    const std::uint64_t position = page * kPageBytes + inside % kPageBytes;
                    SlotView::Place place;
                    if (!view.place_of(position, kPages * kPageBytes, handle, place) || !SlotView::holds(place))
                        continue;
                    ASSERT_EQ(other, real);
                    ASSERT_EQ(position, first * kPageBytes + inside);
                    ASSERT_EQ(&states[place.state], &tables.state(first, slot, other));
                    ASSERT_TRUE(SlotView::still_holds(place));
                }
            }
            for (std::uint32_t i = 0; i < kPagesPerChunk; ++i) entries[first + i].store(0);
        }
    }
}

TEST(SizeClass, TheTableSaysWhatTheFormulaDoes) {
    for (std::uint64_t bytes = 1; bytes <= kMaxSlotBytes; ++bytes) ASSERT_EQ(fast_class_of(bytes), class_of(bytes));
}

}  // namespace
}  // namespace bounce
