// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk verify
#include "tools/bounce-blk/command.hpp"
#include "tools/bounce-blk/copies.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::Failure;
using tools::text;

void describe(tools::Json& json, const CompareSink& sink) {
    json["compared_bytes"] = sink.compared_bytes();
    json["mismatched_bytes"] = sink.mismatched_bytes();
    const auto first = sink.first_mismatch();
    json["first_mismatch"] = first ? tools::Json(*first) : tools::Json();
}

/// Reads the device and compares with what is expected there.
int compare(Context& context, Session& session, const TransferConfig& config, Source& expected, std::uint64_t length) {
    CompareSink sink(expected, length, [&session] { session.check_alive(); });
    tools::Progress progress("verify", length, progress_wanted(context.options));
    const CopyOut::Output output{sink, length, context.options.skip, !context.options.file.empty()};
    CopyOut copy(session, config, output, context.canary, context.report, progress);
    tools::Json& json = context.report.json();
    try {
        run_transfer(context, copy);
    } catch (const Failure&) {
        describe(json, sink);  // what was found until then counts
        throw;
    }
    print_summary(context, copy, "");
    json["sha256"] = copy.sha256();
    describe(json, sink);
    const auto first = sink.first_mismatch();
    if (!first) {
        context.report.line(text("verified: the device holds what ", expected.name(), " says"));
        finish(context, session);
        return tools::kExitOk;
    }
    const std::string sentence = text(sink.mismatched_bytes(), " of ", length, " bytes differ from ", expected.name(),
                                      ", the first at offset ", *first, " of the device");
    json["ok"] = false;
    json["error"] = sentence;
    finish(context, session);
    throw Failure(sentence);
}

int verify_file(Context& context) {
    const Options& options = context.options;
    FileSource source(options.file, options.skip, options.length);
    const auto known = source.size();
    if (!known && !options.length)
        throw Failure(text("how long ", source.name(), " is only its end will tell: give --length"));
    const std::uint64_t length = options.length.value_or(known.value_or(0));
    if (known && *known < length) {
        throw Failure(text(source.name(), " has ", *known, " bytes to compare; --length says ", length));
    }
    if (length == 0) {
        throw Failure(text("there is nothing to compare: ", source.name(), " has no bytes",
                           options.skip > 0 ? text(" after the first ", options.skip) : ""));
    }
    Session session(copy_session(options));
    check_range(session, options.offset, length);
    return compare(context, session, copy_config(context, session), source, length);
}

int verify_pattern(Context& context) {
    const Options& options = context.options;
    Session session(copy_session(options));
    check_writable(session);
    check_range(session, options.offset, options.length.value_or(0));
    const std::uint64_t length = options.length.value_or(session.limits().capacity_bytes - options.offset);
    if (length == 0) {
        throw Failure(text("there is nothing to compare: the device has no bytes from offset ", options.offset, " on"));
    }
    check_whole_blocks(session, length);
    const TransferConfig config = copy_config(context, session);
    context.report.json()["seed"] = options.seed;
    {
        PatternSource pattern(options.seed, options.offset, length);
        tools::Progress progress("verify: write", length, progress_wanted(options));
        CopyIn::Input input{pattern};
        input.advise = false;
        CopyIn copy(session, config, input, context.canary, context.report, progress);
        run_transfer(context, copy);
        print_summary(context, copy, ", written");
    }
    PatternSource pattern(options.seed, options.offset, length);
    return compare(context, session, config, pattern, length);
}

}  // namespace

int run_verify(Context& context) {
    return context.options.file.empty() ? verify_pattern(context) : verify_file(context);
}

}  // namespace bounce::blk
