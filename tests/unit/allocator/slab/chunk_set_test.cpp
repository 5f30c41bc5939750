// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/chunk_set.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

// Has all eight levels.
struct SmallShape {
    static constexpr std::uint32_t kLeafBits = 4;
    static constexpr std::uint32_t kFan = 2;
    static constexpr std::uint32_t kTopWords = 1;
};

template <class Shape>
struct Memory {
    using Set = ChunkSet<StdAtomics, Shape>;
    explicit Memory(std::uint32_t chunks)
        : levels(chunks),
          words(std::make_unique<typename Set::Word[]>(Set::words_needed(chunks))),
          set(words.get(), levels) {}

    [[nodiscard]] bool all_zero() const {
        for (std::size_t i = 0; i < levels.end; ++i) {
            if (words[i].load() != 0) return false;
        }
        return true;
    }

    typename Set::Levels levels;
    std::unique_ptr<typename Set::Word[]> words;
    Set set;
};

template <class Shape>
class ChunkSetOf : public ::testing::Test {};
using Shapes = ::testing::Types<ChunkSetShape, SmallShape>;
TYPED_TEST_SUITE(ChunkSetOf, Shapes);

TYPED_TEST(ChunkSetOf, ZeroIsEmptyAndOneIsFoundWhereverItIs) {
    for (const std::uint32_t chunks : {1U, 5U, 64U, 65U, 512U, 513U, 1000U, 40000U, 524288U}) {
        Memory<TypeParam> memory(chunks);
        auto& set = memory.set;
        EXPECT_EQ(set.find(0), set.kNone);
        for (const std::uint32_t chunk : {0U, chunks / 3, chunks / 2, chunks - 1}) {
            set.insert(chunk);
            set.insert(chunk);
            EXPECT_TRUE(set.contains(chunk));
            EXPECT_EQ(set.find(0), chunk);
            EXPECT_EQ(set.find(chunk), chunk);
            EXPECT_EQ(set.find(chunk + 1), set.kNone);
            set.erase(chunk);
            set.erase(chunk);
            EXPECT_FALSE(set.contains(chunk));
        }
        EXPECT_TRUE(memory.all_zero()) << chunks;
    }
}

TYPED_TEST(ChunkSetOf, AgreesWithAStdSet) {
    for (const std::uint32_t chunks : {63U, 700U, 5000U}) {
        Memory<TypeParam> memory(chunks);
        auto& set = memory.set;
        std::set<std::uint32_t> model;
        std::mt19937 random(chunks);
        for (int round = 0; round < 20000; ++round) {
            // Sparse and dense times alternate.
            const auto chunk = static_cast<std::uint32_t>(random() % chunks);
            if (random() % 4 < (round / 3000 % 2 == 0 ? 3U : 1U)) {
                set.insert(chunk);
                model.insert(chunk);
            } else {
                set.erase(chunk);
                model.erase(chunk);
            }
            const auto from = static_cast<std::uint32_t>(random() % chunks);
            const auto next = model.lower_bound(from);
            ASSERT_EQ(set.find(from), next == model.end() ? set.kNone : *next);
        }
        for (const std::uint32_t chunk : model) set.erase(chunk);
        EXPECT_TRUE(memory.all_zero());
    }
}

// Each thread comes and goes in numbers of its own, among neighbours that do the same, and always finds what it put in.
TYPED_TEST(ChunkSetOf, WhatStaysIsAlwaysFound) {
    constexpr std::uint32_t kChunks = 600;
    constexpr std::uint32_t kThreads = 4;
    Memory<TypeParam> memory(kChunks);
    auto& set = memory.set;
    std::atomic<int> missed{0};
    std::vector<std::thread> threads;
    for (std::uint32_t id = 0; id < kThreads; ++id) {
        threads.emplace_back([&, id] {
            std::mt19937 random(id);
            for (int round = 0; round < 100000; ++round) {
                const auto chunk = static_cast<std::uint32_t>(random() % (kChunks / kThreads)) * kThreads + id;
                set.insert(chunk);
                std::uint32_t at = set.find(chunk - chunk % 64);
                while (at < chunk) at = set.find(at + 1);
                if (at != chunk || !set.contains(chunk)) missed.fetch_add(1);
                set.erase(chunk);
                if (set.find(chunk) == chunk) missed.fetch_add(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(missed.load(), 0);
    EXPECT_TRUE(memory.all_zero());
}

TEST(ChunkSet, MemoryIsAByteForSevenChunksOrSo) {
    using Set = ChunkSet<StdAtomics>;
    EXPECT_EQ(Set::bytes_needed(1), 8U);
    EXPECT_EQ(Set::bytes_needed(64), 8U);
    EXPECT_EQ(Set::bytes_needed(512), 64U);
    EXPECT_LE(Set::bytes_needed(524288), 524288U / 7);
}

}  // namespace
}  // namespace bounce
