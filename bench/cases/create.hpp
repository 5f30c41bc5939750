// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pools from 64 MiB to 1 TiB, sparse. Size: of the pool.
//   create  time to make one, and what of it is resident before it is used
//   create/pair  what a pair of 4 KiB costs in it
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/cases/pairs.hpp"
#include "bench/harness/report.hpp"
#include "bench/measure/clock.hpp"
#include "bench/measure/memory.hpp"
#include "bench/measure/summary.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

template <Subject S>
Figures run_create(std::uint64_t pool) {
    const Shape shape{.pool_bytes = pool};
    std::vector<double> times;
    double resident = 0;
    if constexpr (requires { S::kNoCreation; }) throw Skipped(S::kNoCreation);
    // The first one also starts what a process needs once.
    { const S first(Shape{.pool_bytes = S::kMinPool}); }
    for (int i = 0; i < 5; ++i) {
        const std::uint64_t before = resident_bytes();
        const Ticks begin = ticks();
        const auto subject = std::make_unique<S>(shape);
        times.push_back(ns_between(begin, ticks()));
        const std::uint64_t after = resident_bytes();
        if (i == 0 && after > before) resident = static_cast<double>(after - before) / kMiB;
    }
    return {.ns = median(times),
            .value = resident,
            .unit = "MiB resident",
            .note = note_of<S>("median of 5; growth of the resident set over the first of these creations")};
}

template <Subject S>
void add_create_cases() {
    for (const std::uint64_t pool : {64 * kMiB, kGiB, 64 * kGiB, kTiB}) {
        if (pool > S::kMaxPool || pool < S::kMinPool) {
            add_skipped({"create", S::kName, pool}, no_such_pool<S>());
            continue;
        }
        add({"create", S::kName, pool}, [pool](const Settings&) { return run_create<S>(pool); });
        add({"create", S::kName, pool, 1, "pair"}, [pool](const Settings& settings) {
            S subject(Shape{.pool_bytes = pool});
            typename S::Context context(subject);
            return Figures{.ns = time_pair(subject, context, 4096, settings.seconds), .note = note_of<S>(kChunkNote)};
        });
    }
}

}  // namespace bench
