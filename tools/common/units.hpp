// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Numbers as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bounce::tools {

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
    return (value + to - 1) / to * to;
}

/// "4096", "4K", "64KiB", "1M", "2G", "0x1000": bytes. Throws UsageError with a sentence.
std::uint64_t parse_size(std::string_view text);

/// A whole number within [low, high]. Throws UsageError with a sentence that names the bounds.
std::uint64_t parse_number(std::string_view text, std::uint64_t low, std::uint64_t high);

/// A power of two within [low, high].
std::uint32_t parse_power_of_two(std::string_view text, std::uint32_t low, std::uint32_t high);

/// Of a pool: a multiple of 4K, at least 64K.
std::uint64_t parse_pool_size(std::string_view text);

/// A multiple of 4096.
std::uint64_t parse_page_address(std::string_view text);

/// Seconds, with a decimal point or without, within [low, high].
double parse_seconds(std::string_view text, double low, double high);

/// "512 B", "64 MiB", "1.5 GiB".
std::string format_bytes(std::uint64_t bytes);

/// A number with so many digits after the point.
std::string format_fixed(double value, int digits);

/// "5", "0.5": without zeros at the end.
std::string format_number(double value);

/// "834 ns", "12.3 us", "4.5 ms", "2.0 s".
std::string format_nanoseconds(double nanoseconds);

/// Mebibytes per second; 0 when no time has passed.
double mib_per_second(std::uint64_t bytes, double seconds);

}  // namespace bounce::tools
