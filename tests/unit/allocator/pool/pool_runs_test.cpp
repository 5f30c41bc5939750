// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kStreaming = SlotKind::kStreaming;

SlotHandle altered(SlotHandle handle, std::uint32_t bits) {
    return SlotHandle(handle.bits() ^ bits);
}

// What is freed comes back, with another generation.
TEST(PoolRuns, AreKeptByTheContext) {
    auto pool = make_pool(64 * kMiB);
    auto first = pool->alloc(request_of(64 * kKiB - 100));
    ASSERT_TRUE(first && pool->free(*first, kStreaming)) << last_error();
    auto again = pool->alloc(request_of(64 * kKiB));
    ASSERT_TRUE(again) << last_error();
    EXPECT_EQ(again->gpa.value, first->gpa.value);
    EXPECT_EQ(again->hva, first->hva);
    EXPECT_NE(again->handle.generation(), first->handle.generation());
    EXPECT_EQ(pool->free(*first, kStreaming).code(), EALREADY);
    EXPECT_TRUE(pool->free(*again, kStreaming));
    EXPECT_EQ(pool->free(*again, kStreaming).code(), EALREADY);
    EXPECT_EQ(pool->stats().slots, 0U);
}

// A token that is wrong in any part changes nothing.
TEST(PoolRuns, WrongTokensAreErrors) {
    auto pool = make_pool(16 * kMiB);
    auto run = pool->alloc(request_of(64 * kKiB));
    ASSERT_TRUE(run) << last_error();
    const auto refused = [&](Slot slot) { return pool->free(slot, kStreaming).code(); };
    Slot slot = *run;
    slot.gpa = slot.gpa + 64;
    EXPECT_EQ(refused(slot), EFAULT);
    slot.gpa = run->gpa + kPageBytes;  // inside
    EXPECT_EQ(refused(slot), EFAULT);
    slot.gpa = run->gpa + 16 * kMiB;  // behind the region
    EXPECT_EQ(refused(slot), EFAULT);
    slot = *run;
    slot.handle = altered(run->handle, 1);  // slot 1 of a run
    EXPECT_EQ(refused(slot), EFAULT);
    slot.handle = altered(run->handle, 1U << SlotHandle::kClassShift);
    EXPECT_EQ(refused(slot), EFAULT);
    slot.handle = altered(run->handle, 1U << SlotHandle::kRegionShift);
    EXPECT_EQ(refused(slot), EFAULT);
    slot.handle = altered(run->handle, 1U << SlotHandle::kBirthShift);
    EXPECT_EQ(refused(slot), ESTALE);
    slot.handle = run->handle.next();
    EXPECT_NE(refused(slot), 0);

    Pool::Ending ending;
    EXPECT_EQ(pool->begin_free(*run, kStreaming, 64 * kKiB + 1, ending).code(), EFAULT);
    EXPECT_EQ(pool->begin_free(*run, SlotKind::kCoherent, 0, ending).code(), EPERM);
    slot = *run;
    slot.hva += kPageBytes;
    EXPECT_EQ(pool->begin_free(slot, kStreaming, 0, ending).code(), EFAULT);
    EXPECT_EQ(pool->stats().slots, 1U);
    EXPECT_TRUE(pool->free(*run, kStreaming)) << last_error();
}

// The place of a run of many pages is not given to one that has none granted.
TEST(PoolRuns, AnotherSizeOnTheSamePlace) {
    auto pool = make_pool(64 * kMiB);
    const auto pages = [&](std::uint64_t count) { return pool->alloc(request_of(count * kPageBytes)); };
    auto small = pages(8);
    ASSERT_TRUE(small && pool->free(*small, kStreaming));
    auto large = pages(8 + Context::kRuns);
    ASSERT_TRUE(large) << last_error();
    EXPECT_NE(large->gpa.value, small->gpa.value);
    ASSERT_TRUE(pool->free(*large, kStreaming));  // the place is taken: it goes home
    auto again = pages(8);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->gpa.value, small->gpa.value);
    EXPECT_TRUE(pool->free(*again, kStreaming));
}

// Coherent runs and buffers never go by a context.
TEST(PoolRuns, OtherKindsGoHome) {
    auto pool = make_pool(16 * kMiB);
    for (const SlotKind kind : {SlotKind::kCoherent, SlotKind::kBuffer}) {
        auto run = pool->alloc(request_of(kMiB, 1, kind));
        ASSERT_TRUE(run) << last_error();
        EXPECT_EQ(pool->free(*run, kStreaming).code(), EPERM);
        EXPECT_TRUE(pool->free(*run, kind));
        EXPECT_EQ(pool->stats().used_bytes, 0U);
        EXPECT_EQ(pool->free(*run, kind).code(), EALREADY);
    }
}

}  // namespace
}  // namespace bounce
