// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <atomic>
#include <barrier>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

class Race : public DeviceTest {};

TEST_F(Race, OfSeveralCopiesOneWinsAndOnlyTheWinnerCopiesBack) {
    constexpr int kThreads = 3;
    constexpr int kRounds = 3000;
    std::string text(256, '\0');
    bounce_mapping token{};
    std::atomic<int> wins{0};
    std::barrier start(kThreads + 1);
    std::barrier stop(kThreads + 1);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&] {
            for (int round = 0; round < kRounds; ++round) {
                start.arrive_and_wait();
                bounce_mapping copy = token;
                const auto ended = device_->unmap(copy, SIZE_MAX);
                if (ended) {
                    wins.fetch_add(1);
                    // The buffer is the winner's again: TSan and the check below notice a loser that still writes it.
                    text[0] = 'w';
                } else {
                    EXPECT_TRUE(ended.code() == ESTALE || ended.code() == EALREADY) << ended.code();
                }
                stop.arrive_and_wait();
            }
        });
    for (int round = 0; round < kRounds; ++round) {
        EXPECT_TRUE(device_->map(text.data(), text.size(), Direction::kFromDevice, 0, token)) << last_error();
        write(token, std::string(256, 'd'));
        start.arrive_and_wait();
        stop.arrive_and_wait();
        EXPECT_EQ(wins.exchange(0), 1);
        EXPECT_EQ(text, "w" + std::string(255, 'd'));
    }
    for (auto& thread : threads) thread.join();
}

TEST_F(Race, ManyThreadsMapAndUnmapEachItsOwn) {
    constexpr std::size_t kThreads = 4;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t)
        threads.emplace_back([this, t] {
            std::vector<std::string> texts(8);
            std::vector<bounce_mapping> tokens(8);
            for (std::size_t round = 0; round < 500; ++round) {
                for (std::size_t i = 0; i < 8; ++i) {
                    texts[i].assign(1 + (round * 37 + i * 311 + t * 1009) % 5000, static_cast<char>('a' + t));
                    ASSERT_TRUE(device_->map(texts[i].data(), texts[i].size(), Direction::kBidirectional, 0, tokens[i]))
                        << last_error();
                }
                for (std::size_t i = 0; i < 8; ++i) {
                    const std::string before = texts[i];
                    ASSERT_TRUE(device_->unmap(tokens[i], SIZE_MAX)) << last_error();
                    ASSERT_TRUE(texts[i] == before) << "another thread's slot";
                }
            }
        });
    for (auto& thread : threads) thread.join();
}

TEST_F(Race, RenewalDuringMapAndUnmapIsNeverSilent) {
    std::atomic<bool> done{false};
    std::atomic<int> stale{0};
    std::atomic<int> whole{0};
    std::thread worker([&] {
        const std::string before(1u << 20, 'p');
        while (!done.load()) {
            std::string text = before;
            bounce_mapping token;
            ASSERT_TRUE(device_->map(text.data(), text.size(), Direction::kBidirectional, 0, token)) << last_error();
            const auto ended = device_->unmap(token, SIZE_MAX);
            if (ended) {
                ASSERT_TRUE(text == before) << "memory of two incarnations, and nothing said so";
                whole.fetch_add(1);
            } else {
                ASSERT_EQ(ended.code(), ESTALE) << last_error();
                stale.fetch_add(1);
            }
        }
    });
    // Until enough of them have met, and both outcomes were seen.
    for (int i = 0; i < 100000 && (stale.load() < 50 || whole.load() == 0); ++i) {
        EXPECT_TRUE(pool_->renew()) << last_error();
        if (i % 8 == 0) std::this_thread::yield();
    }
    done = true;
    worker.join();
    EXPECT_EQ(device_->outstanding(), 0u);
}

}  // namespace
}  // namespace bounce

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
// To the sanitizer, mapping fresh memory over a region is a write to all of it, which races with every copy. What is
// copied then is thrown away (-ESTALE).
extern "C" const char* __tsan_default_suppressions();  // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() {
    return "race:bounce::SharedMemory::map_over\n";
}  // NOLINT
#endif
