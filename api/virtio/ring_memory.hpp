// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the split and the packed layout have in common in shared memory, and the arithmetic of event indices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bounce {

/// Parts of a ring with different writers share no cache line, nor a pair of lines that is fetched together.
inline constexpr std::size_t kRingAlign = 128;

/// A descriptor, of a ring or of an indirect table.
inline constexpr std::size_t kDescBytes = 16;

inline constexpr std::uint16_t kDescNext = 1;
inline constexpr std::uint16_t kDescWrite = 2;
inline constexpr std::uint16_t kDescIndirect = 4;

/// Did the index that moved from `before` to `now` pass `event`? (virtio 1.2, section 2.7.10: vring_need_event.)
constexpr bool passed_event(std::uint16_t event, std::uint16_t now, std::uint16_t before) noexcept {
    return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - before);
}

}  // namespace bounce
