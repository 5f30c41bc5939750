// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Timing by chunks: single operations are shorter than the clock is fine, and a long run holds preemptions. So chunks
// of some hundred operations are timed, the slowest 5 % are dropped, and the rest is averaged.
#pragma once

#include <algorithm>
#include <vector>

#include "bench/measure/clock.hpp"
#include "bench/measure/summary.hpp"

namespace bench {

inline constexpr unsigned kChunk = 256;

struct Span {
    Ticks begin;
    Ticks end;
};

/// Calls chunk() for `seconds` (the first tenth unrecorded); when each call ran.
template <class Chunk>
std::vector<Span> record_chunks(double seconds, Chunk&& chunk) {
    const Deadline warm(seconds / 10);
    do chunk();
    while (!warm.passed());
    std::vector<Span> spans;
    spans.reserve(1U << 16);
    const Deadline end(seconds);
    do {
        const Ticks begin = ticks();
        chunk();
        spans.push_back({begin, ticks()});
    } while (!end.passed() && spans.size() < (1U << 22));
    return spans;
}

/// Calls chunk(), which does `operations` of them, for `seconds` (the first tenth unmeasured). ns per operation.
template <class Chunk>
double time_chunks(double seconds, double operations, Chunk&& chunk) {
    const double cost = clock_cost_ns();
    std::vector<double> times;
    for (const Span& span : record_chunks(seconds, chunk))
        times.push_back((ns_between(span.begin, span.end) - cost) / operations);
    return trimmed_mean(times);
}

/// Those of `mine` during which the other thread ran, too. A chunk of the other one that took longer than half a
/// millisecond met a preemption; what ran beside that ran alone.
inline std::vector<Span> beside(const std::vector<Span>& mine, const std::vector<Span>& other) {
    std::vector<Span> kept;
    auto next = other.begin();
    for (const Span& span : mine) {
        while (next != other.end() && next->end <= span.begin) ++next;
        bool together = next != other.end() && next->begin <= span.begin;
        for (auto peer = next; together && peer != other.end() && peer->begin < span.end; ++peer)
            together = ns_between(peer->begin, peer->end) < 5e5;
        if (together) kept.push_back(span);
    }
    return kept;
}

/// The median of the chunks during which both threads ran. Where one was preempted the other waits for some
/// milliseconds: such chunks are many times longer than the shorter ones.
inline double pace(const std::vector<Span>& spans, double operations) {
    constexpr double kPreempted = 8;
    std::vector<double> times;
    for (const Span& span : spans) times.push_back(ns_between(span.begin, span.end) / operations);
    std::sort(times.begin(), times.end());
    const double limit = kPreempted * times[times.size() / 10];
    while (times.back() > limit) times.pop_back();
    return times[times.size() / 2];
}

}  // namespace bench
