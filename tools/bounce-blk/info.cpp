// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk info
#include <algorithm>
#include <iterator>
#include <ostream>

#include "tools/bounce-blk/command.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::format_bytes;
using tools::Json;
using tools::text;

/// Only what the negotiated features say is valid.
Json config_json(const DeviceConfig& config, std::uint64_t features) {
    Json json;
    json["capacity_sectors"] = config.capacity_sectors;
    if (has(features, kSizeMax)) json["size_max"] = config.size_max;
    if (has(features, kSegMax)) json["seg_max"] = config.seg_max;
    if (has(features, kGeometry)) {
        json["cylinders"] = config.cylinders;
        json["heads"] = config.heads;
        json["sectors"] = config.sectors;
    }
    if (has(features, kBlkSize)) json["blk_size"] = config.blk_size;
    if (has(features, kTopology)) {
        json["physical_block_exp"] = config.physical_block_exp;
        json["alignment_offset"] = config.alignment_offset;
        json["min_io_size"] = config.min_io_size;
        json["opt_io_size"] = config.opt_io_size;
    }
    if (has(features, kConfigWce)) json["writeback"] = config.writeback;
    if (has(features, kMultiQueue)) json["num_queues"] = config.num_queues;
    if (has(features, kDiscard)) {
        json["max_discard_sectors"] = config.max_discard_sectors;
        json["max_discard_seg"] = config.max_discard_seg;
        json["discard_sector_alignment"] = config.discard_sector_alignment;
    }
    if (has(features, kWriteZeroes)) {
        json["max_write_zeroes_sectors"] = config.max_write_zeroes_sectors;
        json["max_write_zeroes_seg"] = config.max_write_zeroes_seg;
        json["write_zeroes_may_unmap"] = config.write_zeroes_may_unmap;
    }
    return json;
}

Json connection_json(const bounce_frontend_info& info) {
    Json json;
    json["features"] = feature_names(info.features);
    json["offered_features"] = feature_names(info.offered_features);
    json["protocol_features"] = protocol_feature_names(info.protocol_features);
    json["queues"] = info.queues;
    json["max_queues"] = info.max_queues;
    json["queue_size"] = info.queue_size;
    json["max_memory_slots"] = info.max_memory_slots;
    return json;
}

Json pool_json(const Session& session) {
    bounce_pool_stats stats{};
    stats.bytes = 0;
    check(bounce_pool_get_stats(session.pool(), &stats), "cannot ask the pool");
    Json json;
    json["bytes"] = stats.bytes;
    json["used_bytes"] = stats.used_bytes;
    json["used_bytes_hiwater"] = stats.used_bytes_hiwater;
    json["slots"] = stats.slots;
    json["mappings"] = stats.mappings;
    json["coherent"] = stats.coherent;
    json["buffers"] = stats.buffers;
    json["maps"] = stats.maps;
    json["full"] = stats.full;
    json["violations"] = stats.violations;
    Json regions = Json::array();
    bounce_region_info region{};
    for (std::uint32_t i = 0; bounce_pool_region(session.pool(), i, &region) == 0; ++i) {
        Json entry;
        entry["base_gpa"] = region.base_gpa;
        entry["bytes"] = region.bytes;
        entry["page_bytes"] = region.page_bytes;
        regions.push_back(std::move(entry));
    }
    json["regions"] = std::move(regions);
    return json;
}

/// "  name        value", names in one column.
void line(const tools::Report& report, std::string_view name, const std::string& value) {
    std::string padded(name);
    padded.resize(std::max<std::size_t>(padded.size() + 1, 22), ' ');
    report.line(text("  ", padded, value));
}

/// Long lists of names, some to a line.
void print_features(const tools::Report& report, const bounce_frontend_info& info) {
    report.line("features");
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((info.offered_features >> bit & 1) == 0) continue;
        const bool taken = (info.features >> bit & 1) != 0;
        report.line(text(taken ? "  + " : "  - ", feature_name(bit), taken ? "" : "  (offered, not used)"));
    }
    report.line("vhost-user protocol features");
    for (const std::string& name : protocol_feature_names(info.protocol_features)) report.line(text("  + ", name));
}

void print_device(const tools::Report& report, const Session& session, const Json& config) {
    const Limits& limits = session.limits();
    report.line(text("device ", session.config().socket));
    line(report, "capacity", text(format_bytes(limits.capacity_bytes), " (", limits.capacity_bytes, " bytes)"));
    line(report, "access", limits.read_only ? "read-only" : "read and write");
    line(report, "write cache", limits.flush ? "yes: FLUSH makes writes durable" : "none that can be flushed");
    for (const auto& [name, value] : config.items()) {
        if (name != "capacity_sectors") line(report, name, value.dump());
    }
    for (const std::string& remark : limits.remarks) report.line(text("  warning: ", remark));
    const bounce_frontend_info& info = session.info();
    line(report, "queues",
         text(info.queues, " started, of ", info.max_queues, "; ", info.queue_size, " descriptors each"));
    line(report, "memory slots", text("at most ", info.max_memory_slots));
}

void print_pool(const tools::Report& report, const Json& pool) {
    report.line("pool: all that the device sees");
    for (const Json& region : pool["regions"]) {
        std::ostringstream gpa;
        gpa << "0x" << std::hex << region["base_gpa"].get<std::uint64_t>();
        line(report, "region",
             text(format_bytes(region["bytes"].get<std::uint64_t>()), " at GPA ", gpa.str(), ", pages of ",
                  format_bytes(region["page_bytes"].get<std::uint64_t>())));
    }
    line(report, "used",
         text(format_bytes(pool["used_bytes"].get<std::uint64_t>()), " in ", pool["slots"].dump(), " slots (",
              pool["coherent"].dump(), " coherent, ", pool["mappings"].dump(), " mappings)"));
    line(report, "most ever used", format_bytes(pool["used_bytes_hiwater"].get<std::uint64_t>()));
}

}  // namespace

int run_info(Context& context) {
    Session session(SessionConfig::make(context.options, 4096, 32));
    const Limits& limits = session.limits();
    Json& json = context.report.json();
    json["socket"] = session.config().socket;
    json["capacity_bytes"] = limits.capacity_bytes;
    json["block_bytes"] = limits.block_bytes;
    json["read_only"] = limits.read_only;
    json["flush"] = limits.flush;
    json["config"] = config_json(session.device_config(), session.info().features);
    json["remarks"] = limits.remarks;
    json["connection"] = connection_json(session.info());
    json["pool"] = pool_json(session);
    print_device(context.report, session, json["config"]);
    print_features(context.report, session.info());
    print_pool(context.report, json["pool"]);
    finish(context, session);
    return 0;
}

}  // namespace bounce::blk
