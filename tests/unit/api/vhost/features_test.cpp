// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/features.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "api/vhost/protocol.hpp"

namespace bounce::vhost {
namespace {

constexpr std::uint64_t kOffered = kVersion1 | kEventIdx | kIndirectDesc | feature(9) | feature(13);

TEST(Features, AcceptsTheRingFeaturesByItselfAndOthersWhenWanted) {
    auto plain = accept_features(kOffered, {});
    ASSERT_TRUE(plain);
    EXPECT_EQ(*plain, kVersion1 | kEventIdx | kIndirectDesc);
    auto more = accept_features(kOffered, {feature(9), feature(13) | feature(14), kEventIdx});
    ASSERT_TRUE(more);
    EXPECT_EQ(*more, kVersion1 | kIndirectDesc | feature(9) | feature(13));
}

TEST(Features, RefusesABackEndWithoutVersion1) {
    auto result = accept_features(kOffered & ~kVersion1, {});
    ASSERT_EQ(result.code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("bit 32 (VERSION_1)"), std::string::npos) << last_error();
}

TEST(Features, NamesWhatIsMissing) {
    auto result = accept_features(kOffered, {feature(5) | feature(9)});
    ASSERT_EQ(result.code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("required features: bit 5 (it"), std::string::npos) << last_error();
}

TEST(Features, NeverAcceptsAccessPlatform) {
    auto wanted = accept_features(kOffered | kAccessPlatform, {0, kAccessPlatform});
    ASSERT_TRUE(wanted);
    EXPECT_EQ(*wanted & kAccessPlatform, 0U);
    auto required = accept_features(kOffered | kAccessPlatform, {kAccessPlatform});
    ASSERT_EQ(required.code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("ACCESS_PLATFORM"), std::string::npos);
}

TEST(Features, DoesNotAcceptRingFeaturesThatTheLibraryDoesNotHave) {
    for (const unsigned bit : {24U, 26U, 27U, 30U, 37U, 39U, 41U, 49U}) {
        auto wanted = accept_features(~std::uint64_t{0}, {0, feature(bit)});
        ASSERT_TRUE(wanted);
        EXPECT_EQ(*wanted, kVersion1 | kEventIdx | kIndirectDesc) << bit;
        EXPECT_EQ(accept_features(~std::uint64_t{0}, {feature(bit)}).code(), ENOTSUP) << bit;
    }
}

TEST(Features, AcceptsOtherRingsOnlyWhenAskedFor) {
    constexpr std::uint64_t kAlways = kVersion1 | kEventIdx | kIndirectDesc;
    auto none = accept_features(~std::uint64_t{0}, {});
    ASSERT_TRUE(none);
    EXPECT_EQ(*none, kAlways);
    for (const unsigned bit : {34U, 35U, 36U, 38U, 40U}) {
        for (const FeaturePolicy& policy : {FeaturePolicy{feature(bit)}, FeaturePolicy{0, feature(bit)}}) {
            auto accepted = accept_features(~std::uint64_t{0}, policy);
            ASSERT_TRUE(accepted) << last_error();
            EXPECT_EQ(*accepted, kAlways | feature(bit));
        }
        EXPECT_EQ(accept_features(kAlways, {feature(bit)}).code(), ENOTSUP);
        auto without = accept_features(kAlways, {0, feature(bit)});
        ASSERT_TRUE(without);
        EXPECT_EQ(*without, kAlways);
    }
}

TEST(Features, ContradictionsAreInvalid) {
    EXPECT_EQ(check_policy({feature(3), 0, feature(3)}).code(), EINVAL);
    EXPECT_EQ(check_policy({0, 0, kVersion1}).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("always is required"), std::string::npos) << last_error();
    EXPECT_TRUE(check_policy({feature(3), 0, feature(4)}));
}

TEST(Features, ASuccessorNeedsWhatItsPredecessorHadAndGetsNoMore) {
    auto less = accept_features(kOffered & ~kEventIdx, {}, kVersion1 | kEventIdx);
    ASSERT_EQ(less.code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("predecessor had: bit 29 (EVENT_IDX)"), std::string::npos) << last_error();
    auto more = accept_features(kOffered, {}, kVersion1 | kEventIdx);
    ASSERT_TRUE(more);
    EXPECT_EQ(*more, kVersion1 | kEventIdx);
}

TEST(Features, NamesOfManyBitsAreCutNotOverrun) {
    const FeatureNames all(~std::uint64_t{0});
    EXPECT_LT(std::string(all.text).size(), sizeof all.text);
    EXPECT_NE(std::string(all.text).find("..."), std::string::npos);
    EXPECT_STREQ(FeatureNames(0).text, "");
}

}  // namespace
}  // namespace bounce::vhost
