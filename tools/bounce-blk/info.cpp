// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk info
#include "tools/bounce-blk/command.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/pool_report.hpp"
#include "tools/common/units.hpp"
#include "tools/common/virtio_names.hpp"

namespace bounce::blk {
namespace {

using tools::format_bytes;
using tools::Json;
using tools::report_line;
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

void print_device(const tools::Report& report, const Session& session, const Json& config) {
    const Limits& limits = session.limits();
    report.line(text("device ", session.config().socket));
    report_line(report, "capacity", text(format_bytes(limits.capacity_bytes), " (", limits.capacity_bytes, " bytes)"));
    report_line(report, "access", limits.read_only ? "read-only" : "read and write");
    report_line(report, "write cache", limits.flush ? "yes: FLUSH makes writes durable" : "none that can be flushed");
    for (const auto& [name, value] : config.items()) {
        if (name != "capacity_sectors") report_line(report, name, value.dump());
    }
    for (const std::string& remark : limits.remarks) report.line(text("  warning: ", remark));
    const bounce_frontend_info& info = session.info();
    report_line(report, "queues",
                text(info.queues, " started, of ", info.max_queues, "; ", info.queue_size, " descriptors each"));
    report_line(report, "memory slots", text("at most ", info.max_memory_slots));
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
    json["connection"] = tools::connection_json(feature_table(), session.info());
    json["pool"] = tools::pool_json(session.pool());
    print_device(context.report, session, json["config"]);
    tools::print_features(context.report, feature_table(), session.info());
    tools::print_pool(context.report, json["pool"]);
    finish(context, session);
    return 0;
}

}  // namespace bounce::blk
