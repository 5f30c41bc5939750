// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A thread that stops in the middle of an operation stops nobody else. Threads that allocate and free slots, runs, and
// what lies below a limit, in a pool so small that slabs are born and die all the time, are parked by a signal at
// whatever instruction they are; the others must then complete so many operations of the same kinds, which includes
// finding the pool full and emptying contexts. In the end nothing is lost: every byte can be had.
//
// (ThreadSanitizer delivers signals at certain calls only, so there the points are few.)
#include <gtest/gtest.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGpa = std::uint64_t{1} << 32;
constexpr unsigned kParked = 2;  // threads that are parked, in turn or together
constexpr unsigned kOthers = 2;
constexpr unsigned kRounds = 400;
constexpr std::uint64_t kSteps = 2500;  // of all others together, while somebody is parked
constexpr auto kPatience = std::chrono::seconds(60);

std::atomic<std::uint64_t> g_inside{0};

/// A thread that can be parked.
struct Place {
    sem_t parked;
    sem_t released;
    sem_t resumed;
    volatile bool inside = false;  // in the middle of an operation

    Place() {
        for (sem_t* const semaphore : {&parked, &released, &resumed}) sem_init(semaphore, 0, 0);
    }
};
thread_local Place* t_place = nullptr;

void wait_for(sem_t& semaphore) {
    while (sem_wait(&semaphore) != 0) {
    }
}

// Only what a signal handler may call.
void park(int) {
    const int before = errno;
    Place& place = *t_place;
    if (place.inside) g_inside.fetch_add(1);
    sem_post(&place.parked);
    wait_for(place.released);
    sem_post(&place.resumed);
    errno = before;
}

struct Pooled {
    const char* name;
    std::uint64_t bytes;
    unsigned kinds;  // 1: streaming only, through contexts; 3: of all kinds
};

class Parked : public ::testing::TestWithParam<Pooled> {
protected:
    void SetUp() override {
        RegionConfig config;
        config.bytes = GetParam().bytes;
        config.base_gpa = Gpa{kGpa};
        auto made = Pool::create(config);
        ASSERT_TRUE(made) << last_error();
        pool_ = std::move(*made);
        g_inside = 0;
        struct sigaction action {};
        action.sa_handler = park;
        action.sa_flags = SA_RESTART;
        ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    }
    void TearDown() override { signal(SIGUSR1, SIG_DFL); }

    // Nothing in here may wait for another thread, and malloc() may: no growing containers.
    class Worker {
    public:
        Worker(Parked& test, Place& place, unsigned seed) : test_(test), place_(place), random_(seed) {}

        void step() {
            if (held_ < most_ && random_() % 2 == 0) {
                take();
            } else if (held_ != 0) {
                Held& any = items_[random_() % held_];
                std::swap(any, items_[held_ - 1]);
                give();
            }
            // Now and then all of it goes home, and more or less is held after that.
            if (random_() % 256 == 0) {
                give_all();
                most_ = 1 + random_() % items_.size();
            }
        }
        void give_all() {
            while (held_ != 0) give();
        }

    private:
        struct Held {
            Slot slot;
            SlotKind kind;
        };

        void take() {
            AllocRequest request;
            request.bytes = 1 + random_() % (std::uint64_t{64} << (random_() % 13));
            request.kind = static_cast<SlotKind>(1 + random_() % test_.GetParam().kinds);
            switch (random_() % 8) {
                case 0: request.align = std::uint64_t{1} << (random_() % 14); break;
                case 1: request.max_address = kGpa + random_() % test_.GetParam().bytes; break;
                case 2: request.boundary = std::bit_ceil(request.bytes) << (random_() % 3); break;
                case 3: request.bytes = test_.GetParam().bytes >> (random_() % 3); break;
                default: break;
            }
            place_.inside = true;
            auto slot = test_.pool_->alloc(request);
            place_.inside = false;
            if (slot) {
                items_[held_++] = {*slot, request.kind};
            } else if (slot.code() != ENOSPC && slot.code() != E2BIG && slot.code() != ERANGE) {
                test_.errors_.fetch_add(1);
            }
        }
        void give() {
            const Held& last = items_[--held_];
            place_.inside = true;
            const bool good = static_cast<bool>(test_.pool_->free(last.slot, last.kind));
            place_.inside = false;
            if (!good) test_.errors_.fetch_add(1);
        }

        Parked& test_;
        Place& place_;
        std::mt19937 random_;
        std::array<Held, 24> items_;
        std::size_t held_ = 0;
        std::size_t most_ = items_.size();
    };

    void run(unsigned seed, Place& place, bool can_be_parked) {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        t_place = &place;
        Worker worker(*this, place, seed);
        // A thread's first operations make it known to the pool, which takes a lock.
        for (int i = 0; i < 100; ++i) worker.step();
        ready_.fetch_add(1);
        if (can_be_parked) pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
        while (!stop_.load(std::memory_order_relaxed)) {
            worker.step();
            if (!can_be_parked) steps_.fetch_add(1, std::memory_order_relaxed);
        }
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        worker.give_all();
    }

    /// False when the others do not get on.
    bool others_get_on() {
        const std::uint64_t before = steps_.load();
        const auto end = Clock::now() + kPatience;
        while (steps_.load() - before < kSteps) {
            if (Clock::now() > end) return false;
            std::this_thread::yield();
        }
        return true;
    }

    std::unique_ptr<Pool> pool_;
    std::atomic<unsigned> ready_{0};
    std::atomic<std::uint64_t> steps_{0};
    std::atomic<unsigned> errors_{0};
    std::atomic<bool> stop_{false};
};

TEST_P(Parked, TheOthersGoOn) {
    std::array<Place, kParked + kOthers> places;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < places.size(); ++i) {
        threads.emplace_back([this, i, &places] { run(i + 1, places[i], i < kParked); });
    }
    while (ready_.load() != threads.size()) std::this_thread::yield();
    std::mt19937 random(7);
    std::uint64_t meanwhile = 0;
    bool good = true;
    for (unsigned round = 0; round < kRounds && good; ++round) {
        for (auto wait = random() % 20000; wait != 0; --wait) relax();
        const unsigned many = 1 + random() % kParked;
        const unsigned first = random() % kParked;
        for (unsigned i = 0; i < many; ++i) {
            ASSERT_EQ(pthread_kill(threads[(first + i) % kParked].native_handle(), SIGUSR1), 0);
        }
        for (unsigned i = 0; i < many; ++i) wait_for(places[(first + i) % kParked].parked);
        const std::uint64_t before = steps_.load();
        good = others_get_on();
        meanwhile += steps_.load() - before;
        for (unsigned i = 0; i < many; ++i) sem_post(&places[(first + i) % kParked].released);
        for (unsigned i = 0; i < many; ++i) wait_for(places[(first + i) % kParked].resumed);
    }
    stop_ = true;
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(good) << "a parked thread held up the others";
    EXPECT_EQ(errors_.load(), 0U);
    EXPECT_GT(g_inside.load(), 0U);
    std::printf("%s: %u rounds, parked inside an operation %llu times, %llu operations meanwhile\n", GetParam().name,
                kRounds, static_cast<unsigned long long>(g_inside.load()), static_cast<unsigned long long>(meanwhile));
    std::fflush(stdout);
    const PoolStats stats = pool_->stats();
    EXPECT_EQ(stats.slots, 0U);
    EXPECT_EQ(stats.used_bytes, 0U);
    // Every size has all of the pool again.
    AllocRequest all;
    all.bytes = GetParam().bytes;
    auto whole = pool_->alloc(all);
    ASSERT_TRUE(whole) << last_error();
    EXPECT_TRUE(pool_->free(*whole, SlotKind::kStreaming));
    AllocRequest page;
    page.bytes = kPageBytes;
    std::vector<Slot> slots;
    for (;;) {
        auto slot = pool_->alloc(page);
        if (!slot) break;
        slots.push_back(*slot);
    }
    EXPECT_EQ(slots.size(), GetParam().bytes / kPageBytes);
}

INSTANTIATE_TEST_SUITE_P(Pools, Parked,
                         ::testing::Values(Pooled{"small", kMiB, 3}, Pooled{"streaming", 2 * kMiB, 1},
                                           Pooled{"several chunks", 6 * kMiB, 3}));

}  // namespace
}  // namespace bounce
