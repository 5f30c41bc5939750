// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Sets of chunk numbers under Relacy, with one number to a word and three levels.
//
// Shown for all schedules with at most three preemptions: a member that stays is found at any time by whoever knows
// that it is there, whatever comes and goes beside it; and when all are gone nothing is left in any counter.
//
// With the order that everything rests on turned round, it must fail; so it does look.
#include <cstdio>

#include "allocator/slab/chunk_set.hpp"
#include "tests/model/relacy_policy.hpp"

namespace bounce {
namespace {

bool g_bit_before_token = false;

struct SmallShape {
    static constexpr std::uint32_t kLeafBits = 1;
    static constexpr std::uint32_t kFan = 2;
    static constexpr std::uint32_t kTopWords = 1;
};

class Set : public ChunkSet<RelacyAtomics, SmallShape> {
public:
    using ChunkSet::ChunkSet;

    void insert(std::uint32_t chunk) {
        if (!g_bit_before_token) return ChunkSet::insert(chunk);
        const std::uint64_t before = words_[chunk].fetch_or(1, std::memory_order_seq_cst);
        if (before == 0) enter(1, chunk / SmallShape::kFan);
    }
};

/// What stays in a set is found at any time, by whoever knows that it is there.
class Sets : public rl::test_suite<Sets, 3> {
public:
    void before() {
        for (auto& word : words_) word.store(0, std::memory_order_relaxed);
    }
    void thread(unsigned index) {
        Set set(words_, kLevels);
        if (index == 2) {
            for (int round = 0; round < 2; ++round) {
                set.insert(3);
                RL_ASSERT(set.find(0) <= 3);
                set.erase(3);
            }
        } else {
            // Two put the same in, beside one that comes and goes.
            set.insert(2);
            RL_ASSERT(set.find(0) == 2);
        }
    }
    void after() {
        Set set(words_, kLevels);
        RL_ASSERT(set.find(0) == 2);
        RL_ASSERT(set.find(3) == Set::kNone);
        set.erase(2);
        for (auto& word : words_) RL_ASSERT(word.load(std::memory_order_relaxed) == 0);
    }

private:
    static constexpr std::uint32_t kMembers = 9;  // three levels
    static constexpr Set::Levels kLevels{kMembers};
    Set::Word words_[Set::words_needed(kMembers)];
};

}  // namespace
}  // namespace bounce

int main() {
    using namespace bounce;
    const bool good = holds_in_all<Sets>(3, false);
    std::printf("chunk_set_model: %s\n", good ? "ok" : "FAILED");
    g_bit_before_token = true;
    const bool missed = holds_in_all<Sets>(3, true);
    std::printf("chunk_set_model, bit before token: %s\n", missed ? "NOT NOTICED" : "fails, as it must");
    return good && !missed ? 0 : 1;
}
