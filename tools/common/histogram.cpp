// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/histogram.hpp"

#include <cmath>
#include <numeric>

namespace bounce::tools {

std::uint64_t Histogram::count() const noexcept {
    return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double Histogram::middle(std::size_t bucket) noexcept {
    if (bucket < kSub) return static_cast<double>(bucket);
    const auto shift = static_cast<int>(bucket >> kSubBits) - 1;
    const auto base = static_cast<double>(kSub + (bucket & (kSub - 1)));
    return std::ldexp(base + 0.5, shift);
}

double Histogram::percentile(double share) const noexcept {
    const std::uint64_t total = count();
    if (total == 0) return 0;
    const auto rank = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        seen += counts_[i];
        if (seen >= rank && seen > 0) return middle(i);
    }
    return middle(counts_.size() - 1);
}

}  // namespace bounce::tools
