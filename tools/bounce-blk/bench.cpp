// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk bench
#include "tools/bounce-blk/bench.hpp"

#include <algorithm>

#include "tools/bounce-blk/copies.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/rounds.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::Failure;
using tools::text;

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

/// What the device is like, from a connection of its own. Throws when it cannot do what is asked.
std::uint64_t probe_blocks(const Context& context, std::uint64_t block_bytes, std::uint32_t depth) {
    Session session(SessionConfig::make(context.options, block_bytes, depth));
    const Limits& limits = session.limits();
    if (std::any_of(context.options.ops.begin(), context.options.ops.end(), is_write)) check_writable(session);
    if (fit_request_bytes(session, block_bytes) < block_bytes ||
        (limits.segment_bytes != 0 && limits.segment_bytes < block_bytes)) {
        throw Failure(
            text("--bs ", block_bytes, " is more than the device takes in one segment, ", limits.segment_bytes));
    }
    if (limits.capacity_bytes < block_bytes) {
        throw Failure(text("--bs ", block_bytes, " is more than the device has, ", limits.capacity_bytes, " bytes"));
    }
    return limits.capacity_bytes / block_bytes;
}

/// Said before the first round, not in the middle of the last case.
void check_queue_size(const Options& options, std::uint32_t deepest) {
    const std::uint32_t needed = least_bare_queue_size(deepest);
    if (!options.measures_bare() || options.queue_size.value_or(needed) >= needed) return;
    throw Failure(text("the bare loop takes 3 descriptors a request: with --qd ", deepest,
                       " it needs a --queue-size of at least ", needed, ", not ", *options.queue_size));
}

}  // namespace

int run_bench(Context& context) {
    const Options& options = context.options;
    const std::uint64_t block_bytes = options.block_bytes.value_or(4096);
    const std::uint32_t deepest = *std::max_element(options.queue_depths.begin(), options.queue_depths.end());
    check_queue_size(options, deepest);
    const std::uint64_t blocks = probe_blocks(context, block_bytes, deepest);
    tools::describe_machine(context.report, options.wait == Wait::kCall);
    tools::Json& json = context.report.json();
    json["results"] = tools::Json::array();
    if (options.subjects.size() > 1) json["comparisons"] = tools::Json::array();

    const tools::Ticks ticks;
    const std::uint64_t total_rounds = options.ops.size() * options.queue_depths.size() * options.subjects.size() *
                                       tools::count_rounds(options.bench_seconds, options.subjects.size());
    tools::Progress progress("bench", total_rounds, progress_wanted(options), tools::Progress::Unit::kRounds);
    std::uint64_t rounds_done = 0;
    Case what;
    for (const BenchOp op : options.ops) {
        for (const std::uint32_t depth : options.queue_depths) {
            what = Case{op, depth, block_bytes, options.queues, blocks};
            const std::vector<Result> results = run_case(context, ticks, what, progress, rounds_done);
            progress.clear();
            report_case(context, ticks, what, results);
        }
    }
    if (options.subjects.size() > 1 && json["comparisons"].size() == 1) json["ratios"] = json["comparisons"][0];
    if (options.hold_seconds > 0) {
        hold_bounced(context, ticks, what);
        return tools::kExitOk;
    }
    json["canary"] = context.canary.hex();
    context.report.write_json();
    return tools::kExitOk;
}

}  // namespace bounce::blk
