// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <cerrno>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

// A slab of 512 bytes a slot with one held, and a run.
struct Shape {
    std::uint32_t size_class = class_of(512);
    std::uint32_t pages = kSizeClasses[size_class].min_pages;
    std::uint32_t slots = kSizeClasses[size_class].slots(pages);
    std::vector<std::uint8_t> kinds = std::vector<std::uint8_t>(slots);
    std::uint8_t run_kind = 2;
    Pool::Restored extents[2];
    Shape() {
        kinds[3] = 1;
        extents[0] = {RegionId{0}, {64 * kKiB, pages, size_class, slots}, kinds.data()};
        extents[1] = {RegionId{0}, {256 * kKiB, 10, kRunClass, 1}, &run_kind};
    }
};

TEST(PoolRestore, SlotsOfAnotherLife) {
    auto pool = make_pool(2 * kMiB);
    Shape shape;
    ASSERT_TRUE(pool->restore(shape.extents, 2)) << last_error();
    EXPECT_EQ(pool->stats().slots, 2u);
    EXPECT_EQ(pool->stats().used_bytes, 512 + 10 * kPageBytes);
    EXPECT_EQ(pool->restore(shape.extents, 2).code(), EBUSY);
    const Gpa held = pool->region(RegionId{0}).base() + (64 * kKiB + 3 * 512);
    const auto place = pool->locate(held + 511);
    ASSERT_TRUE(place) << last_error();
    EXPECT_EQ(place->start, held);
    const Slot slot = pool->token_at(*place);
    EXPECT_TRUE(pool->check(slot, SlotKind::kStreaming, 512)) << last_error();
    EXPECT_EQ(pool->release(slot, SlotKind::kBuffer).code(), EPERM);
    EXPECT_TRUE(pool->release(slot, SlotKind::kStreaming)) << last_error();
    EXPECT_FALSE(pool->release(slot, SlotKind::kStreaming));
    const auto run = pool->locate(pool->region(RegionId{0}).base() + 260 * kKiB);
    ASSERT_TRUE(run);
    EXPECT_TRUE(pool->release(pool->token_at(*run), SlotKind::kCoherent)) << last_error();
    EXPECT_EQ(pool->stats().slots, 0u);
    EXPECT_EQ(pool->stats().used_bytes, 0u);
    EXPECT_TRUE(pool->alloc(request_of(2 * kMiB, 1, SlotKind::kBuffer))) << "all pages came home";
}

TEST(PoolRestore, AllOrNothing) {
    auto pool = make_pool(2 * kMiB);
    Shape shape;
    shape.extents[1].extent.offset = shape.extents[0].extent.offset;  // over each other
    EXPECT_EQ(pool->restore(shape.extents, 2).code(), EBUSY);
    EXPECT_EQ(pool->stats().slots, 0u);
    shape.extents[1].extent.offset = 2 * kMiB - kPageBytes;  // beyond the end
    EXPECT_EQ(pool->restore(shape.extents, 2).code(), EBUSY);
    EXPECT_TRUE(pool->alloc(request_of(2 * kMiB, 1, SlotKind::kBuffer))) << last_error();
}

TEST(PoolRestore, NothingIsNowhere) {
    auto pool = make_pool(2 * kMiB);
    EXPECT_EQ(pool->locate(Gpa{0}).code(), EFAULT);
    EXPECT_EQ(pool->locate(Gpa{4 * kGiB}).code(), EFAULT);
    EXPECT_EQ(pool->next_extent(RegionId{0}, 0).pages, 0u);
    EXPECT_EQ(pool->next_extent(RegionId{7}, 0).pages, 0u);
    EXPECT_EQ(pool->next_extent(RegionId{0}, 5 * kMiB).pages, 0u);
}

}  // namespace
}  // namespace bounce
