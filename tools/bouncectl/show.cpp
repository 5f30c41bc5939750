// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl show pool|node|class|device|ring|tunables
#include <memory>
#include <set>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/bouncectl/show.hpp"
#include "tools/bouncectl/table.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

std::string node_name(const Json& node) {
    return node == -1 ? "any" : node.dump();
}

std::string device_name(const Json& picture, const Json& id) {
    for (const Json& device : picture["devices"]) {
        if (device["id"] == id) return device["name"].get<std::string>();
    }
    return id.dump();
}

std::string class_name(const Json& row) {
    return row["slot_bytes"] == 0 ? "run" : tools::format_bytes(row["slot_bytes"].get<std::uint64_t>());
}

std::string show_nodes(const Json& picture) {
    Table table({"NODE", ">REGIONS", ">BYTES", ">USED", ">FILL"});
    for (const Json& node : picture["nodes"])
        table.add({node_name(node["node"]), number_of(node, "regions"), bytes_of(node, "bytes"),
                   bytes_of(node, "used_bytes"),
                   percent(node["used_bytes"].get<std::uint64_t>(), node["bytes"].get<std::uint64_t>())});
    return table.text();
}

std::string show_classes(const Json& picture) {
    Table table({">SLOT", ">SLABS", ">BYTES", ">SLOTS", ">AWAY", ">FILL"});
    for (const Json& row : picture["classes"])
        table.add({class_name(row), number_of(row, "slabs"), bytes_of(row, "bytes"), number_of(row, "slots"),
                   number_of(row, "out"), percent(row["out"].get<std::uint64_t>(), row["slots"].get<std::uint64_t>())});
    return table.text();
}

std::string show_devices(const Json& picture) {
    Table table({">ID", "DEVICE", ">MAPPINGS", ">BLOCKS", ">MAPS", ">USED", ">FLOOR", ">CEILING", ">WAITING", "COPY",
                 "REUSE", "STATE"});
    for (const Json& device : picture["devices"]) {
        std::string state = device["quarantined"] != 0 ? "quarantine" : device["calibrating"] != 0 ? "calibrating" : "";
        if (device["watched"] != 0) state += state.empty() ? "watched" : ", watched";
        table.add({device["id"].dump(), device["name"].get<std::string>(), number_of(device, "mappings"),
                   number_of(device, "blocks"), number_of(device, "maps"), bytes_of(device, "used_bytes"),
                   device["floor_bytes"] == 0 ? "-" : bytes_of(device, "floor_bytes"),
                   device["ceiling_bytes"] == 0 ? "-" : bytes_of(device, "ceiling_bytes"), number_of(device, "waiting"),
                   device["copy_policy"].get<std::string>(), device["reuse_policy"].get<std::string>(), state});
    }
    return table.text();
}

std::string show_rings(const Json& picture) {
    Table table({"DEVICE", ">RING", ">SIZE", ">ADDED", ">COMPLETED", ">OUT", ">BYTES OUT", ">BYTES IN", ">KICKS",
                 ">VIOLATIONS"});
    for (const Json& ring : picture["rings"])
        table.add({device_name(picture, ring["device"]), number_of(ring, "index"), number_of(ring, "size"),
                   number_of(ring, "added"), number_of(ring, "completed"), number_of(ring, "outstanding"),
                   bytes_of(ring, "bytes_out"), bytes_of(ring, "bytes_in"), number_of(ring, "kicks"),
                   number_of(ring, "violations")});
    return table.text();
}

std::string show_tunables(const Json& picture) {
    Table table({"TUNABLE", "DEVICE", ">VALUE", ">DEFAULT", "RANGE", "LIVE", "WHAT"});
    for (const Json& one : picture["tunables"]) {
        std::string range = one["choices"].empty() ? text(value_text(one, one["least"].get<std::uint64_t>()), " - ",
                                                          value_text(one, one["most"].get<std::uint64_t>()))
                                                   : std::string();
        for (const Json& choice : one["choices"]) range += (range.empty() ? "" : "|") + choice.get<std::string>();
        table.add({one["name"].get<std::string>(), one["device"].get<std::string>(),
                   value_text(one, one["value"].get<std::uint64_t>()),
                   value_text(one, one["default"].get<std::uint64_t>()), range, one["live"] == true ? "yes" : "no",
                   one["help"].get<std::string>()});
    }
    return table.text();
}

/// Process, pool, nodes with their regions, devices with their rings.
std::string show_tree(const Json& picture) {
    std::string whole =
        text(picture["pool"]["name"].get<std::string>(), "  pid ", picture["process"]["pid"].dump(), "  ",
             bytes_of(picture["pool"], "used_bytes"), " of ", bytes_of(picture["pool"], "bytes"), "\n");
    for (const Json& node : picture["nodes"]) {
        whole += text("  node ", node_name(node["node"]), "  ", bytes_of(node, "used_bytes"), " of ",
                      bytes_of(node, "bytes"), "\n");
        for (const Json& region : picture["regions"]) {
            if (region["node"] != node["node"]) continue;
            whole += text("    region ", region["index"].dump(), "  GPA ", hex(region["base_gpa"].get<std::uint64_t>()),
                          "  ", bytes_of(region, "used_bytes"), " of ", bytes_of(region, "bytes"), "  ",
                          region["state"].get<std::string>(), "\n");
        }
    }
    for (const Json& device : picture["devices"]) {
        whole += text("  device ", device["id"].dump(), "  ", device["name"].get<std::string>(), "  ",
                      number_of(device, "mappings"), " mappings, ", bytes_of(device, "used_bytes"), "\n");
        for (const Json& ring : picture["rings"]) {
            if (ring["device"] == device["id"])
                whole += text("    ring ", ring["index"].dump(), "  ", number_of(ring, "completed"), " completed, ",
                              number_of(ring, "outstanding"), " outstanding\n");
        }
    }
    return whole;
}

struct What {
    const char* name;
    unsigned parts;
    const char* section;
    std::string (*text)(const Json& picture);
};
constexpr What kWhats[] = {
    {"pool", kStats, "pool", show_pool},        {"node", kStats, "nodes", show_nodes},
    {"class", kStats, "classes", show_classes}, {"device", kStats, "devices", show_devices},
    {"ring", kStats, "rings", show_rings},      {"tunables", kTunables, "tunables", show_tunables},
};

struct ShowCommand {
    TargetOptions target;
    Output output;
    bool tree = false;
    const What* what = kWhats;
};

int run_show(const ShowCommand& command) {
    const Json picture = picture_of(command.target, command.what->parts | (command.tree ? kStats : 0U));
    Json json = {{"schema_version", kPictureSchema}, {"process", picture["process"]}};
    if (command.tree) json = picture;
    json[command.what->section] = picture[command.what->section];
    if (command.what->section == std::string("pool") && picture.contains("regions"))
        json["regions"] = picture["regions"];
    print(command.output, json, command.tree ? show_tree(picture) : command.what->text(picture));
    return tools::kExitOk;
}

}  // namespace

std::string show_pool(const Json& picture) {
    const Json& pool = picture["pool"];
    const Json& process = picture["process"];
    const std::uint64_t bytes = pool["bytes"].get<std::uint64_t>();
    std::string whole = text("pool      ", pool["name"].get<std::string>(), ", process ", process["pid"].dump(), "\n");
    if (!process["vm_name"].get<std::string>().empty() || !process["vm_uuid"].get<std::string>().empty())
        whole +=
            text("VM        ", process["vm_name"].get<std::string>(), " ", process["vm_uuid"].get<std::string>(), "\n");
    whole +=
        text("used      ", bytes_of(pool, "used_bytes"), " of ", bytes_of(pool, "bytes"), " (",
             percent(pool["used_bytes"].get<std::uint64_t>(), bytes), "), at most ",
             bytes_of(pool, "used_bytes_hiwater"), "; threads and rings keep ", bytes_of(pool, "kept_bytes"), "\n");
    whole += text("slots     ", number_of(pool, "slots"), ": ", number_of(pool, "mappings"), " mappings, ",
                  number_of(pool, "coherent"), " coherent, ", number_of(pool, "buffers"), " buffers\n");
    whole += text("maps      ", number_of(pool, "maps"), " ever, ", number_of(pool, "full"), " found it full, ",
                  number_of(pool, "waiting"), " wait\n");
    whole += pool["limit_bytes"] == 0
                 ? "growth    none\n"
                 : text("growth    up to ", bytes_of(pool, "limit_bytes"), ", grew ", number_of(pool, "grows"),
                        " times, shrank ", number_of(pool, "shrinks"), "\n");
    whole += text("promised  floors ", bytes_of(pool, "floor_bytes"), ", not taken yet ",
                  bytes_of(pool, "promised_bytes"), ", reserve ", bytes_of(pool, "reserve_bytes"), "\n");
    whole += text("trouble   ", number_of(pool, "violations"), " violations, ", number_of(pool, "quarantined"),
                  " slots in quarantine\n\n");
    Table table({">REGION", "GPA", ">BYTES", ">USED", "NODE", ">PAGES", "STATE"});
    for (const Json& region : picture["regions"])
        table.add({region["index"].dump(), hex(region["base_gpa"].get<std::uint64_t>()), bytes_of(region, "bytes"),
                   bytes_of(region, "used_bytes"), node_name(region["node"]), bytes_of(region, "page_bytes"),
                   region["state"].get<std::string>() + (region["restricted"] != 0 ? ", restricted" : "")});
    return whole + table.text();
}

void add_output_options(CLI::App& app, Output& output) {
    app.add_flag("-j,--json", output.json, "as JSON, in one line");
    app.add_flag_callback(
        "-p,--pretty", [&output] { output.json = output.pretty = true; }, "as JSON, indented");
}

void add_show(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("show", "Show a pool, its nodes, size classes, devices, rings or tunables.");
    sub.footer("Example:\n  bouncectl show device\n  bouncectl show pool --tree");
    const auto command = std::make_shared<ShowCommand>();
    std::set<std::string> names;
    for (const What& what : kWhats) names.insert(what.name);
    sub.add_option_function<std::string>(
           "WHAT",
           [command](const std::string& name) {
               for (const What& what : kWhats) {
                   if (name == what.name) command->what = &what;
               }
           },
           "pool (the default), node, class, device, ring, tunables")
        ->check(CLI::IsMember(names));
    sub.add_flag("--tree", command->tree, "what belongs to what, all in one");
    add_target_options(sub, command->target);
    add_output_options(sub, command->output);
    sub.callback([&run, command] { run = [command] { return run_show(*command); }; });
}

}  // namespace bounce::ctl
