// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk read, write, copy-in, copy-out
#include <algorithm>
#include <optional>

#include "tools/bounce-blk/command.hpp"
#include "tools/bounce-blk/copies.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {

using tools::Failure;
using tools::format_bytes;
using tools::text;

std::uint64_t copy_request_bytes(const Options& options) {
    return options.block_bytes.value_or(std::uint64_t{1} << 20);
}

SessionConfig copy_session(const Options& options) {
    return SessionConfig::make(options, copy_request_bytes(options), options.queue_depths.front());
}

TransferConfig copy_config(const Context& context, const Session& session) {
    TransferConfig config;
    config.offset = context.options.offset;
    config.request_bytes = fit_request_bytes(session, copy_request_bytes(context.options));
    config.queue_depth = context.options.queue_depths.front();
    config.reconnect_seconds = context.options.reconnect_seconds;
    if (config.request_bytes < copy_request_bytes(context.options)) {
        context.report.line(text("note: the device takes at most ", format_bytes(config.request_bytes), " a request"));
    }
    return config;
}

bool progress_wanted(const Options& options) {
    return !options.quiet && !options.no_progress;
}

void check_range(const Session& session, std::uint64_t offset, std::uint64_t length) {
    const Limits& limits = session.limits();
    if (offset % limits.block_bytes != 0) {
        throw Failure(text("--offset ", offset, " is not a multiple of the device's block size, ", limits.block_bytes));
    }
    if (offset > limits.capacity_bytes || length > limits.capacity_bytes - offset) {
        throw Failure(text(length, " bytes at offset ", offset, " end beyond the device, which has ",
                           limits.capacity_bytes, " bytes"));
    }
}

void check_whole_blocks(const Session& session, std::uint64_t length) {
    if (length % session.limits().block_bytes != 0) {
        throw Failure(
            text("--length ", length, " is not a multiple of the device's block size, ", session.limits().block_bytes));
    }
}

void check_writable(const Session& session) {
    if (session.limits().read_only)
        throw Failure(text("the device is read-only (VIRTIO_BLK_F_RO): nothing was written"));
}

void run_transfer(Context& context, Transfer& transfer) {
    try {
        transfer.run();
    } catch (const Failure&) {
        transfer.describe(context.report.json());
        throw;
    }
    transfer.describe(context.report.json());
}

void print_summary(Context& context, const Transfer& transfer, const std::string& remark) {
    context.report.line(
        text(transfer.bytes(), " bytes (", format_bytes(transfer.bytes()), ") in ",
             tools::format_fixed(transfer.seconds(), 2), " s, ",
             tools::format_fixed(tools::mib_per_second(transfer.bytes(), transfer.seconds()), 1), " MiB/s",
             transfer.reconnects() > 0 ? text(", ", transfer.reconnects(), " reconnects") : "", remark));
}

namespace {

void print_digest(Context& context, const std::string& digest) {
    context.report.json()["sha256"] = digest;
    context.report.line(text("SHA-256 ", digest));
}

/// write and copy-in
int run_in(Context& context, CopyIn::Input input) {
    Session session(copy_session(context.options));
    check_writable(session);
    check_range(session, context.options.offset, input.source.size().value_or(0));
    const TransferConfig config = copy_config(context, session);
    tools::Progress progress(command_name(context.options.command), input.source.size(),
                             progress_wanted(context.options));
    CopyIn copy(session, config, input, context.canary, context.report, progress);
    run_transfer(context, copy);
    print_summary(context, copy,
                  copy.padding() > 0 ? text(", and ", copy.padding(), " zeros to fill the last block") : "");
    print_digest(context, copy.sha256());
    finish(context, session);
    return 0;
}

/// read and copy-out
int run_out(Context& context, std::uint64_t skip, bool whole_blocks) {
    const Options& options = context.options;
    if (options.file == "-") context.report.text_to_stderr();
    Session session(copy_session(options));
    check_range(session, options.offset, options.length.value_or(0));
    const std::uint64_t length = options.length.value_or(session.limits().capacity_bytes - options.offset);
    if (whole_blocks) check_whole_blocks(session, length);
    const TransferConfig config = copy_config(context, session);
    FileSink sink(options.file, skip);
    tools::Progress progress(command_name(options.command), length, progress_wanted(options));
    const CopyOut::Output output{sink, length, skip, !whole_blocks};
    CopyOut copy(session, config, output, context.canary, context.report, progress);
    run_transfer(context, copy);
    print_summary(context, copy, "");
    print_digest(context, copy.sha256());
    finish(context, session);
    return 0;
}

}  // namespace

int run_read(Context& context) {
    return run_out(context, 0, true);
}

int run_copy_out(Context& context) {
    return run_out(context, context.options.skip, false);
}

int run_write(Context& context) {
    FileSource source(context.options.file, 0, context.options.length);
    const auto known = source.size();
    if (context.options.length && known && *known < *context.options.length) {
        throw Failure(text(source.name(), " has ", *known, " bytes; --length says ", *context.options.length));
    }
    if (known && *known % kSectorBytes != 0) {
        throw Failure(
            text(source.name(), " has ", *known, " bytes, not a multiple of 512 (copy-in pads the end with zeros)"));
    }
    CopyIn::Input input{source};
    input.expected = context.options.length;
    input.pad = false;
    input.advise = false;
    return run_in(context, input);
}

int run_copy_in(Context& context) {
    FileSource source(context.options.file, context.options.skip, {});
    CopyIn::Input input{source};
    input.skipped = context.options.skip;
    return run_in(context, input);
}

}  // namespace bounce::blk
