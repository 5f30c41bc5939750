// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl check, events, hist, map and snapshot: each one part of a picture.
#include <ctime>
#include <fstream>
#include <iomanip>
#include <memory>
#include <optional>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

struct PartCommand {
    TargetOptions target;
    Output output;
    std::string file;
    bool follow = false;
};

std::string time_text(std::uint64_t ns) {
    const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    std::ostringstream out;
    out << std::put_time(&parts, "%F %T") << '.' << std::setw(3) << std::setfill('0') << ns / 1'000'000 % 1000;
    return out.str();
}

std::string event_text(const Json& event) {
    const std::string kind = event["kind"].get<std::string>();
    const std::string name = event["text"].get<std::string>();
    const auto arg = [&event](std::size_t i) { return event["arg"][i].get<std::uint64_t>(); };
    if (kind == "set") return text(name, ": ", arg(0), " -> ", arg(1), " by uid ", arg(2));
    if (kind == "full") return text(arg(0), " requests found the pool full, the last one of device ", arg(1));
    if (kind == "grow") return text(arg(0), " regions came; the pool has ", tools::format_bytes(arg(1)));
    if (kind == "shrink") return text(arg(0), " regions went; the pool has ", tools::format_bytes(arg(1)));
    if (kind == "device") return text(name, " (", arg(0), arg(1) != 0 ? ") came" : ") went");
    if (kind == "violation") return text(name, ": got ", arg(0), ", expected ", arg(1), ", kind ", arg(2));
    if (kind == "quarantine") return text("device ", arg(0), " by uid ", arg(2));
    if (kind == "drain" || kind == "remove_region" || kind == "revoke")
        return text("region ", arg(0), " by uid ", arg(2));
    if (kind == "add_region") return text("region ", arg(0), ", ", tools::format_bytes(arg(1)), ", by uid ", arg(2));
    if (kind == "trace") return text(arg(0) != 0 ? "begun" : "ended", " by uid ", arg(2));
    return name;
}

int run_check(const PartCommand& command) {
    const Json picture = picture_of(command.target, kCheck);
    const Json& check = picture["check"];
    std::string whole;
    for (const Json& problem : check["problems"])
        whole += text(problem["text"].get<std::string>(), ": expected ", problem["expected"].dump(), ", got ",
                      problem["got"].dump(),
                      problem["gpa"] == 0 ? "" : " at " + hex(problem["gpa"].get<std::uint64_t>()), "\n");
    whole += text(check["clean"] == true ? "clean: " : "NOT CLEAN: ", check["slots"].dump(), " slots looked at, ",
                  check["problems"].size(), " problems\n");
    Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}};
    json.update(check);
    print(command.output, json, whole);
    return check["clean"] == true ? tools::kExitOk : tools::kExitFailure;
}

int run_events(const PartCommand& command) {
    const Json picture = picture_of(command.target, kEvents);
    const auto lines = [](const Json& events) {
        std::string whole;
        for (const Json& event : events)
            whole += text(time_text(event["time_ns"].get<std::uint64_t>()), "  ", std::left, std::setw(10),
                          event["kind"].get<std::string>(), "  ", event_text(event), "\n");
        return whole;
    };
    const Json json = {
        {"schema_version", kPictureSchema}, {"process", picture["process"]}, {"events", picture["events"]}};
    print(command.output, json, lines(picture["events"]));
    if (!command.follow) return tools::kExitOk;
    const auto client = find_client(command.target);
    std::uint64_t next = 1;
    for (Json events = picture["events"];; events = events_json(*client, next)) {
        if (!events.empty()) next = events.back()["number"].get<std::uint64_t>() + 1;
        if (!tools::sleep_unless_stopped(0.5)) return tools::kExitOk;
        const Json fresh = events_json(*client, next);
        if (fresh.empty()) continue;
        print(command.output, {{"schema_version", kPictureSchema}, {"events", fresh}}, lines(fresh));
        next = fresh.back()["number"].get<std::uint64_t>() + 1;
    }
}

std::string value_of(const std::string& kind, std::uint64_t value) {
    return kind == "size_bytes" ? tools::format_bytes(value) : tools::format_nanoseconds(static_cast<double>(value));
}

int run_hist(const PartCommand& command) {
    const Json picture = picture_of(command.target, kStats);
    std::string whole;
    for (const Json& one : picture["histograms"]) {
        const std::string kind = one["kind"].get<std::string>();
        const std::uint64_t count = one["count"].get<std::uint64_t>();
        std::string device = one["device"].dump();
        for (const Json& each : picture["devices"]) {
            if (each["id"] == one["device"]) device = each["name"].get<std::string>();
        }
        whole += text(device, " ", kind, ": ", count, " values");
        whole += kind == "wait_ns" ? std::string("\n") : text(", one in ", one["sample"].dump(), " mappings\n");
        std::uint64_t most = 0;
        for (const Json& bucket : one["buckets"]) most = std::max(most, bucket["count"].get<std::uint64_t>());
        for (const Json& bucket : one["buckets"]) {
            const std::uint64_t n = bucket["count"].get<std::uint64_t>();
            whole += text("  from ", std::right, std::setw(10), value_of(kind, bucket["from"].get<std::uint64_t>()),
                          " ", bar(n, most, 40), " ", n, "\n");
        }
    }
    if (whole.empty()) whole = "no histograms and nobody waited: 'bouncectl set stats.sample=16' begins to count\n";
    print(command.output,
          {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"histograms", picture["histograms"]}},
          whole);
    return tools::kExitOk;
}

/// A letter for each chunk: how full; with colours, the class that has most of it.
std::string map_text(const Json& chunks) {
    static constexpr std::string_view kFill = ".123456789#";
    const bool colours = colours_wanted();
    std::string whole;
    std::optional<std::uint64_t> region;
    std::size_t column = 0;
    std::uint64_t used = 0;
    std::uint64_t pages = 0;
    std::uint64_t hole = 0;
    for (const Json& chunk : chunks) {
        const std::uint64_t of = chunk["region"].get<std::uint64_t>();
        if (region != of || column == 64) {
            if (!whole.empty()) whole += '\n';
            if (region != of) whole += text("region ", of, "\n");
            whole += text(hex(chunk["gpa"].get<std::uint64_t>()), "  ");
            region = of;
            column = 0;
        }
        const std::uint64_t has = chunk["pages"].get<std::uint64_t>();
        const std::uint64_t taken = chunk["used_pages"].get<std::uint64_t>();
        // Ten steps; what has anything is no dot, and what has a hole is no #.
        const std::size_t step = taken == 0 ? 0 : taken >= has ? 10 : std::max<std::uint64_t>(1, taken * 10 / has);
        const int size_class = chunk["class"].get<int>();
        if (colours && size_class >= 0) whole += text("\x1b[3", 1 + size_class % 6, "m");
        whole += kFill[std::min<std::size_t>(step, 10)];
        if (colours && size_class >= 0) whole += "\x1b[0m";
        ++column;
        used += taken;
        pages += has;
        hole = std::max(hole, chunk["longest_hole"].get<std::uint64_t>());
    }
    return whole + text("\n", used, " of ", pages, " pages used (", percent(used, pages), "), longest hole ",
                        tools::format_bytes(hole * 4096),
                        ". One letter is a chunk of 2 MiB: . empty, 1 to 9 tenths, # full.\n");
}

int run_map(const PartCommand& command) {
    const Json picture = picture_of(command.target, kChunks);
    print(command.output,
          {{"schema_version", kPictureSchema}, {"process", picture["process"]}, {"chunks", picture["chunks"]}},
          map_text(picture["chunks"]));
    return tools::kExitOk;
}

int run_snapshot(const PartCommand& command) {
    const Json picture = take_picture(*find_client(command.target), kAllParts);
    std::ofstream out(command.file);
    out << picture.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
    if (!out.flush()) throw tools::Failure(text("cannot write '", command.file, "'"));
    return tools::kExitOk;
}

using RunPart = int (*)(const PartCommand& command);

CLI::App& add_part(CLI::App& app, Run& run, const char* name, const char* help, RunPart what,
                   const std::shared_ptr<PartCommand>& command, bool live_only = false) {
    CLI::App& sub = *app.add_subcommand(name, help);
    sub.footer(text("Example:\n  bouncectl ", name));
    add_target_options(sub, command->target, live_only);
    if (!live_only) add_output_options(sub, command->output);
    sub.callback([&run, command, what] { run = [command, what] { return what(*command); }; });
    return sub;
}

}  // namespace

void add_check(CLI::App& app, Run& run) {
    add_part(app, run, "check", "Audit a pool: does what it says of itself fit together? Exit status 1 when not.",
             run_check, std::make_shared<PartCommand>());
}

void add_events(CLI::App& app, Run& run) {
    const auto command = std::make_shared<PartCommand>();
    CLI::App& sub = add_part(app, run, "events", "Print what has happened: violations, full, grow, shrink, set.",
                             run_events, command);
    sub.add_flag("-f,--follow", command->follow, "go on with what comes, until SIGINT")
        ->excludes(sub.get_option("--snapshot"));
}

void add_hist(CLI::App& app, Run& run) {
    add_part(app, run, "hist", "Show histograms: sizes, time to copy, time from map to unmap.", run_hist,
             std::make_shared<PartCommand>());
}

void add_map(CLI::App& app, Run& run) {
    add_part(app, run, "map", "Draw the pool: how full each chunk is.", run_map, std::make_shared<PartCommand>());
}

void add_snapshot(CLI::App& app, Run& run) {
    const auto command = std::make_shared<PartCommand>();
    CLI::App& sub =
        add_part(app, run, "snapshot", "Keep all there is to see in a file, for --snapshot of other commands.",
                 run_snapshot, command, true);
    sub.add_option("FILE", command->file, "where to")->required();
    sub.footer("Example:\n  bouncectl snapshot now.json\n  bouncectl who --snapshot now.json");
}

}  // namespace bounce::ctl
