// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/iotlb.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <random>

namespace bounce::vhost {
namespace {

constexpr std::uint64_t kTop = ~std::uint64_t{0};

Translation range(std::uint64_t iova, std::uint64_t bytes, std::uint64_t to) {
    return {iova, bytes, to, IotlbAccess::kBoth};
}

TEST(Iotlb, FindsWhatWasMappedAndNothingElse) {
    Iotlb table;
    EXPECT_EQ(table.find(0), nullptr);
    ASSERT_TRUE(table.map(range(0x2000, 0x1000, 0x700000)));
    ASSERT_TRUE(table.map(range(0x1000, 0x10, 0x100)));
    EXPECT_EQ(table.count(), 2U);
    EXPECT_EQ(table.find(0xfff), nullptr);
    ASSERT_NE(table.find(0x1000), nullptr);
    EXPECT_EQ(table.find(0x100f)->user_address, 0x100U);
    EXPECT_EQ(table.find(0x1010), nullptr);
    EXPECT_EQ(table.find(0x2fff)->user_address, 0x700000U);
    EXPECT_EQ(table.find(0x3000), nullptr);
    table.clear();
    EXPECT_EQ(table.find(0x1000), nullptr);
}

TEST(Iotlb, RefusesWhatMakesNoSense) {
    Iotlb table;
    EXPECT_EQ(table.map(range(0x1000, 0, 0)).code(), EINVAL);
    EXPECT_EQ(table.map(range(kTop, 2, 0)).code(), EINVAL);
    EXPECT_EQ(table.map(range(0, 2, kTop)).code(), EINVAL);
    EXPECT_EQ(table.unmap(0, 0).code(), EINVAL);
    EXPECT_EQ(table.unmap(kTop, 2).code(), EINVAL);
    ASSERT_TRUE(table.map(range(0x1000, 0x1000, 0)));
    for (const auto& [iova, bytes] : {std::pair{0x1000, 1}, {0x1fff, 1}, {0xfff, 2}, {0x1fff, 2}, {0, 0x10000}})
        EXPECT_EQ(table.map(range(static_cast<std::uint64_t>(iova), static_cast<std::uint64_t>(bytes), 0)).code(),
                  EEXIST)
            << iova;
    EXPECT_EQ(table.count(), 1U);
    ASSERT_TRUE(table.map(range(kTop, 1, 0))) << "the last byte of all";
    EXPECT_NE(table.find(kTop), nullptr);
    ASSERT_TRUE(table.unmap(kTop, 1));
    EXPECT_EQ(table.find(kTop), nullptr);
}

TEST(Iotlb, CutsWhatIsPartlyTakenAway) {
    Iotlb table;
    ASSERT_TRUE(table.map(range(0x1000, 0x3000, 0x9000)));
    auto taken = table.unmap(0x2000, 0x1000);  // the middle
    ASSERT_TRUE(taken);
    EXPECT_EQ(*taken, 0x1000U);
    EXPECT_EQ(table.count(), 2U);
    EXPECT_EQ(table.find(0x1fff)->bytes, 0x1000U);
    EXPECT_EQ(table.find(0x2000), nullptr);
    ASSERT_NE(table.find(0x3000), nullptr);
    EXPECT_EQ(table.find(0x3000)->iova, 0x3000U);
    EXPECT_EQ(table.find(0x3000)->user_address, 0xb000U);
    const auto ends = table.unmap(0x1800, 0x1900);  // the end of the first, the beginning of the second
    ASSERT_TRUE(ends);
    EXPECT_EQ(*ends, 0x900U);
    EXPECT_EQ(table.find(0x17ff)->bytes, 0x800U);
    EXPECT_EQ(table.find(0x3100)->bytes, 0xf00U);
    EXPECT_EQ(table.find(0x3100)->user_address, 0xb100U);
}

/// Against a byte map: random ranges, every byte looked at.
TEST(Iotlb, IsWhatAByteMapIs) {
    constexpr std::uint64_t kBytes = 96;
    constexpr std::uint64_t kShift = 1000;
    std::mt19937 random(5);
    Iotlb table;
    std::map<std::uint64_t, std::uint64_t> model;  // byte: user address
    for (int step = 0; step < 20000; ++step) {
        const std::uint64_t at = random() % kBytes;
        const std::uint64_t bytes = 1 + random() % 24;
        std::uint64_t there = 0;
        for (std::uint64_t i = 0; i < bytes; ++i) there += model.count(at + i);
        if (random() % 2 == 0) {
            const std::uint64_t to = at + kShift * (1 + random() % 3);
            const auto mapped = table.map(range(at, bytes, to));
            ASSERT_EQ(mapped.code(), there == 0 ? 0 : EEXIST);
            for (std::uint64_t i = 0; mapped && i < bytes; ++i) model[at + i] = to + i;
        } else {
            auto taken = table.unmap(at, bytes);
            ASSERT_TRUE(taken);
            ASSERT_EQ(*taken, there);
            for (std::uint64_t i = 0; i < bytes; ++i) model.erase(at + i);
        }
        for (std::uint64_t byte = 0; byte < kBytes + 30; ++byte) {
            const Translation* found = table.find(byte);
            ASSERT_EQ(found != nullptr, model.count(byte) != 0) << "step " << step << " byte " << byte;
            if (found != nullptr) {
                ASSERT_EQ(found->user_address + (byte - found->iova), model[byte]);
            }
        }
    }
}

TEST(Iotlb, IsBounded) {
    Iotlb table;
    for (std::uint64_t i = 0; i < Iotlb::kMaxTranslations; ++i) ASSERT_TRUE(table.map(range(4 * i, 3, 0)));
    EXPECT_EQ(table.map(range(4 * Iotlb::kMaxTranslations, 1, 0)).code(), ENOSPC);
    EXPECT_EQ(table.unmap(1, 1).code(), ENOSPC) << "cutting in the middle makes one more";
    EXPECT_NE(table.find(1), nullptr);
    ASSERT_TRUE(table.unmap(0, 3));
    EXPECT_TRUE(table.map(range(4 * Iotlb::kMaxTranslations, 1, 0)));
}

TEST(Iotlb, AccessIsASet) {
    EXPECT_TRUE(allows(IotlbAccess::kBoth, IotlbAccess::kWrite));
    EXPECT_TRUE(allows(IotlbAccess::kRead, IotlbAccess::kRead));
    EXPECT_FALSE(allows(IotlbAccess::kRead, IotlbAccess::kBoth));
    EXPECT_FALSE(allows(IotlbAccess::kWrite, IotlbAccess::kRead));
}

}  // namespace
}  // namespace bounce::vhost
