// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/hex.hpp"

namespace bounce::tools {
namespace {

int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

}  // namespace

std::string to_hex(std::span<const std::byte> bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string digits;
    digits.reserve(2 * bytes.size());
    for (const std::byte byte : bytes) {
        digits += kDigits[std::to_integer<unsigned>(byte >> 4)];
        digits += kDigits[std::to_integer<unsigned>(byte & std::byte{15})];
    }
    return digits;
}

bool from_hex(std::string_view digits, std::span<std::byte> bytes) {
    if (digits.size() != 2 * bytes.size()) return false;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const int high = digit_value(digits[2 * i]);
        const int low = digit_value(digits[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = static_cast<std::byte>(high * 16 + low);
    }
    return true;
}

}  // namespace bounce::tools
