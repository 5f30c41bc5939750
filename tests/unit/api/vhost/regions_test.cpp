// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool that grows and shrinks while a back-end has it.
#include <chrono>
#include <thread>
#include <vector>

#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace bounce::vhost {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint32_t kAdd = 37;
constexpr std::uint32_t kRemove = 38;
constexpr RegionId kGrown{1};

class Growing : public FrontendTest {
protected:
    Growing() {
        RegionConfig first;
        first.bytes = 4 * kMiB;
        first.base_gpa = Gpa{kTestGpa};
        GrowthConfig growth;
        growth.limit_bytes = 64 * kMiB;
        growth.shrink_delay_ms = 1;
        auto made = Pool::create(first, growth);
        if (!made) throw std::runtime_error(last_error());
        pool_ = std::move(*made);
    }
    void serve() {
        for (;;) {
            auto more = pool_->service();
            ASSERT_TRUE(more) << last_error();
            if (!*more) return;
        }
    }
    Result<Slot> take(std::uint64_t bytes) { return pool_->alloc({.bytes = bytes}); }
    void free(const Slot& slot) { ASSERT_TRUE(pool_->free(slot, SlotKind::kStreaming)) << last_error(); }
    /// The pool wants to be rid of the region that it grew by.
    void shrink() {
        serve();
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        serve();
        ASSERT_EQ(pool_->status(kGrown).stage, RegionStage::kDraining);
    }
};

TEST_F(Growing, ServiceAddsAndSyncShows) {
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC) << "the back-end does not know it yet";
    EXPECT_EQ(backend_.log(kAdd).size(), 1U);
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    EXPECT_EQ(backend_.log(kAdd).size(), 2U);
    auto slot = take(10 * kMiB);
    ASSERT_TRUE(slot) << last_error();
    EXPECT_EQ(slot->region(), kGrown);
    free(*slot);
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(Growing, SyncTakesAwayWhatIsEmptyAndServiceRemovesIt) {
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    auto slot = take(10 * kMiB);
    ASSERT_TRUE(slot);
    // Drained by hand here, for it is in use.
    ASSERT_TRUE(pool_->drain_region(kGrown));
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    EXPECT_TRUE(backend_.log(kRemove).empty());
    free(*slot);
    EXPECT_EQ(pool_->remove_region(kGrown).code(), EBUSY);
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    const auto removed = backend_.log(kRemove);
    ASSERT_EQ(removed.size(), 1U);
    EXPECT_EQ(removed[0].payload.size(), 40U);
    EXPECT_EQ(removed[0].u64(8), kTestGpa + 4 * kMiB);
    EXPECT_EQ(removed[0].u64(16), pool_->region(kGrown).bytes());
    EXPECT_TRUE(removed[0].fds.empty());
    ASSERT_TRUE(pool_->remove_region(kGrown)) << last_error();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    EXPECT_EQ(backend_.log(kRemove).size(), 1U);
    // And again, by the pool itself, at the same place with other memory.
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    auto again = take(10 * kMiB);
    ASSERT_TRUE(again) << last_error();
    EXPECT_EQ(again->hva, slot->hva);
    free(*again);
    shrink();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    serve();
    EXPECT_EQ(pool_->status(kGrown).stage, RegionStage::kGone);
    EXPECT_EQ(backend_.log(kRemove).size(), 2U);
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    EXPECT_EQ(backend_.log(kAdd).size(), 4U) << "what is gone is not shown";
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(Growing, WithoutMemorySlotsTheSizeIsFixed) {
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    backend_.protocol &= ~kConfigureMemSlots;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(take(20 * kMiB).code(), E2BIG);
    serve();
    EXPECT_EQ(pool_->regions(), 2U);
    shrink();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    serve();
    EXPECT_EQ(pool_->status(kGrown).stage, RegionStage::kDraining) << "it stays as long as the back-end";
    ASSERT_TRUE(close());
    serve();
    EXPECT_EQ(pool_->status(kGrown).stage, RegionStage::kGone);
    expect_clean();
}

TEST_F(Growing, ABackEndThatRefusesToForgetKeepsTheRegion) {
    backend_.instead[kRemove] = [](test::Peer& peer, test::Message& message) { peer.reply(message, std::uint64_t{1}); };
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    shrink();
    EXPECT_EQ(frontend_->sync_regions().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("REM_MEM_REG"), std::string::npos) << last_error();
    serve();
    EXPECT_EQ(pool_->status(kGrown).stage, RegionStage::kDraining);
    EXPECT_EQ(pool_->remove_region(kGrown).code(), EBUSY);
    ASSERT_TRUE(close());
    ASSERT_TRUE(pool_->remove_region(kGrown)) << last_error();
    expect_clean();
}

TEST_F(Growing, OneThatIsTakenAwayCanComeBackBeforeItIsRemoved) {
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    shrink();
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    serve();
    EXPECT_EQ(pool_->status(kGrown).stage, RegionStage::kActive);
    EXPECT_EQ(take(10 * kMiB).code(), ENOSPC);
    ASSERT_TRUE(frontend_->sync_regions()) << last_error();
    auto slot = take(10 * kMiB);
    ASSERT_TRUE(slot) << last_error();
    free(*slot);
    EXPECT_EQ(backend_.log(kAdd).size(), 3U);
    ASSERT_TRUE(close());
    expect_clean();
}

}  // namespace
}  // namespace bounce::vhost
