// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The commands of bouncectl. Each has a file of its own: it adds its options and says what to do with them.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace bounce::ctl {

/// What is to be done once the whole command line is known to be right. Returns the exit status; throws as tools do.
using Run = std::function<int()>;

/// Adds the command; `run` is set when it is the one on the command line.
using AddCommand = void (*)(CLI::App& app, Run& run);

void add_list(CLI::App& app, Run& run);
void add_show(CLI::App& app, Run& run);
void add_top(CLI::App& app, Run& run);
void add_map(CLI::App& app, Run& run);
void add_who(CLI::App& app, Run& run);
void add_hist(CLI::App& app, Run& run);
void add_get(CLI::App& app, Run& run);
void add_set(CLI::App& app, Run& run);
void add_watch(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_events(CLI::App& app, Run& run);
void add_snapshot(CLI::App& app, Run& run);
void add_metrics(CLI::App& app, Run& run);
void add_doctor(CLI::App& app, Run& run);
void add_policy(CLI::App& app, Run& run);
void add_record(CLI::App& app, Run& run);
void add_replay(CLI::App& app, Run& run);
void add_advise(CLI::App& app, Run& run);
void add_region(CLI::App& app, Run& run);
void add_quarantine(CLI::App& app, Run& run);
void add_revoke(CLI::App& app, Run& run);

}  // namespace bounce::ctl
