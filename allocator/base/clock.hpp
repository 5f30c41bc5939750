// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The kernel's clocks as one number. Thread-safe.
#pragma once

#include <time.h>

#include <cstdint>

namespace bounce {

/// The time in ns of CLOCK_MONOTONIC or another clock of the vDSO.
inline std::uint64_t clock_ns(clockid_t clock = CLOCK_MONOTONIC) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t clock_ms(clockid_t clock = CLOCK_MONOTONIC) noexcept {
    return clock_ns(clock) / 1'000'000;
}

}  // namespace bounce
