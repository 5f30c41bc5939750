// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What options mean together, and how their values are called.
#include <unistd.h>

#include <algorithm>

#include "tools/bounce-net/options.hpp"
#include "tools/common/device.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/files.hpp"

namespace bounce::net {

using tools::text;
using tools::UsageError;

namespace {

void check_files(const Options& o) {
    const auto same = [](const std::string& one, const std::string& other) {
        return !one.empty() && !other.empty() && one != "-" && other != "-" &&
               tools::same_file(one, other, STDIN_FILENO);
    };
    if (same(o.in, o.out))
        throw UsageError(text("--out: '", o.out, "' is the same file as --in; expected another one"));
    if (same(o.json, o.in) || same(o.json, o.out))
        throw UsageError(text("--json: '", o.json, "' is the same file as the packets; expected another one"));
    if (!o.in.empty() && o.pairs != 1) throw UsageError("--in: a file is sent on one queue pair; leave --queues out");
    if (!o.out.empty() && o.pairs != 1)
        throw UsageError("--out: the packets of one queue pair are written; leave --queues out");
}

/// A packet that does not fit into what is posted for it would never come.
void check_sizes(const Options& o) {
    const std::uint32_t largest = *std::max_element(o.sizes.begin(), o.sizes.end());
    const std::uint32_t least = *std::min_element(o.sizes.begin(), o.sizes.end());
    if (o.command == Command::kLoop && least < least_frame_bytes(o.protocol))
        throw UsageError(
            text("--size: with tcp a frame has at least ", least_frame_bytes(o.protocol), " bytes, not ", least));
    const std::uint32_t needed = largest + static_cast<std::uint32_t>(PacketHeader::kBytes);
    if ((!o.mergeable || o.command == Command::kBench) && needed > o.rx_buffer)
        throw UsageError(text("--rx-buffer: frames of ", largest, " bytes need ", needed, " bytes in one buffer, not ",
                              o.rx_buffer));
    if (o.window > o.queue_size)
        throw UsageError(text("--window: ", o.window, " packets are more than a queue of ", o.queue_size, " holds"));
    const std::uint32_t buffers = (needed + o.rx_buffer - 1) / o.rx_buffer;
    if (buffers * o.window > o.queue_size)
        throw UsageError(text("--window: ", o.window, " packets of up to ", largest, " bytes take ", buffers,
                              " receive buffers each, and a queue holds ", o.queue_size,
                              ": choose a smaller --window, a larger --queue-size or --rx-buffer"));
}

}  // namespace

void check_options(Options& o) {
    tools::check_socket_option(o.socket);
    if (o.command == Command::kInfo) return;
    if (o.sizes.empty() && o.command == Command::kBench) o.sizes = {60, 1400};
    if (o.sizes.empty()) o.sizes = {static_cast<std::uint32_t>(least_frame_bytes(o.protocol)), 1514};
    check_sizes(o);
    check_files(o);
    if (o.command == Command::kBench && o.iommu &&
        std::find(o.subjects.begin(), o.subjects.end(), Subject::kBare) != o.subjects.end())
        throw UsageError("--iommu: the bare loop translates nothing; leave --compare and --bare out");
}

const char* command_name(Command command) noexcept {
    switch (command) {
        case Command::kNone: return "";
        case Command::kInfo: return "info";
        case Command::kLoop: return "loop";
        case Command::kBench: return "bench";
    }
    return "";
}

}  // namespace bounce::net
