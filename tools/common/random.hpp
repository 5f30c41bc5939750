// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Fast pseudo-random numbers for patterns and offsets. Not for secrets.
#pragma once

#include <cstdint>

namespace bounce::tools {

/// Every bit of the result depends on every bit of the value (the finalizer of MurmurHash3, by Austin Appleby, public
/// domain).
constexpr std::uint64_t mix(std::uint64_t value) noexcept {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ (value >> 33);
}

/// A counter, mixed.
class Random {
public:
    explicit constexpr Random(std::uint64_t seed) noexcept : state_(mix(seed + 1)) {}

    constexpr std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    /// From 0 to bound - 1; bound > 0. Biased by at most bound / 2^64.
    constexpr std::uint64_t below(std::uint64_t bound) noexcept {
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
    }

private:
    __extension__ using Wide = unsigned __int128;
    std::uint64_t state_;
};

}  // namespace bounce::tools
