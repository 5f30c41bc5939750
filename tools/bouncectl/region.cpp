// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl region, quarantine and revoke: memory that comes and goes, and what a device that is not trusted any more
// may still write. Each says afterwards what is so, as the process tells it.
#include <bit>
#include <memory>
#include <optional>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;
using tools::UsageError;

struct RegionCommand {
    TargetOptions target;
    Output output;
    std::string action;
    std::string what;
    std::uint64_t node = 0;  // + 1
};

struct DeviceCommand {
    TargetOptions target;
    Output output;
    std::string device;
    std::optional<std::uint64_t> region;
};

const Json& find_region(const Json& picture, std::uint64_t index) {
    for (const Json& region : picture["regions"]) {
        if (region["index"] == index) return region;
    }
    throw tools::NoTarget(text("there is no region ", index, ": the pool has ", picture["regions"].size()));
}

/// By its id or its name.
const Json& find_device(const Json& picture, const std::string& name) {
    const Json* found = nullptr;
    for (const Json& device : picture["devices"]) {
        if (device["id"].dump() == name) return device;
        if (device["name"] != name) continue;
        if (found != nullptr) throw UsageError(text("'", name, "' is the name of several devices: use its id"));
        found = &device;
    }
    if (found == nullptr)
        throw tools::NoTarget(text("there is no device '", name, "' ('bouncectl show device' lists them)"));
    return *found;
}

std::string region_text(const Json& region) {
    return text("region ", region["index"].dump(), ": ", hex(region["base_gpa"].get<std::uint64_t>()), ", ",
                bytes_of(region, "used_bytes"), " of ", bytes_of(region, "bytes"), " in use, ",
                region["state"].get<std::string>(),
                region["state"] == "active" && region["usable"] == 0 ? ", the back-end has not been shown it yet" : "",
                "\n");
}

/// What became of regions.
int tell(const Output& output, Client& client, const std::vector<std::uint64_t>& indexes) {
    const Json picture = take_picture(client, kStats);
    Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"regions", Json::array()}};
    std::string whole;
    for (const std::uint64_t index : indexes) {
        const Json& region = find_region(picture, index);
        json["regions"].push_back(region);
        whole += region_text(region);
    }
    print(output, json, whole);
    return tools::kExitOk;
}

int run_region(const RegionCommand& command) {
    if (command.action == "add") {
        Question question{.command = BOUNCE_CONTROL_ADD_REGION};
        question.arg[0] = tools::parse_size(command.what);
        question.arg[1] = command.node;
        const auto client = find_client(command.target);
        return tell(command.output, *client, {client->tell(question)});
    }
    if (command.node != 0) throw UsageError("--node goes with 'region add'");
    const std::uint64_t index = tools::parse_number(command.what, 0, UINT32_MAX);
    const auto client = find_client(command.target);
    find_region(take_picture(*client, kStats), index);
    client->tell(
        {.command = command.action == "drain" ? BOUNCE_CONTROL_DRAIN : BOUNCE_CONTROL_REMOVE_REGION, .arg = {index}});
    return tell(command.output, *client, {index});
}

int run_quarantine(const DeviceCommand& command) {
    const auto client = find_client(command.target);
    const Json before = take_picture(*client, kStats);
    const Json id = find_device(before, command.device)["id"];
    client->tell({.command = BOUNCE_CONTROL_QUARANTINE, .arg = {id.get<std::uint64_t>()}});
    const Json picture = take_picture(*client, kStats);
    const Json& device = find_device(picture, id.dump());
    if (device["quarantined"] == 0) throw tools::Failure("the device is not in quarantine: it was released meanwhile");
    const Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"device", device}};
    print(command.output, json,
          text("device ", id.dump(), " ", device["name"].get<std::string>(), " is in quarantine: it gets nothing, and ",
               number_of(device, "mappings"), " mappings and ", number_of(device, "blocks"),
               " blocks that it has stay out of reach when they end. Its driver releases it after a reset.\n"));
    return tools::kExitOk;
}

int run_revoke(const DeviceCommand& command) {
    if (command.region.has_value() == !command.device.empty())
        throw UsageError("expected a DEVICE with regions of its own, or --region");
    const auto client = find_client(command.target);
    const Json picture = take_picture(*client, kStats);
    std::vector<std::uint64_t> indexes;
    if (command.region) {
        find_region(picture, *command.region);
        indexes.push_back(*command.region);
    } else {
        const Json& device = find_device(picture, command.device);
        std::uint64_t rest = device["regions"].get<std::uint64_t>();
        if (rest == 0)
            throw tools::Failure(
                text("device ", device["id"].dump(),
                     " has no regions of its own, it uses those of all: 'bouncectl quarantine' stops it, 'bouncectl "
                     "revoke --region' takes a region from everybody"));
        for (; rest != 0; rest &= rest - 1) indexes.push_back(static_cast<std::uint64_t>(std::countr_zero(rest)));
    }
    for (const std::uint64_t index : indexes) client->tell({.command = BOUNCE_CONTROL_REVOKE, .arg = {index}});
    return tell(command.output, *client, indexes);
}

}  // namespace

void add_region(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("region", "Add a region to a pool that can grow, drain one, remove it.");
    sub.footer(
        "Example:\n  bouncectl region add 64M --node 1\n  bouncectl region drain 2\n  bouncectl region remove 2");
    const auto command = std::make_shared<RegionCommand>();
    sub.add_option("ACTION", command->action, "add, drain (nothing more is handed out), remove (once it is empty)")
        ->required()
        ->check(CLI::IsMember({"add", "drain", "remove"}));
    sub.add_option("SIZE|INDEX", command->what, "of a region to add, or which one")->required();
    tools::value_option(sub, "--node", "N", "NUMA node of what is added (default: where grown regions are)",
                        [command](const auto& in) { command->node = tools::parse_number(in, 0, INT32_MAX - 1) + 1; });
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_region(*command); }; });
}

void add_quarantine(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("quarantine", "Hold back all that a device has, until its driver resets it.");
    sub.footer("Example:\n  bouncectl quarantine net0");
    const auto command = std::make_shared<DeviceCommand>();
    sub.add_option("DEVICE", command->device, "its name or id")->required();
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_quarantine(*command); }; });
}

void add_revoke(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("revoke", "Retire a device's regions, or one: nobody gets them again.");
    sub.footer("Example:\n  bouncectl revoke net0\n  bouncectl revoke --region 2");
    const auto command = std::make_shared<DeviceCommand>();
    sub.add_option("DEVICE", command->device, "its name or id; it has regions of its own");
    tools::value_option(sub, "--region", "INDEX", "this region, whoever uses it",
                        [command](const auto& in) { command->region = tools::parse_number(in, 0, UINT32_MAX); });
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_revoke(*command); }; });
}

}  // namespace bounce::ctl
