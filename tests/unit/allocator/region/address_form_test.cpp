// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/address_form.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace bounce {
namespace {

constexpr Gpa kBase{0x1'0000'0000};
constexpr std::uint64_t kBytes = 4u << 20;
constexpr std::uint64_t kBit = std::uint64_t{1} << 47;

void expect_refused(const AddressForm& form, Gpa base, std::uint64_t bytes, const char* part) {
    const auto address = form.first(base, bytes);
    ASSERT_FALSE(address);
    EXPECT_EQ(address.code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find(part), std::string::npos) << last_error();
}

TEST(AddressForm, IsTheGpaByDefault) {
    EXPECT_EQ(AddressForm{}.first(kBase, kBytes)->value, kBase.value);
    EXPECT_EQ(AddressForm{}.first(Gpa{0x1000}, kBytes)->value, 0x1000u);
}

TEST(AddressForm, AddsABias) {
    AddressForm form;
    form.bias = kBit;
    EXPECT_EQ(form.first(kBase, kBytes)->value, kBase.value + kBit);
    form.bias = 0 - kBase.value;  // downwards
    EXPECT_EQ(form.first(kBase, kBytes)->value, 0u);
}

TEST(AddressForm, KeepsMultiplesOfAChunk) {
    AddressForm form;
    form.bias = kChunkBytes / 2;
    expect_refused(form, kBase, kBytes, "2 MiB");
    form.bias = 0;
    form.offset = true;
    EXPECT_EQ(form.first(kBase, kBytes)->value, 0u);
    expect_refused(form, kBase + 4096, kBytes, "2 MiB");
}

TEST(AddressForm, ReachesNoFurtherThanTheLastAddress) {
    AddressForm form;
    form.bias = 0 - kBase.value - kChunkBytes;  // the region would go around
    expect_refused(form, kBase, kBytes, "beyond the last address");
    EXPECT_TRUE(form.first(kBase, kChunkBytes));
}

TEST(AddressForm, KeepsABitForWhoMaySeeAPage) {
    AddressForm form;
    form.forbidden = kBit;
    EXPECT_EQ(form.first(kBase, kBytes)->value, kBase.value);
    EXPECT_TRUE(form.first(Gpa{kBit - kBytes}, kBytes));
    expect_refused(form, Gpa{kBit}, kBytes, "the bit");
    expect_refused(form, Gpa{kBit - kBytes + 4096}, kBytes, "the bit");
    EXPECT_TRUE(form.first(Gpa{2 * kBit}, kBytes));  // higher bits do not matter
}

TEST(AddressForm, AsksAHook) {
    struct Asked {
        std::uint64_t gpa = 0, bytes = 0, answer = 0;
        int status = 0;
    } asked;
    AddressForm form;
    form.user = &asked;
    form.locate = [](void* user, std::uint64_t gpa, std::uint64_t bytes, std::uint64_t* address) {
        auto& it = *static_cast<Asked*>(user);
        it.gpa = gpa;
        it.bytes = bytes;
        *address = it.answer;
        return it.status;
    };
    asked.answer = 0x4000'0000;
    EXPECT_EQ(form.first(kBase, kBytes)->value, 0x4000'0000u);
    EXPECT_EQ(asked.gpa, kBase.value);
    EXPECT_EQ(asked.bytes, kBytes);
    asked.answer = 0x4000'1000;
    expect_refused(form, kBase, kBytes, "2 MiB");
    asked.status = -ENOSPC;
    EXPECT_EQ(form.first(kBase, kBytes).code(), ENOSPC);
    for (const int nonsense : {1, -5000}) {
        asked.status = nonsense;
        EXPECT_EQ(form.first(kBase, kBytes).code(), EIO);
    }
}

}  // namespace
}  // namespace bounce
