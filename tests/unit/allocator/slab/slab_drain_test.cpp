// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The core on plain memory while it is emptied, and while its memory comes bit by bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

#include "allocator/slab/slab_core.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

class Core {
public:
    Core(std::uint64_t base, std::uint64_t bytes)
        : lines_(SlabTables::bytes_needed(Gpa{base}, bytes) / sizeof(Line) + 1),
          bytes_(bytes),
          core(Gpa{base}, bytes, lines_.data()->bytes, usage) {}

    int alloc(std::uint64_t bytes, Placement& placement) { return core.alloc({bytes, 1, bytes_, 1}, placement); }
    /// Takes slots of many sizes until none is to be had.
    std::vector<Placement> fill() {
        std::vector<Placement> all;
        for (std::uint64_t bytes = 300'000; bytes >= 64; bytes /= 2) {
            for (Placement at; alloc(bytes, at) == 0;) all.push_back(at);
        }
        return all;
    }

private:
    struct alignas(kCacheLine) Line {
        std::byte bytes[kCacheLine];
    };
    std::vector<Line> lines_;
    std::uint64_t bytes_;

public:
    Usage usage;
    SlabCore core;
};

TEST(SlabDrain, ClosedItEmptiesAndHandsNothingOut) {
    Core core(kMiB, 8 * kMiB);
    std::vector<Placement> slots = core.fill();
    ASSERT_GT(slots.size(), 20U);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(1));
    core.core.close();
    Placement none;
    std::uint64_t before = core.core.sweep();
    EXPECT_GT(before, 7 * kMiB);
    while (!slots.empty()) {
        ASSERT_EQ(core.core.free(slots.back(), 1), 0);
        slots.pop_back();
        if (slots.size() % 64 == 0) {
            const std::uint64_t now = core.core.sweep();
            EXPECT_LE(now, before);
            before = now;
        }
    }
    EXPECT_EQ(core.core.sweep(), 0U);
    for (const std::uint64_t bytes : {64U, 1500U, 4096U, 20480U, 300'000U}) EXPECT_EQ(core.alloc(bytes, none), ENOSPC);
    core.core.reopen();
    EXPECT_FALSE(core.fill().empty());
}

TEST(SlabDrain, ReopenedItServesTheSizesThatFailed) {
    Core core(0, kMiB);
    Placement at;
    core.core.close();
    for (const std::uint64_t bytes : {64U, 4096U, 300'000U}) EXPECT_EQ(core.alloc(bytes, at), ENOSPC);
    core.core.reopen();
    for (const std::uint64_t bytes : {64U, 4096U, 300'000U}) EXPECT_EQ(core.alloc(bytes, at), 0);
}

TEST(SlabDrain, OldTokensStayStaleOverARestart) {
    Core core(0, 4 * kMiB);
    std::vector<Placement> old;
    Placement at;
    for (const std::uint64_t bytes : {64U, 1500U, 20480U, 300'000U}) {
        ASSERT_EQ(core.alloc(bytes, at), 0);
        ASSERT_EQ(core.core.free(at, 1), 0);
        old.push_back(at);
    }
    core.core.close();
    ASSERT_EQ(core.core.sweep(), 0U);
    for (const Placement& each : old) EXPECT_EQ(core.core.free(each, 1), EALREADY);
    core.core.restart();
    core.core.reopen();
    EXPECT_EQ(core.alloc(64, at), ENOSPC);
    core.core.extend(4 * kMiB, true);
    ASSERT_EQ(core.alloc(64, at), 0);
    for (const Placement& each : old) EXPECT_NE(core.core.free(each, 1), 0);
    EXPECT_EQ(core.core.free(at, 1), 0);
}

TEST(SlabDrain, PagesComeBitByBitAndTheBadOnesNever) {
    constexpr std::uint64_t kBytes = 6 * kMiB;
    Core core(kMiB, kBytes);  // chunks end at 1, 3, 5 and 6 MiB
    core.core.restart();
    Placement at;
    EXPECT_EQ(core.alloc(4096, at), ENOSPC);
    core.core.extend(kMiB, true);
    ASSERT_EQ(core.alloc(4096, at), 0);
    EXPECT_EQ(at.offset, 0U);
    EXPECT_EQ(core.core.bytes_in_use(), kMiB - (kMiB - 4096));
    core.core.extend(3 * kMiB, false);
    core.core.extend(5 * kMiB, true);
    core.core.extend(6 * kMiB, true);
    Placement run;
    EXPECT_EQ(core.alloc(3 * kMiB + 4096, run), ENOSPC);
    ASSERT_EQ(core.alloc(3 * kMiB, run), 0);
    EXPECT_EQ(run.offset, 3 * kMiB);
    const std::vector<Placement> rest = core.fill();
    for (const Placement& each : rest) EXPECT_LT(each.offset, kMiB);
    for (const Placement& each : rest) ASSERT_EQ(core.core.free(each, 1), 0);
    ASSERT_EQ(core.core.free(run, 1), 0);
    ASSERT_EQ(core.core.free(at, 1), 0);
    core.core.close();
    EXPECT_EQ(core.core.sweep(), 0U) << "bad pages do not keep a region from being empty";
}

}  // namespace
}  // namespace bounce
