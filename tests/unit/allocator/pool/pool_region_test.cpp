// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool and its regions: adding, renewing, what the pool may and may not do to their memory.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "tests/support/emulator.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;

std::uint64_t resident_bytes() {
    unsigned long long size = 0;
    unsigned long long resident = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%llu %llu", &size, &resident) != 2) resident = 0;
    if (file != nullptr) std::fclose(file);
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(PoolRegion, NoneMayOverlap) {
    const auto pool = make_pool(4 * kMiB, 16 * kMiB);
    for (const auto& [bytes, base] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {kMiB, 16 * kMiB}, {kMiB, 20 * kMiB - 4096}, {2 * kMiB, 14 * kMiB + 4096}, {64 * kMiB, 0}}) {
        auto added = pool->add_region(region_config(bytes, base));
        EXPECT_EQ(added.code(), EINVAL) << base;
    }
    EXPECT_EQ(pool->regions(), 1U);
    EXPECT_TRUE(pool->add_region(region_config(kMiB, 20 * kMiB)));
    EXPECT_TRUE(pool->add_region(region_config(kMiB, 15 * kMiB)));
    EXPECT_TRUE(pool->add_region(region_config(kMiB, 0 - kMiB)));
    EXPECT_EQ(pool->add_region(region_config(2 * kMiB, 0 - kMiB)).code(), EINVAL);
    EXPECT_EQ(pool->regions(), 4U);
    RegionConfig alias = region_config(kMiB, kGiB);
    alias.imported_hva = pool->region(RegionId{1}).hva();
    EXPECT_EQ(pool->add_region(alias).code(), EINVAL);
}

TEST(PoolRegion, ThereAreAtMost64) {
    const auto pool = make_pool(64 * kKiB, 0);
    for (std::uint64_t i = 1; i < Pool::kMaxRegions; ++i) {
        auto added = pool->add_region(region_config(64 * kKiB, i * kMiB));
        ASSERT_TRUE(added) << last_error();
        EXPECT_EQ(added->value, i);
    }
    EXPECT_EQ(pool->add_region(region_config(64 * kKiB, kGiB)).code(), EINVAL);
    // All of them are used, and every slot goes home.
    std::vector<Slot> slots;
    while (true) {
        auto slot = pool->alloc(request_of(4096));
        if (!slot) break;
        slots.push_back(*slot);
    }
    EXPECT_EQ(slots.size(), Pool::kMaxRegions * 16);
    EXPECT_EQ(slots.back().region(), RegionId{63});
    for (const Slot& slot : slots) ASSERT_TRUE(pool->free(slot, kStreaming));
    EXPECT_EQ(pool->alloc(request_of(64 * kKiB + 1)).code(), E2BIG);
}

TEST(PoolRegion, ALargeRequestGoesWhereItFits) {
    const auto pool = make_pool(kMiB, 0);
    ASSERT_TRUE(pool->add_region(region_config(16 * kMiB, kGiB)));
    auto slot = pool->alloc(request_of(10 * kMiB));
    ASSERT_TRUE(slot) << last_error();
    EXPECT_EQ(slot->region(), RegionId{1});
    ASSERT_TRUE(pool->free(*slot, kStreaming));
}

TEST(PoolRegion, ThePoolNeverWritesToShared) {
    const auto pool = make_pool(16 * kMiB);
    std::mt19937 random(3);
    std::vector<Slot> live;
    for (int i = 0; i < 20000; ++i) {
        if (live.empty() || random() % 2 == 0) {
            auto slot = pool->alloc(request_of(1 + random() % (64U << (random() % 14))));
            if (slot) live.push_back(*slot);
        } else {
            std::swap(live[random() % live.size()], live.back());
            ASSERT_TRUE(pool->free(live.back(), kStreaming));
            live.pop_back();
        }
    }
    (void)pool->stats();
    // Not one page of the memfd exists.
    EXPECT_EQ(::lseek(pool->region(RegionId{0}).fd(), 0, SEEK_DATA), -1);
    EXPECT_EQ(errno, ENXIO);
}

TEST(PoolRegion, ATebibyteCostsNothingUntilItIsUsed) {
    if (test::kEmulated) GTEST_SKIP() << test::kCostlyReserve;
    const std::uint64_t before = resident_bytes();
    auto pool = Pool::create(region_config(1024 * kGiB, 1024 * kGiB));
    if (!pool && pool.code() == ENOMEM) GTEST_SKIP() << last_error();
    ASSERT_TRUE(pool) << last_error();
    std::vector<Slot> slots;
    for (std::uint64_t bytes = 64; bytes <= 64 * kMiB; bytes *= 2) {
        auto slot = (*pool)->alloc(request_of(bytes));
        ASSERT_TRUE(slot) << last_error();
        slots.push_back(*slot);
    }
    EXPECT_LT(resident_bytes(), before + 16 * kMiB);
    for (const Slot& slot : slots) ASSERT_TRUE((*pool)->free(slot, kStreaming));
}

TEST(PoolRegion, RenewKeepsTokensAndZeroesMemory) {
    const auto pool = make_pool(kMiB);
    ASSERT_TRUE(pool->add_region(region_config(kMiB, 8 * kGiB)));
    auto slot = pool->alloc(request_of(4096));
    ASSERT_TRUE(slot);
    slot->hva[7] = std::byte{7};
    ASSERT_TRUE(pool->renew()) << last_error();
    EXPECT_EQ(slot->hva[7], std::byte{0});
    EXPECT_EQ(pool->region(RegionId{0}).epoch(), 1U);
    EXPECT_EQ(pool->region(RegionId{1}).epoch(), 1U);
    auto later = pool->alloc(request_of(4096));
    ASSERT_TRUE(later);
    EXPECT_EQ(slot->epoch, 0U);
    EXPECT_EQ(later->epoch, 1U);
    EXPECT_TRUE(pool->check(*slot, kStreaming));
    EXPECT_TRUE(pool->free(*slot, kStreaming));
    EXPECT_TRUE(pool->free(*later, kStreaming));
}

TEST(PoolRegion, RenewIsAllOrNothingWithImportedMemory) {
    const auto pool = make_pool(kMiB);
    void* const data = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(data, MAP_FAILED);
    RegionConfig config = region_config(kMiB, 0);
    config.imported_hva = data;
    ASSERT_TRUE(pool->add_region(config));
    EXPECT_EQ(pool->renew().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("region 1"), std::string::npos) << last_error();
    EXPECT_EQ(pool->region(RegionId{0}).epoch(), 0U);
    ::munmap(data, kMiB);
}

TEST(PoolRegion, WhenRenewFailsItSaysWhere) {
    const auto pool = make_pool(kMiB);
    auto slot = pool->alloc(request_of(64));
    ASSERT_TRUE(slot);
    slot->hva[0] = std::byte{1};
    struct rlimit before {};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = before;
    none.rlim_cur = 0;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    auto renewed = pool->renew();
    auto added = pool->add_region(region_config(kMiB, 0));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(renewed.code(), ENOMEM);
    EXPECT_EQ(added.code(), ENOMEM);
    EXPECT_EQ(pool->regions(), 1U);
    EXPECT_EQ(slot->hva[0], std::byte{1});
}

}  // namespace
}  // namespace bounce
