// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a context keeps, and the protocol of its mark, by one thread; tests/model/context_model.cpp has the others.
#include "allocator/slab/context.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "allocator/slab/slab_tables.hpp"

namespace bounce {
namespace {

using Ops = MarkOps<StdAtomics>;

TEST(Context, AKeptSlotIsWhatWasPutIn) {
    for (const std::uint32_t size_class : {0U, 1U, kClasses - 1, kRunClass}) {
        for (const std::uint32_t slot : {0U, 63U, kMaxSlabSlots - 1}) {
            const std::uint16_t index = slot_index(size_class, slot);
            EXPECT_EQ(class_of_index(index), size_class);
            EXPECT_EQ(slot_of_index(index), slot);
            const CachedSlot kept(RegionId{63}, ~std::uint32_t{0}, index, 255);
            EXPECT_EQ(kept.region().value, 63U);
            EXPECT_EQ(kept.head(), ~std::uint32_t{0});
            EXPECT_EQ(kept.index(), index);
            EXPECT_EQ(kept.slot(), slot);
            EXPECT_EQ(kept.generation(), 255U);
        }
    }
    const CachedSlot other(RegionId{1}, 2, slot_index(3, 4), 5);
    EXPECT_EQ(other.region().value, 1U);
    EXPECT_EQ(other.head(), 2U);
    EXPECT_EQ(class_of_index(other.index()), 3U);
    EXPECT_EQ(other.slot(), 4U);
    EXPECT_EQ(other.generation(), 5U);
}

TEST(Context, OnlyOneIsInside) {
    Ops::Word mark{0};
    Ops::Word attention{0};
    EXPECT_TRUE(Ops::idle(mark));
    ASSERT_TRUE(Ops::enter(mark, attention));
    EXPECT_FALSE(Ops::idle(mark));
    // A signal handler of the same thread; it must not unmark what it did not mark.
    EXPECT_FALSE(Ops::enter(mark, attention));
    EXPECT_FALSE(Ops::idle(mark));
    Ops::leave(mark);
    EXPECT_TRUE(Ops::idle(mark));
}

TEST(Context, AttentionKeepsTheOwnerOut) {
    Ops::Word mark{0};
    Ops::Word attention{0};
    Ops::begin_attention(attention);
    Ops::begin_attention(attention);
    EXPECT_FALSE(Ops::enter(mark, attention));
    EXPECT_TRUE(Ops::idle(mark));
    Ops::end_attention(attention);
    EXPECT_FALSE(Ops::enter(mark, attention));
    Ops::end_attention(attention);
    EXPECT_TRUE(Ops::enter(mark, attention));
}

TEST(Context, OneTakesAtATime) {
    Ops::Word taken{0};
    EXPECT_TRUE(Ops::take(taken));
    EXPECT_FALSE(Ops::take(taken));
    Ops::give_up(taken);
    EXPECT_TRUE(Ops::take(taken));
}

TEST(Context, ARunIsKeptInItsPlace) {
    const auto context = std::make_unique<Context>();
    EXPECT_EQ(&context->run_of(6), &context->run_of(6 + Context::kRuns));
    EXPECT_NE(&context->run_of(6), &context->run_of(7));
    EXPECT_EQ(context->run_of(6).pages.load(), 0U);
}

TEST(LastPlace, WhateverWasBeforeTheAnswerIsOfTheOneAskedFor) {
    LastPlace last;
    for (const std::uint32_t region : {0U, 0U, 7U, 63U, 0U}) {
        for (std::uint32_t size_class = 0; size_class < 128; ++size_class) {
            for (const std::uint32_t slot : {511U, 0U, 3U}) {
                const SlotHandle handle(RegionId{region}, slot_index(size_class, slot), 201);
                const SlotHandle like = last.of(handle);
                EXPECT_TRUE(like.same_place(handle));
                EXPECT_EQ(like.region(), handle.region());
                EXPECT_EQ(like.size_class(), size_class);
            }
        }
    }
    const SlotHandle some(RegionId{5}, slot_index(9, 1), 0);
    EXPECT_FALSE(some.same_place(SlotHandle(RegionId{4}, slot_index(9, 1), 0)));
    EXPECT_FALSE(some.same_place(SlotHandle(RegionId{5}, slot_index(8, 1), 0)));
}

}  // namespace
}  // namespace bounce
