// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is measured, and what came out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/bounce-blk/bench_loop.hpp"
#include "tools/bounce-blk/bench_ring.hpp"
#include "tools/bounce-blk/command.hpp"
#include "tools/common/json.hpp"

namespace bounce::blk {

/// One op at one queue depth.
struct Case {
    BenchOp op = BenchOp::kRandRead;
    std::uint32_t depth = 32;
    std::uint64_t block_bytes = 4096;
    std::uint32_t queues = 1;
    std::uint64_t blocks = 1;  // that the device has
};

struct Round {
    double iops = 0;
    double seconds = 0;
    std::uint64_t operations = 0;
    std::uint64_t completed = 0;  // as in LoopResult
    tools::Histogram latencies;
};

/// One subject in one case: all of its rounds.
struct Result {
    Subject subject = Subject::kBounced;
    std::vector<Round> rounds;
};

/// Connects, warms up, measures, disconnects.
Round run_round(const Context& context, const tools::Ticks& ticks, const Case& what, Subject subject, double seconds);

/// Adds the results of a case to the JSON, and prints them.
void report_case(Context& context, const tools::Ticks& ticks, const Case& what, const std::vector<Result>& results);

/// A session with private buffers in use, for --hold.
void hold_bounced(Context& context, const tools::Ticks& ticks, const Case& what);

}  // namespace bounce::blk
