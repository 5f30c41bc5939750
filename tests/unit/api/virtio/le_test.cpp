// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/le.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace bounce {
namespace {

template <class T, std::size_t n>
void expect_bytes(const T& value, const unsigned char (&expected)[n]) {
    static_assert(sizeof(T) == n);
    EXPECT_EQ(std::memcmp(&value, expected, n), 0);
}

TEST(Le, TheLeastByteComesFirstOnEveryHost) {
    le16 two;
    le32 four;
    le64 eight;
    two.store(0x1122);
    four.store(0x11223344);
    eight.store(0x1122334455667788);
    expect_bytes(two, {0x22, 0x11});
    expect_bytes(four, {0x44, 0x33, 0x22, 0x11});
    expect_bytes(eight, {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11});
    EXPECT_EQ(two.load(), 0x1122);
    EXPECT_EQ(four.load(std::memory_order_acquire), 0x11223344U);
    EXPECT_EQ(eight.load(std::memory_order_seq_cst), 0x1122334455667788U);
}

TEST(Le, HasNoPaddingAndItsOwnAlignment) {
    static_assert(sizeof(le16) == 2 && alignof(le16) == 2);
    static_assert(sizeof(le32) == 4 && alignof(le32) == 4);
    static_assert(sizeof(le64) == 8 && alignof(le64) == 8);
    static_assert(std::is_trivially_copyable_v<le64> && std::is_standard_layout_v<le64>);
    static_assert(to_le(to_le(std::uint32_t{0x01020304})) == 0x01020304);
}

}  // namespace
}  // namespace bounce
