// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool that is full, or nearly so.
//   full99  99 % of what it holds is live; a random item is given back and another taken: the latency of the taking
//   fail    full: the first failure after something was given back and taken, the repeated ones, and those in a pool
//   that
//           has room, but not in one piece. Size: of the pool
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

/// Times of single allocations while a random one of `held` is replaced; sorted.
template <Subject S>
std::vector<double> replace_times(S& subject, typename S::Context& context, std::uint64_t bytes,
                                  std::vector<typename S::Handle>& held, unsigned samples) {
    std::mt19937 random(7);
    std::vector<double> times(samples);
    const double cost = clock_in_order_cost_ns();
    // The first tenth is not kept.
    for (std::int64_t i = -static_cast<std::int64_t>(samples / 10); i < samples; ++i) {
        auto& handle = held[random() % held.size()];
        subject.free(context, handle, bytes);
        const Ticks begin = ticks_in_order();
        const bool good = subject.alloc(context, bytes, handle);
        const Ticks end = ticks_in_order();
        expect(good, "an allocation failed in a pool that has room");
        if (i >= 0) times[static_cast<std::size_t>(i)] = std::max(0.0, ns_between(begin, end) - cost);
    }
    std::sort(times.begin(), times.end());
    return times;
}

template <Subject S>
Figures run_full99(const Settings& settings, std::uint64_t bytes) {
    S subject(Shape{.pool_bytes = 64 * kMiB, .item_bytes = bytes, .resident = true});
    typename S::Context context(subject);
    std::vector<typename S::Handle> held;
    fill(subject, context, bytes, held);
    std::shuffle(held.begin(), held.end(), std::mt19937(3));
    const auto drop_to = [&](std::size_t share) {
        const std::size_t kept = held.size() * share / 100;
        while (held.size() > kept) {
            subject.free(context, held.back(), bytes);
            held.pop_back();
        }
    };
    drop_to(99);
    std::vector<double> times = replace_times(subject, context, bytes, held, settings.samples);
    Figures figures{.p50 = percentile(times, 50), .p99 = percentile(times, 99), .p9999 = percentile(times, 99.99)};
    figures.ns = trimmed_mean(times);
    drop_to(50);
    std::vector<double> half = replace_times(subject, context, bytes, held, settings.samples);
    figures.value = figures.ns / trimmed_mean(half);
    figures.unit = "x the mean at half full";
    figures.note = note_of<S>(
        "single allocations by the time stamp counter less its own cost, nearest rank; ns: mean without the slowest 5 "
        "%");
    empty(subject, context, bytes, held);
    return figures;
}

/// A pool of any size is filled with one small item, and then from large ones to small ones.
template <Subject S>
void fill_up(S& subject, typename S::Context& context, std::uint64_t pool_bytes, std::uint64_t smallest,
             std::vector<std::pair<typename S::Handle, std::uint64_t>>& held) {
    typename S::Handle handle{};
    take(subject, context, smallest, handle);
    held.emplace_back(handle, smallest);
    std::uint64_t largest = smallest;
    if constexpr (S::kAnySize) largest = std::min(S::kMaxItem, pool_bytes / 2);
    for (std::uint64_t bytes = largest; bytes >= smallest; bytes /= 2) {
        while (subject.alloc(context, bytes, handle)) held.emplace_back(handle, bytes);
    }
}

struct FailTimes {
    std::vector<double> first;
    double repeated = kNone;
};

template <Subject S>
FailTimes time_failures(const Settings& settings, std::uint64_t pool_bytes) {
    constexpr std::uint64_t kBytes = 4096;
    S subject(Shape{.pool_bytes = pool_bytes, .item_bytes = kBytes});
    typename S::Context context(subject);
    std::vector<std::pair<typename S::Handle, std::uint64_t>> held;
    fill_up(subject, context, pool_bytes, kBytes, held);
    typename S::Handle none{};
    const auto must_fail = [&] { expect(!subject.alloc(context, kBytes, none), "a full pool handed something out"); };
    FailTimes times;
    auto& [handle, bytes] = held.front();
    for (int i = 0; i < 101; ++i) {
        subject.free(context, handle, bytes);
        take(subject, context, bytes, handle);
        const Ticks begin = ticks_in_order();
        must_fail();
        times.first.push_back(std::max(0.0, ns_between(begin, ticks_in_order()) - clock_in_order_cost_ns()));
    }
    times.repeated = time_chunks(settings.seconds, kChunk, [&] {
        for (unsigned i = 0; i < kChunk; ++i) must_fail();
    });
    for (auto& [one, size] : held) subject.free(context, one, size);
    return times;
}

/// 64 KiB from a pool of 4 KiB items of which every second was given back: there is room, but not in one piece.
template <Subject S>
Figures run_fragmented(const Settings& settings, std::uint64_t pool_bytes) {
    S subject(Shape{.pool_bytes = pool_bytes});
    typename S::Context context(subject);
    std::vector<typename S::Handle> held;
    fill(subject, context, 4096, held);
    std::vector<typename S::Handle> kept;
    for (std::size_t i = 0; i < held.size(); ++i) {
        if (i % 2 == 0) {
            subject.free(context, held[i], 4096);
        } else {
            kept.push_back(held[i]);
        }
    }
    typename S::Handle large{};
    while (subject.alloc(context, 64 * kKiB, large)) {
        // What there still was in one piece; it stays taken.
    }
    const double ns = time_chunks(settings.seconds, 16, [&] {
        for (int i = 0; i < 16; ++i) expect(!subject.alloc(context, 64 * kKiB, large), "it fitted after all");
    });
    empty(subject, context, 4096, kept);
    return {
        .ns = ns,
        .note = note_of<S>("64 KiB from a pool with every second 4 KiB free; chunks of 16, slowest 5 % dropped, mean")};
}

template <Subject S>
void add_full_cases() {
    constexpr std::uint64_t kBytes = 4096;
    add({"full99", S::kName, kBytes}, [](const Settings& s) { return run_full99<S>(s, kBytes); });
    for (const std::uint64_t pool : {64 * kMiB, kGiB, kTiB}) {
        if (pool > S::kMaxPool || pool < S::kMinPool) {
            add_skipped({"fail", S::kName, pool, 1, "first"}, no_such_pool<S>());
            continue;
        }
        add({"fail", S::kName, pool, 1, "first"}, [pool](const Settings& s) {
            auto times = time_failures<S>(s, pool).first;
            std::sort(times.begin(), times.end());
            return Figures{
                .ns = percentile(times, 50),
                .p50 = percentile(times, 50),
                .p99 = percentile(times, 99),
                .note = note_of<S>("4 KiB from a full pool, right after a free and an allocation; median of 101")};
        });
        if constexpr (S::kAnySize) {
            if (pool == 64 * kMiB) {
                add({"fail", S::kName, pool, 1, "fragmented"},
                    [pool](const Settings& s) { return run_fragmented<S>(s, pool); });
            }
        }
        add({"fail", S::kName, pool, 1, "repeated"}, [pool](const Settings& s) {
            return Figures{.ns = time_failures<S>(s, pool).repeated,
                           .note = note_of<S>("4 KiB from a full pool; chunks of 256, slowest 5 % dropped, mean")};
        });
    }
}

}  // namespace bench
