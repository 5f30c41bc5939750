// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>

#include "bounce/bounce.h"
#include "tools/bounce-blk/option_values.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::parse_number;
using tools::parse_seconds;
using tools::parse_size;
using tools::split_list;
using tools::text;
using tools::UsageError;
using tools::value_option;

constexpr double kMaxSeconds = 1e6;

void add_connection_options(CLI::App& app, Options& o) {
    app.add_option("--socket", o.socket, "unix socket that the device's back-end listens on")
        ->type_name("PATH")
        ->required();
    value_option(app, "--queues", "N", "number of queues (default 1)",
                 [&o](const auto& in) { o.queues = static_cast<std::uint32_t>(parse_number(in, 1, 256)); });
    value_option(app, "--queue-size", "N",
                 "descriptors of a queue, a power of two from 4 to 32768 (default: what --qd needs, at least 128)",
                 [&o](const auto& in) { o.queue_size = tools::parse_power_of_two(in, 4, 32768); });
    value_option(app, "--pool-size", "SIZE",
                 "shared memory, all that the device sees (default 64M, or more when --qd and --bs need it)",
                 [&o](const auto& in) { o.pool_bytes = tools::parse_pool_size(in); });
    value_option(app, "--base-gpa", "ADDR", "guest-physical address of the pool (default 0x100000000)",
                 [&o](const auto& in) { o.base_gpa = tools::parse_page_address(in); });
    app.add_flag("--hugepages", o.hugepages,
                 "2 MiB pages for the pool where there are any (only for a back-end you trust)");
    value_option(app, "--wait", "poll|call",
                 "wait for the device by polling or by interrupts (default call, for bench poll)",
                 [&o](const auto& in) { o.wait = parse_wait(in); });
    app.add_option(
           "--control", o.control,
           "where bouncectl can see and tune the pool: auto (where 'bouncectl list' looks), off, or a socket's path")
        ->type_name("auto|off|PATH");
    value_option(app, "--timeout", "SECONDS", "how long the device may stay silent (default 5)",
                 [&o](const auto& in) { o.timeout_seconds = parse_seconds(in, 0.1, 3600); });
}

void add_output_options(CLI::App& app, Options& o) {
    app.add_option("--json", o.json, "write the results as JSON; - is stdout, text then goes to stderr")
        ->type_name("FILE|-");
    value_option(app, "--hold", "SECONDS",
                 "when done, keep pool and connection in place so that others can look (SIGINT ends it)",
                 [&o](const auto& in) { o.hold_seconds = parse_seconds(in, 0, kMaxSeconds); });
    value_option(app, "--canary", "HEX", "the canary around every private buffer, 64 digits (default: random)",
                 [&o](const auto& in) {
                     (void)tools::Canary(in);
                     o.canary = in;
                 });
    app.add_flag("--quiet", o.quiet, "say nothing but errors");
    app.add_flag("--no-progress", o.no_progress, "no progress bar");
}

void add_depth_options(CLI::App& app, Options& o, const char* bs_help) {
    value_option(app, "--qd", "N", "requests in flight on each queue (default 32)",
                 [&o](const auto& in) { o.queue_depths = {static_cast<std::uint32_t>(parse_number(in, 1, 4096))}; });
    value_option(app, "--bs", "SIZE", bs_help, [&o](const auto& in) { o.block_bytes = parse_block_bytes(in); });
}

void add_range_options(CLI::App& app, Options& o, const char* length_help, bool any_length) {
    value_option(app, "--offset", "SIZE", "where on the device to begin, a multiple of 512 (default 0)",
                 [&o](const auto& in) { o.offset = parse_sectors(in); });
    if (length_help == nullptr) return;
    value_option(app, "--length", "SIZE", length_help, [&o, any_length](const auto& in) {
        o.length = any_length ? parse_size(in) : parse_sectors(in);
        if (*o.length == 0) throw UsageError("expected at least one byte");
    });
}

void add_reconnect_option(CLI::App& app, Options& o) {
    value_option(app, "--reconnect", "[SECONDS]",
                 "when the back-end goes away, wait this long (default 30) for it to come back and go on",
                 [&o](const auto& in) { o.reconnect_seconds = parse_seconds(in, 0, kMaxSeconds); });
}

void add_skip_option(CLI::App& app, Options& o, const char* help) {
    value_option(app, "--skip", "SIZE", help, [&o](const auto& in) { o.skip = parse_size(in); });
}

CLI::App& add_command(CLI::App& app, Options& o, Command command, const char* summary, const char* example) {
    CLI::App& sub = *app.add_subcommand(command_name(command), summary);
    sub.callback([&o, command] { o.command = command; });
    sub.footer(text("Example:\n  ", example));
    return sub;
}

void add_info(CLI::App& app, Options& o) {
    CLI::App& sub =
        add_command(app, o, Command::kInfo, "Show what the device is, what was negotiated and what it can see of us.",
                    "bounce-blk info --socket blk.sock");
    add_connection_options(sub, o);
    add_output_options(sub, o);
}

void add_read_write(CLI::App& app, Options& o) {
    CLI::App& read = add_command(app, o, Command::kRead, "Read raw bytes from the device to stdout or a file.",
                                 "bounce-blk read --socket blk.sock --offset 1M --length 4K --out block.bin");
    add_connection_options(read, o);
    add_range_options(read, o, "how much to read, a multiple of 512", false);
    read.get_option("--length")->required();
    read.add_option("--out", o.file, "file to write to (default -, stdout)")->type_name("FILE|-");
    add_depth_options(read, o, "bytes a request (default 1M)");
    add_output_options(read, o);

    CLI::App& write = add_command(app, o, Command::kWrite,
                                  "Write raw bytes from stdin or a file to the device. OVERWRITES what is there.",
                                  "bounce-blk write --socket blk.sock --offset 1M --in block.bin");
    add_connection_options(write, o);
    add_range_options(write, o, "how much to write, a multiple of 512 (default: all of the input)", false);
    write.add_option("--in", o.file, "file to read from (default -, stdin)")->type_name("FILE|-");
    add_depth_options(write, o, "bytes a request (default 1M)");
    add_output_options(write, o);
}

void add_copies(CLI::App& app, Options& o) {
    CLI::App& in =
        add_command(app, o, Command::kCopyIn,
                    "Copy a file onto the device, with a SHA-256 of what went through. OVERWRITES what is there.",
                    "bounce-blk copy-in disk.img --socket blk.sock --qd 32 --reconnect");
    in.add_option("FILE", o.file, "what to copy; - is stdin. Its end is padded with zeros to a whole block")
        ->required();
    add_connection_options(in, o);
    add_range_options(in, o, nullptr, false);
    add_skip_option(in, o, "bytes of FILE to leave out at its beginning (to go on after a failure)");
    add_depth_options(in, o, "bytes a request (default 1M)");
    add_reconnect_option(in, o);
    add_output_options(in, o);

    CLI::App& out =
        add_command(app, o, Command::kCopyOut, "Copy the device into a file, with a SHA-256 of what went through.",
                    "bounce-blk copy-out backup.img --socket blk.sock --length 200M");
    out.add_option("FILE", o.file, "where to; - is stdout")->required();
    add_connection_options(out, o);
    add_range_options(out, o, "how much, in bytes (default: to the end of the device)", true);
    add_skip_option(out, o, "where in FILE to begin; what is before it stays (to go on after a failure)");
    add_depth_options(out, o, "bytes a request (default 1M)");
    add_reconnect_option(out, o);
    add_output_options(out, o);
}

void add_verify(CLI::App& app, Options& o) {
    CLI::App& sub = add_command(
        app, o, Command::kVerify,
        "Compare the device with FILE; without FILE, write a pattern, read it back and compare (needs --destroy).",
        "bounce-blk verify disk.img --socket blk.sock\n  bounce-blk verify --destroy --length 64M --socket blk.sock");
    sub.add_option("FILE", o.file, "what the device should hold; - is stdin");
    add_connection_options(sub, o);
    add_range_options(sub, o, "how much, in bytes (default: all of FILE; without FILE to the end of the device)", true);
    add_skip_option(sub, o, "bytes of FILE to leave out at its beginning");
    sub.add_flag("--destroy", o.destroy, "without FILE: yes, overwrite the device with the pattern");
    value_option(sub, "--seed", "N", "which pattern (default 1)",
                 [&o](const auto& in) { o.seed = parse_number(in, 0, UINT64_MAX); });
    add_depth_options(sub, o, "bytes a request (default 1M)");
    add_reconnect_option(sub, o);
    add_output_options(sub, o);
}

void add_bench(CLI::App& app, Options& o) {
    CLI::App& sub =
        add_command(app, o, Command::kBench,
                    "Measure how many requests a second the device does through the pool, and how long they take.",
                    "bounce-blk bench --socket blk.sock --op randread --qd 1,32 --compare --json -");
    add_connection_options(sub, o);
    value_option(sub, "--op", "OP,...", "read, write, randread, randwrite, or a list of them (default randread)",
                 [&o](const auto& in) {
                     o.ops.clear();
                     for (const std::string& item : split_list(in)) o.ops.push_back(parse_op(item));
                 });
    value_option(sub, "--qd", "N,...", "requests in flight on each queue, or a list (default 32)",
                 [&o](const auto& in) {
                     o.queue_depths.clear();
                     for (const std::string& item : split_list(in)) {
                         o.queue_depths.push_back(static_cast<std::uint32_t>(parse_number(item, 1, 4096)));
                     }
                 });
    value_option(sub, "--bs", "SIZE", "bytes a request (default 4K)",
                 [&o](const auto& in) { o.block_bytes = parse_block_bytes(in); });
    value_option(sub, "--seconds", "S", "how long for each op, queue depth and subject (default 5)",
                 [&o](const auto& in) { o.bench_seconds = parse_seconds(in, 0.05, kMaxSeconds); });
    tools::add_subject_options(sub, o.subjects, "buffers");
    sub.add_flag("--destroy", o.destroy, "for write and randwrite: yes, overwrite the device");
    sub.add_flag("--no-indirect", o.no_indirect, "do not negotiate INDIRECT_DESC");
    sub.add_flag("--no-event-idx", o.no_event_idx, "do not negotiate EVENT_IDX");
    value_option(sub, "--seed", "N", "of the random offsets (default 1)",
                 [&o](const auto& in) { o.seed = parse_number(in, 0, UINT64_MAX); });
    add_output_options(sub, o);
}

/// The arguments in the order that CLI11 wants, last first. --reconnect without a number gets one: what comes after it
/// may be FILE.
std::vector<std::string> arguments_of(int argc, char** argv) {
    std::vector<std::string> arguments;
    for (int i = 1; i < argc; ++i) {
        arguments.emplace_back(argv[i]);
        const bool number_follows = i + 1 < argc && argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9';
        if (arguments.back() == "--reconnect" && !number_follows) arguments.back() += "=30";
    }
    std::reverse(arguments.begin(), arguments.end());
    return arguments;
}

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
    CLI::App app(
        "A virtio-blk client for vhost-user devices. Its buffers stay private: they are bounced through a pool of "
        "shared\n"
        "memory, and that pool is all that the device ever sees.",
        "bounce-blk");
    app.footer(
        "Sizes take K, M, G, T (powers of 1024). 'bounce-blk COMMAND --help' has the options of a command.\n"
        "Exit status: 0 done, 1 failed, 2 wrong command line.\n\n"
        "Example, with a device to play with:\n"
        "  truncate -s 1G disk.raw\n"
        "  qemu-storage-daemon --blockdev driver=file,node-name=d0,filename=disk.raw \\\n"
        "    --export type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=blk.sock,writable=on &\n"
        "  bounce-blk info --socket blk.sock");
    tools::dress(app);
    add_info(app, options);
    add_read_write(app, options);
    add_copies(app, options);
    add_verify(app, options);
    add_bench(app, options);
    try {
        app.parse(arguments_of(argc, argv));
        check_options(options);
    } catch (const CLI::Success& done) {
        return tools::print_asked(app, done);
    } catch (const CLI::ParseError& error) {
        return tools::refuse(app, argc, argv, error);
    } catch (const UsageError& error) {
        return tools::refuse(app.get_name(), error.what());
    }
    return std::nullopt;
}

}  // namespace bounce::blk
