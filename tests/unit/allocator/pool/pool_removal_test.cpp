// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Regions that are drained and removed by hand.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_platform.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;
constexpr RegionId kFirst{0};
constexpr RegionId kSecond{1};

TEST(PoolRemoval, DrainsThenRemoves) {
    const auto pool = make_pool(kMiB, 0);
    ASSERT_TRUE(pool->add_region(region_config(4 * kMiB, kGiB)));
    auto kept = pool->alloc(request_of(2 * kMiB));
    auto small = pool->alloc(request_of(64));
    ASSERT_TRUE(kept && small);
    ASSERT_EQ(kept->region(), kSecond);
    EXPECT_EQ(pool->remove_region(kSecond).code(), EBUSY);
    ASSERT_TRUE(pool->drain_region(kSecond)) << last_error();
    ASSERT_TRUE(pool->drain_region(kSecond)) << "twice is no harm";
    EXPECT_EQ(pool->alloc(request_of(2 * kMiB)).code(), ENOSPC);
    EXPECT_TRUE(pool->to_hva(kept->gpa, 64));
    EXPECT_EQ(pool->status(kSecond).bytes_in_use, 2 * kMiB);
    EXPECT_EQ(pool->remove_region(kSecond).code(), EBUSY);
    EXPECT_NE(std::string(last_error()).find("2097152 bytes"), std::string::npos) << last_error();
    kept->hva[0] = std::byte{1};
    ASSERT_TRUE(pool->free(*kept, kStreaming));
    EXPECT_EQ(pool->status(kSecond).bytes_in_use, 0U);
    ASSERT_TRUE(pool->remove_region(kSecond)) << last_error();
    EXPECT_EQ(pool->status(kSecond).stage, RegionStage::kGone);
    EXPECT_EQ(pool->region(kSecond).fd(), -1);
    EXPECT_EQ(pool->stats().bytes, kMiB);
    EXPECT_EQ(pool->remove_region(kSecond).code(), EINVAL);
    EXPECT_EQ(pool->drain_region(kSecond).code(), EINVAL);
    EXPECT_EQ(pool->drain_region(RegionId{2}).code(), EINVAL);
    EXPECT_EQ(pool->remove_region(RegionId{2}).code(), EINVAL);
    EXPECT_EQ(pool->alloc(request_of(2 * kMiB)).code(), E2BIG);
    // Old tokens are errors, whatever is asked.
    EXPECT_EQ(pool->free(*kept, kStreaming).code(), EALREADY);
    EXPECT_EQ(pool->check(*kept, kStreaming).code(), EALREADY);
    Pool::Ending ending;
    EXPECT_EQ(pool->begin_free(*kept, kStreaming, 64, ending).code(), EALREADY);
    EXPECT_EQ(pool->to_hva(kept->gpa, 64).code(), EFAULT);
    ASSERT_TRUE(pool->renew()) << "of what is there: " << last_error();
    EXPECT_TRUE(pool->free(*small, kStreaming));
}

TEST(PoolRemoval, TheSameRangeComesBackUnderItsIndex) {
    const auto pool = make_pool(kMiB, 0);
    std::vector<Slot> old;
    for (int round = 0; round < 200; ++round) {
        auto added = pool->add_region(region_config(2 * kMiB, kGiB));
        ASSERT_TRUE(added) << last_error();
        ASSERT_EQ(*added, kSecond);
        auto slot = pool->alloc(request_of(2 * kMiB - 4096));
        ASSERT_TRUE(slot) << last_error();
        EXPECT_EQ(slot->epoch, static_cast<std::uint32_t>(round));
        EXPECT_EQ(slot->hva[0], std::byte{0});
        slot->hva[0] = std::byte{1};
        EXPECT_TRUE(old.empty() || !pool->free(old.back(), kStreaming));
        old.push_back(*slot);
        ASSERT_TRUE(pool->drain_region(kSecond));
        ASSERT_TRUE(pool->free(*slot, kStreaming));
        ASSERT_TRUE(pool->remove_region(kSecond)) << last_error();
    }
    // Another range, over the old one, is another region.
    auto other = pool->add_region(region_config(4 * kMiB, kGiB - 2 * kMiB));
    ASSERT_TRUE(other) << last_error();
    EXPECT_EQ(other->value, 2U);
    EXPECT_EQ(pool->add_region(region_config(2 * kMiB, kGiB)).code(), EINVAL) << "it overlaps now";
    for (const Slot& slot : old) EXPECT_NE(pool->free(slot, kStreaming).code(), 0);
    EXPECT_TRUE(pool->to_hva(Gpa{kGiB}, 4096));
}

TEST(PoolRemoval, AChunkThatCannotBeUnsharedStays) {
    test::FakePlatform platform;
    RegionConfig first = region_config(kMiB, 0);
    first.hooks = {test::FakePlatform::share, test::FakePlatform::unshare, &platform, kPageBytes};
    auto made = Pool::create(first);
    ASSERT_TRUE(made) << last_error();
    Pool& pool = **made;
    ASSERT_TRUE(pool.add_region(region_config(6 * kMiB, kGiB)));
    platform.refuse_unshare = {kGiB + 2 * kMiB};
    std::byte* const hva = pool.region(kSecond).hva();
    ASSERT_TRUE(pool.drain_region(kSecond));
    EXPECT_EQ(pool.remove_region(kSecond).code(), EIO);
    EXPECT_NE(std::string(last_error()).find("0x40200000"), std::string::npos) << last_error();
    EXPECT_EQ(pool.status(kSecond).stage, RegionStage::kGone);
    EXPECT_EQ(pool.status(kSecond).refused_bytes, 2 * kMiB);
    EXPECT_EQ(platform.shared_bytes(), kMiB + 2 * kMiB);
    EXPECT_EQ(hva[2 * kMiB], std::byte{0}) << "still mapped, and scrubbed";
    // The range comes back without it.
    platform.refuse_unshare.clear();
    ASSERT_TRUE(pool.add_region(region_config(6 * kMiB, kGiB))) << last_error();
    EXPECT_EQ(pool.status(kSecond).refused_bytes, 2 * kMiB);
    std::vector<Slot> slots;
    while (true) {
        auto slot = pool.alloc(request_of(4096));
        if (!slot) break;
        EXPECT_TRUE(slot->region() == kFirst || slot->gpa.value < kGiB + 2 * kMiB ||
                    slot->gpa.value >= kGiB + 4 * kMiB);
        EXPECT_TRUE(platform.shared(slot->gpa.value, 4096));
        slots.push_back(*slot);
    }
    EXPECT_EQ(slots.size(), (kMiB + 4 * kMiB) / 4096);
    for (const Slot& slot : slots) ASSERT_TRUE(pool.free(slot, kStreaming));
    made->reset();
    EXPECT_EQ(platform.shared_bytes(), 2 * kMiB);
    EXPECT_EQ(hva[2 * kMiB], std::byte{0}) << "the end of the pool does not unmap it either";
    EXPECT_EQ(platform.mistakes(), 0U);
    ::munmap(hva + 2 * kMiB, 2 * kMiB);
}

TEST(PoolRemoval, ACallersMappingIsTheCallersAgain) {
    test::FakePlatform platform;
    void* const data = ::mmap(nullptr, 4 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(data, MAP_FAILED);
    *static_cast<char*>(data) = 's';
    RegionConfig first = region_config(kMiB, 0);
    first.hooks = {test::FakePlatform::share, test::FakePlatform::unshare, &platform, kPageBytes};
    auto made = Pool::create(first);
    ASSERT_TRUE(made);
    RegionConfig imported = region_config(4 * kMiB, kGiB);
    imported.imported_hva = data;
    ASSERT_TRUE((*made)->add_region(imported)) << last_error();
    EXPECT_EQ(*static_cast<char*>(data), 0) << "nothing private becomes visible";
    EXPECT_EQ((*made)->renew().code(), ENOTSUP);
    ASSERT_TRUE((*made)->drain_region(kSecond));
    ASSERT_TRUE((*made)->remove_region(kSecond)) << last_error();
    EXPECT_EQ(platform.shared_bytes(), kMiB);
    EXPECT_EQ(*static_cast<char*>(data), 0);
    ASSERT_TRUE((*made)->add_region(imported)) << last_error();
    EXPECT_EQ((*made)->regions(), 3U);
    made->reset();
    EXPECT_EQ(platform.mistakes(), 0U);
    EXPECT_EQ(::munmap(data, 4 * kMiB), 0);
}

TEST(PoolRemoval, ThePoolGoesOnWithoutItsFirstRegion) {
    const auto pool = make_pool(kMiB, 0);
    ASSERT_TRUE(pool->drain_region(kFirst));
    EXPECT_EQ(pool->alloc(request_of(64)).code(), ENOSPC);
    ASSERT_TRUE(pool->remove_region(kFirst)) << last_error();
    EXPECT_EQ(pool->alloc(request_of(64)).code(), E2BIG);
    EXPECT_EQ(pool->stats().bytes, 0U);
    ASSERT_TRUE(pool->add_region(region_config(4 * kMiB, kGiB)));
    auto slot = pool->alloc(request_of(64));
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot->region(), kSecond);
    EXPECT_TRUE(pool->free(*slot, kStreaming));
}

// Whatever a thread is in the middle of when a region goes.
TEST(PoolRemoval, UnderLoad) {
    const auto pool = make_pool(kMiB, 0);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> errors{0};
    std::vector<std::thread> threads;
    for (unsigned index = 0; index < 2; ++index) {
        threads.emplace_back([&, index] {
            for (std::uint64_t i = index; !stop.load(); ++i) {
                auto slot = pool->alloc(request_of(64U << (i % 15)));
                if (!slot) continue;
                slot->hva[0] = std::byte{1};
                if (!pool->find_in_slot(slot->hva, 1, kStreaming)) errors.fetch_add(1);
                if (!pool->free(*slot, kStreaming)) errors.fetch_add(1);
            }
        });
    }
    for (int round = 0; round < 300; ++round) {
        ASSERT_TRUE(pool->add_region(region_config(2 * kMiB, kGiB))) << last_error();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        ASSERT_TRUE(pool->drain_region(kSecond)) << last_error();
        while (!pool->remove_region(kSecond)) std::this_thread::yield();
    }
    stop.store(true);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(errors.load(), 0U);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
}

}  // namespace
}  // namespace bounce
