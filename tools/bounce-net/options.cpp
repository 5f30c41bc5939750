// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>

#include "tools/common/canary.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {
namespace {

using tools::parse_number;
using tools::parse_seconds;
using tools::parse_size;
using tools::split_list;
using tools::text;
using tools::UsageError;
using tools::value_option;

constexpr double kMaxSeconds = 1e6;
constexpr std::uint32_t kMaxPairs = 128;

std::uint32_t parse_frame_bytes(std::string_view input) {
    return static_cast<std::uint32_t>(parse_number(input, least_frame_bytes(Protocol::kUdp), kMaxFrameBytes));
}

std::vector<std::uint32_t> parse_range(const std::string& input) {
    const auto dash = input.find('-');
    if (dash == std::string::npos) return {parse_frame_bytes(input)};
    const std::uint32_t low = parse_frame_bytes(input.substr(0, dash));
    const std::uint32_t high = parse_frame_bytes(input.substr(dash + 1));
    if (low > high) throw UsageError(text("'", input, "': the first size is the larger one"));
    return {low, high};
}

void add_connection_options(CLI::App& app, Options& o) {
    app.add_option("--socket", o.socket, "unix socket that the device's back-end listens on")
        ->type_name("PATH")
        ->required();
    value_option(app, "--queues", "N", "number of queue pairs (default 1)",
                 [&o](const auto& in) { o.pairs = static_cast<std::uint32_t>(parse_number(in, 1, kMaxPairs)); });
    value_option(app, "--queue-size", "N", "descriptors of a queue, a power of two from 16 to 32768 (default 256)",
                 [&o](const auto& in) { o.queue_size = tools::parse_power_of_two(in, 16, 32768); });
    value_option(app, "--rx-buffer", "BYTES",
                 "of each receive buffer, 128 to 65536 (default 2048); a packet may span several of them",
                 [&o](const auto& in) { o.rx_buffer = static_cast<std::uint32_t>(parse_number(in, 128, 65536)); });
    value_option(app, "--pool-size", "SIZE", "shared memory, all that the device sees (default: what the queues need)",
                 [&o](const auto& in) { o.pool_bytes = tools::parse_pool_size(in); });
    value_option(app, "--base-gpa", "ADDR", "guest-physical address of the pool (default 0x100000000)",
                 [&o](const auto& in) { o.base_gpa = tools::parse_page_address(in); });
    app.add_flag("--hugepages", o.hugepages,
                 "2 MiB pages for the pool where there are any (only for a back-end you trust)");
    app.add_flag("--iommu", o.iommu, "negotiate ACCESS_PLATFORM: addresses are IOVAs that the device asks us for");
    app.add_flag("--packed", o.packed, "negotiate RING_PACKED (the bare loop of bench keeps its split ring)");
    app.add_flag("--in-order", o.in_order, "negotiate IN_ORDER: one completion may stand for many packets");
    app.add_flag("--checksum-offload", o.checksum_offload, "negotiate CSUM and GUEST_CSUM, and use them");
    app.add_flag_callback(
        "--no-mergeable", [&o] { o.mergeable = false; }, "do not negotiate MRG_RXBUF: a packet has one buffer");
    app.add_flag_callback(
        "--no-indirect", [&o] { o.indirect = false; }, "do not negotiate INDIRECT_DESC");
    app.add_flag_callback(
        "--no-event-idx", [&o] { o.event_idx = false; }, "do not negotiate EVENT_IDX");
    value_option(app, "--timeout", "SECONDS", "how long the device may stay silent (default 5)",
                 [&o](const auto& in) { o.timeout_seconds = parse_seconds(in, 0.1, 3600); });
}

void add_output_options(CLI::App& app, Options& o) {
    app.add_option("--json", o.json, "write the results as JSON; - is stdout, text then goes to stderr")
        ->type_name("FILE|-");
    value_option(app, "--canary", "HEX", "the canary around every private buffer, 64 digits (default: random)",
                 [&o](const auto& in) {
                     (void)tools::Canary(in);
                     o.canary = in;
                 });
    app.add_flag("--quiet", o.quiet, "say nothing but errors");
}

void add_traffic_options(CLI::App& app, Options& o, const char* wait_help) {
    value_option(app, "--wait", "poll|call", wait_help, [&o](const auto& in) {
        if (in != "poll" && in != "call") throw UsageError(text("'", in, "' is not one of poll, call"));
        o.wait = in == "poll" ? Wait::kPoll : Wait::kCall;
    });
    value_option(app, "--window", "N", "packets under way on each queue pair (default 128)",
                 [&o](const auto& in) { o.window = static_cast<std::uint32_t>(parse_number(in, 1, 32768)); });
    value_option(app, "--seed", "N", "of sizes and content (default 1)",
                 [&o](const auto& in) { o.seed = parse_number(in, 0, UINT64_MAX); });
    app.add_flag("--no-progress", o.no_progress, "no progress bar");
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
                    "bounce-net info --socket net.sock");
    add_connection_options(sub, o);
    add_output_options(sub, o);
}

void add_loop(CLI::App& app, Options& o) {
    CLI::App& sub = add_command(app, o, Command::kLoop,
                                "Send packets to a device that sends them back, and check each one that comes.",
                                "bounce-net loop --socket net.sock --size 60-1514 --count 1000000");
    add_connection_options(sub, o);
    add_traffic_options(sub, o, "wait for the device by polling or by interrupts (default call)");
    value_option(sub, "--count", "N", "packets on each queue pair (default 100000; of --in: all of the file)",
                 [&o](const auto& in) { o.count = parse_number(in, 1, UINT32_MAX); });
    value_option(sub, "--size", "BYTES[-BYTES]", "of a frame, 60 to 9216; a range: random (default 60-1514)",
                 [&o](const auto& in) { o.sizes = parse_range(in); });
    value_option(sub, "--protocol", "udp|tcp", "over IPv4 (default udp)", [&o](const auto& in) {
        if (in != "udp" && in != "tcp") throw UsageError(text("'", in, "' is not one of udp, tcp"));
        o.protocol = in == "udp" ? Protocol::kUdp : Protocol::kTcp;
    });
    sub.add_flag("--born-shared", o.born_shared, "packets are made and received in the pool: no copy");
    sub.add_option("--in", o.in, "send the packets of this file instead of generated ones (pcap, Ethernet)")
        ->type_name("FILE");
    sub.add_option("--out", o.out, "write the packets that come back to this file (pcap)")->type_name("FILE");
    value_option(sub, "--reconnect", "SECONDS",
                 "when the back-end goes away, wait this long for it to come back and go on",
                 [&o](const auto& in) { o.reconnect_seconds = parse_seconds(in, 0, kMaxSeconds); });
    add_output_options(sub, o);
}

void add_bench(CLI::App& app, Options& o) {
    CLI::App& sub =
        add_command(app, o, Command::kBench, "Measure how many packets a second a device sends back through the pool.",
                    "bounce-net bench --socket net.sock --size 60,1400 --compare --json -");
    add_connection_options(sub, o);
    add_traffic_options(sub, o, "wait for the device by polling or by interrupts (default poll)");
    value_option(sub, "--size", "BYTES,...", "of a frame, 60 to 9216, or a list (default 60,1400)",
                 [&o](const auto& in) {
                     o.sizes.clear();
                     for (const std::string& item : split_list(in)) o.sizes.push_back(parse_frame_bytes(item));
                 });
    value_option(sub, "--seconds", "S", "how long for each size and subject (default 5)",
                 [&o](const auto& in) { o.bench_seconds = parse_seconds(in, 0.05, kMaxSeconds); });
    tools::add_subject_options(sub, o.subjects, "packets");
    add_output_options(sub, o);
}

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
    CLI::App app(
        "A virtio-net client for vhost-user devices. Its packets stay private: they are bounced through a pool of "
        "shared\n"
        "memory, and that pool is all that the device ever sees.",
        "bounce-net");
    app.footer(
        "Sizes take K, M, G, T (powers of 1024). 'bounce-net COMMAND --help' has the options of a command.\n"
        "Exit status: 0 done, 1 failed, 2 wrong command line.\n\n"
        "Example, with a device that sends everything back:\n"
        "  (sleep 600 | dpdk-testpmd -l 0,1 --no-huge -m 256 --no-pci --vdev net_vhost0,iface=net.sock,queues=1 \\\n"
        "    -- --auto-start --forward-mode=macswap --total-num-mbufs=8192) &\n"
        "  bounce-net loop --socket net.sock");
    tools::dress(app);
    add_info(app, options);
    add_loop(app, options);
    add_bench(app, options);
    try {
        app.parse(argc, argv);
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

}  // namespace bounce::net
