// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/copy.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bounce {
namespace {

using Copy = void (*)(std::byte*, const std::byte*, std::size_t);

void to_slot(std::byte* to, const std::byte* from, std::size_t bytes) {
    copy_to_slot(to, from, bytes);
}
void from_slot(std::byte* to, const std::byte* from, std::size_t bytes) {
    copy_from_slot(to, from, bytes);
}
void streamed(std::byte* to, const std::byte* from, std::size_t bytes) {
    stream_to_slot(to, from, bytes);
    fence_streams();
}
void streamed_narrow(std::byte* to, const std::byte* from, std::size_t bytes) {
    copy_detail::stream(to, from, bytes, false);
    fence_streams();
}

constexpr std::size_t kRoom = 9000;
constexpr std::size_t kMargin = 64;
constexpr std::byte kUntouched{0xee};

/// Copies `bytes` between the given alignments and looks at every byte that was, and that was not, to be written.
void check(Copy copy, std::size_t bytes, std::size_t to_offset, std::size_t from_offset) {
    alignas(64) static std::byte from[kRoom];
    alignas(64) static std::byte to[kRoom];
    for (std::size_t i = 0; i < kRoom; ++i) from[i] = static_cast<std::byte>(i * 7 + i / 251);
    const std::size_t begin = kMargin + to_offset;
    const std::size_t end = begin + bytes;
    ASSERT_LE(end + kMargin, kRoom);
    std::memset(to, static_cast<int>(kUntouched), end + kMargin);
    copy(to + begin, from + from_offset, bytes);
    ASSERT_EQ(std::memcmp(to + begin, from + from_offset, bytes), 0) << bytes;
    for (std::size_t i = 0; i < begin; ++i) ASSERT_EQ(to[i], kUntouched) << "before " << bytes << " bytes, at " << i;
    for (std::size_t i = end; i < end + kMargin; ++i) ASSERT_EQ(to[i], kUntouched) << "behind " << bytes << " bytes";
}

class EveryCopy : public testing::TestWithParam<Copy> {};

TEST_P(EveryCopy, EveryLengthUpToSomeLines) {
    for (std::size_t bytes = 0; bytes <= 330; ++bytes) check(GetParam(), bytes, 0, 0);
}

TEST_P(EveryCopy, EveryAlignmentOfBothSides) {
    for (const std::size_t bytes : {1u, 63u, 64u, 65u, 127u, 128u, 129u, 192u, 1500u}) {
        for (std::size_t offset = 0; offset < 64; ++offset) {
            check(GetParam(), bytes, offset, 0);
            check(GetParam(), bytes, 0, offset);
            check(GetParam(), bytes, offset, 64 - offset);
        }
    }
}

TEST_P(EveryCopy, Pages) {
    for (const std::size_t bytes : {4095u, 4096u, 4097u, 8192u, 8255u}) {
        check(GetParam(), bytes, 0, 1);
        check(GetParam(), bytes, 8, 0);
    }
}

std::string name_of(const testing::TestParamInfo<Copy>& each) {
    constexpr const char* kNames[] = {"ToSlot", "FromSlot", "Streamed", "StreamedNarrow"};
    return kNames[each.index];
}

INSTANTIATE_TEST_SUITE_P(Copies, EveryCopy, testing::Values(to_slot, from_slot, streamed, streamed_narrow), name_of);

}  // namespace
}  // namespace bounce
