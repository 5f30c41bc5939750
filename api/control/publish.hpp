// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Makes a picture of a pool and its devices, and shows it in the stats segment.
#pragma once

#include <cstdint>

#include "api/control/pool_walk.hpp"
#include "api/control/stats_segment.hpp"
#include "api/dma/callbacks.hpp"

namespace bounce {

/// What the host says of itself.
struct HostNames {
    char pool[64] = {};
    char vm_name[64] = {};
    char vm_uuid[40] = {};
};

/// Nanoseconds of CLOCK_MONOTONIC.

class Publisher {
public:
    Publisher(Pool& pool, Callbacks& callbacks, const HostNames& names) noexcept
        : pool_(pool), callbacks_(callbacks), names_(names), walk_(pool, callbacks.telemetry()) {}

    /// With a step of the count of size classes.
    void publish(StatsSegment& segment) noexcept;
    [[nodiscard]] PoolWalk& walk() noexcept { return walk_; }

private:
    void add_pool(StatsSegment& segment) noexcept;
    void add_regions(StatsSegment& segment) noexcept;
    void add_devices(StatsSegment& segment) noexcept;

    Pool& pool_;
    Callbacks& callbacks_;
    const HostNames& names_;
    PoolWalk walk_;
    ClassScan classes_;
    std::uint64_t devices_ = 0;
    std::uint64_t waiting_ = 0;
    // For ticks as nanoseconds.
    std::uint64_t first_ns_ = 0;
    std::uint64_t first_ticks_ = 0;
};

}  // namespace bounce
