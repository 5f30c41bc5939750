// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What was asked for, made of a recorded trace: allocations and their ends in order, also of requests that got nothing
// at the time. What that means for these:
//   - One that waited asks when it began to wait, and has its memory until the end of the mapping that it became.
//   - One that failed asks when it failed. When the same request (device, length, buffer) fails again it has been made
//     again, and counts once; when it is mapped within the hold time after that it has got its memory late, and is that
//     mapping. Otherwise it holds its memory for the hold time: the median of the mappings of its device, or of all.
//   - A block that failed is held to the end, unless the same (device, length) was allocated later.
//   - Of a mapping whose end was lost (its address was mapped again) the end is after the hold time, or then.
// What was handed out before the recording began is asked for first.
#pragma once

#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "tools/trace/trace_file.hpp"

namespace bounce::tools {

enum class Want : std::uint8_t { kMapping, kCoherent, kBuffer };

struct DemandObject {
    std::uint64_t bytes = 0;
    std::uint32_t device = 0;  // index in Demand::devices
    Want want{};
    std::uint8_t align_bits = 0;
    bool failed = false;  // it had found the pool full, or had to wait
};

struct DemandStep {
    std::uint64_t ns = 0;      // since the beginning
    std::uint32_t object = 0;  // index in Demand::objects
    std::uint32_t seat = 0;    // where its token is kept: free again after its end
    bool ends = false;
};

struct DemandDevice {
    std::uint32_t id = 0;
    std::uint64_t hold_ns = 0;  // median; 0: not known
    std::uint64_t objects = 0;
    std::uint64_t failed = 0;
};

struct Demand {
    explicit Demand(const TraceReader& trace);

    std::vector<DemandDevice> devices;
    std::vector<DemandObject> objects;
    std::vector<DemandStep> steps;
    std::uint32_t seats = 0;
    std::uint64_t most_bytes = 1;  // of one object
    std::uint64_t initial = 0;     // objects that were there before
    std::uint64_t refused = 0;     // records of requests that got nothing
    std::uint64_t repeated = 0;    // of these: requests made again
    std::uint64_t waited = 0;      // requests that waited
    std::uint64_t failed = 0;      // requests that found the pool full or waited, each once
    std::uint64_t gaps = 0;        // records that do not fit the others, because some between were lost
    std::uint64_t last_ns = 0;
};

}  // namespace bounce::tools
