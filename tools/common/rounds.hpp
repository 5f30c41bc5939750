// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Figures of several rounds, and columns of text to show them in.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tools/common/json.hpp"
#include "tools/common/report.hpp"

namespace bounce::tools {

/// Several subjects take turns in short rounds, so that a machine that is slow for a while is slow for all of them: how
/// many rounds each, in so many seconds. One subject has one.
std::size_t count_rounds(double seconds, std::size_t subjects);

/// Cores, processor, kernel and load, for people and for programs.
void describe_machine(Report& report, bool waits_for_calls);

struct Spread {
    double median = 0;
    double min = 0;
    double max = 0;
};

/// 0 for none.
double median(std::vector<double> values);
/// Of the ratios of rounds that were next to each other; those without a denominator are left out.
Spread ratio(const std::vector<double>& numerators, const std::vector<double>& denominators);
Json spread_json(const Spread& spread);
/// "  bounced/born_shared    0.912  (rounds 0.890 to 0.931)"
std::string spread_line(const char* name, const Spread& spread);

std::string pad_left(std::string value, std::size_t width);
std::string pad_right(std::string value, std::size_t width);

}  // namespace bounce::tools
