// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/checksum.hpp"

#include <array>

namespace bounce::net {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

/// Slicing by four: table[k] is what a byte does k bytes further on.
constexpr std::array<std::array<std::uint32_t, 256>, 4> make_tables() {
    std::array<std::array<std::uint32_t, 256>, 4> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? kPolynomial : 0);
        tables[0][byte] = crc;
    }
    for (std::size_t k = 1; k < tables.size(); ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[k - 1][byte];
            tables[k][byte] = before >> 8 ^ tables[0][before & 0xff];
        }
    }
    return tables;
}

constexpr auto kTables = make_tables();

constexpr std::uint32_t value_of(std::byte byte) {
    return std::to_integer<std::uint32_t>(byte);
}

}  // namespace

std::uint32_t sum_words(std::span<const std::byte> bytes, std::uint32_t sum) noexcept {
    std::uint64_t wide = sum;
    std::size_t i = 0;
    for (; i + 1 < bytes.size(); i += 2) wide += value_of(bytes[i]) << 8 | value_of(bytes[i + 1]);
    if (i < bytes.size()) wide += value_of(bytes[i]) << 8;
    while (wide >> 32 != 0) wide = (wide & 0xffffffff) + (wide >> 32);
    return static_cast<std::uint32_t>(wide);
}

std::uint16_t fold(std::uint32_t sum) noexcept {
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
    std::uint32_t crc = ~before;
    std::size_t i = 0;
    for (; i + 4 <= bytes.size(); i += 4) {
        crc ^= value_of(bytes[i]) | value_of(bytes[i + 1]) << 8 | value_of(bytes[i + 2]) << 16 |
               value_of(bytes[i + 3]) << 24;
        crc =
            kTables[3][crc & 0xff] ^ kTables[2][crc >> 8 & 0xff] ^ kTables[1][crc >> 16 & 0xff] ^ kTables[0][crc >> 24];
    }
    for (; i < bytes.size(); ++i) crc = crc >> 8 ^ kTables[0][(crc ^ value_of(bytes[i])) & 0xff];
    return ~crc;
}

}  // namespace bounce::net
