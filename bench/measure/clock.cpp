// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bench/measure/clock.hpp"

#include <chrono>
#include <vector>

#include "bench/measure/summary.hpp"

namespace bench {
namespace {

double calibrate() {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const Ticks first = ticks();
    while (Clock::now() - begin < std::chrono::milliseconds(20)) relax();
    const Ticks last = ticks();
    const std::chrono::duration<double, std::nano> passed = Clock::now() - begin;
    return passed.count() / static_cast<double>(last - first);
}

// The mean, not the median: where the counter moves in steps, most differences are zero.
template <class Read>
double cost_of(Read read) {
    std::vector<double> all(20000);
    for (double& one : all) {
        const Ticks begin = read();
        one = ns_between(begin, read());
    }
    return trimmed_mean(all);
}

}  // namespace

double ns_per_tick() {
    static const double value = calibrate();
    return value;
}

double clock_cost_ns() {
    static const double value = cost_of(ticks);
    return value;
}

double clock_in_order_cost_ns() {
    static const double value = cost_of(ticks_in_order);
    return value;
}

Deadline::Deadline(double seconds) : end_(ticks() + static_cast<Ticks>(seconds * 1e9 / ns_per_tick())) {}

}  // namespace bench
