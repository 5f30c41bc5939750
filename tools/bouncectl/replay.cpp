// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl replay: recorded demand, asked of a pool of this process.
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"
#include "tools/trace/replay.hpp"

namespace bounce::ctl {
namespace {

using tools::format_bytes;
using tools::Json;
using tools::ReplayConfig;
using tools::text;
using tools::UsageError;

struct ReplayCommand {
    Output output;
    std::string file;
    std::optional<std::uint64_t> size;
    std::optional<std::uint64_t> limit;
    std::vector<std::string> settings;
};

struct PoolSetting {
    const char* name;
    std::uint64_t ReplayConfig::*field;
};
constexpr PoolSetting kPoolSettings[] = {
    {"pool.limit_bytes", &ReplayConfig::limit_bytes},
    {"pool.low_watermark", &ReplayConfig::low_watermark},
    {"pool.high_watermark", &ReplayConfig::high_watermark},
    {"pool.reserve_bytes", &ReplayConfig::reserve_bytes},
};
constexpr std::array kReplayReuse = {"auto", "lifo", "window", "fifo"};

[[noreturn]] void no_setting(const std::string& name) {
    throw UsageError(text("'", name,
                          "' does not change a replay, expected pool.limit_bytes, pool.low_watermark, "
                          "pool.high_watermark, pool.reserve_bytes, reuse_policy, reuse_window_bytes, or of a device "
                          "(its name or id) device.NAME.floor_bytes, ceiling_bytes or priority"));
}

std::uint32_t device_in(const tools::TraceConfig& trace, const std::string& name) {
    std::optional<std::uint32_t> found;
    for (const tools::TraceDevice& device : trace.devices) {
        if (device.name != name && std::to_string(device.id) != name) continue;
        if (found) throw UsageError(text("'", name, "' is one of several devices: use its id"));
        found = device.id;
    }
    if (!found) throw UsageError(text("there is no device '", name, "' in the recording"));
    return *found;
}

void apply(const tools::TraceConfig& trace, ReplayConfig& config, const std::string& setting) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) throw UsageError(text("'", setting, "' is not NAME=VALUE"));
    const std::string name = setting.substr(0, equals);
    const std::string value = setting.substr(equals + 1);
    for (const PoolSetting& one : kPoolSettings) {
        if (name == one.name) {
            config.*one.field = tools::parse_size(value);
            return;
        }
    }
    if (name == "reuse_policy") {
        for (std::uint32_t i = 0; i < kReplayReuse.size(); ++i) {
            if (value != kReplayReuse[i]) continue;
            config.reuse_policy = i;
            return;
        }
        throw UsageError(text("reuse_policy: '", value, "' is not one of auto, lifo, window, fifo"));
    }
    if (name == "reuse_window_bytes") {
        config.reuse_window_bytes = tools::parse_size(value);
        return;
    }
    const std::size_t dot = name.rfind('.');
    if (!name.starts_with("device.") || dot <= 7) no_setting(name);
    const std::string what = name.substr(dot + 1);
    if (what != "floor_bytes" && what != "ceiling_bytes" && what != "priority") no_setting(name);
    tools::ReplayQuota& quota = config.quotas[device_in(trace, name.substr(7, dot - 7))];
    if (what == "floor_bytes") {
        quota.floor_bytes = tools::parse_size(value);
    } else if (what == "ceiling_bytes") {
        quota.ceiling_bytes = tools::parse_size(value);
    } else if (value == "on" || value == "off") {
        quota.priority = value == "on";
    } else {
        throw UsageError(text(name, ": '", value, "' is not one of off, on"));
    }
}

ReplayConfig config_of(const ReplayCommand& command, const tools::TraceConfig& trace) {
    ReplayConfig config = ReplayConfig::of(trace);
    // A pool that is said to have a limit or a size besides what was recorded: limit alone is for the pool as a whole.
    if (command.size) config.size_bytes = *command.size;
    if (command.limit && command.size) config.limit_bytes = *command.limit;
    if (command.limit && !command.size) config = config.with_limit(*command.limit);
    for (const std::string& setting : command.settings) apply(trace, config, setting);
    if (config.limit_bytes != 0 && config.limit_bytes < config.size_bytes) {
        if (command.size)
            throw UsageError(text("the limit, ", format_bytes(config.limit_bytes), ", is below the size, ",
                                  format_bytes(config.size_bytes)));
        config.size_bytes = config.limit_bytes;
    }
    return config;
}

Json demand_json(const tools::TraceReader& trace, const tools::Demand& demand) {
    return {{"records", trace.records()},
            {"lost", trace.lost()},
            {"requests", demand.objects.size()},
            {"initial", demand.initial},
            {"refused", demand.refused},
            {"repeated", demand.repeated},
            {"failed", demand.failed},
            {"waited", demand.waited},
            {"gaps", demand.gaps},
            {"seconds", static_cast<double>(demand.last_ns) / 1e9}};
}

int run_replay(const ReplayCommand& command) {
    const tools::TraceReader trace(command.file);
    const tools::Demand demand(trace);
    const ReplayConfig config = config_of(command, trace.config());
    const tools::ReplayResult result = tools::replay(demand, config);
    Json json = {{"schema_version", kPictureSchema},
                 {"file", command.file},
                 {"recorded", demand_json(trace, demand)},
                 {"size_bytes", config.size_bytes},
                 {"limit_bytes", config.limit_bytes},
                 {"requests", result.requests},
                 {"failed", result.failed},
                 {"first_failure", nullptr},
                 {"peak_bytes", result.peak_bytes},
                 {"pool_bytes", result.pool_bytes},
                 {"grows", result.grows},
                 {"ns_per_operation", result.ns_per_operation},
                 {"devices", Json::array()}};
    std::string said = text("pool       ", format_bytes(config.size_bytes));
    if (config.limit_bytes != 0) said += text(", grows up to ", format_bytes(config.limit_bytes));
    said +=
        text("\nrequests   ", result.requests, " in ", tools::format_nanoseconds(static_cast<double>(demand.last_ns)),
             " as recorded, of which ", demand.failed, " had found the pool full or waited\n");
    said += text("peak       ", format_bytes(result.peak_bytes), " used of ", format_bytes(result.pool_bytes),
                 ", grown ", result.grows, " times\n");
    said += text("cost       ", tools::format_fixed(result.ns_per_operation, 1),
                 " ns of the processor for each map or unmap, without copies\n");
    if (trace.lost() != 0 || demand.gaps != 0)
        said += text("not exact  ", trace.lost(), " records were lost, ", demand.gaps, " do not fit the others\n");
    for (std::size_t i = 0; i < result.devices.size(); ++i) {
        json["devices"].push_back({{"id", demand.devices[i].id},
                                   {"name", trace.config().device_name(demand.devices[i].id)},
                                   {"requests", result.devices[i].requests},
                                   {"failed", result.devices[i].failed}});
    }
    if (!result.first) {
        said += "All requests get their memory.\n";
    } else {
        const auto& first = *result.first;
        const std::string name = trace.config().device_name(first.device);
        json["first_failure"] = {{"ns", first.ns},       {"device", first.device}, {"device_name", name},
                                 {"bytes", first.bytes}, {"errno", first.code},    {"why", first.why}};
        said +=
            text(result.failed,
                 " requests get no memory. The first one: ", tools::format_nanoseconds(static_cast<double>(first.ns)),
                 " after the beginning, ", format_bytes(first.bytes), " for ", name, ": ", first.why, "\n");
    }
    print(command.output, json, said);
    return result.failed == 0 ? tools::kExitOk : tools::kExitFailure;
}

}  // namespace

void add_replay(CLI::App& app, Run& run) {
    CLI::App& sub =
        *app.add_subcommand("replay", "Ask a pool of this process for what was recorded; 1 when it was not enough.");
    sub.footer(
        "Example:\n  bouncectl replay demand.trace --limit 48M\n"
        "  bouncectl replay demand.trace --size 8M --limit 64M --set device.net0.ceiling_bytes=16M");
    const auto command = std::make_shared<ReplayCommand>();
    sub.add_option("FILE", command->file, "of 'bouncectl record'")->required();
    tools::value_option(sub, "--limit", "BYTES", "what the pool may grow to; of one that does not grow: its size",
                        [command](const auto& in) { command->limit = tools::parse_pool_size(in); });
    tools::value_option(sub, "--size", "BYTES", "what it has in the beginning (default: as recorded)",
                        [command](const auto& in) { command->size = tools::parse_pool_size(in); });
    sub.add_option("--set", command->settings, "NAME=VALUE: a tunable that is other than recorded; may be repeated")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_replay(*command); }; });
}

}  // namespace bounce::ctl
