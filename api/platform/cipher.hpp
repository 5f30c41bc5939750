// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A toy cipher over 16-byte blocks, tweaked by the address, as memory encryption is: the same content looks different
// elsewhere, and what is written over ciphertext garbles its whole block. A Feistel network of eight rounds, so it can
// be undone. It protects nothing: it stands for something that does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace bounce::emulated {

class Cipher {
public:
    static constexpr std::size_t kBlock = 16;

    explicit Cipher(std::uint64_t key) noexcept : key_(key) {}

    /// In place. gpa and bytes are multiples of kBlock.
    void encrypt(std::uint64_t gpa, std::byte* data, std::size_t bytes) const noexcept {
        for (std::size_t at = 0; at < bytes; at += kBlock) block(gpa + at, data + at, 0, 1);
    }
    void decrypt(std::uint64_t gpa, std::byte* data, std::size_t bytes) const noexcept {
        for (std::size_t at = 0; at < bytes; at += kBlock) block(gpa + at, data + at, kRounds - 1, ~std::uint64_t{0});
    }

private:
    static constexpr std::uint64_t kRounds = 8;

    static std::uint64_t mix(std::uint64_t x) noexcept {
        x ^= x >> 31;
        x *= 0x7fb5d329728ea185;
        x ^= x >> 27;
        x *= 0x81dadef4bc2dd44d;
        return x ^ x >> 33;
    }
    /// Rounds from `first` on, `step` apart.
    void block(std::uint64_t gpa, std::byte* data, std::uint64_t first, std::uint64_t step) const noexcept {
        std::uint64_t half[2];
        std::memcpy(half, data, kBlock);
        const bool backwards = first != 0;
        if (backwards) std::swap(half[0], half[1]);
        for (std::uint64_t i = 0, round = first; i < kRounds; ++i, round += step) {
            half[0] ^= mix(half[1] ^ mix(key_ ^ mix(gpa + round)));
            std::swap(half[0], half[1]);
        }
        if (backwards) std::swap(half[0], half[1]);
        std::memcpy(data, half, kBlock);
    }

    std::uint64_t key_;
};

}  // namespace bounce::emulated
