// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is measured, and what came out.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/bounce-net/command.hpp"
#include "tools/common/ticks.hpp"

namespace bounce::net {

/// Frames of one size.
struct Case {
    std::uint32_t frame_bytes = 60;
    std::uint32_t pairs = 1;
    std::uint32_t window = 128;
};

struct Round {
    double packets_per_s = 0;
    double seconds = 0;
    std::uint64_t packets = 0;  // that came back
    std::uint64_t lost = 0;
};

/// One subject in one case: all of its rounds.
struct Result {
    Subject subject = Subject::kBounced;
    std::vector<Round> rounds;
};

/// Connects, warms up, measures, disconnects.
Round run_round(const Context& context, const tools::Ticks& ticks, const Case& what, Subject subject, double seconds);

/// Adds the results of a case to the JSON, and prints them.
void report_case(Context& context, const Case& what, const std::vector<Result>& results);

}  // namespace bounce::net
