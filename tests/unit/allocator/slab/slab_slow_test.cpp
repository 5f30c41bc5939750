// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What no current slab can serve: limits, boundaries, and failures that are remembered.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include "tests/unit/allocator/slab/slab_core_fixture.hpp"

namespace bounce {
namespace {

using Request = SlabCore::Request;

/// Everything that a core has for this request.
std::vector<Placement> take_all(Core& core, const Request& request) {
    std::vector<Placement> all;
    Placement placement;
    while (core.core.alloc(request, placement) == 0) all.push_back(placement);
    return all;
}

TEST(SlabSlow, BoundariesAreKept) {
    constexpr std::uint64_t kBase = 0x7ff83000;  // windows up to 2 GiB end inside
    for (const std::uint64_t bytes : {64U, 1500U, 4096U, 4097U, 9000U, 20000U, 65536U, 300000U}) {
        for (std::uint64_t boundary = 64; boundary <= std::uint64_t{1} << 33; boundary *= 2) {
            if (boundary < bytes) continue;
            Core core(kBase, kMiB);
            const auto all = take_all(core, {bytes, 1, kMiB, 1, boundary});
            ASSERT_FALSE(all.empty()) << bytes << " within " << boundary;
            for (const Placement& one : all) {
                const std::uint64_t gpa = kBase + one.offset;
                ASSERT_EQ(gpa / boundary, (gpa + bytes - 1) / boundary) << bytes << " within " << boundary;
                ASSERT_LE(one.offset + bytes, kMiB);
                ASSERT_EQ(core.core.free(one, 1), 0);
            }
            EXPECT_EQ(core.usage.bytes(), 0U);
        }
    }
}

TEST(SlabSlow, ABoundaryGoesWithAnAlignmentAndALimit) {
    Core core(0x1000, 2 * kMiB);
    for (const Placement& one : take_all(core, {3000, 1024, kMiB, 1, 8192})) {
        const std::uint64_t gpa = 0x1000 + one.offset;
        ASSERT_EQ(gpa % 1024, 0U);
        ASSERT_EQ(gpa / 8192, (gpa + 2999) / 8192);
        ASSERT_LE(one.offset + 3000, kMiB);
    }
    Placement large;
    ASSERT_EQ(core.core.alloc({65536, 65536, 2 * kMiB, 1, 65536}, large), 0);
    EXPECT_EQ((0x1000 + large.offset) % 65536, 0U);
}

TEST(SlabSlow, WhatNoWindowHoldsIsToldApartFromFull) {
    const Core core(kMiB, 2 * kMiB);
    EXPECT_TRUE(core.core.could_hold({kMiB, 1, 2 * kMiB, 1, 2 * kMiB}));
    EXPECT_TRUE(core.core.could_hold({2 * kMiB, 1, 2 * kMiB, 1, 4 * kMiB}));
    EXPECT_FALSE(core.core.could_hold({kMiB + 1, 1, 2 * kMiB, 1, 2 * kMiB}));
}

TEST(SlabSlow, WhatComesHomeAfterAFailureIsFound) {
    const Request requests[] = {
        {4096, 4096, kMiB, 1},    {100, 64, kMiB, 1},      {8192, 8192, kMiB, 1}, {64, 1, kMiB / 2, 1},
        {4096, 1, kMiB, 1, 4096}, {30000, 1, kMiB / 2, 1}, {100000, 1, kMiB, 1},  {4096, 4096, kMiB / 4, 1, 8192},
    };
    for (const Request& request : requests) {
        Core core(0, kMiB);
        auto all = take_all(core, request);
        Placement placement;
        // What is left, so that it is the free that helps.
        take_all(core, {4096, 1, kMiB, 1});
        take_all(core, {64, 1, kMiB, 1});
        for (int i = 0; i < 50; ++i) {
            for (int j = 0; j < 3; ++j) ASSERT_EQ(core.core.alloc(request, placement), ENOSPC);
            ASSERT_EQ(core.core.free(all.back(), 1), 0);
            ASSERT_EQ(core.core.alloc(request, all.back()), 0) << request.bytes;
        }
    }
}

TEST(SlabSlow, ARefusalDoesNotSpeakForThoseWhoAskForLess) {
    Core core(0, kMiB);
    Placement first;
    ASSERT_EQ(core.alloc(kMiB - 8192, first), 0);
    Placement placement;
    EXPECT_EQ(core.core.alloc({8192, 16384, kMiB, 1}, placement), ENOSPC);
    EXPECT_EQ(core.core.alloc({8192, 4096, kMiB - 1, 1}, placement), ENOSPC);
    EXPECT_EQ(core.core.alloc({12288, 4096, kMiB, 1}, placement), ENOSPC);
    EXPECT_EQ(core.core.alloc({8192, 8192, kMiB, 1, 8192}, placement), 0);
}

/// The middle one of the times that a request takes.
double nanoseconds(Core& core, const Request& request, int expected) {
    using Clock = std::chrono::steady_clock;
    std::vector<double> times(101);
    for (double& time : times) {
        Placement placement;
        const auto begin = Clock::now();
        const int code = core.core.alloc(request, placement);
        time = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
        EXPECT_EQ(code, expected);
    }
    std::nth_element(times.begin(), times.begin() + 50, times.end());
    return times[50];
}

TEST(SlabSlow, RepeatedFailuresDoNotSearch) {
    constexpr std::uint64_t kBytes = 256 * kMiB;
    Core core(0, kBytes);
    // Every page a slot of its own, every second one free: a search would have 65536 slots to look at.
    auto all = take_all(core, {4096, 1, kBytes, 1});
    for (const Placement& one : all) {
        if (one.offset / 4096 % 2 == 1) {
            ASSERT_EQ(core.core.free(one, 1), 0);
        }
    }
    // A search takes more than a millisecond; the margin is for machines under load and checkers.
    EXPECT_LT(nanoseconds(core, {4096, 8192, kBytes, 1}, ENOSPC), 100e3);
    EXPECT_LT(nanoseconds(core, {4096, 1, 4096, 1}, ENOSPC), 100e3);
    EXPECT_LT(nanoseconds(core, {8192, 1, kBytes, 1, 8192}, ENOSPC), 100e3);
    EXPECT_LT(nanoseconds(core, {65536, 1, kBytes, 1}, ENOSPC), 100e3);
}

}  // namespace
}  // namespace bounce
