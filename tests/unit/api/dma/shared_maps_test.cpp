// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/shared_maps.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <thread>
#include <vector>

namespace bounce {
namespace {

TEST(SharedMaps, EndsOnce) {
    SharedMaps maps;
    const auto ticket = maps.open(Gpa{0x1000}, 64);
    ASSERT_TRUE(ticket);
    EXPECT_EQ(maps.count(), 1u);
    EXPECT_EQ(maps.check(*ticket), 0);
    EXPECT_EQ(maps.close(*ticket), 0);
    EXPECT_EQ(maps.close(*ticket), EALREADY);
    EXPECT_EQ(maps.count(), 0u);
    const auto next = maps.open(Gpa{0x1000}, 64);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->index, ticket->index) << "reused";
    EXPECT_EQ(maps.close(*ticket), ESTALE);
    EXPECT_EQ(maps.close(*next), 0);
}

TEST(SharedMaps, ForgedTicketsEndNothing) {
    SharedMaps maps;
    const auto ticket = maps.open(Gpa{0x1000}, 64);
    ASSERT_TRUE(ticket);
    for (const SharedMaps::Ticket forged :
         {SharedMaps::Ticket{UINT32_MAX, 1}, SharedMaps::Ticket{ticket->index + 1, 1}, SharedMaps::Ticket{1u << 20, 1},
          SharedMaps::Ticket{ticket->index, ticket->generation + 1},
          SharedMaps::Ticket{ticket->index, ticket->generation + 2}, SharedMaps::Ticket{ticket->index, 0}})
        EXPECT_NE(maps.close(forged), 0);
    EXPECT_EQ(maps.count(), 1u);
    EXPECT_EQ(maps.close(*ticket), 0);
}

TEST(SharedMaps, ThousandsLiveAtOnceAndAreFoundByAddress) {
    SharedMaps maps;
    std::vector<SharedMaps::Ticket> tickets;
    std::set<std::uint32_t> indices;
    for (std::uint64_t i = 0; i < 10000; ++i) {
        const auto ticket = maps.open(Gpa{i * 0x1000}, 64);
        ASSERT_TRUE(ticket);
        tickets.push_back(*ticket);
        indices.insert(ticket->index);
    }
    EXPECT_EQ(indices.size(), 10000u) << "no two have one";
    EXPECT_EQ(maps.count_in(Gpa{0x5000}, 0x3000), 3u);
    EXPECT_EQ(maps.count_in(Gpa{10000 * 0x1000}, 0x3000), 0u);
    for (const auto& ticket : tickets) EXPECT_EQ(maps.close(ticket), 0);
    EXPECT_EQ(maps.count_in(Gpa{0}, ~std::uint64_t{0}), 0u);
}

TEST(SharedMaps, OfManyThreadsOneEnds) {
    SharedMaps maps;
    std::atomic<std::uint32_t> ended{0};
    for (int round = 0; round < 200; ++round) {
        const auto ticket = maps.open(Gpa{0x1000}, 64);
        ASSERT_TRUE(ticket);
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                if (maps.close(*ticket) == 0) ended.fetch_add(1);
                const auto own = maps.open(Gpa{0x2000}, 64);
                if (!own || maps.close(*own) != 0) ended.fetch_add(1000);
            });
        }
        for (auto& thread : threads) thread.join();
    }
    EXPECT_EQ(ended.load(), 200u);
    EXPECT_EQ(maps.count(), 0u);
}

}  // namespace
}  // namespace bounce
