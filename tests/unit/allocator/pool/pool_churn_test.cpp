// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Random churn against a reference model.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <random>
#include <vector>

#include "tests/unit/allocator/pool/pool_fixture.hpp"

namespace bounce {
namespace {

struct Live {
    Slot slot;
    std::uint64_t bytes;
    SlotKind kind;
    std::byte pattern;
};

class Model {
public:
    /// False when it overlaps something that is live.
    bool add(const Live& live) {
        const std::uint64_t start = live.slot.gpa.value;
        auto next = live_.lower_bound(start);
        if (next != live_.end() && next->first < start + live.bytes) return false;
        if (next != live_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > start) return false;
        live_.emplace(start, live);
        return true;
    }
    Live take(std::uint64_t random) {
        // Not uniform, but any address can be hit: good enough to choose a victim.
        auto victim =
            live_.lower_bound(live_.begin()->first + random % (live_.rbegin()->first - live_.begin()->first + 1));
        Live live = victim->second;
        live_.erase(victim);
        return live;
    }
    [[nodiscard]] std::size_t size() const { return live_.size(); }

private:
    std::map<std::uint64_t, Live> live_;
};

void churn(Pool& pool, unsigned seed, int steps, int bits) {
    std::mt19937_64 random(seed);
    Model model;
    std::vector<Live> gone;
    unsigned asked = 0;
    unsigned taken = 0;
    for (int step = 0; step < steps; ++step) {
        if (model.size() == 0 || random() % 100 < 52) {
            AllocRequest request =
                request_of(1 + random() % (std::uint64_t{1} << (random() % static_cast<unsigned>(bits))));
            request.align = std::uint64_t{1} << (random() % 4 == 0 ? random() % 14 : 0);
            request.kind = static_cast<SlotKind>(1 + random() % 3);
            if (random() % 8 == 0) request.max_address = 4 * kGiB + random() % (48 * kMiB);
            auto slot = pool.alloc(request);
            if (!slot) {
                ASSERT_TRUE(slot.code() == ENOSPC || slot.code() == ERANGE || slot.code() == E2BIG) << last_error();
                for (int i = 0; i < 20 && model.size() != 0; ++i) {
                    const Live live = model.take(random());
                    ASSERT_TRUE(pool.free(live.slot, live.kind)) << last_error();
                }
                continue;
            }
            ASSERT_EQ(slot->gpa.value % request.align, 0U);
            ASSERT_LE(slot->gpa.value + request.bytes - 1, request.max_address);
            auto hva = pool.to_hva(slot->gpa, request.bytes);
            ASSERT_TRUE(hva) << last_error();
            ASSERT_EQ(*hva, slot->hva);
            const auto pattern = static_cast<std::byte>(random());
            std::memset(slot->hva, static_cast<int>(pattern), request.bytes);
            ASSERT_TRUE(model.add({*slot, request.bytes, request.kind, pattern})) << "slots overlap";
        } else {
            const Live live = model.take(random());
            // Nobody else wrote there.
            ASSERT_EQ(live.slot.hva[0], live.pattern);
            ASSERT_EQ(live.slot.hva[live.bytes - 1], live.pattern);
            ASSERT_EQ(live.slot.hva[live.bytes / 2], live.pattern);
            ASSERT_TRUE(pool.free(live.slot, live.kind)) << last_error();
            if (gone.empty() || step % 16 == 0) gone.push_back(live);
            // No old token is taken for what has just been freed; but by chance, one in 256.
            const Live& old = gone[random() % gone.size()];
            if (old.slot.gpa == live.slot.gpa) {
                ++asked;
                if (pool.check(old.slot, old.kind)) ++taken;
            }
        }
    }
    EXPECT_LE(taken, 2 + asked / 64) << "of " << asked;
    EXPECT_EQ(pool.stats().slots, model.size());
    while (model.size() != 0) {
        const Live live = model.take(random());
        ASSERT_TRUE(pool.free(live.slot, live.kind)) << last_error();
    }
    EXPECT_EQ(pool.stats().slots, 0U);
    EXPECT_EQ(pool.stats().used_bytes, 0U);
}

TEST(PoolChurn, SmallPool) {
    const auto pool = make_pool(kMiB + 0x3000, 4 * kGiB + 0x1ff000);
    churn(*pool, 1, 40000, 17);
    EXPECT_TRUE(pool->alloc(request_of(kMiB + 0x3000))) << last_error();
}

TEST(PoolChurn, RunsOfManyChunks) {
    const auto pool = make_pool(32 * kMiB, 4 * kGiB + 0x3000);
    churn(*pool, 2, 8000, 24);
    EXPECT_TRUE(pool->alloc(request_of(32 * kMiB))) << last_error();
}

TEST(PoolChurn, SeveralRegions) {
    const auto pool = make_pool(512 * kKiB);
    ASSERT_TRUE(pool->add_region(region_config(3 * kMiB, 4 * kGiB + 8 * kMiB)));
    ASSERT_TRUE(pool->add_region(region_config(kMiB, 4 * kGiB + 32 * kMiB)));
    churn(*pool, 3, 40000, 20);
    EXPECT_TRUE(pool->alloc(request_of(3 * kMiB))) << last_error();
}

}  // namespace
}  // namespace bounce
