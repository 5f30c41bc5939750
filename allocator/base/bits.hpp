// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Small arithmetic on powers of two and ranges, overflow included.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace bounce {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t power_of_two) {
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t power_of_two) {
    return value & ~(power_of_two - 1);
}

/// std::has_single_bit() without its call into libgcc on machines that may lack popcnt.
constexpr bool is_power_of_two(std::uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

constexpr bool is_multiple(std::uint64_t value, std::uint64_t power_of_two) {
    return (value & (power_of_two - 1)) == 0;
}

constexpr std::uint64_t div_up(std::uint64_t value, std::uint64_t divisor) {
    return value / divisor + (value % divisor != 0 ? 1 : 0);
}

/// The `bits` (fewer than 64) bits of a word from bit `at` on.
constexpr std::uint64_t field(std::uint64_t word, unsigned at, unsigned bits) {
    return word >> at & ((std::uint64_t{1} << bits) - 1);
}

/// Does [offset, offset + bytes) lie inside [0, limit)? Never overflows.
constexpr bool fits(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit) {
    return bytes <= limit && offset <= limit - bytes;
}

}  // namespace bounce
