// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/cipher.hpp"

#include <gtest/gtest.h>

#include <array>

namespace bounce::emulated {
namespace {

using Block = std::array<std::byte, Cipher::kBlock>;

TEST(Cipher, CanBeUndone) {
    const Cipher cipher(42);
    std::array<std::byte, 8 * Cipher::kBlock> data;
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7);
    const auto before = data;
    cipher.encrypt(0x1000, data.data(), data.size());
    EXPECT_NE(data, before);
    cipher.decrypt(0x1000, data.data(), data.size());
    EXPECT_EQ(data, before);
    cipher.decrypt(0x1000, data.data(), data.size());
    cipher.encrypt(0x1000, data.data(), data.size());
    EXPECT_EQ(data, before);
}

TEST(Cipher, DependsOnAddressKeyAndEveryByte) {
    const auto encrypted = [](std::uint64_t key, std::uint64_t gpa, Block block) {
        Cipher(key).encrypt(gpa, block.data(), block.size());
        return block;
    };
    const Block zeros{};
    const Block plain = encrypted(1, 0x1000, zeros);
    EXPECT_NE(plain, zeros);
    EXPECT_NE(plain, encrypted(1, 0x1010, zeros));
    EXPECT_NE(plain, encrypted(2, 0x1000, zeros));
    for (std::size_t i = 0; i < zeros.size(); ++i) {
        Block other = zeros;
        other[i] = std::byte{1};
        const Block there = encrypted(1, 0x1000, other);
        for (std::size_t half = 0; half < 2; ++half)
            EXPECT_FALSE(std::equal(there.begin() + 8 * half, there.begin() + 8 * half + 8, plain.begin() + 8 * half));
    }
}

}  // namespace
}  // namespace bounce::emulated
