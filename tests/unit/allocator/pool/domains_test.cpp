// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/domains.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace bounce {
namespace {

TEST(Domains, WithoutRestrictionsEveryRegionIsForAll) {
    const Domains domains;
    EXPECT_EQ(domains.restricted(), 0u);
    EXPECT_EQ(domains.regions_of(0), ~RegionMask{0});
    EXPECT_EQ(domains.check(0b1, 1).code(), EINVAL) << "not restricted";
}

TEST(Domains, ARestrictedRegionIsForThoseWhoNameIt) {
    Domains domains;
    domains.restrict(0b0110);
    EXPECT_EQ(domains.regions_of(0), ~RegionMask{0b0110});
    EXPECT_EQ(domains.regions_of(0b0010), 0b0010u);
    EXPECT_TRUE(domains.check(0b0110, 4));
    EXPECT_EQ(domains.check(0b0111, 4).code(), EINVAL) << "region 0 is not restricted";
    EXPECT_EQ(domains.check(0b0110, 2).code(), EINVAL) << "there is no region 2";
    domains.restrict(RegionMask{1} << 63);
    EXPECT_TRUE(domains.check(RegionMask{1} << 63, 64));
}

TEST(Domains, TwoAreTheSameOrHaveNothingInCommon) {
    Domains domains;
    domains.restrict(0b1111);
    domains.join(0b0011);
    EXPECT_TRUE(domains.check(0b0011, 4));
    EXPECT_TRUE(domains.check(0b1100, 4));
    EXPECT_EQ(domains.check(0b0001, 4).code(), EBUSY) << "a part";
    EXPECT_EQ(domains.check(0b0111, 4).code(), EBUSY) << "more";
    EXPECT_EQ(domains.check(0b0110, 4).code(), EBUSY);
    domains.join(0b0011);
    EXPECT_EQ(domains.users(0b0011), 2u);
    EXPECT_EQ(domains.users(0b0001), 0u);
    domains.leave(0b0011);
    EXPECT_EQ(domains.check(0b0001, 4).code(), EBUSY) << "one is still there";
    domains.leave(0b0011);
    EXPECT_EQ(domains.users(), 0u);
    EXPECT_TRUE(domains.check(0b0111, 4));
    EXPECT_EQ(domains.used(), 0b0011u);
    domains.note_fresh(0b0001);
    EXPECT_EQ(domains.used(), 0b0010u);
}

}  // namespace
}  // namespace bounce
