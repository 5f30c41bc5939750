// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/picture.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>

#include "tools/common/command_line.hpp"
#include "tools/common/descriptor.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Failure;
using tools::Json;
using tools::text;

constexpr std::array kEventNames = {"unknown",    "violation",     "full",       "grow",  "shrink",
                                    "set",        "device",        "quarantine", "drain", "trace",
                                    "add_region", "remove_region", "revoke"};
constexpr std::array kKinds = {"free", "mapping", "coherent", "buffer"};
constexpr std::array kDirections = {"bidirectional", "to_device", "from_device"};
constexpr std::uint32_t kRunClass = 127;

std::string size_class_text(std::uint32_t size_class, std::uint64_t slot_bytes) {
    return size_class == kRunClass ? "run" : tools::format_bytes(slot_bytes);
}

}  // namespace

Json held_json(const bounce_control_held& held) {
    Json json;
    json["gpa"] = held.gpa;
    json["slot_bytes"] = held.slot_bytes;
    json["bytes"] = held.bytes != 0 ? Json(held.bytes) : Json();
    json["age_ms"] = held.age_ms != UINT64_MAX ? Json(held.age_ms) : Json();
    json["device"] = held.device != 0 ? Json(held.device) : Json();
    json["device_name"] = std::string(held.device_name, ::strnlen(held.device_name, sizeof held.device_name));
    json["kind"] = name_of(kKinds, held.kind);
    json["direction"] = held.kind == 1 ? Json(name_of(kDirections, held.direction)) : Json();
    json["region"] = held.region;
    json["class"] = size_class_text(held.size_class, held.slot_bytes);
    return json;
}

Json tunable_json(const bounce_control_tunable& tunable) {
    static constexpr std::array kTypes = {"bytes", "number", "bool", "choice", "ms"};
    Json json;
    json["name"] = std::string(tunable.name, ::strnlen(tunable.name, sizeof tunable.name));
    json["device"] = std::string(tunable.device, ::strnlen(tunable.device, sizeof tunable.device));
    json["type"] = name_of(kTypes, tunable.type);
    json["value"] = tunable.value;
    json["least"] = tunable.least;
    json["most"] = tunable.most;
    json["default"] = tunable.initial;
    json["live"] = tunable.live != 0;
    json["choices"] = Json::array();
    const std::string choices(tunable.choices, ::strnlen(tunable.choices, sizeof tunable.choices));
    if (!choices.empty()) json["choices"] = tools::split_list(choices);
    json["help"] = std::string(tunable.help, ::strnlen(tunable.help, sizeof tunable.help));
    return json;
}

std::string value_text(const Json& tunable, std::uint64_t value) {
    const Json& choices = tunable["choices"];
    if (value < choices.size()) return choices[value].get<std::string>();
    if (tunable["type"] == "bytes" && value != 0 && value % 1024 == 0) return tools::format_bytes(value);
    return std::to_string(value);
}

Json events_json(Client& client, std::uint64_t from) {
    Json all = Json::array();
    for (const auto& event : client.ask<bounce_control_event>({.command = BOUNCE_CONTROL_EVENTS, .arg = {from}})) {
        Json json;
        json["number"] = event.number;
        json["time_ns"] = event.time_ns;
        json["kind"] = name_of(kEventNames, event.kind);
        json["text"] = std::string(event.text, ::strnlen(event.text, sizeof event.text));
        json["arg"] = {event.arg[0], event.arg[1], event.arg[2]};
        all.push_back(std::move(json));
    }
    return all;
}

Json check_json(Client& client) {
    std::uint64_t slots = 0;
    Json problems = Json::array();
    for (const auto& problem : client.ask<bounce_control_problem>({.command = BOUNCE_CONTROL_CHECK}, &slots)) {
        Json json;
        json["gpa"] = problem.gpa;
        json["expected"] = problem.expected;
        json["got"] = problem.got;
        json["text"] = std::string(problem.text, ::strnlen(problem.text, sizeof problem.text));
        problems.push_back(std::move(json));
    }
    return {{"clean", problems.empty()}, {"slots", slots}, {"problems", problems}};
}

Json take_picture(Client& client, unsigned parts) {
    const bounce_control_hello& hello = client.hello();
    Json json;
    json["schema_version"] = kPictureSchema;
    json["process"] = {
        {"pid", client.pid()},
        {"pid_inside", hello.pid},
        {"uid", hello.uid},
        {"socket", client.path()},
        {"pool", hello.name},
        {"vm_name", hello.vm_name},
        {"vm_uuid", hello.vm_uuid},
        {"library", text(hello.library >> 16, ".", hello.library >> 8 & 0xff, ".", hello.library & 0xff)},
        {"may_tune", (hello.rights & BOUNCE_CONTROL_TUNE) != 0}};
    if (hello.commands > BOUNCE_CONTROL_REVOKE)
        json["process"]["note"] = "the library can be asked more than this bouncectl knows";
    if ((parts & kStats) != 0) {
        client.tell({.command = BOUNCE_CONTROL_PUBLISH});
        json.update(stats_json(client.stats_fd()));
    }
    if ((parts & kTunables) != 0) {
        json["tunables"] = Json::array();
        for (const auto& one : client.ask<bounce_control_tunable>({.command = BOUNCE_CONTROL_TUNABLES}))
            json["tunables"].push_back(tunable_json(one));
    }
    if ((parts & kHeld) != 0) {
        json["held"] = Json::array();
        for (const auto& one : client.ask<bounce_control_held>({.command = BOUNCE_CONTROL_HELD}))
            json["held"].push_back(held_json(one));
    }
    if ((parts & kChunks) != 0) {
        json["chunks"] = Json::array();
        for (const auto& one : client.ask<bounce_control_chunk>({.command = BOUNCE_CONTROL_CHUNKS})) {
            json["chunks"].push_back({{"gpa", one.gpa},
                                      {"region", one.region},
                                      {"pages", one.pages},
                                      {"used_pages", one.used_pages},
                                      {"longest_hole", one.longest_hole},
                                      {"class", one.used_pages == 0 ? -1 : static_cast<int>(one.size_class)},
                                      {"slots", one.slots},
                                      {"out", one.out}});
        }
    }
    if ((parts & kEvents) != 0) json["events"] = events_json(client, 1);
    if ((parts & kCheck) != 0) json["check"] = check_json(client);
    return json;
}

/// Of a stats segment that somebody kept: its process may be dead.
Json picture_of_segment(const std::string& path, unsigned parts) {
    if ((parts & ~kStats) != 0)
        throw Failure(text("the stats segment '", path, "' has figures only: what is asked, only a process knows"));
    const tools::Descriptor segment(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!segment) throw tools::NoTarget(text("cannot open '", path, "': ", tools::errno_text(errno)));
    Json json = stats_json(segment.get());
    if (!json.contains("pool")) throw Failure(text("the stats segment '", path, "' has no picture of a pool yet"));
    const Json pool = json["pool"];
    json["schema_version"] = kPictureSchema;
    json["process"] = {{"pid", json["segment"]["pid"]}, {"socket", path},
                       {"pool", pool["name"]},          {"vm_name", pool["vm_name"]},
                       {"vm_uuid", pool["vm_uuid"]},    {"may_tune", false}};
    return json;
}

Json picture_of(const TargetOptions& options, unsigned parts) {
    if (!options.stats.empty()) return picture_of_segment(options.stats, parts);
    if (options.snapshot.empty()) return take_picture(*find_client(options), parts);
    std::ifstream in(options.snapshot);
    if (!in) throw tools::NoTarget(text("there is no snapshot '", options.snapshot, "'"));
    Json json = Json::parse(in, nullptr, false);
    if (!json.is_object() || !json.contains("schema_version") || !json.contains("process"))
        throw Failure(text("'", options.snapshot, "' is no snapshot of a pool"));
    if (json["schema_version"] != kPictureSchema)
        throw Failure(text("'", options.snapshot, "' has schema_version ", json["schema_version"].dump(),
                           ", this bouncectl knows ", kPictureSchema));
    const std::pair<unsigned, const char*> needed[] = {{kStats, "pool"},    {kTunables, "tunables"}, {kHeld, "held"},
                                                       {kChunks, "chunks"}, {kEvents, "events"},     {kCheck, "check"}};
    for (const auto& [part, name] : needed) {
        if ((parts & part) != 0 && !json.contains(name))
            throw Failure(text("the snapshot '", options.snapshot, "' has no ", name));
    }
    return json;
}

}  // namespace bounce::ctl
