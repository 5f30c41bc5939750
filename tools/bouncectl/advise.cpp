// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl advise: which limit, watermarks and quotas recorded demand wants, and how to set them.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/recording.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"
#include "tools/trace/sizing.hpp"

namespace bounce::ctl {
namespace {

using tools::format_bytes;
using tools::Json;
using tools::Sizing;
using tools::text;
using tools::TraceConfig;

constexpr double kSecondsOfLive = 10;
constexpr std::uint64_t kMostHeadroomPercent = 10;

struct AdviseCommand {
    TargetOptions target;
    Output output;
    std::string file;
    double seconds = kSecondsOfLive;
    tools::SizingOptions sizing;
};

/// Removed in the end.
class TemporaryFile {
public:
    TemporaryFile() {
        const char* const folder = std::getenv("TMPDIR");
        path_ = text(folder != nullptr && folder[0] != '\0' ? folder : "/tmp", "/bouncectl-XXXXXX");
        const tools::Descriptor file(::mkostemp(path_.data(), O_CLOEXEC));
        if (!file) throw tools::Failure(text("cannot make '", path_, "': ", tools::errno_text(errno)));
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { ::unlink(path_.c_str()); }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

struct Advice {
    std::string name;  // of a tunable; or what is chosen at creation
    std::uint64_t now = 0;
    std::uint64_t recommended = 0;
    std::string why;
    bool live = false;  // 'bouncectl set' does it
};

/// To the page: what is compared here is close together.
std::string exact_bytes(std::uint64_t bytes) {
    if (bytes % (1u << 20) == 0 || bytes % 1024 != 0) return format_bytes(bytes);
    return text(bytes / 1024, " KiB");
}
std::string advice_bytes(std::uint64_t bytes, const char* zero) {
    return bytes == 0 ? zero : exact_bytes(bytes);
}

/// By its name where that is the only one.
std::string tunable_of(const TraceConfig& config, const tools::TraceDevice& device, const char* what) {
    std::size_t same = 0;
    for (const tools::TraceDevice& one : config.devices) same += one.name == device.name ? 1U : 0U;
    const bool by_name = same == 1 && !device.name.empty() && device.name.find_first_of(" =#") == std::string::npos;
    return text("device.", by_name ? device.name : std::to_string(device.id), ".", what);
}

bool settable(const TraceConfig& config, const std::string& name, std::uint64_t value) {
    const tools::TraceTunable* const tunable = config.tunable(name);
    return tunable != nullptr && tunable->live && value <= tunable->most;
}

std::vector<Advice> advise(const TraceConfig& config, const Sizing& sizing, const tools::SizingOptions& options) {
    std::vector<Advice> all;
    const bool grows = config.limit_bytes != 0;
    const std::string least =
        sizing.smallest_bytes > 65536
            ? text(", ", exact_bytes(sizing.smallest_bytes - std::min(sizing.step_bytes, sizing.smallest_bytes)),
                   " not")
            : "";
    const double headroom =
        100 * (static_cast<double>(sizing.limit_bytes) / static_cast<double>(sizing.smallest_bytes) - 1);
    all.push_back({grows ? "pool.limit_bytes" : "size", grows ? config.limit_bytes : config.bytes, sizing.limit_bytes,
                   text(exact_bytes(sizing.smallest_bytes), " serves all of it", least, "; ",
                        tools::format_fixed(headroom, 1), " % on top"),
                   grows && settable(config, "pool.limit_bytes", sizing.limit_bytes)});
    if (grows) {
        const std::string lead = tools::format_nanoseconds(static_cast<double>(options.lead_ns));
        all.push_back({"pool.low_watermark", config.low_watermark, sizing.low_watermark,
                       text("use grew by ", format_bytes(sizing.steepest_bytes), " within ", lead),
                       settable(config, "pool.low_watermark", sizing.low_watermark)});
        all.push_back(
            {"pool.high_watermark", config.high_watermark, sizing.high_watermark,
             text("and swung between ", format_bytes(sizing.lowest_bytes), " and ", format_bytes(sizing.peak_bytes)),
             settable(config, "pool.high_watermark", sizing.high_watermark)});
    }
    for (const tools::DeviceNeed& need : sizing.devices) {
        const tools::TraceDevice* const device = config.device(need.id);
        if (device == nullptr || (!sizing.quotas && device->floor_bytes == 0 && device->ceiling_bytes == 0)) continue;
        const char* const none = sizing.devices.size() < 2 ? "no other device" : "quotas would make requests fail";
        const std::string id = text("device.", device->id, ".");
        if (need.floor_bytes != device->floor_bytes)
            all.push_back({tunable_of(config, *device, "floor_bytes"), device->floor_bytes, need.floor_bytes,
                           need.floor_bytes != 0 ? text("it had ", format_bytes(need.mean_bytes), " on average") : none,
                           settable(config, id + "floor_bytes", need.floor_bytes)});
        if (need.ceiling_bytes != device->ceiling_bytes)
            all.push_back({tunable_of(config, *device, "ceiling_bytes"), device->ceiling_bytes, need.ceiling_bytes,
                           need.ceiling_bytes != 0
                               ? text("it had ", format_bytes(need.peak_bytes), " at most; a quarter on top")
                               : text("it had ", format_bytes(need.peak_bytes), " at most: ", none),
                           settable(config, id + "ceiling_bytes", need.ceiling_bytes)});
    }
    return all;
}

/// Arguments of 'bouncectl set'; "" when there is nothing that it could do.
std::string set_command(const std::vector<Advice>& all, const std::string& socket) {
    std::string settings;
    for (const Advice& one : all) {
        if (one.live && one.now != one.recommended) settings += text(" ", one.name, "=", one.recommended);
    }
    if (settings.empty()) return {};
    return text("bouncectl set", settings, socket.empty() ? "" : " --socket ", socket);
}

/// What has to be chosen when the pool is made.
std::string at_creation(const TraceConfig& config, const Advice& limit) {
    if (limit.live || limit.now == limit.recommended) return {};
    return config.limit_bytes != 0 ? text("bounce_pool_options.limit_bytes = ", limit.recommended,
                                          " (a live pool stays below what it was created with)")
                                   : text("bounce_pool_options.region.bytes = ", limit.recommended,
                                          " (of bounce-blk and bounce-net: --pool-size ", limit.recommended, ")");
}

std::string demand_text(const tools::TraceReader& trace, const tools::Demand& demand) {
    std::string said =
        text(demand.objects.size(), " requests in ", tools::format_nanoseconds(static_cast<double>(demand.last_ns)),
             ", ", demand.failed, " of them had found the pool full or waited");
    if (demand.repeated != 0) said += text(" (and were made again ", demand.repeated, " times)");
    said += "\n";
    if (trace.lost() != 0 || demand.gaps != 0)
        said += text("Not exact: ", trace.lost(), " records were lost, ", demand.gaps, " do not fit the others.\n");
    return said;
}

int run_advise(const AdviseCommand& command) {
    std::unique_ptr<TemporaryFile> temporary;
    std::string path = command.file;
    std::string socket;
    if (command.file == "live") {
        const auto client = find_client(command.target);
        temporary = std::make_unique<TemporaryFile>();
        path = temporary->path();
        static_cast<void>(record_demand(*client, path, command.seconds));
        socket = client->path();
    }
    const tools::TraceReader trace(path);
    const tools::Demand demand(trace);
    const TraceConfig& config = trace.config();
    const tools::ReplayConfig recorded = tools::ReplayConfig::of(config);
    const Sizing sizing = tools::size_for(demand, recorded, config.bytes, command.sizing);
    const std::vector<Advice> all = advise(config, sizing, command.sizing);
    const std::string set = set_command(all, socket);
    const std::string creation = at_creation(config, all[0]);

    Json json = {{"schema_version", kPictureSchema},
                 {"file", command.file},
                 {"requests", demand.objects.size()},
                 {"failed", demand.failed},
                 {"repeated", demand.repeated},
                 {"lost", trace.lost()},
                 {"smallest_bytes", sizing.smallest_bytes},
                 {"step_bytes", sizing.step_bytes},
                 {"limit_bytes", sizing.limit_bytes},
                 {"peak_bytes", sizing.peak_bytes},
                 {"steepest_bytes", sizing.steepest_bytes},
                 {"lead_ns", command.sizing.lead_ns},
                 {"low_watermark", sizing.low_watermark},
                 {"high_watermark", sizing.high_watermark},
                 {"replays", sizing.replays},
                 {"advice", Json::array()},
                 {"set", set},
                 {"at_creation", creation},
                 {"devices", Json::array()}};
    Table table({"WHAT", ">NOW", ">BETTER", "WHY"});
    for (const Advice& one : all) {
        const bool watermark = one.name.ends_with("watermark");
        table.add({one.name, advice_bytes(one.now, watermark ? "default" : "none"),
                   one.now == one.recommended ? "as it is" : advice_bytes(one.recommended, "none"), one.why});
        json["advice"].push_back({{"name", one.name},
                                  {"now", one.now},
                                  {"recommended", one.recommended},
                                  {"live", one.live},
                                  {"why", one.why}});
    }
    for (const tools::DeviceNeed& need : sizing.devices) {
        json["devices"].push_back({{"id", need.id},
                                   {"name", config.device_name(need.id)},
                                   {"requests", need.requests},
                                   {"failed", need.failed},
                                   {"peak_bytes", need.peak_bytes},
                                   {"mean_bytes", need.mean_bytes},
                                   {"hold_ns", need.hold_ns},
                                   {"floor_bytes", need.floor_bytes},
                                   {"ceiling_bytes", need.ceiling_bytes}});
    }
    std::string said = demand_text(trace, demand) + "\n" + table.text() + "\n";
    if (!set.empty()) said += "To do what can be done while it lives:\n  " + set + "\n";
    if (!creation.empty()) said += "When the pool is created:\n  " + creation + "\n";
    if (set.empty() && creation.empty()) said += "Nothing to change.\n";
    if (demand.repeated != 0)
        said +=
            "Requests were made again until there was memory. What the host held back behind them is not in the "
            "recording:\napply this, or more, and record again.\n";
    print(command.output, json, said);
    return tools::kExitOk;
}

}  // namespace

void add_advise(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("advise", "Say which limit, watermarks and quotas recorded demand wants.");
    sub.footer("Example:\n  bouncectl advise demand.trace\n  bouncectl advise live --seconds 30");
    const auto command = std::make_shared<AdviseCommand>();
    sub.add_option("FILE", command->file, "of 'bouncectl record'; 'live': records a live pool first")->required();
    tools::value_option(sub, "--seconds", "SECONDS", "how long to record with 'live' (default 10)",
                        [command](const auto& in) { command->seconds = tools::parse_seconds(in, 0.001, 1e9); });
    tools::value_option(sub, "--headroom", "PERCENT", "on top of the smallest limit that will do, 0 to 10 (default 5)",
                        [command](const auto& in) {
                            command->sizing.headroom =
                                static_cast<double>(tools::parse_number(in, 0, kMostHeadroomPercent)) / 100;
                        });
    tools::value_option(
        sub, "--lead", "SECONDS", "how long the host takes to come to bounce_pool_service() (default 0.01)",
        [command](const auto& in) {
            command->sizing.lead_ns = static_cast<std::uint64_t>(tools::parse_seconds(in, 0, 3600) * 1e9);
        });
    add_target_options(sub, command->target, true);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_advise(*command); }; });
}

}  // namespace bounce::ctl
