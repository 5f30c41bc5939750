// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl get and set: tunables.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>

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

struct GetCommand {
    TargetOptions target;
    Output output;
    std::vector<std::string> names;
    std::string save;
};

struct SetCommand {
    TargetOptions target;
    Output output;
    std::vector<std::string> settings;
    std::string load;
    bool dry_run = false;
};

/// Its name as it stands, or device.NAME.what with the name of the device for its id.
bool is_named(const Json& tunable, const std::string& name) {
    if (tunable["name"] == name) return true;
    const std::string whole = tunable["name"].get<std::string>();
    const std::string device = tunable["device"].get<std::string>();
    return !device.empty() && name == "device." + device + whole.substr(whole.rfind('.'));
}

const Json& find_tunable(const Json& tunables, const std::string& name) {
    const Json* found = nullptr;
    for (const Json& one : tunables) {
        if (!is_named(one, name)) continue;
        if (found != nullptr) throw UsageError(text("'", name, "' is one of several devices: use its id"));
        found = &one;
    }
    if (found == nullptr) throw UsageError(text("'", name, "' is no tunable ('bouncectl show tunables' lists them)"));
    return *found;
}

std::uint64_t parse_value(const Json& tunable, const std::string& value) {
    const Json& choices = tunable["choices"];
    for (std::size_t i = 0; i < choices.size(); ++i) {
        if (choices[i] == value) return i;
    }
    if (!choices.empty()) {
        std::string all;
        for (const Json& choice : choices) all += (all.empty() ? "" : ", ") + choice.get<std::string>();
        throw UsageError(text(tunable["name"].get<std::string>(), ": '", value, "' is not one of ", all));
    }
    if (value == "default") return tunable["default"].get<std::uint64_t>();
    return tunable["type"] == "bytes" ? tools::parse_size(value) : tools::parse_number(value, 0, UINT64_MAX);
}

/// Lines NAME=VALUE; what is behind a # counts for nothing.
std::vector<std::string> read_settings(const std::string& path) {
    std::ifstream in(path);
    if (!in) throw tools::Failure(text("cannot read '", path, "'"));
    std::vector<std::string> settings;
    for (std::string line; std::getline(in, line);) {
        line.erase(std::min(line.find('#'), line.size()));
        line.erase(std::remove_if(line.begin(), line.end(), [](char c) { return c == ' ' || c == '\t' || c == '\r'; }),
                   line.end());
        if (!line.empty()) settings.push_back(line);
    }
    return settings;
}

int run_get(const GetCommand& command) {
    const Json picture = picture_of(command.target, kTunables);
    Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"tunables", Json::array()}};
    std::vector<std::string> names = command.names;
    if (names.empty()) {
        for (const Json& one : picture["tunables"]) names.push_back(one["name"].get<std::string>());
    }
    std::string whole;
    for (const std::string& name : names) {
        const Json& one = find_tunable(picture["tunables"], name);
        json["tunables"].push_back(one);
        if (command.save.empty() || one["live"] == true)
            whole +=
                text(one["name"].get<std::string>(), "=",
                     one["choices"].empty() ? one["value"].dump() : value_text(one, one["value"].get<std::uint64_t>()),
                     "\n");
    }
    if (command.save.empty()) {
        print(command.output, json, whole);
        return tools::kExitOk;
    }
    std::ofstream out(command.save);
    out << "# of pool " << picture["process"]["pool"].get<std::string>() << "; 'bouncectl set --load' takes it\n"
        << whole;
    if (!out.flush()) throw tools::Failure(text("cannot write '", command.save, "'"));
    return tools::kExitOk;
}

int run_set(const SetCommand& command) {
    std::vector<std::string> settings = command.settings;
    if (!command.load.empty()) settings = read_settings(command.load);
    if (settings.empty()) throw UsageError("nothing to set: expected NAME=VALUE, or --load");
    const auto client = find_client(command.target);
    const Json picture = take_picture(*client, kTunables);
    std::vector<bounce_control_item> items;
    std::vector<const Json*> tunables;
    for (const std::string& setting : settings) {
        const std::size_t equals = setting.find('=');
        if (equals == std::string::npos) throw UsageError(text("'", setting, "' is not NAME=VALUE"));
        const Json& one = find_tunable(picture["tunables"], setting.substr(0, equals));
        bounce_control_item item{};
        std::snprintf(item.name, sizeof item.name, "%s", one["name"].get<std::string>().c_str());
        item.value = parse_value(one, setting.substr(equals + 1));
        items.push_back(item);
        tunables.push_back(&one);
    }
    Question question{.command = BOUNCE_CONTROL_SET};
    question.flags = command.dry_run ? BOUNCE_CONTROL_DRY_RUN : 0;
    question.items = items;
    const auto done = client->ask<bounce_control_item>(question);
    Json json = {{"schema_version", kPictureSchema}, {"dry_run", command.dry_run}, {"set", Json::array()}};
    std::string whole;
    for (std::size_t i = 0; i < done.size() && i < tunables.size(); ++i) {
        json["set"].push_back({{"name", items[i].name}, {"before", done[i].before}, {"value", items[i].value}});
        whole += text(items[i].name, ": ", value_text(*tunables[i], done[i].before), " -> ",
                      value_text(*tunables[i], items[i].value), command.dry_run ? " (not done)" : "", "\n");
    }
    print(command.output, json, whole);
    return tools::kExitOk;
}

}  // namespace

void add_get(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("get", "Print tunables.");
    sub.footer("Example:\n  bouncectl get pool.limit_bytes\n  bouncectl get --save good.conf");
    const auto command = std::make_shared<GetCommand>();
    sub.add_option("NAME", command->names, "which (default: all); device.NAME.what by the name of a device, too");
    sub.add_option("--save", command->save, "write what can be set to a file, for 'set --load'")->type_name("FILE");
    add_target_options(sub, command->target);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_get(*command); }; });
}

void add_set(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("set", "Set tunables of a live pool: all of them, or none.");
    sub.footer(
        "Example:\n  bouncectl set device.net0.ceiling_bytes=64M pool.reserve_bytes=4M --dry-run\n"
        "  bouncectl set --load good.conf");
    const auto command = std::make_shared<SetCommand>();
    auto* settings =
        sub.add_option("NAME=VALUE", command->settings, "sizes take K, M, G; choices are words; 'default'");
    sub.add_option("--load", command->load, "a file of NAME=VALUE lines")->type_name("FILE")->excludes(settings);
    sub.add_flag("--dry-run", command->dry_run, "check, and change nothing");
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_set(*command); }; });
}

}  // namespace bounce::ctl
