// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What an allocation and its free cost in one thread; times are of one pair.
//   pair      one item at a time, the hottest there is; eight others stay live, so that no subject dissolves and makes
//   its
//             last slab or segment each time
//   batch32   32 items one by one, then back in the same order: a queue at depth 32
//   bulk32    the same by one call for 32
//   churn10k  10,000 items live, a random one replaced each time
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/chunks.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

inline constexpr std::uint32_t kBatch = 32;
inline constexpr std::size_t kLive = 8;
inline constexpr const char* kChunkNote = "chunks of 256 pairs, slowest 5 % dropped, mean";

template <Subject S>
[[gnu::always_inline]] inline void pair_once(S& subject, typename S::Context& context, std::uint64_t bytes) {
    typename S::Handle handle{};
    take(subject, context, bytes, handle);
    keep(handle);
    subject.free(context, handle, bytes);
}

template <Subject S>
double time_pair(S& subject, typename S::Context& context, std::uint64_t bytes, double seconds) {
    std::vector<typename S::Handle> live(kLive);
    for (auto& handle : live) take(subject, context, bytes, handle);
    const double ns = time_chunks(seconds, kChunk, [&] {
        for (unsigned i = 0; i < kChunk; ++i) pair_once(subject, context, bytes);
    });
    empty(subject, context, bytes, live);
    return ns;
}

template <Subject S>
Figures run_pair(const Settings& settings, std::uint64_t bytes) {
    S subject(Shape{.item_bytes = bytes, .resident = true});
    typename S::Context context(subject);
    return {.ns = time_pair(subject, context, bytes, settings.seconds), .note = note_of<S>(kChunkNote)};
}

template <Subject S>
Figures run_batch(const Settings& settings, std::uint64_t bytes) {
    S subject(Shape{.item_bytes = bytes, .resident = true});
    typename S::Context context(subject);
    typename S::Handle handles[kBatch] = {};
    const double ns = time_chunks(settings.seconds, kChunk, [&] {
        for (unsigned i = 0; i < kChunk; i += kBatch) {
            for (auto& handle : handles) take(subject, context, bytes, handle);
            keep(handles);
            for (auto& handle : handles) subject.free(context, handle, bytes);
        }
    });
    return {.ns = ns, .note = note_of<S>(kChunkNote)};
}

template <Subject S>
Figures run_bulk(const Settings& settings, std::uint64_t bytes) {
    S subject(Shape{.item_bytes = bytes, .resident = true});
    typename S::Context context(subject);
    typename S::Handle handles[kBatch] = {};
    const double ns = time_chunks(settings.seconds, 4 * kChunk, [&] {
        for (unsigned i = 0; i < 4 * kChunk; i += kBatch) {
            take_bulk(subject, context, bytes, handles, kBatch);
            keep(handles);
            give_bulk(subject, context, bytes, handles, kBatch);
        }
    });
    std::string note = note_of<S>("chunks of 1024 pairs, slowest 5 % dropped, mean");
    if (!S::kBulk) note += "; it has no call for n items, so this is a loop";
    return {.ns = ns, .note = note};
}

template <Subject S>
Figures run_churn(const Settings& settings, std::uint64_t bytes) {
    S subject(Shape{.item_bytes = bytes, .resident = true});
    typename S::Context context(subject);
    std::vector<typename S::Handle> live(10000);
    for (auto& handle : live) take(subject, context, bytes, handle);
    // Drawn beforehand: the benchmark is not of the random numbers.
    std::mt19937 random(1);
    std::vector<std::uint32_t> order(1U << 18);
    for (auto& index : order) index = static_cast<std::uint32_t>(random() % live.size());
    std::size_t at = 0;
    const double ns = time_chunks(settings.seconds, kChunk, [&] {
        for (unsigned i = 0; i < kChunk; ++i) {
            auto& handle = live[order[at++ % order.size()]];
            subject.free(context, handle, bytes);
            take(subject, context, bytes, handle);
        }
    });
    empty(subject, context, bytes, live);
    return {.ns = ns, .note = note_of<S>(kChunkNote)};
}

template <Subject S>
void add_pair_cases() {
    const auto add_size = [](const char* name, std::uint64_t bytes, Figures (*run)(const Settings&, std::uint64_t)) {
        if (bytes > S::kMaxItem) return add_skipped({name, S::kName, bytes}, too_large<S>());
        add({name, S::kName, bytes}, [=](const Settings& settings) { return run(settings, bytes); });
    };
    for (const std::uint64_t bytes : {std::uint64_t{64}, 4 * kKiB, 64 * kKiB, kMiB})
        add_size("pair", bytes, run_pair<S>);
    for (const std::uint64_t bytes : {std::uint64_t{64}, 4 * kKiB}) {
        add_size("batch32", bytes, run_batch<S>);
        add_size("bulk32", bytes, run_bulk<S>);
        add_size("churn10k", bytes, run_churn<S>);
    }
}

}  // namespace bench
