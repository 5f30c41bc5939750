// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the commands that copy have in common.
#pragma once

#include <cstdint>
#include <string>

#include "tools/bounce-blk/command.hpp"
#include "tools/bounce-blk/copy_in.hpp"
#include "tools/bounce-blk/copy_out.hpp"

namespace bounce::blk {

[[nodiscard]] SessionConfig copy_session(const Options& options);
[[nodiscard]] TransferConfig copy_config(const Context& context, const Session& session);
[[nodiscard]] bool progress_wanted(const Options& options);

/// Each throws tools::Failure when it is not so, before any I/O.
void check_range(const Session& session, std::uint64_t offset, std::uint64_t length);
void check_whole_blocks(const Session& session, std::uint64_t length);
void check_writable(const Session& session);

/// Runs it; what is known of it goes into the JSON, also when it fails.
void run_transfer(Context& context, Transfer& transfer);
void print_summary(Context& context, const Transfer& transfer, const std::string& remark);

}  // namespace bounce::blk
