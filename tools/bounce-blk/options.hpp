// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the command line asked for.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/common/subject.hpp"

namespace bounce::blk {

enum class Command { kNone, kInfo, kRead, kWrite, kCopyIn, kCopyOut, kVerify, kBench };

inline constexpr std::array kCommands = {Command::kInfo,    Command::kRead,   Command::kWrite, Command::kCopyIn,
                                         Command::kCopyOut, Command::kVerify, Command::kBench};

enum class Wait { kDefault, kPoll, kCall };

enum class BenchOp { kRead, kWrite, kRandRead, kRandWrite };

using tools::Subject;

struct Options {
    Command command = Command::kNone;

    // Of every command.
    std::string socket;
    std::vector<std::uint32_t> queue_depths = {32};  // more than one only for bench
    std::optional<std::uint64_t> block_bytes;        // --bs
    std::uint32_t queues = 1;
    std::optional<std::uint32_t> queue_size;
    std::optional<std::uint64_t> pool_bytes;
    std::uint64_t base_gpa = std::uint64_t{1} << 32;
    bool hugepages = false;
    Wait wait = Wait::kDefault;
    double timeout_seconds = 5;
    std::string json;
    double hold_seconds = 0;
    bool quiet = false;
    bool no_progress = false;
    std::string canary;
    std::string control = "auto";

    // What to transfer.
    std::string file;  // FILE, --in or --out; "-" is stdin or stdout; empty for verify without FILE
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> length;
    std::uint64_t skip = 0;
    std::optional<double> reconnect_seconds;
    bool destroy = false;
    std::uint64_t seed = 1;

    // bench
    std::vector<BenchOp> ops = {BenchOp::kRandRead};
    double bench_seconds = 5;
    std::vector<Subject> subjects = {Subject::kBounced};
    bool no_indirect = false;
    bool no_event_idx = false;

    /// Does the bench have the bare loop among its subjects?
    [[nodiscard]] bool measures_bare() const noexcept;
};

/// Of a queue of the bare loop, which takes three descriptors a request.
[[nodiscard]] constexpr std::uint32_t least_bare_queue_size(std::uint32_t queue_depth) noexcept {
    return std::bit_ceil(3 * queue_depth);
}

/// Reads the command line. With --help or --version prints and returns 0, with a wrong one says why and returns 2;
/// nullopt: go on.
std::optional<int> parse_options(int argc, char** argv, Options& options);

/// What only several options together can get wrong. Throws tools::UsageError.
void check_options(Options& options);

[[nodiscard]] const char* command_name(Command command) noexcept;
[[nodiscard]] const char* op_name(BenchOp op) noexcept;
using tools::subject_name;
[[nodiscard]] constexpr bool is_write(BenchOp op) noexcept {
    return op == BenchOp::kWrite || op == BenchOp::kRandWrite;
}
[[nodiscard]] constexpr bool is_random(BenchOp op) noexcept {
    return op == BenchOp::kRandRead || op == BenchOp::kRandWrite;
}

}  // namespace bounce::blk
