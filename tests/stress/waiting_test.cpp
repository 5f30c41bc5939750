// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// 64 threads of four devices on a pool with room for eight mappings, a million of them: each waits, some with a
// timeout, some by callbacks, some are cancelled. A wake-up that is lost leaves threads asleep while memory is free,
// which the watching thread finds. First come, first served is checked by the order in which the gate let them in and
// out; fairness by how many each device was served while all of them wanted.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <latch>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "api/dma/callbacks.hpp"
#include "api/dma/device.hpp"

namespace bounce {
namespace {

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
constexpr std::uint64_t kWaits = 60'000;
#else
constexpr std::uint64_t kWaits = 1'000'000;
#endif
constexpr int kDevices = 4;
constexpr int kThreads = 64;
constexpr std::size_t kBytes = 64 << 10;
constexpr std::uint64_t kRoom = 8;

struct alignas(64) Line {
    std::unique_ptr<Device> device;
    std::atomic<std::uint64_t> done{0};
    // In the order of their turns, whatever thread comes first to say so.
    std::vector<std::uint32_t> tickets = std::vector<std::uint32_t>(2 * kWaits);
    std::atomic<std::uint64_t> misplaced{0};
};

class WaitingStress : public testing::Test {
protected:
    WaitingStress() {
        RegionConfig region;
        region.bytes = kRoom * kBytes;
        region.base_gpa = Gpa{std::uint64_t{1} << 32};
        pool_ = std::move(*Pool::create(region));
        for (Line& line : lines_) line.device = std::move(*Device::create(*pool_, callbacks_, {}));
    }

    Callbacks callbacks_;
    std::unique_ptr<Pool> pool_;
    Line lines_[kDevices];
    std::atomic<std::uint64_t> left_{kWaits};
    std::atomic<std::uint64_t> timed_out_{0};
    std::atomic<std::uint64_t> cancelled_{0};
};

TEST_F(WaitingStress, NobodyIsForgottenAndNobodyIsPreferred) {
    std::atomic<int> running{kThreads};
    std::latch all_there{kThreads};  // a device whose threads were not there yet did not want anything
    std::atomic<bool> lost{false};
    std::uint64_t at_half[kDevices] = {};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            Line& line = lines_[t % kDevices];
            Device& device = *line.device;
            std::vector<char> buffer(kBytes, static_cast<char>(t));
            std::minstd_rand random(static_cast<unsigned>(t));
            const auto want = [this] {
                std::uint64_t left = left_.load(std::memory_order_relaxed);
                while (left != 0 && !left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
                }
                return left != 0;
            };
            all_there.arrive_and_wait();
            while (want()) {
                const unsigned dice = static_cast<unsigned>(random() % 64);
                const MapRequest request{buffer.data(), kBytes, Direction::kToDevice, 0};
                bounce_mapping mapping{};
                if (dice == 0) {
                    // Given up after a while, or at once.
                    Wait wait;
                    wait.request = request;
                    if (!device.begin_wait(wait)) ADD_FAILURE() << last_error();
                    if (random() % 2 == 0) std::this_thread::yield();
                    device.cancel_wait(wait);
                    cancelled_.fetch_add(1, std::memory_order_relaxed);
                    continue;
                }
                if (dice <= 8) {
                    // By a place in line of its own, so that its ticket is seen.
                    std::atomic<std::uint32_t> told{0};
                    Wait wait;
                    wait.request = request;
                    wait.waiter.user = &told;
                    wait.waiter.ready = [](void* user, bounce_wait*) {
                        auto& word = *static_cast<std::atomic<std::uint32_t>*>(user);
                        word.store(1, std::memory_order_release);
                        word.notify_one();
                    };
                    const auto begun = device.begin_wait(wait);
                    ASSERT_TRUE(begun) << last_error();
                    if (!*begun) told.wait(0, std::memory_order_acquire);
                    ASSERT_TRUE(device.finish_wait(wait, mapping)) << last_error();
                    if (wait.waiter.turn != 0)
                        line.tickets[wait.waiter.turn] = static_cast<std::uint32_t>(wait.waiter.ticket);
                } else if (dice == 9) {
                    const auto result = device.map_wait(request, 1, mapping);
                    if (!result) {
                        ASSERT_EQ(result.code(), ETIMEDOUT) << last_error();
                        timed_out_.fetch_add(1, std::memory_order_relaxed);
                        continue;
                    }
                } else {
                    ASSERT_TRUE(device.map_wait(request, UINT32_MAX, mapping)) << last_error();
                }
                if (dice % 4 == 0) std::this_thread::yield();
                ASSERT_TRUE(device.unmap(mapping, SIZE_MAX)) << last_error();
                line.done.fetch_add(1, std::memory_order_relaxed);
            }
            running.fetch_sub(1);
        });
    }
    // Nobody goes on for ten seconds, and nothing is mapped: then somebody sleeps who should not.
    std::uint64_t before = 0;
    int still = 0;
    while (running.load() != 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::uint64_t done = 0;
        for (const Line& line : lines_) done += line.done.load();
        if (at_half[0] == 0 && done >= kWaits / 2) {
            for (int i = 0; i < kDevices; ++i) at_half[i] = lines_[i].done.load();
        }
        still = done == before ? still + 1 : 0;
        before = done;
        if (still > 2000) {
            lost = true;
            for (Line& line : lines_) {
                std::printf("lost: %" PRIu64 " wait, %" PRIu64 " mapped\n", line.device->waits().waiting,
                            line.device->outstanding_mappings());
                line.device->cancel_waits();
            }
            break;
        }
    }
    for (auto& thread : threads) thread.join();
    EXPECT_FALSE(lost);
    if (lost) return;
    std::uint64_t least = ~std::uint64_t{0};
    std::uint64_t most = 0;
    std::uint64_t worst = 0;
    std::uint64_t waited = 0;
    std::uint64_t seen = 0;
    for (int i = 0; i < kDevices; ++i) {
        const bounce_wait_stats stats = lines_[i].device->waits();
        EXPECT_EQ(stats.open, 0U);
        EXPECT_EQ(stats.waiting, 0U);
        waited += stats.begun;
        worst = std::max(worst, stats.worst_ns);
        least = std::min(least, at_half[i]);
        most = std::max(most, at_half[i]);
        std::uint32_t last = 0;
        for (const std::uint32_t ticket : lines_[i].tickets) {
            if (ticket == 0) continue;
            ++seen;
            EXPECT_GT(ticket, last) << "device " << i << ": overtaken";
            last = ticket;
        }
    }
    std::printf("waiting: %" PRIu64 " requests, %" PRIu64 " in line (%" PRIu64 " orders checked), %" PRIu64
                " timed out, %" PRIu64 " cancelled; devices served %" PRIu64 " to %" PRIu64
                " at half time (%.1f %% apart); worst wait %.3f ms\n",
                kWaits, waited, seen, timed_out_.load(), cancelled_.load(), least, most,
                100.0 * static_cast<double>(most - least) / static_cast<double>(most),
                static_cast<double>(worst) / 1e6);
    EXPECT_LE((most - least) * 10, most);
    EXPECT_GT(seen, kWaits / 100);
    EXPECT_EQ(pool_->stats().slots, 0U);
}

}  // namespace
}  // namespace bounce
