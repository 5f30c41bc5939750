// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/option_values.hpp"

#include "tools/bounce-blk/virtio_blk.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {

using tools::text;
using tools::UsageError;

std::uint64_t parse_sectors(const std::string& input) {
    const std::uint64_t bytes = tools::parse_size(input);
    if (bytes % kSectorBytes != 0) throw UsageError(text("'", input, "' is not a multiple of 512"));
    return bytes;
}

std::uint64_t parse_block_bytes(const std::string& input) {
    constexpr std::uint64_t kMaxBlockBytes = std::uint64_t{1} << 30;
    const std::uint64_t bytes = parse_sectors(input);
    if (bytes == 0 || bytes > kMaxBlockBytes) throw UsageError(text("'", input, "' is not a size from 512 to 1G"));
    return bytes;
}

BenchOp parse_op(const std::string& input) {
    for (const BenchOp op : {BenchOp::kRead, BenchOp::kWrite, BenchOp::kRandRead, BenchOp::kRandWrite}) {
        if (input == op_name(op)) return op;
    }
    throw UsageError(text("'", input, "' is not one of read, write, randread, randwrite"));
}

Wait parse_wait(const std::string& input) {
    if (input == "poll") return Wait::kPoll;
    if (input == "call") return Wait::kCall;
    throw UsageError(text("'", input, "' is not one of poll, call"));
}

}  // namespace bounce::blk
