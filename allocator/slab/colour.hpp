// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Threads that work on slots of their own should write cache lines of their own. Each end of a hold writes a state, a
// byte, and neighbours are of different threads as a rule. So eight states in a row lie in eight lines, and a context
// takes slots of its own *colour* first: states of different colours are in different lines.
#pragma once

#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

inline constexpr std::uint32_t kColours = 8;

/// Where the state is that would be at this index if states lay in order.
constexpr std::uint64_t state_index(std::uint64_t in_order) noexcept {
    return in_order ^ (in_order % kColours) * kCacheLine;
}

/// One of so many colours, a power of two up to kColours.
struct Colour {
    std::uint32_t value = 0;
    std::uint32_t among = 1;

    /// The bits of this word whose slots have it. (States follow bits where slots have a power of two of bytes;
    /// elsewhere it is a hint.)
    [[nodiscard]] constexpr std::uint64_t bits(std::uint64_t word) const noexcept {
        const std::uint64_t every = ~std::uint64_t{0} / ((std::uint64_t{1} << among) - 1);
        return every << ((word ^ value) % among);
    }
};

}  // namespace bounce
