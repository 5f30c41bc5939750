// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is made of many times.
#pragma once

#include <vector>

namespace bench {

/// The mean without the slowest 5 %: those met a preemption. Sorts.
double trimmed_mean(std::vector<double>& times);

/// The p-th percentile (0 to 100, nearest rank) of sorted times.
double percentile(const std::vector<double>& sorted, double p);

/// Sorts.
double median(std::vector<double>& values);

}  // namespace bench
