// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The figures of the bench, as text and as JSON.
#include <algorithm>
#include <array>
#include <cstdio>

#include "tools/bounce-blk/bench.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::format_fixed;
using tools::format_nanoseconds;
using tools::Json;
using tools::text;

constexpr std::array kShares = {0.5, 0.99, 0.999};

struct Figures {
    double iops = 0;
    double mib_per_s = 0;
    double seconds = 0;
    std::uint64_t operations = 0;
    std::array<double, kShares.size()> nanoseconds{};
};

Figures figures_of(const tools::Ticks& ticks, const Case& what, const Result& result) {
    Figures figures;
    tools::Histogram all;
    std::vector<double> iops;
    for (const Round& round : result.rounds) {
        iops.push_back(round.iops);
        all.merge(round.latencies);
        figures.seconds += round.seconds;
        figures.operations += round.operations;
    }
    figures.iops = median(iops);
    figures.mib_per_s = figures.iops * static_cast<double>(what.block_bytes) / (1024.0 * 1024.0);
    for (std::size_t i = 0; i < kShares.size(); ++i)
        figures.nanoseconds[i] = ticks.nanoseconds(all.percentile(kShares[i]));
    return figures;
}

Json spread_json(const Spread& spread) {
    Json json;
    json["median"] = spread.median;
    json["min"] = spread.min;
    json["max"] = spread.max;
    return json;
}

Json case_json(const Case& what) {
    Json json;
    json["op"] = op_name(what.op);
    json["qd"] = what.depth;
    json["bs"] = what.block_bytes;
    json["queues"] = what.queues;
    return json;
}

std::string pad_left(std::string value, std::size_t width) {
    if (value.size() < width) value.insert(0, width - value.size(), ' ');
    return value;
}

std::string pad_right(std::string value, std::size_t width) {
    value.resize(std::max(value.size(), width), ' ');
    return value;
}

const Result* find(const std::vector<Result>& results, Subject subject) {
    const auto at = std::find_if(results.begin(), results.end(), [&](const Result& r) { return r.subject == subject; });
    return at == results.end() ? nullptr : &*at;
}

void report_ratios(Context& context, const Case& what, const std::vector<Result>& results) {
    const Result* bounced = find(results, Subject::kBounced);
    const Result* born = find(results, Subject::kBornShared);
    const Result* bare = find(results, Subject::kBare);
    if (bounced == nullptr || born == nullptr || bare == nullptr) return;
    const Spread first = ratio(*bounced, *born);
    const Spread second = ratio(*born, *bare);
    const auto print = [&](const char* name, const Spread& spread) {
        context.report.line(text("  ", pad_right(name, 22), format_fixed(spread.median, 3), "  (rounds ",
                                 format_fixed(spread.min, 3), " to ", format_fixed(spread.max, 3), ")"));
    };
    print("bounced/born_shared", first);
    print("born_shared/bare", second);
    Json ratios = case_json(what);
    ratios["bounced_to_born_shared"] = spread_json(first);
    ratios["born_shared_to_bare"] = spread_json(second);
    context.report.json()["comparisons"].push_back(ratios);
}

}  // namespace

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Spread ratio(const Result& numerator, const Result& denominator) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(numerator.rounds.size(), denominator.rounds.size()); ++i) {
        if (denominator.rounds[i].iops > 0) ratios.push_back(numerator.rounds[i].iops / denominator.rounds[i].iops);
    }
    if (ratios.empty()) return {};
    return {median(ratios), *std::min_element(ratios.begin(), ratios.end()),
            *std::max_element(ratios.begin(), ratios.end())};
}

void report_case(Context& context, const tools::Ticks& ticks, const Case& what, const std::vector<Result>& results) {
    const std::size_t rounds = results.front().rounds.size();
    context.report.line(text(op_name(what.op), " of ", tools::format_bytes(what.block_bytes), ", queue depth ",
                             what.depth, ", ", what.queues, what.queues == 1 ? " queue" : " queues",
                             rounds > 1 ? text(": medians of ", rounds, " rounds") : ""));
    context.report.line(text("  ", pad_right("subject", 14), pad_left("IOPS", 10), pad_left("MiB/s", 10),
                             pad_left("p50", 10), pad_left("p99", 10), pad_left("p99.9", 10)));
    for (const Result& result : results) {
        const Figures figures = figures_of(ticks, what, result);
        std::string line =
            text("  ", pad_right(subject_name(result.subject), 14), pad_left(format_fixed(figures.iops, 0), 10),
                 pad_left(format_fixed(figures.mib_per_s, 1), 10));
        for (const double value : figures.nanoseconds) line += pad_left(format_nanoseconds(value), 10);
        context.report.line(line);

        Json json;
        json["subject"] = subject_name(result.subject);
        json.update(case_json(what));
        json["rounds"] = rounds;
        for (const Round& round : result.rounds) json["round_iops"].push_back(round.iops);
        json["seconds"] = figures.seconds;
        json["operations"] = figures.operations;
        json["iops"] = figures.iops;
        json["mib_per_s"] = figures.mib_per_s;
        json["p50_ns"] = figures.nanoseconds[0];
        json["p99_ns"] = figures.nanoseconds[1];
        json["p999_ns"] = figures.nanoseconds[2];
        context.report.json()["results"].push_back(std::move(json));
    }
    report_ratios(context, what, results);
}

}  // namespace bounce::blk
