// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// When a pool grows and shrinks, and by how much: arithmetic only, no memory, no clock. What it decides is done in
// pool_service.cpp.
//
// Sizes are geometric: each new region doubles the total, so that 32 memory slots of a peer reach any limit. A pool
// grows when what is free falls below the low watermark, and shrinks by its newest region when more than the high
// watermark has been free for a while, and enough would be left not to grow again at once.
#pragma once

#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

struct GrowthConfig {
    std::uint64_t limit_bytes = 0;      // 0: the pool does not grow
    std::uint64_t low_watermark = 0;    // bytes free; 0: a quarter of the pool
    std::uint64_t high_watermark = 0;   // bytes free; 0: three quarters of the pool
    std::uint64_t shrink_delay_ms = 0;  // 0: it does not shrink
    Gpa base_gpa;                       // of a window of limit_bytes for grown regions; 0: behind the first region
    bool in_line = false;               // an allocation that would fail grows the pool itself
    bool prefault = false;              // grown regions are filled with pages
};

/// What a decision is made from; all in bytes.
struct GrowthState {
    std::uint64_t total = 0;   // of regions that have memory
    std::uint64_t ready = 0;   // of these: open, and what slots are taken from
    std::uint64_t coming = 0;  // of these: not yet open, or not yet shown to a peer
    std::uint64_t used = 0;    // in slots
    std::uint64_t wanted = 0;  // the largest request that failed since, 0: none
};

class GrowthPolicy {
public:
    static constexpr std::uint64_t kRetryMilliseconds = 100;  // after a failure, until it is tried again in line

    /// The config's zeroes stand for what is said above.
    explicit GrowthPolicy(const GrowthConfig& config) noexcept : config_(config), window_bytes_(config.limit_bytes) {}
    /// Another limit, other watermarks, another delay.
    void tune(const GrowthConfig& config) noexcept {
        config_.limit_bytes = config.limit_bytes;
        config_.low_watermark = config.low_watermark;
        config_.high_watermark = config.high_watermark;
        config_.shrink_delay_ms = config.shrink_delay_ms;
    }
    /// The first limit: so many GPAs are reserved.
    [[nodiscard]] std::uint64_t window_bytes() const noexcept { return window_bytes_; }

    [[nodiscard]] const GrowthConfig& config() const noexcept { return config_; }
    [[nodiscard]] bool grows() const noexcept { return config_.limit_bytes != 0; }
    [[nodiscard]] std::uint64_t low_mark(std::uint64_t bytes) const noexcept;
    [[nodiscard]] std::uint64_t high_mark(std::uint64_t bytes) const noexcept;

    /// Bytes that the pool may still grow by.
    [[nodiscard]] std::uint64_t room(std::uint64_t total) const noexcept;
    /// Size of the next region, at least `wanted` if that is to be had: a multiple of 2 MiB, unless the limit leaves
    /// less. 0: none.
    [[nodiscard]] std::uint64_t next_region(std::uint64_t total, std::uint64_t wanted, bool hugepages) const noexcept;
    /// Is more memory needed than there is and will be by itself?
    [[nodiscard]] bool short_of_memory(const GrowthState& state) const noexcept;
    /// The number of used bytes above which service is wanted; the largest number: never.
    [[nodiscard]] std::uint64_t pressure_mark(const GrowthState& state, bool can_grow) const noexcept;
    /// Can a region of this size be done without?
    [[nodiscard]] bool spare(const GrowthState& state, std::uint64_t region_bytes) const noexcept;
    /// To be told what is seen, again and again; true once it has been spare for the delay.
    bool spare_for_long(bool spare_now, std::uint64_t now_ms) noexcept;

private:
    GrowthConfig config_;
    std::uint64_t window_bytes_;
    bool spare_before_ = false;
    std::uint64_t spare_since_ms_ = 0;
};

}  // namespace bounce
