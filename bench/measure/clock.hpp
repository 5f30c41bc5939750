// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The clock of the benchmarks: the time stamp counter where there is one (a read costs less than a pair), else the
// monotonic clock.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace bench {

using Ticks = std::uint64_t;

inline Ticks ticks() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<Ticks>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
#endif
}

/// Measured once, against the monotonic clock.
double ns_per_tick();

/// For single operations: what stands before it in the program is done, what stands behind it has not begun.
inline Ticks ticks_in_order() {
#if defined(__x86_64__)
    _mm_lfence();
    const Ticks now = __rdtsc();
    _mm_lfence();
    return now;
#else
    return ticks();
#endif
}

inline double ns_between(Ticks begin, Ticks end) {
    return static_cast<double>(end - begin) * ns_per_tick();
}

/// What two reads of the clock in a row show, in ns: to be taken off.
double clock_cost_ns();
double clock_in_order_cost_ns();

/// True until `seconds` from its construction have passed.
class Deadline {
public:
    explicit Deadline(double seconds);
    [[nodiscard]] bool passed() const { return ticks() >= end_; }

private:
    Ticks end_;
};

inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

/// The value is used as far as the compiler can tell, and memory is read.
template <class T>
inline void keep(const T& value) {
    asm volatile("" : : "g"(&value) : "memory");
}

}  // namespace bench
