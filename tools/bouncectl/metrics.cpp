// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Source: OpenMetrics 1.0 (RFC draft of the Cloud Native Computing Foundation): families, HELP and TYPE, samples, #
// EOF.
#include "tools/bouncectl/metrics.hpp"

#include <cstdio>

#include "tools/common/failure.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

struct Family {
    const char* section;  // an object, or an array of them
    const char* field;
    const char* name;  // without bounce_ and _total
    bool counter;
    const char* help;
};
constexpr Family kFamilies[] = {
    {"pool", "bytes", "pool_bytes", false, "Shared memory of the pool"},
    {"pool", "used_bytes", "pool_used_bytes", false, "Bytes of slots that are handed out"},
    {"pool", "used_bytes_hiwater", "pool_used_bytes_hiwater", false, "The most that ever was"},
    {"pool", "kept_bytes", "pool_kept_bytes", false, "Free slots that threads and rings keep"},
    {"pool", "limit_bytes", "pool_limit_bytes", false, "What the pool may grow to, 0 when it does not"},
    {"pool", "reserve_bytes", "pool_reserve_bytes", false, "Left to requests with priority"},
    {"pool", "promised_bytes", "pool_promised_bytes", false, "Of floors, what devices have not taken yet"},
    {"pool", "mappings", "pool_mappings", false, "Streaming mappings that exist"},
    {"pool", "coherent", "pool_coherent", false, "Coherent blocks that exist"},
    {"pool", "buffers", "pool_buffers", false, "Born-shared buffers that exist"},
    {"pool", "waiting", "pool_waiting", false, "Requests that wait for memory"},
    {"pool", "quarantined_bytes", "pool_quarantined_bytes", false, "Held back from devices that were not reset"},
    {"pool", "maps", "pool_maps", true, "Mappings ever made"},
    {"pool", "full", "pool_full", true, "Requests that found the pool full"},
    {"pool", "violations", "pool_violations", true, "What devices did against the protocol"},
    {"pool", "grows", "pool_grows", true, "Regions that came by growing"},
    {"pool", "shrinks", "pool_shrinks", true, "Regions that went by shrinking"},
    {"nodes", "bytes", "node_bytes", false, "Shared memory on a NUMA node"},
    {"nodes", "used_bytes", "node_used_bytes", false, "Of it, pages with something handed out"},
    {"devices", "mappings", "device_mappings", false, "Mappings of a device that exist"},
    {"devices", "blocks", "device_blocks", false, "Coherent blocks and buffers of a device"},
    {"devices", "used_bytes", "device_used_bytes", false, "What it has away from home"},
    {"devices", "floor_bytes", "device_floor_bytes", false, "What it is sure to get"},
    {"devices", "ceiling_bytes", "device_ceiling_bytes", false, "What it may have at most, 0 for no limit"},
    {"devices", "waiting", "device_waiting", false, "Requests of it that wait"},
    {"devices", "maps", "device_maps", true, "Mappings it ever made"},
    {"devices", "waits", "device_waits", true, "Requests that had to wait"},
    {"rings", "outstanding", "ring_outstanding", false, "Requests that the device has"},
    {"rings", "added", "ring_added", true, "Requests that were added"},
    {"rings", "completed", "ring_completed", true, "Requests that were completed"},
    {"rings", "bytes_out", "ring_out_bytes", true, "Payload for the device to read"},
    {"rings", "bytes_in", "ring_in_bytes", true, "Payload that the device wrote"},
    {"rings", "kicks", "ring_kicks", true, "Kicks that the device wanted"},
    {"rings", "violations", "ring_violations", true, "What it did against the protocol"},
    {"classes", "slots", "class_slots", false, "Slots of a size class that exist"},
    {"classes", "out", "class_out", false, "Of these, away from home"},
};

struct HistogramFamily {
    const char* kind;  // as in a picture
    const char* name;
    double unit;  // what one of it is
    const char* help;
};
constexpr HistogramFamily kHistogramFamilies[] = {
    {"wait_ns", "device_wait_seconds", 1e-9, "How long requests waited for memory"},
    {"hold_ns", "device_hold_seconds", 1e-9, "From map to unmap, of the mappings that stats.sample counts"},
    {"copy_ns", "device_copy_seconds", 1e-9, "To fill the slot of a mapping, of those that stats.sample counts"},
    {"size_bytes", "device_mapping_bytes", 1, "Size of mappings, of those that stats.sample counts"},
};

/// As a label's value.
std::string quoted(const std::string& value) {
    std::string safe = "\"";
    for (const char c : value) {
        if (c == '\\' || c == '"') safe += '\\';
        if (c == '\n') {
            safe += "\\n";
        } else {
            safe += c;
        }
    }
    return safe + '"';
}

std::string label(const char* name, const Json& value) {
    return text(",", name, "=", quoted(value.is_string() ? value.get<std::string>() : value.dump()));
}

/// That of a device by its id; of one that has gone its id.
Json name_of_device(const Json& picture, const Json& id) {
    for (const Json& device : picture["devices"]) {
        if (device["id"] == id) return device["name"];
    }
    return id.dump();
}

std::string labels_of(const std::string& section, const Json& record, const Json& picture) {
    if (section == "nodes") return label("node", record["node"]);
    if (section == "classes") return label("slot_bytes", record["slot_bytes"]);
    if (section == "devices") return label("device", record["name"]) + label("id", record["id"]);
    if (section != "rings") return {};
    return label("device", name_of_device(picture, record["device"])) + label("id", record["device"]) +
           label("ring", record["index"]);
}

/// Buckets of powers of two; le is the value that they end below.
std::string histogram_text(const HistogramFamily& family, const Json& record, const std::string& labels) {
    std::string whole;
    std::uint64_t sum = 0;
    for (const Json& bucket : record["buckets"]) {
        sum += bucket["count"].get<std::uint64_t>();
        char le[32];
        std::snprintf(le, sizeof le, "%.10g", static_cast<double>(bucket["below"].get<std::uint64_t>()) * family.unit);
        whole += text("bounce_", family.name, "_bucket{", labels, ",le=\"", le, "\"} ", sum, "\n");
    }
    // What came while the picture was made is in one of the two only.
    whole += text("bounce_", family.name, "_bucket{", labels, ",le=\"+Inf\"} ", sum, "\n");
    char total[32];
    std::snprintf(total, sizeof total, "%.10g", static_cast<double>(record["sum"].get<std::uint64_t>()) * family.unit);
    return whole + text("bounce_", family.name, "_count{", labels, "} ", sum, "\nbounce_", family.name, "_sum{", labels,
                        "} ", total, "\n");
}

std::string common_labels(const Json& picture) {
    const Json& process = picture["process"];
    return text("pid=\"", process["pid"].dump(), "\"", label("pool", process["pool"]), label("vm", process["vm_name"]));
}

std::string histograms_text(const std::vector<Json>& pictures) {
    std::string whole;
    for (const HistogramFamily& family : kHistogramFamilies) {
        whole += text("# HELP bounce_", family.name, " ", family.help, ".\n");
        whole += text("# TYPE bounce_", family.name, " histogram\n");
        for (const Json& picture : pictures) {
            for (const Json& record : picture["histograms"]) {
                if (record["kind"] != family.kind) continue;
                whole +=
                    histogram_text(family, record,
                                   common_labels(picture) + label("device", name_of_device(picture, record["device"])) +
                                       label("id", record["device"]));
            }
        }
    }
    return whole;
}

}  // namespace

std::string metrics_text(const std::vector<Json>& pictures) {
    std::string whole;
    for (const Family& family : kFamilies) {
        whole += text("# HELP bounce_", family.name, " ", family.help, ".\n");
        whole += text("# TYPE bounce_", family.name, family.counter ? " counter\n" : " gauge\n");
        for (const Json& picture : pictures) {
            const std::string common = common_labels(picture);
            const Json& section = picture[family.section];
            const Json records = section.is_array() ? section : Json::array({section});
            for (const Json& record : records)
                whole += text("bounce_", family.name, family.counter ? "_total{" : "{", common,
                              labels_of(family.section, record, picture), "} ", record[family.field].dump(), "\n");
        }
    }
    return whole + histograms_text(pictures) + "# EOF\n";
}

}  // namespace bounce::ctl
