// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Several threads on one pool: no slot is ever held twice, every free of a live slot works, and in the end all is home.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr unsigned kThreads = 4;
constexpr SlotKind kStreaming = SlotKind::kStreaming;

struct Live {
    Slot slot;
    std::uint64_t bytes = 0;
};

std::unique_ptr<Pool> make_pool(std::uint64_t bytes) {
    RegionConfig config;
    config.bytes = bytes;
    config.base_gpa = Gpa{std::uint64_t{1} << 32};
    auto pool = Pool::create(config);
    EXPECT_TRUE(pool) << last_error();
    return pool ? std::move(*pool) : nullptr;
}

/// Writes the owner's mark over the whole slot; `holds` finds out whether it is still all there.
void mark(const Live& live, std::uint8_t owner) {
    std::memset(live.slot.hva, owner, live.bytes);
}

bool holds(const Live& live, std::uint8_t owner) {
    for (std::uint64_t i = 0; i < live.bytes; ++i) {
        if (live.slot.hva[i] != std::byte{owner}) return false;
    }
    return true;
}

class Stress {
public:
    Stress(std::uint64_t bytes, std::uint64_t sizes) : pool_(make_pool(bytes)), sizes_(sizes) {}

    void run(int steps) {
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back([this, i, steps] { work(i, steps); });
        for (auto& thread : threads) thread.join();
        for (const Live& live : handed_over_) EXPECT_TRUE(pool_->free(live.slot, kStreaming)) << last_error();
        EXPECT_EQ(errors_.load(), 0U);
        const PoolStats stats = pool_->stats();
        EXPECT_EQ(stats.slots, 0U);
        EXPECT_EQ(stats.used_bytes, 0U);
        EXPECT_LE(stats.used_bytes_hiwater, stats.bytes);
        // Nothing is stranded: the whole pool can be had in one piece.
        AllocRequest all;
        all.bytes = stats.bytes;
        EXPECT_TRUE(pool_->alloc(all)) << last_error();
    }

private:
    void expect(bool good) {
        if (!good) errors_.fetch_add(1);
    }

    void work(unsigned index, int steps) {
        std::mt19937 random(index + 1);
        const auto owner = static_cast<std::uint8_t>(index + 1);
        std::vector<Live> mine;
        for (int step = 0; step < steps; ++step) {
            const auto choice = random() % 100;
            if (mine.empty() || choice < 50) {
                AllocRequest request;
                request.bytes = 1 + random() % (std::uint64_t{1} << (random() % sizes_));
                auto slot = pool_->alloc(request);
                if (!slot) {
                    expect(slot.code() == ENOSPC);
                    while (mine.size() > 2) drop(mine, owner, random());
                    continue;
                }
                mine.push_back({*slot, request.bytes});
                mark(mine.back(), owner);
            } else if (choice < 95) {
                drop(mine, owner, random());
            } else {
                exchange(mine, owner);
            }
        }
        while (!mine.empty()) drop(mine, owner, 0);
    }

    void drop(std::vector<Live>& mine, std::uint8_t owner, std::size_t which) {
        std::swap(mine[which % mine.size()], mine.back());
        const Live live = mine.back();
        mine.pop_back();
        expect(holds(live, owner));
        if (which % 2 == 0) {
            expect(static_cast<bool>(pool_->free(live.slot, kStreaming)));
        } else {
            Pool::Ending ending;
            expect(static_cast<bool>(pool_->begin_free(live.slot, kStreaming, live.bytes, ending)));
            expect(holds(live, owner));
            pool_->finish_free(ending);
        }
    }

    // What one thread allocated another one frees.
    void exchange(std::vector<Live>& mine, std::uint8_t owner) {
        const std::lock_guard lock(lock_);
        if (!handed_over_.empty()) {
            mine.push_back(handed_over_.back());
            handed_over_.pop_back();
            mark(mine.back(), owner);
        } else {
            handed_over_.push_back(mine.back());
            mine.pop_back();
        }
    }

    std::unique_ptr<Pool> pool_;
    std::uint64_t sizes_;
    std::atomic<unsigned> errors_{0};
    std::mutex lock_;
    std::vector<Live> handed_over_;
};

TEST(PoolStress, SmallSlots) {
    Stress(256 * 1024, 9).run(200000);
}

// So small that slabs are born and die all the time, and requests fail.
TEST(PoolStress, AllSizesInASmallPool) {
    Stress(256 * 1024, 15).run(100000);
}

TEST(PoolStress, RunsAndSlots) {
    Stress(8 * kMiB, 20).run(10000);
}

// All threads want the same few slots: claims, slab deaths and returned slabs meet.
TEST(PoolStress, OneSlotSlabs) {
    const auto pool = make_pool(64 * 1024);
    std::atomic<unsigned> errors{0};
    std::vector<std::thread> threads;
    for (unsigned index = 0; index < kThreads; ++index) {
        threads.emplace_back([&, index] {
            std::mt19937 random(index);
            for (int step = 0; step < 100000; ++step) {
                AllocRequest request;
                request.bytes = std::uint64_t{4096} << (random() % 5);
                const auto owner = static_cast<std::uint8_t>(index + 1);
                auto slot = pool->alloc(request);
                if (!slot) continue;
                mark({*slot, 64}, owner);
                if (!holds({*slot, 64}, owner)) errors.fetch_add(1);
                if (!pool->free(*slot, kStreaming)) errors.fetch_add(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(errors.load(), 0U);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
    AllocRequest all;
    all.bytes = 64 * 1024;
    EXPECT_TRUE(pool->alloc(all)) << last_error();
}

// Of several holders of one token exactly one frees.
TEST(PoolStress, DoubleFreesHaveOneWinner) {
    const auto pool = make_pool(64 * 1024);
    for (int round = 0; round < 2000; ++round) {
        AllocRequest request;
        request.bytes = round % 2 == 0 ? 100 : 40000;
        auto slot = pool->alloc(request);
        ASSERT_TRUE(slot);
        std::atomic<int> winners{0};
        std::atomic<int> ready{0};
        const auto contend = [&] {
            ready.fetch_add(1);
            while (ready.load() != 2) std::this_thread::yield();
            auto freed = pool->free(*slot, kStreaming);
            if (freed) winners.fetch_add(1);
        };
        std::thread other(contend);
        contend();
        other.join();
        ASSERT_EQ(winners.load(), 1);
    }
    EXPECT_EQ(pool->stats().used_bytes, 0U);
}

// Regions are added and renewed while others allocate.
TEST(PoolStress, GrowsAndRenewsUnderLoad) {
    const auto pool = make_pool(256 * 1024);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> errors{0};
    std::vector<std::thread> threads;
    for (unsigned index = 0; index < 2; ++index) {
        threads.emplace_back([&, index] {
            std::mt19937 random(index);
            while (!stop.load()) {
                AllocRequest request;
                request.bytes = 1 + random() % 20000;
                auto slot = pool->alloc(request);
                if (!slot) continue;
                if (!pool->to_hva(slot->gpa, request.bytes)) errors.fetch_add(1);
                slot->hva[0] = std::byte{1};
                if (!pool->free(*slot, kStreaming)) errors.fetch_add(1);
            }
        });
    }
    for (std::uint64_t i = 0; i < 20; ++i) {
        RegionConfig config;
        config.bytes = 256 * 1024;
        config.base_gpa = Gpa{i * kMiB};
        EXPECT_TRUE(pool->add_region(config)) << last_error();
        EXPECT_TRUE(pool->renew()) << last_error();
    }
    stop.store(true);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(errors.load(), 0U);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
}

}  // namespace
}  // namespace bounce
