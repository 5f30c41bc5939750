// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/ticks.hpp"

#include <fstream>
#include <string>

namespace bounce::tools {

Ticks::Ticks() {
#if defined(__x86_64__)
    std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    std::string source;
    counter_ = static_cast<bool>(file >> source) && source == "tsc";
    if (!counter_) return;
    const std::uint64_t tick0 = now();
    const std::uint64_t time0 = monotonic();
    std::uint64_t time1 = time0;
    while (time1 - time0 < 20'000'000) time1 = monotonic();
    const std::uint64_t tick1 = now();
    nanoseconds_per_tick_ = static_cast<double>(time1 - time0) / static_cast<double>(tick1 - tick0);
#endif
}

}  // namespace bounce::tools
