// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/rounds.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/common/failure.hpp"
#include "tools/common/machine.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {

std::size_t count_rounds(double seconds, std::size_t subjects) {
    constexpr double kRoundSeconds = 0.1;  // the cores of a virtual machine move on their host within seconds
    constexpr double kMinRounds = 3;
    constexpr double kMaxRounds = 1000;
    if (subjects == 1) return 1;
    return static_cast<std::size_t>(std::clamp(std::round(seconds / kRoundSeconds), kMinRounds, kMaxRounds));
}

void describe_machine(Report& report, bool waits_for_calls) {
    const Machine machine = machine_facts();
    const std::array<double, 3> load = load_average();
    Json& json = report.json();
    json["load_average"] = load;
    json["cores"] = machine.cores;
    json["cpu"] = machine.cpu;
    json["kernel"] = machine.kernel;
    json["wait"] = waits_for_calls ? "call" : "poll";
    report.line(text(machine.cores, " cores, ", machine.cpu, ", Linux ", machine.kernel, "; load average ",
                     format_fixed(load[0], 2), " ", format_fixed(load[1], 2), " ", format_fixed(load[2], 2)));
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Spread ratio(const std::vector<double>& numerators, const std::vector<double>& denominators) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(numerators.size(), denominators.size()); ++i) {
        if (denominators[i] > 0) ratios.push_back(numerators[i] / denominators[i]);
    }
    if (ratios.empty()) return {};
    return {median(ratios), *std::min_element(ratios.begin(), ratios.end()),
            *std::max_element(ratios.begin(), ratios.end())};
}

Json spread_json(const Spread& spread) {
    Json json;
    json["median"] = spread.median;
    json["min"] = spread.min;
    json["max"] = spread.max;
    return json;
}

std::string spread_line(const char* name, const Spread& spread) {
    return text("  ", pad_right(name, 22), format_fixed(spread.median, 3), "  (rounds ", format_fixed(spread.min, 3),
                " to ", format_fixed(spread.max, 3), ")");
}

std::string pad_left(std::string value, std::size_t width) {
    if (value.size() < width) value.insert(0, width - value.size(), ' ');
    return value;
}

std::string pad_right(std::string value, std::size_t width) {
    value.resize(std::max(value.size(), width), ' ');
    return value;
}

}  // namespace bounce::tools
