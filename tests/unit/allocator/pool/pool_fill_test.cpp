// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How full a pool gets, and that it gets as full again after everything came home.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <random>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

constexpr SlotKind kStreaming = SlotKind::kStreaming;

std::vector<Slot> fill(Pool& pool, std::uint64_t bytes) {
    std::vector<Slot> slots;
    for (;;) {
        auto slot = pool.alloc(request_of(bytes));
        if (!slot) {
            EXPECT_EQ(slot.code(), ENOSPC) << last_error();
            return slots;
        }
        slots.push_back(*slot);
    }
}

void give_back(Pool& pool, std::vector<Slot>& slots, std::mt19937& random) {
    std::shuffle(slots.begin(), slots.end(), random);
    for (const Slot& slot : slots) ASSERT_TRUE(pool.free(slot, kStreaming)) << last_error();
    slots.clear();
}

TEST(PoolFill, WasteIsBoundedForEverySize) {
    constexpr std::uint64_t kBytes = 4 * kMiB;
    std::mt19937 random(5);
    // One pool for all: each size finds the memory that the one before has given back.
    const auto pool = make_pool(kBytes);
    for (std::uint64_t bytes = 1; bytes <= 64 * kKiB; bytes += bytes < 2048 ? 61 : 211) {
        auto slots = fill(*pool, bytes);
        const std::uint64_t payload = slots.size() * std::max(bytes, std::uint64_t{kMinSlotBytes});
        ASSERT_GE(payload * 100, kBytes * 83) << bytes << " bytes, " << slots.size() << " slots";
        give_back(*pool, slots, random);
    }
    auto frames = fill(*pool, 1500);
    EXPECT_GE(frames.size() * 1500 * 100, kBytes * 93);
    give_back(*pool, frames, random);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
    EXPECT_TRUE(pool->alloc(request_of(kBytes)));
}

TEST(PoolFill, FullThenFreeThenFullAgain) {
    std::mt19937 random(1);
    const auto pool = make_pool(8 * kMiB, 3 * kMiB + 0x1000);
    for (const unsigned bytes : {64U, 700U, 4096U, 5000U, 16384U, 30000U}) {
        auto slots = fill(*pool, bytes);
        const std::size_t first = slots.size();
        const std::uint64_t failures = pool->stats().full;
        // Full is full for the same size, however often it is asked.
        for (int i = 0; i < 100; ++i) ASSERT_EQ(pool->alloc(request_of(bytes)).code(), ENOSPC);
        EXPECT_EQ(pool->stats().full, failures + 100);
        // One that comes home is found at once.
        for (int i = 0; i < 100; ++i) {
            std::swap(slots[random() % slots.size()], slots.back());
            ASSERT_TRUE(pool->free(slots.back(), kStreaming));
            auto slot = pool->alloc(request_of(bytes));
            ASSERT_TRUE(slot) << last_error();
            slots.back() = *slot;
        }
        give_back(*pool, slots, random);
        slots = fill(*pool, bytes);
        // But for what contexts kept, scattered, while it was filled: at most 1/64 of the pool.
        EXPECT_NEAR(static_cast<double>(slots.size()), static_cast<double>(first),
                    static_cast<double>(8 * kMiB / 64 / bytes + 1))
            << bytes;
        give_back(*pool, slots, random);
    }
}

TEST(PoolFill, ALargerSlotOrARunIsBetterThanFailure) {
    const auto pool = make_pool(64 * kKiB);
    auto large = fill(*pool, 4096);
    ASSERT_EQ(large.size(), 16U);
    // All pages are slots of 4 KiB now; a smaller request gets one as soon as it is free.
    EXPECT_EQ(pool->alloc(request_of(100)).code(), ENOSPC);
    ASSERT_TRUE(pool->free(large.back(), kStreaming));
    large.pop_back();
    auto small = pool->alloc(request_of(100));
    ASSERT_TRUE(small) << last_error();
    EXPECT_TRUE(pool->free(*small, kStreaming));
}

TEST(PoolFill, ALargerSlotOfALiveSlabIsUsed) {
    const auto pool = make_pool(64 * kKiB);
    // Two slots of two slabs become free, the others keep the slabs alive; there is no page left for a smaller slot.
    auto slots = fill(*pool, 1536);
    for (const std::size_t i : {std::size_t{2}, std::size_t{0}}) {
        ASSERT_TRUE(pool->free(slots[i], kStreaming));
        slots.erase(slots.begin() + static_cast<std::ptrdiff_t>(i));
    }
    for (int i = 0; i < 2; ++i) {
        auto slot = pool->alloc(request_of(64, 64));
        ASSERT_TRUE(slot) << last_error();
        EXPECT_EQ(slot->gpa.value % 64, 0U);
        slots.push_back(*slot);
    }
    EXPECT_EQ(pool->alloc(request_of(64)).code(), ENOSPC);
    for (const Slot& slot : slots) EXPECT_TRUE(pool->free(slot, kStreaming));
}

TEST(PoolFill, EmptySlabsServeEveryOtherSize) {
    std::mt19937 random(2);
    const auto pool = make_pool(4 * kMiB);
    for (int round = 0; round < 3; ++round) {
        for (const std::uint64_t bytes : {std::uint64_t{64}, std::uint64_t{20000}, std::uint64_t{1000}, 3 * kMiB,
                                          std::uint64_t{4096}, std::uint64_t{128}}) {
            auto slots = fill(*pool, bytes);
            EXPECT_GE(slots.size() * std::max(bytes, std::uint64_t{64}) * 100, 4 * kMiB * 75) << bytes;
            give_back(*pool, slots, random);
        }
    }
    auto all = pool->alloc(request_of(4 * kMiB));
    EXPECT_TRUE(all) << last_error();
}

/// Payload when the first request fails, as a share of the pool: the median of some seeds.
double fill_of(std::uint64_t bytes, std::uint64_t churn_steps, std::uint64_t (*draw)(std::mt19937&)) {
    std::vector<double> fills;
    for (unsigned seed = 1; seed <= 9; ++seed) {
        const auto pool = make_pool(bytes);
        std::mt19937 random(seed);
        std::vector<std::pair<Slot, std::uint64_t>> live;
        std::uint64_t payload = 0;
        double most = 0;
        // Churn for a while at three quarters, if at all, then on until something does not fit.
        for (std::uint64_t step = 0;; ++step) {
            const bool churning = step < churn_steps;
            if (churning && payload * 4 > bytes * 3) {
                std::swap(live[random() % live.size()], live.back());
                payload -= live.back().second;
                EXPECT_TRUE(pool->free(live.back().first, kStreaming));
                live.pop_back();
                continue;
            }
            const std::uint64_t size = draw(random);
            auto slot = pool->alloc(request_of(size));
            if (!slot) {
                EXPECT_EQ(slot.code(), ENOSPC);
                if (!churning) break;
                continue;
            }
            payload += size;
            live.emplace_back(*slot, size);
            most = std::max(most, static_cast<double>(payload) / static_cast<double>(bytes));
        }
        fills.push_back(most);
    }
    std::nth_element(fills.begin(), fills.begin() + 4, fills.end());
    return fills[4];
}

std::uint64_t draw_blocks(std::mt19937& random) {
    constexpr std::uint64_t kBlocks[] = {4096, 65536, 262144};
    return kBlocks[random() % 3];
}

std::uint64_t draw_any(std::mt19937& random) {
    return 64 + random() % 65473;
}

TEST(PoolFill, MixedSizesFillAsMuchAsPromised) {
    const double blocks = fill_of(64 * kMiB, 0, draw_blocks);
    const double eight = fill_of(8 * kMiB, 0, draw_any);
    const double four = fill_of(4 * kMiB, 0, draw_any);
    std::printf("fill: 4K/64K/256K of 64 MiB %.3f, 64 B to 64 KiB of 8 MiB %.3f, of 4 MiB %.3f\n", blocks, eight, four);
    std::fflush(stdout);  // a forked child would print it again
    EXPECT_GE(blocks, 0.98);
    EXPECT_GE(eight, 0.91);
    EXPECT_GE(four, 0.91);
}

TEST(PoolFill, ChurnDoesNotFragmentItAway) {
    const double blocks = fill_of(64 * kMiB, 20000, draw_blocks);
    const double eight = fill_of(8 * kMiB, 20000, draw_any);
    const double four = fill_of(4 * kMiB, 20000, draw_any);
    std::printf("after churn: 4K/64K/256K of 64 MiB %.3f, 64 B to 64 KiB of 8 MiB %.3f, of 4 MiB %.3f\n", blocks, eight,
                four);
    std::fflush(stdout);
    EXPECT_GE(blocks, 0.98);
    EXPECT_GE(eight, 0.87);
    EXPECT_GE(four, 0.86);
}

}  // namespace
}  // namespace bounce
