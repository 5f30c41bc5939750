// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Old callers with new libraries and new callers with old libraries.
#include "api/abi/options.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <string>

namespace bounce::abi {
namespace {

// As the library knows it; the first version ended after `a`.
struct Options {
    std::size_t size;
    std::uint64_t a;
    std::uint64_t b;
};
constexpr std::size_t kFirst = offsetof(Options, b);

struct Newer {
    Options known;
    std::uint64_t unknown;
};

// Not inlined: the size is data, as it is for the library, and no compiler may reason from the object behind it.
[[gnu::noinline]] int read(const void* given, Options& ours) {
    return read_options(static_cast<const Options*>(given), kFirst, "options", ours).code();
}

TEST(Options, SameVersion) {
    const Options given{sizeof given, 1, 2};
    Options ours{};
    EXPECT_EQ(read(&given, ours), 0);
    EXPECT_EQ(ours.a, 1u);
    EXPECT_EQ(ours.b, 2u);
}

TEST(Options, WhatAnOlderCallerDoesNotKnowIsZero) {
    const Options given{kFirst, 1, 0xdead};
    Options ours{0, 7, 7};
    EXPECT_EQ(read(&given, ours), 0);
    EXPECT_EQ(ours.a, 1u);
    EXPECT_EQ(ours.b, 0u) << "beyond the caller's struct";
}

TEST(Options, ANewerCallerMayLeaveItsFieldsZero) {
    const Newer given{{sizeof(Newer), 1, 2}, 0};
    Options ours{};
    EXPECT_EQ(read(&given, ours), 0);
    EXPECT_EQ(ours.b, 2u);
}

TEST(Options, ANewerCallersFieldIsRefusedByItsOffset) {
    const Newer given{{sizeof(Newer), 1, 2}, 0x100};
    Options ours{};
    EXPECT_EQ(read(&given, ours), EINVAL);
    const std::string text = last_error();
    EXPECT_NE(text.find(std::endian::native == std::endian::little ? "offset 25" : "offset 30"), std::string::npos)
        << text;
}

TEST(Options, SizesThatCannotBe) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kFirst - 1, kMaxOptionBytes + 1, SIZE_MAX}) {
        const Options given{size, 0, 0};
        Options ours{};
        EXPECT_EQ(read(&given, ours), EINVAL) << size;
        EXPECT_NE(std::string(last_error()).find("options.size"), std::string::npos);
    }
}

TEST(Options, Null) {
    Options ours{};
    EXPECT_EQ(read(nullptr, ours), EINVAL);
    EXPECT_STREQ(last_error(), "options is NULL");
}

TEST(Options, Flags) {
    EXPECT_TRUE(known_flags(0, 3, "flags"));
    EXPECT_TRUE(known_flags(3, 3, "flags"));
    EXPECT_EQ(known_flags(4, 3, "options.flags").code(), EINVAL);
    EXPECT_STREQ(last_error(), "options.flags has unknown bits 0x4, known are 0x3");
    EXPECT_TRUE(must_be_zero(0, "reserved"));
    EXPECT_EQ(must_be_zero(1, "reserved").code(), EINVAL);
}

TEST(Options, Names) {
    EXPECT_STREQ(*read_name(nullptr, "default", "name"), "default");
    EXPECT_STREQ(*read_name("mine", "default", "name"), "mine");
    EXPECT_TRUE(read_name(std::string(63, 'x').c_str(), "", "name"));
    EXPECT_EQ(read_name(std::string(64, 'x').c_str(), "", "name").code(), EINVAL);
}

}  // namespace
}  // namespace bounce::abi
