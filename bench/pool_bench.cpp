// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What an allocation and its free cost. The time of an iteration is that of one pair.
//   pair         one slot at a time: the hottest slot there is
//   batch32      32 slots, then back in the same order: a queue at depth 32
//   churn10k     10,000 slots live, a random one replaced each time
//   two_threads  pair, by two threads on one pool
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "allocator/pool/pool.hpp"

namespace {

using bounce::AllocRequest;
using bounce::Pool;
using bounce::Slot;
using bounce::SlotKind;

std::unique_ptr<Pool> make_pool() {
    bounce::RegionConfig config;
    config.name = "pool_bench";
    config.bytes = std::uint64_t{256} << 20;
    config.base_gpa = bounce::Gpa{std::uint64_t{1} << 32};
    auto pool = Pool::create(config);
    if (!pool) std::abort();
    return std::move(*pool);
}

AllocRequest request_of(const benchmark::State& state) {
    AllocRequest request;
    request.bytes = static_cast<std::uint64_t>(state.range(0));
    return request;
}

Slot take(Pool& pool, const AllocRequest& request) {
    auto slot = pool.alloc(request);
    if (!slot) std::abort();
    return *slot;
}

void give(Pool& pool, const Slot& slot) {
    if (!pool.free(slot, SlotKind::kStreaming)) std::abort();
}

void pair(benchmark::State& state) {
    const auto pool = make_pool();
    const AllocRequest request = request_of(state);
    for (auto _ : state) give(*pool, take(*pool, request));
}

void batch32(benchmark::State& state) {
    const auto pool = make_pool();
    const AllocRequest request = request_of(state);
    Slot slots[32];
    while (state.KeepRunningBatch(32)) {
        for (Slot& slot : slots) slot = take(*pool, request);
        for (const Slot& slot : slots) give(*pool, slot);
    }
}

void churn10k(benchmark::State& state) {
    const auto pool = make_pool();
    const AllocRequest request = request_of(state);
    std::vector<Slot> live(10000);
    for (Slot& slot : live) slot = take(*pool, request);
    // Drawn beforehand: the benchmark is not of the random numbers.
    std::mt19937 random(1);
    std::vector<std::uint32_t> order(1U << 20);
    for (auto& index : order) index = static_cast<std::uint32_t>(random() % live.size());
    std::size_t at = 0;
    for (auto _ : state) {
        Slot& slot = live[order[at++ % order.size()]];
        give(*pool, slot);
        slot = take(*pool, request);
    }
}

std::unique_ptr<Pool> g_shared;

void two_threads(benchmark::State& state) {
    const AllocRequest request = request_of(state);
    for (auto _ : state) give(*g_shared, take(*g_shared, request));
}

void make_shared(const benchmark::State& state) {
    (void)state;
    g_shared = make_pool();
}

void drop_shared(const benchmark::State& state) {
    (void)state;
    g_shared.reset();
}

BENCHMARK(pair)->Arg(64)->Arg(4096);
BENCHMARK(batch32)->Arg(64)->Arg(4096);
BENCHMARK(churn10k)->Arg(64)->Arg(4096);
BENCHMARK(two_threads)->Arg(64)->Arg(4096)->Threads(2)->UseRealTime()->Setup(make_shared)->Teardown(drop_shared);

}  // namespace
