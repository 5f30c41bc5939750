// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the command line asked for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/bounce-net/frame.hpp"
#include "tools/common/subject.hpp"

namespace bounce::net {

enum class Command { kNone, kInfo, kLoop, kBench };

inline constexpr std::array kCommands = {Command::kInfo, Command::kLoop, Command::kBench};

enum class Wait { kDefault, kPoll, kCall };

using tools::Subject;

struct Options {
    Command command = Command::kNone;

    // Of every command.
    std::string socket;
    std::uint32_t pairs = 1;  // --queues
    std::uint32_t queue_size = 256;
    std::optional<std::uint64_t> pool_bytes;
    std::uint64_t base_gpa = std::uint64_t{1} << 32;
    bool hugepages = false;
    bool mergeable = true;
    bool checksum_offload = false;
    bool iommu = false;
    bool packed = false;
    bool in_order = false;
    bool indirect = true;
    bool event_idx = true;
    std::uint32_t rx_buffer = 2048;
    double timeout_seconds = 5;
    std::string json;
    bool quiet = false;
    bool no_progress = false;
    std::string canary;

    // Traffic: loop and bench.
    Wait wait = Wait::kDefault;
    std::vector<std::uint32_t> sizes;  // bench: each; loop: one, or the least and the largest
    std::uint32_t window = 128;
    std::uint64_t seed = 1;

    // loop
    std::uint64_t count = 100000;
    Protocol protocol = Protocol::kUdp;
    bool born_shared = false;
    std::string in;   // pcap
    std::string out;  // pcap
    std::optional<double> reconnect_seconds;

    // bench
    double bench_seconds = 5;
    std::vector<Subject> subjects = {Subject::kBounced};
};

/// Reads the command line. With --help or --version prints and returns 0, with a wrong one says why and returns 2;
/// nullopt: go on.
std::optional<int> parse_options(int argc, char** argv, Options& options);

/// What only several options together can get wrong. Throws tools::UsageError.
void check_options(Options& options);

[[nodiscard]] const char* command_name(Command command) noexcept;
using tools::subject_name;

}  // namespace bounce::net
