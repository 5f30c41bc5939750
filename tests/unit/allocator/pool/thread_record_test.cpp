// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Threads end before the pool and after it, and use it while they end.
#include "allocator/pool/thread_record.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/emulator.hpp"
#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;

void use(Pool& pool) {
    for (const std::uint64_t bytes : {std::uint64_t{100}, std::uint64_t{4096}}) {
        auto slot = pool.alloc(request_of(bytes));
        ASSERT_TRUE(slot) << last_error();
        EXPECT_TRUE(pool.free(*slot, kStreaming)) << last_error();
    }
}

TEST(ThreadRecord, EachThreadHasOne) {
    const auto pool = make_pool(kMiB);
    ThreadRecord* const mine = own_record();
    ASSERT_NE(mine, nullptr);
    EXPECT_EQ(own_record(), mine);
    EXPECT_EQ(t_record, mine);
    EXPECT_NE(mine->number.load(), 0U);
    ThreadRecord* others = nullptr;
    std::thread([&] {
        EXPECT_EQ(t_record, nullptr);
        others = own_record();
        EXPECT_NE(others, mine);
        EXPECT_NE(others->number.load(), mine->number.load());
        use(*pool);
    }).join();
    // It is somebody else's next, who finds nothing in it.
    EXPECT_EQ(others->number.load(), 0U);
    for (const ThreadRecord::Entry& entry : others->entries) EXPECT_EQ(entry.context, nullptr);
}

// More pools than a record remembers contexts of: it finds the same ones again.
TEST(ThreadRecord, ForgottenContextsAreFoundAgain) {
    std::vector<std::unique_ptr<Pool>> pools;
    std::vector<Context*> contexts;
    for (std::uint32_t i = 0; i < 2 * ThreadRecord::kRemembered; ++i) {
        pools.push_back(make_pool(kMiB));
        contexts.push_back(pools.back()->context(pools.back()->direct()));
    }
    for (std::size_t i = 0; i < pools.size(); ++i) {
        EXPECT_NE(contexts[i], nullptr);
        EXPECT_EQ(pools[i]->context(pools[i]->direct()), contexts[i]);
    }
}

TEST(ThreadRecord, ThePoolMayGoFirst) {
    auto pool = make_pool(kMiB);
    std::latch used(4);
    std::latch gone(1);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            use(*pool);
            used.count_down();
            gone.wait();
        });
    }
    used.wait();
    pool.reset();
    const auto next = make_pool(kMiB);
    use(*next);
    gone.count_down();
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(next->alloc(request_of(kMiB))) << last_error();
}

// While threads end, too.
TEST(ThreadRecord, ThePoolMayGoAtTheSameTime) {
    for (int round = 0; round < 100; ++round) {
        auto pool = make_pool(kMiB);
        std::latch used(2);
        std::vector<std::thread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                use(*pool);
                used.count_down();
            });
        }
        used.wait();
        pool.reset();
        for (auto& thread : threads) thread.join();
    }
}

// A destructor of thread-specific data of somebody else's, after the thread's contexts were taken back or before.
TEST(ThreadRecord, AThreadMayUseThePoolWhileItEnds) {
    static std::atomic<Pool*> s_pool;
    static std::atomic<int> s_calls;
    const auto pool = make_pool(kMiB);
    s_pool = pool.get();
    s_calls = 0;
    pthread_key_t key;
    ASSERT_EQ(pthread_key_create(&key,
                                 [](void*) {
                                     use(*s_pool);
                                     s_calls.fetch_add(1);
                                 }),
              0);
    std::thread([&] {
        use(*pool);
        ASSERT_EQ(pthread_setspecific(key, &s_calls), 0);
    }).join();
    pthread_key_delete(key);
    EXPECT_EQ(s_calls.load(), 1);
    for (std::uint64_t stays = 0; const SlotStack& stack : pool->context(pool->direct())->stacks) {
        EXPECT_EQ(stays += stack.count(), 0U);
    }
    EXPECT_TRUE(pool->alloc(request_of(kMiB))) << last_error();
}

// Those that nobody tells when a thread ends find out when they are full.
TEST(ThreadRecord, MorePoolsThanAreTold) {
    if (test::kEmulated) GTEST_SKIP() << test::kCostlyReserve;
    std::vector<std::unique_ptr<Pool>> pools;
    for (int i = 0; i < 260; ++i) pools.push_back(make_pool(kMiB));
    std::thread([&] {
        for (const auto& pool : pools) use(*pool);
    }).join();
    for (const auto& pool : pools) ASSERT_TRUE(pool->alloc(request_of(kMiB))) << last_error();
}

TEST(ThreadRecord, MoreThreadsThanRecords) {
    if (test::kEmulated) GTEST_SKIP() << test::kCostlyReserve;
    const auto pool = make_pool(16 * kMiB);
    std::atomic<int> without{0};
    std::latch done(1);
    std::atomic<int> used{0};
    std::vector<std::thread> threads;
    constexpr int kMany = 1100;
    bool enough = true;
    for (int i = 0; i < kMany && enough; ++i) {
        try {
            threads.emplace_back([&] {
                use(*pool);
                if (own_record() == nullptr) without.fetch_add(1);
                used.fetch_add(1);
                used.notify_one();
                done.wait();
            });
        } catch (const std::system_error&) {
            enough = false;
        }
    }
    const int started = static_cast<int>(threads.size());
    for (int seen = used.load(); seen != started; seen = used.load()) used.wait(seen);
    EXPECT_TRUE(!enough || without.load() >= kMany - 1024) << without.load();
    EXPECT_TRUE(pool->alloc(request_of(16 * kMiB))) << last_error();
    done.count_down();
    for (auto& thread : threads) thread.join();
    if (!enough) GTEST_SKIP() << "the system has no " << kMany << " threads for us";
}

}  // namespace
}  // namespace bounce
