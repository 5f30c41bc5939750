// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-net info
#include "tools/bounce-net/command.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/pool_report.hpp"
#include "tools/common/units.hpp"
#include "tools/common/virtio_names.hpp"

namespace bounce::net {
namespace {

using tools::Json;
using tools::report_line;
using tools::text;

Json config_json(const NetConfig& config, std::uint64_t features) {
    Json json;
    if (has(features, kMac)) json["mac"] = config.mac_text();
    if (has(features, kStatus)) json["status"] = config.status;
    if (has(features, kMultiQueue)) json["max_virtqueue_pairs"] = config.max_pairs;
    if (has(features, kMtu)) json["mtu"] = config.mtu;
    return json;
}

}  // namespace

void report_session(Context& context, const Session& session) {
    Json& json = context.report.json();
    json["canary"] = context.canary.hex();
    if (const std::string violations = session.violations(); !violations.empty()) {
        json["violations"] = violations;
        context.report.line(text("warning: ", violations));
    }
    if (!session.config().iommu) return;
    bounce_iotlb_info info{};
    check(bounce_frontend_get_iotlb(session.frontend(), &info), "cannot ask for the translations");
    json["iotlb"] = {{"translations", info.translations},
                     {"misses", info.misses},
                     {"updates", info.updates},
                     {"invalidations", info.invalidations},
                     {"denied", info.denied}};
    context.report.line(
        text("  translations asked for: ", info.misses, ", told: ", info.updates, ", denied: ", info.denied));
}

int run_info(Context& context) {
    SessionConfig config = SessionConfig::make(context.options);
    config.wanted_features |= feature(kMac) | feature(kStatus) | feature(kMtu);
    const Session session(config);
    const bounce_frontend_info& info = session.info();
    Json& json = context.report.json();
    json["socket"] = session.config().socket;
    json["connection"] = tools::connection_json(feature_table(), info);
    json["queue_pairs"] = info.queues / 2;
    json["max_queue_pairs"] = info.max_queues / 2;
    json["pool"] = tools::pool_json(session.pool());
    context.report.line(text("device ", session.config().socket));
    const auto device = session.read_config();
    json["config"] = device ? config_json(*device, info.features) : Json();
    if (!device) report_line(context.report, "configuration", "not shown by the back-end");
    if (device) {
        for (const auto& [name, value] : json["config"].items()) report_line(context.report, name, value.dump());
    }
    report_line(
        context.report, "queue pairs",
        text(info.queues / 2, " started, of ", info.max_queues / 2, "; ", info.queue_size, " descriptors each queue"));
    report_line(context.report, "memory slots", text("at most ", info.max_memory_slots));
    tools::print_features(context.report, feature_table(), info);
    tools::print_pool(context.report, json["pool"]);
    report_session(context, session);
    context.report.write_json();
    return tools::kExitOk;
}

}  // namespace bounce::net
