// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The checksums of packets: that of IP, UDP and TCP (RFC 1071), and CRC-32C of a payload (RFC 3720, section 12.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bounce::net {

/// Adds the big-endian 16-bit words of the bytes to `sum`; an odd last byte is the high half of a word.
[[nodiscard]] std::uint32_t sum_words(std::span<const std::byte> bytes, std::uint32_t sum = 0) noexcept;
/// Folds the carries in: 16 bits, not inverted.
[[nodiscard]] std::uint16_t fold(std::uint32_t sum) noexcept;

[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace bounce::net
