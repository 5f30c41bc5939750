// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How large a pool has to be for recorded demand, and which watermarks and quotas go with that: by trying, not by a
// formula.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/trace/replay.hpp"

namespace bounce::tools {

struct SizingOptions {
    double headroom = 0.05;                 // of the smallest limit, on top of it; at most 0.1
    std::uint64_t lead_ns = 10'000'000;     // how long the host takes to come to bounce_pool_service()
    std::uint64_t most_bytes = 1ULL << 42;  // beyond this nothing is tried
};

struct DeviceNeed {
    std::uint32_t id = 0;
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;      // in the recording
    std::uint64_t peak_bytes = 0;  // in slots
    std::uint64_t mean_bytes = 0;  // over the time of the recording
    std::uint64_t hold_ns = 0;
    std::uint64_t floor_bytes = 0;    // recommended; 0: none
    std::uint64_t ceiling_bytes = 0;  // the same
};

struct Sizing {
    std::uint64_t smallest_bytes = 0;  // limit with which all requests get their memory
    std::uint64_t step_bytes = 0;      // one step less does not do
    std::uint64_t limit_bytes = 0;     // recommended: at most a tenth more; tried as well
    std::uint64_t peak_bytes = 0;      // in slots, of all devices together
    std::uint64_t lowest_bytes = 0;    // the least that was in use after the first peak
    std::uint64_t steepest_bytes = 0;  // most that use grew by within the lead
    std::uint64_t low_watermark = 0;
    std::uint64_t high_watermark = 0;
    std::uint64_t replays = 0;
    bool quotas = false;  // floors and ceilings are recommended, and were tried with the limit
    std::vector<DeviceNeed> devices;
};

/// config: as recorded. Throws Failure when no limit will do.
Sizing size_for(const Demand& demand, const ReplayConfig& config, std::uint64_t pool_bytes,
                const SizingOptions& options);

}  // namespace bounce::tools
