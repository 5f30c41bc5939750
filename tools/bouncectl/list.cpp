// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl list: which pools live on this machine.
#include <memory>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;

struct ListCommand {
    TargetOptions target;
    Output output;
};

int run_list(const ListCommand& command) {
    std::vector<std::unique_ptr<Client>> clients;
    if (!command.target.socket.empty()) {
        clients.push_back(std::make_unique<Client>(command.target.socket));
    } else {
        clients = find_clients(command.target);
    }
    Json json = {{"schema_version", kPictureSchema}, {"pools", Json::array()}};
    Table table({">PID", "POOL", "VM", ">BYTES", ">USED", ">FILL", ">DEVICES", ">MAPS", "SOCKET"});
    for (const auto& client : clients) {
        Json picture;
        try {
            picture = take_picture(*client, kStats);
        } catch (const tools::NoTarget&) {
            continue;  // it has just gone
        }
        const Json& pool = picture["pool"];
        json["pools"].push_back({{"process", picture["process"]}, {"pool", pool}});
        table.add({picture["process"]["pid"].dump(), pool["name"].get<std::string>(),
                   picture["process"]["vm_name"].get<std::string>(), bytes_of(pool, "bytes"),
                   bytes_of(pool, "used_bytes"),
                   percent(pool["used_bytes"].get<std::uint64_t>(), pool["bytes"].get<std::uint64_t>()),
                   number_of(pool, "devices"), number_of(pool, "maps"), client->path()});
    }
    print(command.output, json, table.empty() ? std::string("no pools\n") : table.text());
    return tools::kExitOk;
}

}  // namespace

void add_list(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("list", "List the pools of live processes.");
    sub.footer("Example:\n  bouncectl list -j | jq '.pools[].process.pid'");
    const auto command = std::make_shared<ListCommand>();
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_list(*command); }; });
}

}  // namespace bounce::ctl
