// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The commands, and what all of them have.
#pragma once

#include <string>

#include "tools/bounce-blk/options.hpp"
#include "tools/bounce-blk/session.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/report.hpp"

namespace bounce::blk {

struct Context {
    const Options& options;
    const tools::Canary& canary;
    tools::Report& report;
};

// Each throws tools::Failure or returns the exit status.
int run_info(Context& context);
int run_read(Context& context);
int run_write(Context& context);
int run_copy_in(Context& context);
int run_copy_out(Context& context);
int run_verify(Context& context);
int run_bench(Context& context);

/// The end of every command: writes the JSON and, with --hold, says what there is to look at and keeps it in place. The
/// session, and what the caller has, stays as it is meanwhile.
void finish(Context& context, const Session& session);

}  // namespace bounce::blk
