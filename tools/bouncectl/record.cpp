// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl record: what is asked of a live pool, into a file.
#include <memory>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/recording.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

constexpr double kLongest = 1e9;

struct RecordCommand {
    TargetOptions target;
    Output output;
    std::string file;
    double seconds = 0;
};

int run_record(const RecordCommand& command) {
    const auto client = find_client(command.target);
    const Recorded recorded = record_demand(*client, command.file, command.seconds);
    const Json json = {{"schema_version", kPictureSchema},      {"file", command.file},
                       {"records", recorded.records},           {"lost", recorded.lost},
                       {"seconds", recorded.seconds},           {"whole", !recorded.gone},
                       {"process", recorded.picture["process"]}};
    std::string said = text(command.file, ": ", recorded.records, " records of ",
                            tools::format_fixed(recorded.seconds, 1), " s, ", recorded.lost, " lost\n");
    if (recorded.lost != 0)
        said += "Records that are lost make a replay less exact: this machine was too busy to read them in time.\n";
    print(command.output, json, said);
    if (recorded.gone)
        throw tools::NoTarget(text("the process behind '", client->path(), "' has gone; '", command.file,
                                   "' has what there was until then"));
    return tools::kExitOk;
}

}  // namespace

void add_record(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("record", "Record what is asked of a live pool, until Ctrl-C.");
    sub.footer("Example:\n  bouncectl record demand.trace --seconds 30\n  bouncectl advise demand.trace");
    const auto command = std::make_shared<RecordCommand>();
    sub.add_option("FILE", command->file, "where to")->required();
    tools::value_option(sub, "--seconds", "SECONDS", "how long (default: until Ctrl-C)",
                        [command](const auto& in) { command->seconds = tools::parse_seconds(in, 0.001, kLongest); });
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_record(*command); }; });
}

}  // namespace bounce::ctl
