// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Timing by chunks: single operations are shorter than the clock is fine, and a long run holds preemptions. So chunks
// of some hundred operations are timed, the slowest 5 % are dropped, and the rest is averaged.
#pragma once

#include <vector>

#include "bench/measure/clock.hpp"
#include "bench/measure/summary.hpp"

namespace bench {

inline constexpr unsigned kChunk = 256;

/// Calls chunk(), which does `operations` of them, for `seconds` (the first tenth unmeasured). ns per operation.
template <class Chunk>
double time_chunks(double seconds, double operations, Chunk&& chunk) {
    const Deadline warm(seconds / 10);
    do chunk();
    while (!warm.passed());
    std::vector<double> times;
    times.reserve(1U << 16);
    const double cost = clock_cost_ns();
    const Deadline end(seconds);
    do {
        const Ticks begin = ticks();
        chunk();
        times.push_back((ns_between(begin, ticks()) - cost) / operations);
    } while (!end.passed() && times.size() < (1U << 22));
    return trimmed_mean(times);
}

}  // namespace bench
