// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Threads map and unmap while the pool grows, shrinks, and loses regions, and conversions fail now and then: no data is
// lost, nothing fails that need not, nobody is handed memory that is not shared, and no thread comes from us.
#include <dirent.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "bounce/bounce.h"
#include "tests/support/fake_platform.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
constexpr unsigned kThreads = 3;

std::size_t thread_count() {
    std::size_t n = 0;
    DIR* const folder = ::opendir("/proc/self/task");
    if (folder == nullptr) return 0;
    while (const dirent* const entry = ::readdir(folder)) n += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(folder);
    return n;
}

struct Live {
    bounce_mapping mapping;
    std::vector<unsigned char> data;
};

class GrowthStress : public ::testing::Test {
protected:
    void create(std::uint32_t flags, std::uint32_t shrink_delay_ms, bool hooks) {
        bounce_pool_options options{};
        options.size = sizeof options;
        options.region.size = sizeof options.region;
        options.region.bytes = 2 * kMiB;
        options.region.base_gpa = kBase;
        options.flags = flags;
        options.limit_bytes = 32 * kMiB;
        options.shrink_delay_ms = shrink_delay_ms;
        // So that it always has something to do.
        options.high_watermark = 2 * kMiB;
        options.low_watermark = kMiB;
        hooks_ = hooks;
        if (hooks) {
            options.share = test::FakePlatform::share;
            options.unshare = test::FakePlatform::unshare;
            options.share_user = &platform_;
        }
        ASSERT_EQ(bounce_pool_create(&options, &pool_), 0) << bounce_last_error();
        bounce_device_options of_device{};
        of_device.size = sizeof of_device;
        ASSERT_EQ(bounce_device_create(pool_, &of_device, &device_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(errors_.load(), 0U);
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
        EXPECT_EQ(platform_.mistakes(), 0U);
    }

    /// Load comes in waves, so that the pool is too small and too large in turns.
    void work(unsigned index) {
        std::mt19937 random(index);
        std::vector<Live> mine;
        while (!stop_.load(std::memory_order_relaxed)) {
            const std::size_t most = random() % 2 == 0 ? 4 : 60;
            for (int step = 0; step < 200; ++step) {
                if (mine.size() < most && random() % 2 == 0) {
                    map(mine, 1 + random() % (std::size_t{64} << (random() % 14)),
                        static_cast<unsigned char>(random()));
                } else if (!mine.empty()) {
                    std::swap(mine[random() % mine.size()], mine.back());
                    unmap(mine);
                }
            }
        }
        while (!mine.empty()) unmap(mine);
    }
    void map(std::vector<Live>& mine, std::size_t bytes, unsigned char value) {
        Live live{{}, std::vector<unsigned char>(bytes, value)};
        const int status = bounce_device_map(device_, live.data.data(), bytes, BOUNCE_BIDIRECTIONAL, 0, &live.mapping);
        if (status != 0) {
            failed_.fetch_add(1);
            expect(status == -ENOSPC);
            return;
        }
        mapped_.fetch_add(1);
        if (hooks_) expect(platform_.shared(live.mapping.addr, bytes));
        void* hva = nullptr;
        expect(bounce_pool_gpa_to_hva(pool_, live.mapping.addr, bytes, &hva) == 0 && hva == live.mapping.slot);
        // The "device": it answers with the complement.
        auto* const slot = static_cast<unsigned char*>(live.mapping.slot);
        expect(slot[0] == value && slot[bytes - 1] == value);
        std::memset(slot, static_cast<unsigned char>(~value), bytes);
        mine.push_back(std::move(live));
    }
    void unmap(std::vector<Live>& mine) {
        Live live = std::move(mine.back());
        mine.pop_back();
        const auto expected = static_cast<unsigned char>(~live.data[0]);
        bounce_mapping copy = live.mapping;
        expect(bounce_device_unmap(device_, &live.mapping, SIZE_MAX) == 0);
        for (const unsigned char byte : live.data) {
            if (byte != expected) return expect(false);
        }
        copy.device += 1;  // foreign: an error, wherever its region has gone by now
        expect(bounce_device_unmap(device_, &copy, 0) == -EXDEV);
    }
    void expect(bool good) {
        if (!good) errors_.fetch_add(1);
    }

    /// Until the time has passed and enough has happened, on a slow machine too.
    bool goes_on(std::chrono::steady_clock::time_point end) {
        const auto now = std::chrono::steady_clock::now();
        const bool enough = mapped_.load() > 1000 && (platform_.refuse_every == 0 || platform_.refusals() > 0);
        return now < end || (!enough && now < end + std::chrono::seconds(60));
    }

    /// What the host's thread does; regions 1 and up are also drained and removed behind the service's back.
    void serve(std::chrono::milliseconds time, bool by_hand) {
        std::mt19937 random(99);
        const auto end = std::chrono::steady_clock::now() + time;
        while (goes_on(end)) {
            for (int more = 1; more == 1;) more = bounce_pool_service(pool_);
            bounce_pool_stats stats;
            expect(bounce_pool_get_stats(pool_, &stats) == 0 && stats.bytes <= 32 * kMiB);
            expect(thread_count() == threads_);
            if (by_hand && stats.regions > 1 && random() % 8 == 0) {
                const std::uint32_t index = 1 + static_cast<std::uint32_t>(random()) % (stats.regions - 1);
                if (bounce_pool_drain_region(pool_, index) == 0) drained_.push_back(index);
            }
            for (std::size_t i = 0; i < drained_.size(); ++i) {
                const int status = bounce_pool_remove_region(pool_, drained_[i]);
                if (status == -EBUSY) continue;
                removed_ += status == 0 || status == -EIO ? 1 : 0;
                drained_[i--] = drained_.back();
                drained_.pop_back();
            }
            std::this_thread::yield();
        }
    }
    void run(std::chrono::milliseconds time, bool served, bool by_hand) {
        std::vector<std::thread> threads;
        std::thread([] {}).join();  // a sanitizer's runtime may start a thread of its own with the first
        threads_ = thread_count() + kThreads;
        for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { work(i); });
        if (served) {
            serve(time, by_hand);
        } else {
            const auto end = std::chrono::steady_clock::now() + time;
            while (goes_on(end)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
            EXPECT_EQ(thread_count(), threads_);
        }
        stop_.store(true);
        for (auto& thread : threads) thread.join();
        bounce_pool_stats stats;
        ASSERT_EQ(bounce_pool_get_stats(pool_, &stats), 0);
        EXPECT_EQ(stats.slots, 0U);
        EXPECT_EQ(stats.used_bytes, 0U);
        EXPECT_GT(stats.grows, 0U);
        EXPECT_GT(mapped_.load(), 1000U);
        RecordProperty("grows", static_cast<int>(stats.grows));
        std::printf(
            "%llu mapped, %llu failed, %llu grown, %llu shrunk, %u removed by hand, %u conversions, %u failed\n",
            static_cast<unsigned long long>(mapped_.load()), static_cast<unsigned long long>(failed_.load()),
            static_cast<unsigned long long>(stats.grows), static_cast<unsigned long long>(stats.shrinks), removed_,
            platform_.calls(), platform_.refusals());
    }

    test::FakePlatform platform_;
    bool hooks_ = false;
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    std::atomic<bool> stop_{false};
    std::atomic<unsigned> errors_{0};
    std::atomic<std::uint64_t> mapped_{0};
    std::atomic<std::uint64_t> failed_{0};
    std::size_t threads_ = 0;
    unsigned removed_ = 0;
    std::vector<std::uint32_t> drained_;
};

TEST_F(GrowthStress, ServedItGrowsAndShrinks) {
    create(0, 1, false);
    run(std::chrono::milliseconds(1500), true, false);
}

TEST_F(GrowthStress, RegionsGoByHandAsWell) {
    create(0, 1, false);
    run(std::chrono::milliseconds(1500), true, true);
    EXPECT_GT(removed_, 0U);
}

TEST_F(GrowthStress, InLineNothingFailsBelowTheLimit) {
    create(BOUNCE_POOL_INLINE_GROWTH, 0, false);
    run(std::chrono::milliseconds(500), false, false);
    bounce_pool_stats stats;
    ASSERT_EQ(bounce_pool_get_stats(pool_, &stats), 0);
    EXPECT_TRUE(stats.bytes == 32 * kMiB || failed_.load() == 0) << failed_.load();
}

TEST_F(GrowthStress, ConversionsFailNowAndThen) {
    platform_.refuse_every = 37;
    create(BOUNCE_POOL_INLINE_GROWTH, 1, true);
    run(std::chrono::milliseconds(2000), true, true);
    EXPECT_GT(platform_.refusals(), 0U);
}

}  // namespace
}  // namespace bounce
