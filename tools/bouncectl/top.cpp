// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl top and watch: what goes on, with rates.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

struct TopCommand {
    TargetOptions target;
    Output output;
    bool once = false;
    double seconds = 1;
    std::uint64_t rounds = 0;  // 0: for ever
    char sort = 'r';
};

/// Keys come as they are typed, and the terminal is as before when this goes.
class RawTerminal {
public:
    RawTerminal() {
        if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
        termios raw = before_;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        raw_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    ~RawTerminal() {
        if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

    /// The next key within so many seconds; 0: none, and the time is over.
    char key(double seconds) const {
        if (!raw_) {
            static_cast<void>(tools::sleep_unless_stopped(seconds));
            return 0;
        }
        pollfd wait{STDIN_FILENO, POLLIN, 0};
        char c = 0;
        if (::poll(&wait, 1, static_cast<int>(seconds * 1000)) == 1 && ::read(STDIN_FILENO, &c, 1) == 1) return c;
        return 0;
    }

private:
    termios before_{};
    bool raw_ = false;
};

/// How much a number of two records with the same keys has grown a second.
class Rates {
public:
    Rates(const Json& before, const Json& now) : before_(before), now_(now) {
        const auto at = [](const Json& json) { return json["segment"]["published_ns"].get<std::uint64_t>(); };
        seconds_ = before.is_null() ? 0 : static_cast<double>(at(now) - at(before)) / 1e9;
    }
    [[nodiscard]] double of(const char* section, const Json& record, std::initializer_list<const char*> keys,
                            const char* field) const {
        if (seconds_ <= 0) return 0;
        for (const Json& each : before_[section]) {
            const bool same =
                std::all_of(keys.begin(), keys.end(), [&](const char* key) { return each[key] == record[key]; });
            if (same) return rate(each[field], record[field]);
        }
        return 0;
    }
    [[nodiscard]] double of_pool(const char* field) const {
        return seconds_ <= 0 ? 0 : rate(before_["pool"][field], now_["pool"][field]);
    }
    [[nodiscard]] double seconds() const noexcept { return seconds_; }

private:
    [[nodiscard]] double rate(const Json& from, const Json& to) const {
        const auto before = from.get<std::uint64_t>();
        const auto now = to.get<std::uint64_t>();
        return now < before ? 0 : static_cast<double>(now - before) / seconds_;
    }
    const Json& before_;
    const Json& now_;
    double seconds_ = 0;
};

std::string per_second(double rate) {
    if (rate >= 1e6) return tools::format_fixed(rate / 1e6, 2) + " M";
    if (rate >= 1e4) return tools::format_fixed(rate / 1e3, 1) + " k";
    return tools::format_fixed(rate, 0);
}

std::string bytes_per_second(double rate) {
    return tools::format_fixed(rate / (1 << 20), 1) + " MiB";
}

Json rates_json(const Json& before, const Json& now) {
    const Rates rates(before, now);
    Json json = {{"seconds", rates.seconds()}, {"maps", rates.of_pool("maps")}, {"full", rates.of_pool("full")}};
    json["devices"] = Json::array();
    for (const Json& device : now["devices"])
        json["devices"].push_back({{"id", device["id"]}, {"maps", rates.of("devices", device, {"id"}, "maps")}});
    json["rings"] = Json::array();
    for (const Json& ring : now["rings"]) {
        Json one = {{"device", ring["device"]}, {"index", ring["index"]}};
        for (const char* field : {"completed", "bytes_in", "bytes_out"})
            one[field] = rates.of("rings", ring, {"device", "index"}, field);
        json["rings"].push_back(std::move(one));
    }
    return json;
}

std::string top_text(const Json& before, const Json& now, char sort) {
    const Rates rates(before, now);
    const Json& pool = now["pool"];
    const auto number = [&pool](const char* field) { return pool[field].get<std::uint64_t>(); };
    std::string whole = text(pool["name"].get<std::string>(), "  pid ", now["process"]["pid"].dump(), "  ",
                             now["process"]["vm_name"].get<std::string>(), "\n");
    whole += text("pool   [", bar(number("used_bytes"), number("bytes"), 40), "] ", bytes_of(pool, "used_bytes"),
                  " of ", bytes_of(pool, "bytes"), "  most ", bytes_of(pool, "used_bytes_hiwater"), "\n");
    for (const Json& node : now["nodes"])
        whole += text("node ", node["node"] == -1 ? "- " : node["node"].dump() + " ", "[",
                      bar(node["used_bytes"].get<std::uint64_t>(), node["bytes"].get<std::uint64_t>(), 40), "] ",
                      bytes_of(node, "used_bytes"), " of ", bytes_of(node, "bytes"), "\n");
    whole += text("maps/s ", per_second(rates.of_pool("maps")), "  full/s ", per_second(rates.of_pool("full")),
                  "  waiting ", number("waiting"), "  violations ", number("violations"), "\n\n");
    struct DeviceRow {
        double rate;
        std::uint64_t used;
        std::string name;
        std::vector<std::string> cells;
    };
    std::vector<DeviceRow> rows;
    for (const Json& device : now["devices"]) {
        double requests = 0;
        double in = 0;
        double out = 0;
        std::uint64_t outstanding = 0;
        for (const Json& ring : now["rings"]) {
            if (ring["device"] != device["id"]) continue;
            requests += rates.of("rings", ring, {"device", "index"}, "completed");
            in += rates.of("rings", ring, {"device", "index"}, "bytes_in");
            out += rates.of("rings", ring, {"device", "index"}, "bytes_out");
            outstanding += ring["outstanding"].get<std::uint64_t>();
        }
        const double maps = rates.of("devices", device, {"id"}, "maps");
        rows.push_back({maps,
                        device["used_bytes"].get<std::uint64_t>(),
                        device["name"].get<std::string>(),
                        {device["id"].dump(), device["name"].get<std::string>(), per_second(maps), per_second(requests),
                         bytes_per_second(in), bytes_per_second(out), std::to_string(outstanding),
                         number_of(device, "mappings"), bytes_of(device, "used_bytes"), number_of(device, "waiting"),
                         device["copy_policy"].get<std::string>() + "/" + device["reuse_policy"].get<std::string>()}});
    }
    std::stable_sort(rows.begin(), rows.end(), [sort](const DeviceRow& a, const DeviceRow& b) {
        return sort == 'n' ? a.name < b.name : sort == 'u' ? a.used > b.used : a.rate > b.rate;
    });
    Table table(
        {">ID", "DEVICE", ">MAPS/s", ">REQ/s", ">IN/s", ">OUT/s", ">OUTST", ">MAPPINGS", ">USED", ">WAIT", "POLICY"});
    for (DeviceRow& row : rows) table.add(std::move(row.cells));
    return whole + table.text();
}

int run_top(const TopCommand& command) {
    const auto client = find_client(command.target);
    const RawTerminal terminal;
    const bool screen = !command.once && !command.output.json && ::isatty(STDOUT_FILENO) != 0;
    Json before;
    char sort = command.sort;
    for (std::uint64_t round = 0;; ++round) {
        const Json now = take_picture(*client, kStats);
        // Rates need two looks; so the first of one look only comes a little later.
        if (round != 0 || !command.once) {
            Json json = now;
            json["rates"] = rates_json(before, now);
            const std::string help = screen ? "\nq quit  r rate  u used  n name\n" : "\n";
            print(command.output, json,
                  (screen ? "\x1b[H\x1b[J" : "") + top_text(before, now, sort) + (command.once ? "" : help));
        }
        before = now;
        if (command.once ? round == 1 : command.rounds != 0 && round + 1 == command.rounds) return tools::kExitOk;
        const char key = terminal.key(command.once ? std::min(command.seconds, 1.0) : command.seconds);
        if (key == 'q' || tools::stop_requested()) return tools::kExitOk;
        if (key == 'r' || key == 'u' || key == 'n') sort = key;
    }
}

void add_rates(CLI::App& sub, const std::shared_ptr<TopCommand>& command) {
    tools::value_option(sub, "--every", "SECONDS", "how often (default 1)",
                        [command](const auto& in) { command->seconds = tools::parse_seconds(in, 0.05, 3600); });
    tools::value_option(sub, "--rounds", "N", "end after so many (default: never)",
                        [command](const auto& in) { command->rounds = tools::parse_number(in, 1, UINT64_MAX); });
    add_target_options(sub, command->target, true);
}

}  // namespace

void add_top(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("top", "Show what goes on in a pool, with rates. Keys: q, r, u, n.");
    sub.footer("Example:\n  bouncectl top\n  bouncectl top -o");
    const auto command = std::make_shared<TopCommand>();
    sub.add_flag("-o,--once", command->once, "once, over one interval, and end");
    tools::value_option(sub, "--sort", "rate|used|name", "what the devices are sorted by (default rate)",
                        [command](const auto& in) {
                            if (in != "rate" && in != "used" && in != "name")
                                throw tools::UsageError(text("'", in, "' is not one of rate, used, name"));
                            command->sort = in[0];
                        });
    add_rates(sub, command);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_top(*command); }; });
}

void add_watch(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("watch", "Print what goes on as one line of JSON each time.");
    sub.footer("Example:\n  bouncectl watch --every 5 | jq .rates.maps");
    const auto command = std::make_shared<TopCommand>();
    command->output.json = true;
    add_rates(sub, command);
    sub.callback([&run, command] { run = [command] { return run_top(*command); }; });
}

}  // namespace bounce::ctl
