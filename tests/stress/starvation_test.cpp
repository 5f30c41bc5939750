// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that maps until it is refused, completes nothing and goes on asking, beside one that stays within its floor:
// the second is never refused. What it costs the second is printed, in processor time of its thread, so that it says
// something on a busy machine, too; nothing is asserted of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <thread>
#include <vector>

#include "bounce/bounce.h"
#include "bounce/quota.h"

namespace {

constexpr std::uint64_t kFloor = 4 << 20;

/// Nanoseconds of this thread for a map and an unmap of 4 KiB, four at a time: the best of some rounds.
double pair_ns(bounce_device* device) {
    static char buffer[4096];
    const auto now = [] {
        timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
    };
    constexpr int kRounds = 20'000;
    double best = 1e9;
    for (int tries = 0; tries < 7; ++tries) {
        const double begin = now();
        for (int round = 0; round < kRounds; ++round) {
            bounce_mapping mappings[4];
            for (bounce_mapping& mapping : mappings)
                EXPECT_EQ(bounce_device_map(device, buffer, sizeof buffer, BOUNCE_TO_DEVICE, 0, &mapping), 0)
                    << bounce_last_error();
            for (bounce_mapping& mapping : mappings) EXPECT_EQ(bounce_device_unmap(device, &mapping, 0), 0);
        }
        best = std::min(best, (now() - begin) / kRounds / 4);
    }
    return best;
}

bounce_device* make_device(bounce_pool* pool) {
    bounce_device_options options{};
    options.size = sizeof options;
    bounce_device* device = nullptr;
    EXPECT_EQ(bounce_device_create(pool, &options, &device), 0) << bounce_last_error();
    return device;
}

TEST(Starvation, WhoStaysWithinItsFloorIsNeverRefused) {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = 16 << 20;
    options.region.base_gpa = std::uint64_t{1} << 32;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_device* const greedy = make_device(pool);
    bounce_device* const modest = make_device(pool);
    ASSERT_EQ(bounce_device_set_quota(modest, kFloor, 0), 0) << bounce_last_error();

    const double solo = pair_ns(modest);
    std::atomic<bool> full{false};
    std::atomic<bool> asks{true};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> refusals{0};
    std::thread taker([&] {
        static char buffer[64 << 10];
        std::vector<bounce_mapping> held;
        const std::size_t sizes[] = {4096, 65536, 1500, 64, 16384};
        for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
            while (!asks.load(std::memory_order_relaxed) && !stop.load(std::memory_order_relaxed))
                std::this_thread::yield();
            bounce_mapping mapping;
            const int status = bounce_device_map(greedy, buffer, sizes[i % 5], BOUNCE_TO_DEVICE, 0, &mapping);
            if (status == 0) {
                held.push_back(mapping);
            } else {
                ASSERT_EQ(status, -ENOSPC) << bounce_last_error();
                if (refusals.fetch_add(1, std::memory_order_relaxed) > 1000) full = true;
            }
        }
        for (bounce_mapping& mapping : held) ASSERT_EQ(bounce_device_unmap(greedy, &mapping, 0), 0);
    });
    while (!full) std::this_thread::yield();
    const double beside = pair_ns(modest);
    asks = false;
    const double after = pair_ns(modest);
    asks = true;
    std::printf(
        "starvation: a map and unmap of 4 KiB within the floor takes %.1f ns alone, %.1f ns beside a device that "
        "has the rest and asks for more (%.1f %% of the rate), %.1f ns beside one that has it (%.1f %%)\n",
        solo, beside, 100 * solo / beside, after, 100 * solo / after);
    char buffer[16384] = {};
    std::vector<bounce_mapping> mine;
    for (std::uint64_t i = 0; i < 200'000; ++i) {
        const std::size_t bytes = std::size_t{64} << (i % 9);
        bounce_quota quota;
        ASSERT_EQ(bounce_device_get_quota(modest, &quota), 0);
        // Bursts up to the floor, with a little left for what its context is about to fetch.
        if (quota.used_bytes + bytes > kFloor) {
            for (bounce_mapping& mapping : mine) ASSERT_EQ(bounce_device_unmap(modest, &mapping, 0), 0);
            mine.clear();
        }
        bounce_mapping mapping;
        ASSERT_EQ(bounce_device_map(modest, buffer, bytes, BOUNCE_TO_DEVICE, 0, &mapping), 0)
            << i << ": " << bounce_last_error();
        mine.push_back(mapping);
    }
    for (bounce_mapping& mapping : mine) ASSERT_EQ(bounce_device_unmap(modest, &mapping, 0), 0);
    stop = true;
    taker.join();
    EXPECT_GT(refusals.load(), 1000U);
    ASSERT_EQ(bounce_device_destroy(greedy), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_destroy(modest), 0) << bounce_last_error();
    ASSERT_EQ(bounce_pool_destroy(pool), 0) << bounce_last_error();
}

}  // namespace
