// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What it costs that a pool grows: maps of 4 KiB, nothing copied and nothing given back, from 64 MiB to 1 GiB. Through
// the C ABI, as a host does it. Size: what the pool has in the end.
//   fixed    all of it is there from the beginning
//   service  bounce_pool_service() is called when the event fd says so, looked at after every 256 maps; value: a step
//   inline   a map that would fail grows the pool itself; value: such a map
// And giving all of a pool of 256 MiB memory, as it is made or by libbounce-tbb:
//   prefault, prefault_tbb_1, prefault_tbb
#pragma once

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/clock.hpp"
#include "bench/measure/summary.hpp"
#include "bench/subjects/subject.hpp"
#include "bounce/bounce.h"
#ifdef BENCH_BOUNCE_TBB
#include "bounce/tbb.h"
#endif

namespace bench {

inline constexpr std::uint64_t kGrowFrom = 64 * kMiB;
inline constexpr std::uint64_t kGrowTo = kGiB;
inline constexpr std::uint64_t kPrefault = 256 * kMiB;

enum class Growth { kFixed, kService, kInline };

/// A pool and, when it is to map, a device.
class GrowingPool {
public:
    GrowingPool(std::uint64_t bytes, std::uint64_t limit, std::uint32_t pool_flags, std::uint32_t region_flags) {
        bounce_pool_options options{};
        options.size = sizeof options;
        options.name = "bench";
        options.region.size = sizeof options.region;
        options.region.bytes = bytes;
        options.region.base_gpa = 4 * kTiB;
        options.region.flags = region_flags;
        options.limit_bytes = limit;
        options.flags = pool_flags;
        expect(bounce_pool_create(&options, &pool_) == 0, bounce_last_error());
    }
    GrowingPool(const GrowingPool&) = delete;
    GrowingPool& operator=(const GrowingPool&) = delete;
    ~GrowingPool() {
        for (bounce_mapping& token : tokens_) bounce_device_unmap(device_, &token, 0);
        bounce_device_destroy(device_);
        bounce_pool_destroy(pool_);
    }

    [[nodiscard]] bounce_pool* pool() const { return pool_; }
    void open(std::size_t maps) {
        bounce_device_options options{};
        options.size = sizeof options;
        options.copy_policy = BOUNCE_COPY_MEMCPY;  // no trials
        options.reuse_policy = BOUNCE_REUSE_LIFO;
        expect(bounce_device_create(pool_, &options, &device_) == 0, bounce_last_error());
        tokens_.resize(maps);  // its pages are there before maps are timed
        tokens_.clear();
    }
    bool map() {
        tokens_.emplace_back();
        const bool mapped =
            bounce_device_map(device_, &nothing_, 4096, BOUNCE_TO_DEVICE, BOUNCE_MAP_SKIP_SYNC, &tokens_.back()) == 0;
        if (!mapped) tokens_.pop_back();
        return mapped;
    }
    [[nodiscard]] std::uint64_t grows() const {
        bounce_pool_stats stats{};
        expect(bounce_pool_get_stats(pool_, &stats) == 0, bounce_last_error());
        return stats.grows;
    }

private:
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    std::vector<bounce_mapping> tokens_;
    std::byte nothing_{};
};

/// Calls it as often as it says that there is more to do; the times of the calls.
inline void serve(bounce_pool* pool, std::vector<double>& steps) {
    pollfd wanted{.fd = bounce_pool_event_fd(pool), .events = POLLIN, .revents = 0};
    expect(poll(&wanted, 1, 0) >= 0, "poll failed");
    if ((wanted.revents & POLLIN) == 0) return;
    int more = 1;
    while (more == 1) {
        const Ticks begin = ticks_in_order();
        more = bounce_pool_service(pool);
        steps.push_back(ns_between(begin, ticks_in_order()));
    }
    expect(more == 0, bounce_last_error());
}

inline Figures run_growth(Growth how) {
    constexpr std::size_t kMaps = kGrowTo / 4096 / 100 * 90;
    const bool fixed = how == Growth::kFixed;
    GrowingPool pool(fixed ? kGrowTo : kGrowFrom, fixed ? 0 : kGrowTo,
                     how == Growth::kInline ? std::uint32_t{BOUNCE_POOL_INLINE_GROWTH} : 0, 0);
    pool.open(kMaps + 1);
    std::vector<double> times;
    std::vector<double> steps;
    times.reserve(kMaps);
    const double cost = clock_in_order_cost_ns();
    for (std::size_t i = 0; i < kMaps; ++i) {
        if (how == Growth::kService && i % 256 == 0) serve(pool.pool(), steps);
        const Ticks begin = ticks_in_order();
        const bool mapped = pool.map();
        const Ticks end = ticks_in_order();
        expect(mapped, bounce_last_error());
        times.push_back(std::max(0.0, ns_between(begin, end) - cost));
    }
    const std::uint64_t grows = pool.grows();
    expect(fixed == (grows == 0), "the pool did not grow as it was to");
    std::sort(times.begin(), times.end());
    // A map that grew the pool is slower than any that did not.
    if (how == Growth::kInline) steps.assign(times.end() - static_cast<std::ptrdiff_t>(grows), times.end());
    Figures figures{.p50 = percentile(times, 50), .p99 = percentile(times, 99), .p9999 = percentile(times, 99.99)};
    figures.ns = trimmed_mean(times);
    figures.note = "single maps by the time stamp counter less its own cost; ns: mean without the slowest 5 %";
    if (fixed) return figures;
    const double longest = *std::max_element(steps.begin(), steps.end());
    figures.value = median(steps) / 1000;
    figures.unit = "us a growth step";
    figures.note += "; " + std::to_string(grows) + " regions in " + std::to_string(steps.size()) +
                    " steps, the longest " + std::to_string(static_cast<unsigned>(longest / 1000)) + " us";
    return figures;
}

/// prefault(pool) is timed; without it, the making of the pool is.
template <class Prefault>
Figures run_prefault(bool at_creation, Prefault&& prefault) {
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) {
        Ticks begin = ticks();
        const GrowingPool pool(kPrefault, 0, 0, at_creation ? std::uint32_t{BOUNCE_REGION_PREFAULT} : 0);
        if (!at_creation) begin = ticks();
        prefault(pool.pool());
        times.push_back(ns_between(begin, ticks()));
    }
    const double ns = median(times);
    return {.ns = ns,
            .value = static_cast<double>(kPrefault) / kGiB / (ns * 1e-9),
            .unit = "GiB/s",
            .note = "all of 256 MiB, median of 5"};
}

inline void add_growth_cases(const char* subject) {
    add({"growth", subject, kGrowTo, 1, "fixed"}, [](const Settings&) { return run_growth(Growth::kFixed); });
    add({"growth", subject, kGrowTo, 1, "service"}, [](const Settings&) { return run_growth(Growth::kService); });
    add({"growth", subject, kGrowTo, 1, "inline"}, [](const Settings&) { return run_growth(Growth::kInline); });
    add({"growth", subject, kPrefault, 1, "prefault"},
        [](const Settings&) { return run_prefault(true, [](bounce_pool*) {}); });
    for (const auto& [variant, threads] : {std::pair{"prefault_tbb_1", 1U}, std::pair{"prefault_tbb", 0U}}) {
#ifdef BENCH_BOUNCE_TBB
        add({"growth", subject, kPrefault, threads == 1 ? 1U : 2U, variant}, [threads = threads](const Settings&) {
            return run_prefault(false, [threads](bounce_pool* pool) {
                expect(bounce_tbb_prefault(pool, 0, threads) == 0, bounce_tbb_last_error());
            });
        });
#else
        add_skipped({"growth", subject, kPrefault, threads == 1 ? 1U : 2U, variant}, "needs the package libtbb-dev");
#endif
    }
}

}  // namespace bench
