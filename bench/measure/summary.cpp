// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bench/measure/summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace bench {

double trimmed_mean(std::vector<double>& times) {
    if (times.empty()) return std::numeric_limits<double>::quiet_NaN();
    std::sort(times.begin(), times.end());
    const auto kept = static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, times.size() * 95 / 100));
    return std::accumulate(times.begin(), times.begin() + kept, 0.0) / static_cast<double>(kept);
}

double percentile(const std::vector<double>& sorted, double p) {
    if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
    const double rank = std::ceil(p / 100 * static_cast<double>(sorted.size()));
    return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(std::max(1.0, rank)) - 1)];
}

double median(std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return percentile(values, 50);
}

}  // namespace bench
