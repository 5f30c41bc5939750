// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Values of options that have a meaning of their own. Each function throws tools::UsageError with a sentence.
#pragma once

#include <cstdint>
#include <string>

#include "tools/bounce-blk/options.hpp"

namespace bounce::blk {

/// A size that is whole sectors.
std::uint64_t parse_sectors(const std::string& input);
/// Of a request.
std::uint64_t parse_block_bytes(const std::string& input);
BenchOp parse_op(const std::string& input);
Wait parse_wait(const std::string& input);

}  // namespace bounce::blk
