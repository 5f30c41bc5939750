// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A clock for comparing durations with each other: cheap, never a system call, of no particular unit.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#elif !defined(__aarch64__)

#include "allocator/base/clock.hpp"
#endif

namespace bounce {

/// In order: what stands before it is done, as far as this processor waits for it, and what stands behind has not
/// begun.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
    _mm_mfence();
    _mm_lfence();
    const std::uint64_t now = __rdtsc();
    _mm_lfence();
    return now;
#elif defined(__aarch64__)
    std::uint64_t now = 0;
    asm volatile("isb; mrs %0, cntvct_el0" : "=r"(now) : : "memory");
    return now;
#else
    return clock_ns();
#endif
}

/// The same clock, not in order: for when it is about.
inline std::uint64_t ticks_about() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return ticks();
#endif
}

}  // namespace bounce
