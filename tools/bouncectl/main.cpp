// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl: what an operator asks of Bounce.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "tools/bouncectl/command.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/standard_streams.hpp"

namespace {

using namespace bounce::ctl;
namespace tools = bounce::tools;

struct Command {
    const char* name;
    AddCommand add;
};

constexpr Command kCommands[] = {
    {"list", add_list},
    {"show", add_show},
    {"top", add_top},
    {"map", add_map},
    {"who", add_who},
    {"hist", add_hist},
    {"get", add_get},
    {"set", add_set},
    {"watch", add_watch},
    {"check", add_check},
    {"events", add_events},
    {"snapshot", add_snapshot},
    {"metrics", add_metrics},
    {"doctor", add_doctor},
    {"policy", add_policy},
    {"region", add_region},
    {"quarantine", add_quarantine},
    {"revoke", add_revoke},
    {"record", add_record},
    {"replay", add_replay},
    {"advise", add_advise},
};

int fail(const std::string& sentence, int status) {
    std::fprintf(stderr, "bouncectl: %s\n", sentence.c_str());
    return status;
}

int run(int argc, char** argv) {
    CLI::App app("Sees and tunes the pools of live processes, and asks Bounce questions.", "bouncectl");
    app.footer(
        "'bouncectl COMMAND --help' has the options of a command.\n"
        "Exit status: 0 done (a refusal of policy is an answer, too), 1 failed, 2 wrong command line, 3 no such "
        "target.\n\n"
        "Example:\n  bouncectl list\n  bouncectl top\n  bouncectl policy --platform s390-pv --transport ccw --features "
        "version_1,access_platform");
    tools::dress(app);
    Run command;
    for (const Command& each : kCommands) each.add(app, command);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& done) {
        return tools::print_asked(app, done);
    } catch (const CLI::ParseError& error) {
        return tools::refuse(app, argc, argv, error);
    }
    return command();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        tools::occupy_standard_streams();
        tools::install_signal_handlers();
        return run(argc, argv);
    } catch (const tools::UsageError& error) {
        return tools::refuse("bouncectl", error.what());
    } catch (const tools::NoTarget& error) {
        return fail(error.what(), tools::kExitNoTarget);
    } catch (const std::exception& error) {
        return fail(error.what(), tools::kExitFailure);
    }
}
