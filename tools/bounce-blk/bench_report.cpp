// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The figures of the bench, as text and as JSON.
#include <algorithm>
#include <array>

#include "tools/bounce-blk/bench.hpp"
#include "tools/common/rounds.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::format_fixed;
using tools::format_nanoseconds;
using tools::Json;
using tools::pad_left;
using tools::pad_right;
using tools::Spread;
using tools::spread_json;
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
    figures.iops = tools::median(iops);
    figures.mib_per_s = figures.iops * static_cast<double>(what.block_bytes) / (1024.0 * 1024.0);
    for (std::size_t i = 0; i < kShares.size(); ++i)
        figures.nanoseconds[i] = ticks.nanoseconds(all.percentile(kShares[i]));
    return figures;
}

Json case_json(const Case& what) {
    Json json;
    json["op"] = op_name(what.op);
    json["qd"] = what.depth;
    json["bs"] = what.block_bytes;
    json["queues"] = what.queues;
    return json;
}

std::vector<double> iops_of(const Result& result) {
    std::vector<double> iops;
    for (const Round& round : result.rounds) iops.push_back(round.iops);
    return iops;
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
    const Spread first = tools::ratio(iops_of(*bounced), iops_of(*born));
    const Spread second = tools::ratio(iops_of(*born), iops_of(*bare));
    context.report.line(tools::spread_line("bounced/born_shared", first));
    context.report.line(tools::spread_line("born_shared/bare", second));
    Json ratios = case_json(what);
    ratios["bounced_to_born_shared"] = spread_json(first);
    ratios["born_shared_to_bare"] = spread_json(second);
    context.report.json()["comparisons"].push_back(ratios);
}

}  // namespace

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
