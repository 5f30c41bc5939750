// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How much payload a pool holds when the first request fails, as a share of the pool; the same streams for every
// subject. Size: of the pool.
//   all_1500      1500 B each, 64 MiB
//   mix_fill      of the requests 70 % are 4 KiB, 20 % 64 KiB, 10 % 256 KiB; nothing is given back; 64 MiB
//   mix_churn     the same, but after nine of ten requests a random live item is given back
//   random_churn  64 B to 64 KiB, evenly spread, churned the same way; 8 and 4 MiB
//
// The churn: live items grow by one in ten requests, so that by the time of the failure all of the pool has been handed
// out and given back many times over. The item that goes is any, each as likely: no age or size is preferred.
// Requests come from four contexts in turn, as from a device with a queue for each processor, and an item goes back
// through the context that it came from. With one context alone a pool that is cut into areas keeps all but one of them
// untouched until that one is full, which flatters it: large items find an area of their own.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/measure/summary.hpp"
#include "bench/subjects/subject.hpp"

namespace bench {

enum class Stream { kAll1500, kMix, kRandom };

class Requests {
public:
    Requests(Stream stream, unsigned seed) : stream_(stream), random_(seed) {}
    std::uint64_t next() {
        if (stream_ == Stream::kAll1500) return 1500;
        if (stream_ == Stream::kRandom) return 64 + random_() % (64 * kKiB - 64 + 1);
        const auto lot = random_() % 10;
        return lot < 7 ? 4 * kKiB : lot < 9 ? 64 * kKiB : 256 * kKiB;
    }
    bool gives_back() { return random_() % 10 != 0; }
    std::size_t pick(std::size_t n) { return random_() % n; }

private:
    Stream stream_;
    std::mt19937 random_;
};

/// Percent of the pool that is payload at the first failure.
template <Subject S>
double payload_at_failure(std::uint64_t pool_bytes, Requests requests, bool churn) {
    struct Item {
        typename S::Handle handle{};
        std::uint64_t bytes = 0;
        typename S::Context* context = nullptr;
    };
    constexpr std::size_t kContexts = 4;
    S subject(Shape{.pool_bytes = pool_bytes});
    std::vector<std::unique_ptr<typename S::Context>> contexts;
    for (std::size_t i = 0; i < kContexts; ++i) contexts.push_back(std::make_unique<typename S::Context>(subject));
    std::vector<Item> live;
    std::uint64_t payload = 0;
    for (std::size_t turn = 0;; ++turn) {
        Item item{.bytes = requests.next(), .context = contexts[turn % kContexts].get()};
        if (!subject.alloc(*item.context, item.bytes, item.handle)) break;
        live.push_back(item);
        payload += item.bytes;
        if (churn && requests.gives_back()) {
            std::swap(live[requests.pick(live.size())], live.back());
            subject.free(*live.back().context, live.back().handle, live.back().bytes);
            payload -= live.back().bytes;
            live.pop_back();
        }
    }
    for (Item& item : live) subject.free(*item.context, item.handle, item.bytes);
    return 100 * static_cast<double>(payload) / static_cast<double>(pool_bytes);
}

template <Subject S>
void add_utilisation(const char* variant, std::uint64_t pool, Stream stream, bool churn) {
    add({"utilisation", S::kName, pool, 1, variant}, [=](const Settings& settings) {
        if constexpr (!S::kAnySize) throw Skipped("it has items of one size");
        if (pool < S::kMinPool) throw Skipped(no_such_pool<S>());
        const unsigned seeds = stream == Stream::kAll1500 ? 1 : settings.seeds;
        std::vector<double> shares;
        for (unsigned seed = 1; seed <= seeds; ++seed)
            shares.push_back(payload_at_failure<S>(pool, Requests(stream, seed), churn));
        Figures figures{.value = median(shares), .unit = "% of the pool"};
        char how[120];
        std::snprintf(how, sizeof how, "payload at the first failure; median of %u seeds, %.1f to %.1f", seeds,
                      shares.front(), shares.back());
        figures.note = note_of<S>(how);
        return figures;
    });
}

template <Subject S>
void add_utilisation_cases() {
    add_utilisation<S>("all_1500", 64 * kMiB, Stream::kAll1500, false);
    add_utilisation<S>("mix_fill", 64 * kMiB, Stream::kMix, false);
    add_utilisation<S>("mix_churn", 64 * kMiB, Stream::kMix, true);
    add_utilisation<S>("random_churn", 8 * kMiB, Stream::kRandom, true);
    add_utilisation<S>("random_churn", 4 * kMiB, Stream::kRandom, true);
}

}  // namespace bench
