// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/units.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

/// The digits at the front of text; false when there are none or too many for 64 bits.
bool take_number(std::string_view& text, std::uint64_t& value) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end == text.data()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

/// Shift of a unit, or -1.
int unit_shift(std::string_view unit) {
    constexpr std::string_view kLetters = "KMGTP";
    if (unit.empty() || unit == "B") return 0;
    const char letter = static_cast<char>(unit[0] >= 'a' && unit[0] <= 'z' ? unit[0] - 'a' + 'A' : unit[0]);
    const auto at = kLetters.find(letter);
    if (at == std::string_view::npos) return -1;
    unit.remove_prefix(1);
    if (!unit.empty() && unit != "iB") return -1;
    return 10 * (static_cast<int>(at) + 1);
}

}  // namespace

std::uint64_t parse_size(std::string_view input) {
    std::string_view rest = input;
    std::uint64_t value = 0;
    const bool number = take_number(rest, value);
    const int shift = number ? unit_shift(rest) : -1;
    if (shift < 0) {
        throw UsageError(text("'", input,
                              "' is not a size: expected a whole number, then nothing or one of K, M, G, T, P ",
                              "(KiB, MiB... mean the same)"));
    }
    if (value > std::numeric_limits<std::uint64_t>::max() >> shift) {
        throw UsageError(text("'", input, "' is too large: a size is below 16384P"));
    }
    return value << shift;
}

std::uint64_t parse_number(std::string_view input, std::uint64_t low, std::uint64_t high) {
    std::string_view rest = input;
    std::uint64_t value = 0;
    if (!take_number(rest, value) || !rest.empty() || value < low || value > high) {
        throw UsageError(text("'", input, "' is not a whole number from ", low, " to ", high));
    }
    return value;
}

std::uint32_t parse_power_of_two(std::string_view input, std::uint32_t low, std::uint32_t high) {
    const std::uint64_t value = parse_number(input, low, high);
    if (!std::has_single_bit(value)) throw UsageError(text("'", input, "' is not a power of two"));
    return static_cast<std::uint32_t>(value);
}

std::uint64_t parse_pool_size(std::string_view input) {
    const std::uint64_t bytes = parse_size(input);
    if (bytes < 65536 || bytes % 4096 != 0) throw UsageError("expected a multiple of 4K, at least 64K");
    return bytes;
}

std::uint64_t parse_page_address(std::string_view input) {
    const std::uint64_t address = parse_size(input);
    if (address % 4096 != 0) throw UsageError(text("'", input, "' is not a multiple of 4096"));
    return address;
}

double parse_seconds(std::string_view input, double low, double high) {
    double value = 0;
    const auto [end, error] = std::from_chars(input.data(), input.data() + input.size(), value);
    if (error != std::errc{} || end != input.data() + input.size() || !std::isfinite(value) || value < low ||
        value > high) {
        throw UsageError(
            text("'", input, "' is not a number of seconds from ", format_number(low), " to ", format_number(high)));
    }
    return value;
}

std::string format_fixed(double value, int digits) {
    std::array<char, 64> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
    return length > 0 && static_cast<std::size_t>(length) < buffer.size() ? std::string(buffer.data()) : text(value);
}

std::string format_number(double value) {
    std::array<char, 32> buffer{};
    const auto [end, error] =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    return error == std::errc{} ? std::string(buffer.data(), end) : text(value);
}

std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return text(bytes, " B");
    std::size_t unit = 0;
    while (unit + 1 < kUnits.size() && bytes >> (10 * (unit + 2)) != 0) ++unit;
    const unsigned shift = 10 * (static_cast<unsigned>(unit) + 1);
    if (bytes % (std::uint64_t{1} << shift) == 0) return text(bytes >> shift, " ", kUnits[unit]);
    return text(format_fixed(std::ldexp(static_cast<double>(bytes), -static_cast<int>(shift)), 1), " ", kUnits[unit]);
}

std::string format_nanoseconds(double nanoseconds) {
    if (nanoseconds < 1e3) return text(format_fixed(nanoseconds, 0), " ns");
    if (nanoseconds < 1e6) return text(format_fixed(nanoseconds / 1e3, 1), " us");
    if (nanoseconds < 1e9) return text(format_fixed(nanoseconds / 1e6, 1), " ms");
    return text(format_fixed(nanoseconds / 1e9, 1), " s");
}

double mib_per_second(std::uint64_t bytes, double seconds) {
    return seconds > 0 ? static_cast<double>(bytes) / (1024.0 * 1024.0) / seconds : 0.0;
}

}  // namespace bounce::tools
