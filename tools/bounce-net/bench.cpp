// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-net bench
#include "tools/bounce-net/bench.hpp"

#include <algorithm>
#include <array>

#include "tools/common/failure.hpp"
#include "tools/common/machine.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/rounds.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {
namespace {

using tools::format_fixed;
using tools::Json;
using tools::pad_left;
using tools::pad_right;
using tools::text;

std::vector<double> rates(const Result& result) {
    std::vector<double> all;
    for (const Round& round : result.rounds) all.push_back(round.packets_per_s);
    return all;
}

Json case_json(const Case& what) {
    Json json;
    json["frame_bytes"] = what.frame_bytes;
    json["queue_pairs"] = what.pairs;
    json["window"] = what.window;
    return json;
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
    const tools::Spread first = tools::ratio(rates(*bounced), rates(*born));
    const tools::Spread second = tools::ratio(rates(*born), rates(*bare));
    context.report.line(tools::spread_line("bounced/born_shared", first));
    context.report.line(tools::spread_line("born_shared/bare", second));
    Json ratios = case_json(what);
    ratios["bounced_to_born_shared"] = tools::spread_json(first);
    ratios["born_shared_to_bare"] = tools::spread_json(second);
    context.report.json()["comparisons"].push_back(ratios);
}

std::vector<Result> run_case(const Context& context, const tools::Ticks& ticks, const Case& what,
                             tools::Progress& progress, std::uint64_t& rounds_done) {
    const Options& options = context.options;
    std::vector<Result> results;
    for (const Subject subject : options.subjects) results.push_back({subject, {}});
    const std::size_t rounds = tools::count_rounds(options.bench_seconds, options.subjects.size());
    const double seconds = options.bench_seconds / static_cast<double>(rounds);
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < results.size(); ++i) {
            Result& result = results[(round + i) % results.size()];
            result.rounds.push_back(run_round(context, ticks, what, result.subject, seconds));
            progress.update(++rounds_done);
        }
    }
    return results;
}

}  // namespace

void report_case(Context& context, const Case& what, const std::vector<Result>& results) {
    const std::size_t rounds = results.front().rounds.size();
    context.report.line(text("frames of ", what.frame_bytes, " bytes, ", what.pairs,
                             what.pairs == 1 ? " queue pair, " : " queue pairs, ", what.window, " under way",
                             rounds > 1 ? text(": medians of ", rounds, " rounds") : ""));
    context.report.line(
        text("  ", pad_right("subject", 14), pad_left("packets/s", 12), pad_left("Gbit/s", 10), pad_left("lost", 8)));
    for (const Result& result : results) {
        Json json;
        json["subject"] = subject_name(result.subject);
        json.update(case_json(what));
        json["rounds"] = rounds;
        json["round_packets_per_s"] = rates(result);
        const double rate = tools::median(rates(result));
        const double bits = rate * what.frame_bytes * 8;
        double seconds = 0;
        std::uint64_t packets = 0;
        std::uint64_t lost = 0;
        for (const Round& round : result.rounds) {
            seconds += round.seconds;
            packets += round.packets;
            lost += round.lost;
        }
        json["seconds"] = seconds;
        json["packets"] = packets;
        json["lost"] = lost;
        json["packets_per_s"] = rate;
        json["bits_per_s"] = bits;
        context.report.json()["results"].push_back(std::move(json));
        context.report.line(text("  ", pad_right(subject_name(result.subject), 14), pad_left(format_fixed(rate, 0), 12),
                                 pad_left(format_fixed(bits / 1e9, 3), 10), pad_left(text(lost), 8)));
    }
    report_ratios(context, what, results);
}

int run_bench(Context& context) {
    const Options& options = context.options;
    {
        const Session probe(SessionConfig::make(options));  // said before the first round: what cannot be
        context.report.json()["connection"] = tools::connection_json(feature_table(), probe.info());
    }
    tools::describe_machine(context.report, options.wait == Wait::kCall);
    Json& json = context.report.json();
    json["results"] = Json::array();
    if (options.subjects.size() > 1) json["comparisons"] = Json::array();

    const tools::Ticks ticks;
    const std::uint64_t total_rounds = options.sizes.size() * options.subjects.size() *
                                       tools::count_rounds(options.bench_seconds, options.subjects.size());
    tools::Progress progress("bench", total_rounds, !options.quiet && !options.no_progress,
                             tools::Progress::Unit::kRounds);
    std::uint64_t rounds_done = 0;
    for (const std::uint32_t bytes : options.sizes) {
        const Case what{bytes, options.pairs, options.window};
        const std::vector<Result> results = run_case(context, ticks, what, progress, rounds_done);
        progress.clear();
        report_case(context, what, results);
    }
    context.report.write_json();
    return tools::kExitOk;
}

}  // namespace bounce::net
