// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool that grows and shrinks: by service(), and in line.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

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
constexpr std::uint64_t kBase = 4 * kGiB;

bool readable(int fd) {
    pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, 0) == 1;
}

GrowthConfig limited_to(std::uint64_t bytes) {
    GrowthConfig growth;
    growth.limit_bytes = bytes;
    return growth;
}

class PoolService : public ::testing::Test {
protected:
    void create(std::uint64_t bytes = 4 * kMiB) {
        auto made = Pool::create(first_ = with_hooks(region_config(bytes, kBase)), growth_);
        ASSERT_TRUE(made) << last_error();
        pool_ = std::move(*made);
    }
    RegionConfig with_hooks(RegionConfig config) {
        if (hooked_) config.hooks = {test::FakePlatform::share, test::FakePlatform::unshare, &platform_, kPageBytes};
        return config;
    }
    /// Until there is nothing to do; how many calls that were.
    int serve() {
        for (int calls = 1; calls < 10'000; ++calls) {
            auto more = pool_->service();
            EXPECT_TRUE(more) << last_error();
            if (!more || !*more) return calls;
        }
        ADD_FAILURE() << "service never ends";
        return 0;
    }
    Slot take(std::uint64_t bytes) {
        auto slot = pool_->alloc(request_of(bytes));
        EXPECT_TRUE(slot) << last_error();
        if (slot) slots_.push_back(*slot);
        return slot ? *slot : Slot{};
    }
    void free_all() {
        for (const Slot& slot : slots_) EXPECT_TRUE(pool_->free(slot, kStreaming)) << last_error();
        slots_.clear();
    }
    void wait_past(std::uint64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms + 2)); }

    bool hooked_ = false;
    test::FakePlatform platform_;
    GrowthConfig growth_ = limited_to(64 * kMiB);
    RegionConfig first_;
    std::unique_ptr<Pool> pool_;
    std::vector<Slot> slots_;
};

TEST_F(PoolService, WithoutALimitNothingHappens) {
    const auto pool = make_pool(kMiB);
    EXPECT_EQ(pool->event_fd(), -1);
    auto more = pool->service();
    ASSERT_TRUE(more);
    EXPECT_FALSE(*more);
}

TEST_F(PoolService, TheEventComesOnceAtTheLowWatermark) {
    growth_.low_watermark = kMiB;
    create();
    take(2 * kMiB);
    take(kMiB);
    EXPECT_FALSE(readable(pool_->event_fd()));
    take(64);
    take(64);
    EXPECT_TRUE(readable(pool_->event_fd()));
    auto more = pool_->service();
    ASSERT_TRUE(more) << last_error();
    EXPECT_FALSE(*more);
    EXPECT_FALSE(readable(pool_->event_fd()));
    EXPECT_EQ(pool_->regions(), 2U);
    const PoolStats stats = pool_->stats();
    EXPECT_EQ(stats.bytes, 8 * kMiB);
    EXPECT_EQ(stats.grows, 1U);
    EXPECT_EQ(pool_->region(RegionId{1}).base().value, kBase + 4 * kMiB);
    take(2 * kMiB);
    EXPECT_FALSE(readable(pool_->event_fd()));
    free_all();
}

TEST_F(PoolService, ReachesTheLimitWithoutAFailureAndNoFurther) {
    growth_.low_watermark = kMiB;
    create();
    std::uint64_t taken = 0;
    // No more than the watermark between two services.
    while (taken < 64 * kMiB - 2 * kMiB) {
        take(256 * kKiB);
        taken += 256 * kKiB;
        if (readable(pool_->event_fd())) serve();
    }
    EXPECT_EQ(pool_->stats().bytes, 64 * kMiB);
    EXPECT_EQ(pool_->regions(), 5U);
    EXPECT_EQ(pool_->stats().full, 0U);
    while (pool_->stats().used_bytes < 64 * kMiB) take(64 * kKiB);
    EXPECT_FALSE(readable(pool_->event_fd())) << "nobody can help";
    EXPECT_EQ(pool_->alloc(request_of(64)).code(), ENOSPC);
    EXPECT_FALSE(readable(pool_->event_fd()));
    EXPECT_EQ(pool_->alloc(request_of(64 * kMiB)).code(), E2BIG);
    free_all();
}

TEST_F(PoolService, GrowsForARequestThatFailed) {
    create();
    EXPECT_EQ(pool_->alloc(request_of(64 * kMiB)).code(), E2BIG) << "never";
    EXPECT_FALSE(readable(pool_->event_fd()));
    EXPECT_EQ(pool_->alloc(request_of(30 * kMiB)).code(), ENOSPC) << "but later";
    EXPECT_TRUE(readable(pool_->event_fd()));
    serve();
    EXPECT_EQ(pool_->regions(), 2U);
    take(30 * kMiB);
    // Not for one that cannot have what would come.
    AllocRequest low = request_of(4 * kMiB);
    low.max_address = kBase + 4 * kMiB - 1;
    take(64);
    serve();
    free_all();
    ASSERT_TRUE(pool_->alloc(low)) << last_error();
    EXPECT_EQ(pool_->alloc(low).code(), ENOSPC);
    EXPECT_FALSE(readable(pool_->event_fd()));
}

TEST_F(PoolService, InLine) {
    growth_.in_line = true;
    create();
    for (int i = 0; i < 60; ++i) take(kMiB);
    EXPECT_EQ(pool_->stats().full, 0U);
    EXPECT_EQ(pool_->stats().bytes, 64 * kMiB);
    while (pool_->alloc(request_of(kMiB))) {
    }
    EXPECT_EQ(pool_->stats().full, 1U);
    EXPECT_EQ(pool_->regions(), 5U);
}

TEST_F(PoolService, InLineOpensNoMoreThanItNeeds) {
    hooked_ = true;
    growth_.in_line = true;
    growth_.limit_bytes = 128 * kMiB;
    create(32 * kMiB);
    EXPECT_EQ(platform_.shared_bytes(), 32 * kMiB);
    take(32 * kMiB);
    take(64);
    EXPECT_LE(platform_.shared_bytes(), 32 * kMiB + 4 * kMiB);
    take(10 * kMiB);
    EXPECT_LE(platform_.shared_bytes(), 32 * kMiB + 20 * kMiB);
    for (const Slot& slot : slots_) EXPECT_TRUE(platform_.shared(slot.gpa.value, 64));
    EXPECT_TRUE(platform_.shared(slots_[2].gpa.value, 10 * kMiB));
    free_all();
    pool_.reset();
    EXPECT_EQ(platform_.shared_bytes(), 0U);
    EXPECT_EQ(platform_.mistakes(), 0U);
}

TEST_F(PoolService, SharesABoundedNumberOfChunksPerCall) {
    hooked_ = true;
    create(32 * kMiB);
    take(26 * kMiB);
    const auto region = pool_->service();
    ASSERT_TRUE(region && *region) << last_error();
    for (unsigned before = platform_.calls();; before = platform_.calls()) {
        const auto more = pool_->service();
        ASSERT_TRUE(more) << last_error();
        EXPECT_EQ(platform_.calls(), before + Pool::kChunksPerService);
        if (!*more) break;
    }
    EXPECT_EQ(platform_.shared_bytes(), 64 * kMiB);
    take(16 * kMiB);
    free_all();
}

TEST_F(PoolService, AChunkThatCannotBeSharedIsLeftOut) {
    hooked_ = true;
    platform_.refuse_share = {kBase + 2 * kMiB, kBase + 6 * kMiB};
    create();
    EXPECT_EQ(pool_->status(RegionId{0}).refused_bytes, 2 * kMiB);
    take(2 * kMiB);
    EXPECT_EQ(pool_->alloc(request_of(64)).code(), ENOSPC);
    EXPECT_NE(std::string(last_error()).find("GPA 0x100200000"), std::string::npos) << last_error();
    const auto more = pool_->service();
    ASSERT_TRUE(more && *more) << last_error();
    EXPECT_EQ(pool_->service().code(), EIO);
    EXPECT_NE(std::string(last_error()).find("0x100600000"), std::string::npos) << last_error();
    serve();
    EXPECT_EQ(pool_->status(RegionId{1}).refused_bytes, 2 * kMiB);
    for (int i = 0; i < 32; ++i) {
        const Slot slot = take(64 * kKiB);
        EXPECT_TRUE(platform_.shared(slot.gpa.value, 64 * kKiB));
    }
    free_all();
}

TEST_F(PoolService, APoolWithoutOneSharedChunkIsNone) {
    hooked_ = true;
    platform_.refuse_every = 1;
    auto made = Pool::create(with_hooks(region_config(4 * kMiB, kBase)));
    EXPECT_EQ(made.code(), EIO);
    platform_.refuse_every = 0;
    create();
    platform_.refuse_every = 1;
    EXPECT_EQ(pool_->add_region(region_config(4 * kMiB, 0)).code(), EIO);
    EXPECT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kGone);
    EXPECT_EQ(pool_->stats().bytes, 4 * kMiB);
    platform_.refuse_every = 0;
    auto added = pool_->add_region(region_config(4 * kMiB, 0));
    ASSERT_TRUE(added) << last_error();
    EXPECT_EQ(added->value, 1U);
    take(4 * kMiB);
    take(4 * kMiB);
    free_all();
}

TEST_F(PoolService, PrefaultsWhatItGrows) {
    growth_.prefault = true;
    create();
    take(4 * kMiB);
    serve();
    struct stat status {};
    ASSERT_EQ(::fstat(pool_->region(RegionId{1}).fd(), &status), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 4 * kMiB);
    free_all();
}

TEST_F(PoolService, ShrinksWhenMuchHasBeenFreeForAWhile) {
    growth_.shrink_delay_ms = 20;
    create();
    for (int i = 0; i < 20; ++i) {
        take(kMiB);
        serve();
    }
    ASSERT_EQ(pool_->stats().bytes, 32 * kMiB);
    const Slot old = slots_.back();
    free_all();
    serve();
    EXPECT_EQ(pool_->stats().bytes, 32 * kMiB);
    // The newest first, each after its time.
    for (const std::uint64_t left : {16U, 8U, 4U}) {
        serve();
        EXPECT_EQ(pool_->stats().bytes, 2 * left * kMiB);
        wait_past(20);
        serve();  // drained
        serve();  // removed
        EXPECT_EQ(pool_->stats().bytes, left * kMiB);
    }
    wait_past(20);
    serve();
    serve();
    EXPECT_EQ(pool_->stats().bytes, 4 * kMiB) << "the first region stays";
    EXPECT_EQ(pool_->stats().shrinks, 3U);
    EXPECT_EQ(pool_->free(old, kStreaming).code(), EALREADY);
    EXPECT_EQ(pool_->to_hva(old.gpa, 1).code(), EFAULT);
    EXPECT_EQ(pool_->to_gpa(old.hva, 1).code(), EFAULT);
    EXPECT_EQ(pool_->find_in_slot(old.hva, 1, kStreaming).code(), EFAULT);
    // And it grows again, at the same places.
    for (int i = 0; i < 20; ++i) {
        take(kMiB);
        serve();
    }
    EXPECT_EQ(pool_->regions(), 4U);
    EXPECT_EQ(pool_->stats().bytes, 32 * kMiB);
    EXPECT_NE(pool_->free(old, kStreaming).code(), 0);
    free_all();
}

TEST_F(PoolService, ADrainedRegionIsTakenBackBeforeItGrows) {
    growth_.shrink_delay_ms = 1;
    create();
    take(3 * kMiB + 512 * kKiB);
    serve();
    take(kMiB);
    ASSERT_EQ(slots_.back().region(), RegionId{1});
    ASSERT_TRUE(pool_->free(slots_.front(), kStreaming));
    slots_.erase(slots_.begin());
    serve();
    wait_past(1);
    serve();
    ASSERT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kDraining);
    EXPECT_GT(pool_->status(RegionId{1}).bytes_in_use, 0U);
    serve();
    take(kMiB);
    EXPECT_EQ(slots_.back().region(), RegionId{0});
    take(2 * kMiB);
    EXPECT_TRUE(readable(pool_->event_fd()));
    serve();
    EXPECT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kActive);
    EXPECT_EQ(pool_->stats().grows, 1U);
    take(3 * kMiB);
    free_all();
}

TEST_F(PoolService, WhileItIsLentWhatComesWaitsToBeShown) {
    create();
    ASSERT_TRUE(pool_->lend());
    take(3 * kMiB + 256 * kKiB);
    EXPECT_TRUE(readable(pool_->event_fd()));
    serve();
    EXPECT_EQ(pool_->regions(), 2U);
    EXPECT_FALSE(pool_->status(RegionId{1}).usable);
    EXPECT_EQ(pool_->alloc(request_of(kMiB)).code(), ENOSPC);
    serve();
    EXPECT_EQ(pool_->regions(), 2U) << "it does not grow again and again meanwhile";
    EXPECT_EQ(pool_->hold_regions(), 3U);
    pool_->use_regions(3);
    take(kMiB);
    EXPECT_EQ(slots_.back().region(), RegionId{1});
    pool_->limit_regions(2);
    EXPECT_EQ(pool_->alloc(request_of(5 * kMiB)).code(), E2BIG);
    serve();
    EXPECT_EQ(pool_->regions(), 2U);
    free_all();
    pool_->take_back();
}

TEST_F(PoolService, ARegionThatAPeerSeesIsNotRemovedUnderIt) {
    growth_.shrink_delay_ms = 1;
    create();
    take(4 * kMiB);
    serve();
    ASSERT_TRUE(pool_->lend());
    free_all();
    serve();
    wait_past(1);
    serve();
    ASSERT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kDraining);
    serve();
    EXPECT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kDraining);
    EXPECT_EQ(pool_->remove_region(RegionId{1}).code(), EBUSY);
    EXPECT_EQ(pool_->leave_regions(), 2U);
    EXPECT_EQ(pool_->remove_region(RegionId{1}).code(), EBUSY) << "not said yet";
    pool_->use_regions(1);
    serve();
    EXPECT_EQ(pool_->status(RegionId{1}).stage, RegionStage::kGone);
    EXPECT_EQ(pool_->hold_regions(), 1U);
    pool_->take_back();
    EXPECT_EQ(pool_->usable_regions(), 1U);
}

TEST_F(PoolService, OptionsAreChecked) {
    const auto refused = [&](const char* part) {
        auto made = Pool::create(region_config(4 * kMiB, kBase), growth_);
        EXPECT_EQ(made.code(), EINVAL);
        EXPECT_NE(std::string(last_error()).find(part), std::string::npos) << last_error();
    };
    growth_.limit_bytes = 2 * kMiB;
    refused("limit");
    growth_.limit_bytes = 64 * kMiB;
    growth_.base_gpa = Gpa{kBase + 2 * kMiB};
    refused("grows into");
    growth_.base_gpa = Gpa{kMiB};
    refused("multiple of 2 MiB");
    growth_.base_gpa = Gpa{0 - 32 * kMiB};
    refused("last address");
    growth_.base_gpa = Gpa{8 * kGiB};
    create();
    EXPECT_EQ(pool_->add_region(region_config(kMiB, 8 * kGiB + kMiB)).code(), EINVAL);
    take(4 * kMiB);
    serve();
    EXPECT_EQ(pool_->region(RegionId{1}).base(), Gpa{8 * kGiB});
    free_all();
}

}  // namespace
}  // namespace bounce
