// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A thread that stops in the middle of an operation stops nobody else: it is parked by a signal at some instruction of
// its loop, while the others complete what they have to do, which includes finding the pool full and emptying contexts.
//
// For now it is parked in operations of the hot path only, a pop and a push of a size of which its context has slots:
// elsewhere it may hold the page lock (SlabCore's mutex), and then it does stop the others. So these run while it is
// parked only, and once it is released it is left alone until its context, which they may have emptied, is warm again.
#include <gtest/gtest.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kPoolBytes = 8 * kMiB;
constexpr std::uint64_t kSlot = 1500;
constexpr SlotKind kStreaming = SlotKind::kStreaming;
constexpr int kRounds = 300;
constexpr int kMostRounds = 20000;
constexpr int kSteps = 200;
constexpr int kOthers = 2;

sem_t g_parked;
sem_t g_released;
std::atomic<Context*> g_context{nullptr};
std::atomic<std::uint32_t> g_inside{0};

// Only what a signal handler may call.
void park(int) {
    const int before = errno;
    if (Context* const context = g_context.load(); context != nullptr && context->mark.load() != 0) {
        g_inside.fetch_add(1);
    }
    sem_post(&g_parked);
    while (sem_wait(&g_released) != 0) {
    }
    errno = before;
}

void wait_for(sem_t& semaphore) {
    while (sem_wait(&semaphore) != 0) {
    }
}

AllocRequest request(std::uint64_t bytes) {
    AllocRequest wanted;
    wanted.bytes = bytes;
    return wanted;
}

class Parked : public ::testing::Test {
protected:
    void SetUp() override {
        RegionConfig config;
        config.bytes = kPoolBytes;
        config.base_gpa = Gpa{std::uint64_t{1} << 32};
        auto made = Pool::create(config);
        ASSERT_TRUE(made) << last_error();
        pool_ = std::move(*made);
        ASSERT_EQ(sem_init(&g_parked, 0, 0), 0);
        ASSERT_EQ(sem_init(&g_released, 0, 0), 0);
        struct sigaction action {};
        action.sa_handler = park;
        ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    }
    void TearDown() override {
        signal(SIGUSR1, SIG_DFL);
        g_context = nullptr;
    }

    void expect(bool good) {
        if (!good) errors_.fetch_add(1);
    }

    /// Then the next operations are pops and pushes.
    void warm(Context& context) {
        SlotStack& stack = context.stacks[class_of(kSlot)];
        while (!stop_.load() && stack.count() == 0) pop_and_push();
    }
    void pop_and_push() {
        Slot slot;
        if (pool_->alloc(pool_->direct(), g_context.load(), kSlot, slot)) {
            expect(static_cast<bool>(pool_->free(pool_->direct(), g_context.load(), slot)));
        }
    }

    /// Maps and unmaps in a tight loop. The signals are let in while the context is warm.
    void run_parked() {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        g_context = pool_->context(pool_->direct());
        while (!stop_.load()) {
            warm(*g_context.load());
            warmed_.fetch_add(1);
            pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
            SlotStack& stack = g_context.load()->stacks[class_of(kSlot)];
            for (int i = 0; i < 1000 && stack.count() != 0; ++i) {
                pop_and_push();
            }
            pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        }
    }

    /// So many operations, of all sorts: small ones, runs, and one that wants all there is.
    void work(unsigned index, unsigned round) {
        std::mt19937 random(index * 7919 + round);
        std::vector<Slot> mine;
        for (int step = 0; step < kSteps; ++step) {
            if (mine.size() < 20 && random() % 2 == 0) {
                auto slot = pool_->alloc(request(1 + random() % (std::size_t{64} << (random() % 12))));
                if (slot) {
                    mine.push_back(*slot);
                } else {
                    expect(slot.code() == ENOSPC);
                }
            } else if (!mine.empty()) {
                std::swap(mine[random() % mine.size()], mine.back());
                expect(static_cast<bool>(pool_->free(mine.back(), kStreaming)));
                mine.pop_back();
            }
        }
        for (const Slot& slot : mine) expect(static_cast<bool>(pool_->free(slot, kStreaming)));
        if (auto all = pool_->alloc(request(kPoolBytes))) {
            expect(static_cast<bool>(pool_->free(*all, kStreaming)));
        } else {
            expect(all.code() == ENOSPC);
        }
    }

    std::unique_ptr<Pool> pool_;
    std::atomic<unsigned> errors_{0};
    std::atomic<bool> stop_{false};
    std::atomic<unsigned> warmed_{0};
};

TEST_F(Parked, TheOthersGoOn) {
    std::thread parked([this] { run_parked(); });
    while (warmed_.load() == 0) std::this_thread::yield();
    ASSERT_NE(g_context.load(), nullptr);
    std::mt19937 random(1);
    int rounds = 0;
    for (; rounds < kRounds || (g_inside.load() == 0 && rounds < kMostRounds); ++rounds) {
        for (auto wait = random() % 20000; wait != 0; --wait) relax();
        ASSERT_EQ(pthread_kill(parked.native_handle(), SIGUSR1), 0);
        wait_for(g_parked);
        // While it sleeps, they come to their end.
        std::vector<std::thread> others;
        for (unsigned i = 0; i < kOthers; ++i) {
            others.emplace_back([this, i, rounds] { work(i, static_cast<unsigned>(rounds)); });
        }
        for (auto& other : others) other.join();
        const unsigned before = warmed_.load();
        sem_post(&g_released);
        while (warmed_.load() == before) std::this_thread::yield();
    }
    stop_ = true;
    parked.join();
    EXPECT_EQ(errors_.load(), 0U);
    EXPECT_GT(g_inside.load(), 0U);
    RecordProperty("inside", static_cast<int>(g_inside.load()));
    std::printf("parked %d times, of these %u inside its context\n", rounds, g_inside.load());
    const PoolStats stats = pool_->stats();
    EXPECT_EQ(stats.slots, 0U);
    EXPECT_EQ(stats.used_bytes, 0U);
    EXPECT_TRUE(pool_->alloc(request(kPoolBytes))) << last_error();
}

}  // namespace
}  // namespace bounce
