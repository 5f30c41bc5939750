// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl who: who holds what, since when.
#include <algorithm>
#include <map>
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

struct WhoCommand {
    TargetOptions target;
    Output output;
    std::optional<std::uint64_t> gpa;
    std::uint64_t age_ms = 0;
    std::string device;
    std::uint64_t most = 20;
};

/// Older first; of what nobody knows the age, that is the oldest.
bool older(const Json& a, const Json& b) {
    const std::uint64_t age_a = a["age_ms"].is_null() ? UINT64_MAX : a["age_ms"].get<std::uint64_t>();
    const std::uint64_t age_b = b["age_ms"].is_null() ? UINT64_MAX : b["age_ms"].get<std::uint64_t>();
    if (age_a != age_b) return age_a > age_b;
    return a["gpa"].get<std::uint64_t>() < b["gpa"].get<std::uint64_t>();
}

std::vector<std::string> row_of(const Json& held) {
    std::string who = held["device_name"].get<std::string>();
    if (who.empty()) who = held["device"].is_null() ? "unknown" : "device " + held["device"].dump();
    return {age_text(held["age_ms"]),
            who,
            held["kind"].get<std::string>(),
            held["direction"].is_null() ? "" : held["direction"].get<std::string>(),
            held["bytes"].is_null() ? "-" : bytes_of(held, "bytes"),
            bytes_of(held, "slot_bytes"),
            hex(held["gpa"].get<std::uint64_t>())};
}

const std::vector<std::string> kTitles = {">AGE", "DEVICE", "KIND", "DIRECTION", ">SIZE", ">SLOT", "GPA"};

int find_one(const WhoCommand& command) {
    Json held;
    Json process;
    if (command.target.snapshot.empty()) {
        const auto client = find_client(command.target);
        const auto found = client->ask<bounce_control_held>({.command = BOUNCE_CONTROL_FIND, .arg = {*command.gpa}});
        if (!found.empty()) held = held_json(found[0]);
    } else {
        for (const Json& one : picture_of(command.target, kHeld)["held"]) {
            const std::uint64_t start = one["gpa"].get<std::uint64_t>();
            if (*command.gpa >= start && *command.gpa - start < one["slot_bytes"].get<std::uint64_t>()) held = one;
        }
        if (held.is_null()) throw tools::Failure(text("nothing that is held at ", hex(*command.gpa)));
    }
    Table table(kTitles);
    table.add(row_of(held));
    print(command.output, {{"schema_version", kPictureSchema}, {"held", {held}}}, table.text());
    return tools::kExitOk;
}

bool wanted(const WhoCommand& command, const Json& held) {
    if (!command.device.empty() && held["device_name"] != command.device && held["device"].dump() != command.device)
        return false;
    return command.age_ms == 0 || held["age_ms"].is_null() || held["age_ms"].get<std::uint64_t>() >= command.age_ms;
}

int run_who(const WhoCommand& command) {
    if (command.gpa) return find_one(command);
    const Json picture = picture_of(command.target, kHeld | kStats);
    std::vector<Json> held;
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> sums;
    for (const Json& one : picture["held"]) {
        if (!wanted(command, one)) continue;
        held.push_back(one);
        auto& [n, bytes] = sums[one["device_name"].get<std::string>()];
        ++n;
        bytes += one["slot_bytes"].get<std::uint64_t>();
    }
    std::sort(held.begin(), held.end(), older);
    const std::size_t shown = command.most == 0 ? held.size() : std::min<std::size_t>(held.size(), command.most);
    Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"total", held.size()}};
    json["held"] = Json::array();
    Table table(kTitles);
    for (std::size_t i = 0; i < shown; ++i) {
        table.add(row_of(held[i]));
        json["held"].push_back(held[i]);
    }
    std::string whole = table.text();
    if (shown < held.size()) whole += text("... and ", held.size() - shown, " younger ones (--most)\n");
    for (const auto& [name, sum] : sums)
        whole +=
            text(name.empty() ? "unknown" : name, ": ", sum.first, " slots, ", tools::format_bytes(sum.second), "\n");
    const std::uint64_t mappings = picture["pool"]["mappings"].get<std::uint64_t>();
    const auto tagged = static_cast<std::uint64_t>(std::count_if(
        picture["held"].begin(), picture["held"].end(), [](const Json& one) { return one["kind"] == "mapping"; }));
    json["mappings"] = mappings;
    // Some come and go between the two looks.
    if (mappings > tagged + 64 || (mappings != 0 && tagged == 0))
        whole += text("The pool has ", mappings, " mappings, of which ", tagged,
                      " are known: the others were there before who.tags was on.\n");
    print(command.output, json, whole);
    return tools::kExitOk;
}

}  // namespace

void add_who(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("who", "Say who holds what, since when; the oldest first.");
    sub.footer("Example:\n  bouncectl who --older 60\n  bouncectl who --gpa 0x100042000");
    const auto command = std::make_shared<WhoCommand>();
    tools::value_option(sub, "--gpa", "ADDR", "only what is at this address, as the device says it",
                        [command](const auto& in) { command->gpa = tools::parse_size(in); });
    tools::value_option(sub, "--older", "SECONDS", "only what has been held at least so long",
                        [command](const auto& in) {
                            command->age_ms = static_cast<std::uint64_t>(tools::parse_seconds(in, 0, 1e9) * 1000);
                        });
    sub.add_option("--device", command->device, "only what this device has: its name or id")->type_name("NAME|ID");
    tools::value_option(sub, "--most", "N", "how many to list (default 20; 0: all)",
                        [command](const auto& in) { command->most = tools::parse_number(in, 0, UINT64_MAX); });
    add_target_options(sub, command->target);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_who(*command); }; });
}

}  // namespace bounce::ctl
