// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/jemalloc/lanes.hpp"

namespace bounce::jemalloc_component {
namespace {

std::atomic<std::uint32_t> next_thread{0};
thread_local std::uint32_t t_thread = next_thread.fetch_add(1, std::memory_order_relaxed);

}  // namespace

Lanes::Lane* Lanes::take() noexcept {
    const std::size_t first = t_thread % kLanes;
    for (std::size_t i = 0; i < kLanes; ++i) {
        Lane& lane = lanes_[(first + i) % kLanes];
        if (lane.busy.load(std::memory_order_relaxed) || lane.busy.exchange(true, std::memory_order_acquire))
            continue;  // L1
        if (lane.made) return &lane;
        std::size_t bytes = sizeof lane.cache;
        if (bounce_je_mallctl("tcache.create", &lane.cache, &bytes, nullptr, 0) == 0) {
            lane.made = true;
            return &lane;
        }
        give(lane);
        return nullptr;
    }
    return nullptr;
}

int Lanes::flags_of(const Lane* lane) const noexcept {
    return static_cast<int>(MALLOCX_ARENA(arena_)) |
           (lane == nullptr ? static_cast<int>(MALLOCX_TCACHE_NONE) : static_cast<int>(MALLOCX_TCACHE(lane->cache)));
}

std::uint64_t Lanes::out() const noexcept {
    std::uint64_t out = rest_.allocs.load(std::memory_order_relaxed) - rest_.frees.load(std::memory_order_relaxed);
    // Modulo 2^64: what was allocated by one lane is freed by another.
    for (const Lane& lane : lanes_)
        out += lane.allocs.load(std::memory_order_relaxed) - lane.frees.load(std::memory_order_relaxed);
    return out;
}

void Lanes::flush() noexcept {
    for (Lane& lane : lanes_) {
        if (lane.busy.exchange(true, std::memory_order_acquire)) continue;  // L1
        if (lane.made) bounce_je_mallctl("tcache.flush", nullptr, nullptr, &lane.cache, sizeof lane.cache);
        give(lane);
    }
}

void Lanes::destroy() noexcept {
    for (Lane& lane : lanes_) {
        if (lane.made) bounce_je_mallctl("tcache.destroy", nullptr, nullptr, &lane.cache, sizeof lane.cache);
        lane.made = false;
    }
}

}  // namespace bounce::jemalloc_component
