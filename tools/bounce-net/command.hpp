// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The commands, and what all of them have.
#pragma once

#include "tools/bounce-net/options.hpp"
#include "tools/bounce-net/session.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/report.hpp"

namespace bounce::net {

struct Context {
    const Options& options;
    const tools::Canary& canary;
    tools::Report& report;
};

// Each throws tools::Failure or returns the exit status.
int run_info(Context& context);
int run_loop(Context& context);
int run_bench(Context& context);

/// What of the connection belongs into every report: violations, and what was translated.
void report_session(Context& context, const Session& session);

}  // namespace bounce::net
