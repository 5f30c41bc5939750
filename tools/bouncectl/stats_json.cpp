// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A stats segment as JSON.
#include <array>
#include <map>
#include <memory>

#include "bounce/stats.h"
#include "tools/bouncectl/picture.hpp"
#include "tools/common/failure.hpp"

namespace bounce::ctl {
namespace {

using tools::Failure;
using tools::Json;

struct ViewDeleter {
    void operator()(bounce_stats_view* view) const noexcept { bounce_stats_close(view); }
};

template <class T>
struct Number {
    const char* name;
    std::uint64_t T::*field;
};

constexpr Number<bounce_stats_pool> kPool[] = {
    {"bytes", &bounce_stats_pool::bytes},
    {"used_bytes", &bounce_stats_pool::used_bytes},
    {"used_bytes_hiwater", &bounce_stats_pool::used_bytes_hiwater},
    {"kept_bytes", &bounce_stats_pool::kept_bytes},
    {"slots", &bounce_stats_pool::slots},
    {"mappings", &bounce_stats_pool::mappings},
    {"coherent", &bounce_stats_pool::coherent},
    {"buffers", &bounce_stats_pool::buffers},
    {"maps", &bounce_stats_pool::maps},
    {"full", &bounce_stats_pool::full},
    {"violations", &bounce_stats_pool::violations},
    {"grows", &bounce_stats_pool::grows},
    {"shrinks", &bounce_stats_pool::shrinks},
    {"quarantined", &bounce_stats_pool::quarantined},
    {"quarantined_bytes", &bounce_stats_pool::quarantined_bytes},
    {"limit_bytes", &bounce_stats_pool::limit_bytes},
    {"low_watermark", &bounce_stats_pool::low_watermark},
    {"high_watermark", &bounce_stats_pool::high_watermark},
    {"shrink_delay_ms", &bounce_stats_pool::shrink_delay_ms},
    {"reserve_bytes", &bounce_stats_pool::reserve_bytes},
    {"floor_bytes", &bounce_stats_pool::floor_bytes},
    {"promised_bytes", &bounce_stats_pool::promised_bytes},
    {"regions", &bounce_stats_pool::regions},
    {"devices", &bounce_stats_pool::devices},
    {"waiting", &bounce_stats_pool::waiting},
    {"events", &bounce_stats_pool::events},
};
constexpr Number<bounce_stats_region> kRegion[] = {
    {"index", &bounce_stats_region::index},
    {"base_gpa", &bounce_stats_region::base_gpa},
    {"bytes", &bounce_stats_region::bytes},
    {"used_bytes", &bounce_stats_region::used_bytes},
    {"refused_bytes", &bounce_stats_region::refused_bytes},
    {"usable", &bounce_stats_region::usable},
    {"page_bytes", &bounce_stats_region::page_bytes},
    {"generation", &bounce_stats_region::generation},
    {"imported", &bounce_stats_region::imported},
    {"restricted", &bounce_stats_region::restricted},
};
constexpr Number<bounce_stats_class> kClass[] = {
    {"slot_bytes", &bounce_stats_class::slot_bytes},
    {"slabs", &bounce_stats_class::slabs},
    {"bytes", &bounce_stats_class::bytes},
    {"slots", &bounce_stats_class::slots},
    {"out", &bounce_stats_class::out},
    {"out_bytes", &bounce_stats_class::out_bytes},
    {"scans", &bounce_stats_class::scans},
};
constexpr Number<bounce_stats_device> kDevice[] = {
    {"maps", &bounce_stats_device::maps},
    {"unmaps", &bounce_stats_device::unmaps},
    {"mappings", &bounce_stats_device::mappings},
    {"blocks", &bounce_stats_device::blocks},
    {"used_bytes", &bounce_stats_device::used_bytes},
    {"floor_bytes", &bounce_stats_device::floor_bytes},
    {"ceiling_bytes", &bounce_stats_device::ceiling_bytes},
    {"priority", &bounce_stats_device::priority},
    {"calibrating", &bounce_stats_device::calibrating},
    {"watched", &bounce_stats_device::watched},
    {"quarantined", &bounce_stats_device::quarantined},
    {"waiting", &bounce_stats_device::waiting},
    {"waits", &bounce_stats_device::waits},
    {"waits_served", &bounce_stats_device::waits_served},
    {"worst_wait_ns", &bounce_stats_device::worst_wait_ns},
    {"dma_mask", &bounce_stats_device::dma_mask},
    {"regions", &bounce_stats_device::regions},
};
constexpr Number<bounce_stats_ring> kRing[] = {
    {"index", &bounce_stats_ring::index},
    {"size", &bounce_stats_ring::size},
    {"added", &bounce_stats_ring::added},
    {"completed", &bounce_stats_ring::completed},
    {"outstanding", &bounce_stats_ring::outstanding},
    {"bytes_out", &bounce_stats_ring::bytes_out},
    {"bytes_in", &bounce_stats_ring::bytes_in},
    {"kicks", &bounce_stats_ring::kicks},
    {"violations", &bounce_stats_ring::violations},
};
constexpr std::array kStages = {"active", "draining", "retiring", "removed"};
constexpr std::array kCopyPolicies = {"auto", "memcpy", "nontemporal"};
constexpr std::array kReusePolicies = {"auto", "lifo", "window", "fifo"};
constexpr std::array kHistograms = {"unknown", "size_bytes", "copy_ns", "hold_ns", "wait_ns"};

template <class T, std::size_t N>
Json numbers(const T& record, const Number<T> (&fields)[N]) {
    Json json;
    for (const Number<T>& field : fields) json[field.name] = record.*field.field;
    return json;
}

template <class T, class Add>
void each(const bounce_stats_view* view, int table, Add&& add) {
    const std::int64_t n = bounce_stats_count(view, table);
    for (std::int64_t i = 0; i < n; ++i) {
        T record{};
        if (bounce_stats_record(view, table, static_cast<std::uint64_t>(i), &record, sizeof record) >= 0) add(record);
    }
}

/// Regions, by where they are.
Json nodes_json(const Json& regions) {
    std::map<std::int64_t, Json> nodes;
    for (const Json& region : regions) {
        Json& node = nodes[region["node"].get<std::int64_t>()];
        if (node.is_null()) node = {{"node", region["node"]}, {"regions", 0}, {"bytes", 0}, {"used_bytes", 0}};
        if (region["state"] == "removed") continue;
        node["regions"] = node["regions"].get<std::uint64_t>() + 1;
        for (const char* field : {"bytes", "used_bytes"})
            node[field] = node[field].get<std::uint64_t>() + region[field].get<std::uint64_t>();
    }
    Json all = Json::array();
    for (auto& [number, node] : nodes) all.push_back(std::move(node));
    return all;
}

Json histogram_json(const bounce_stats_histogram& record) {
    Json json = {{"device", record.device}, {"kind", name_of(kHistograms, record.kind)},
                 {"sample", record.sample}, {"count", record.count},
                 {"sum", record.sum},       {"buckets", Json::array()}};
    for (int i = 0; i < 64; ++i) {
        if (record.buckets[i] == 0) continue;
        const std::uint64_t least = i == 0 ? 0 : std::uint64_t{1} << (i - 1);
        const std::uint64_t below = i == 0 ? 1 : i == 63 ? UINT64_MAX : std::uint64_t{1} << i;
        json["buckets"].push_back({{"from", least}, {"below", below}, {"count", record.buckets[i]}});
    }
    return json;
}

}  // namespace

Json stats_json(int stats_fd) {
    bounce_stats_view* opened = nullptr;
    if (bounce_stats_open(stats_fd, &opened) < 0) throw Failure(bounce_last_error());
    const std::unique_ptr<bounce_stats_view, ViewDeleter> view(opened);
    bounce_stats_header header{};
    bounce_stats_get_header(view.get(), &header);
    Json json;
    json["segment"] = {{"bytes", header.bytes},
                       {"published_ns", header.published_ns},
                       {"created_ns", header.created_ns},
                       {"publications", header.publications},
                       {"pid", header.pid}};
    each<bounce_stats_pool>(view.get(), BOUNCE_STATS_POOL, [&](const auto& pool) {
        json["pool"] = {{"name", pool.name}, {"vm_name", pool.vm_name}, {"vm_uuid", pool.vm_uuid}};
        json["pool"].update(numbers(pool, kPool));
    });
    json["regions"] = Json::array();
    each<bounce_stats_region>(view.get(), BOUNCE_STATS_REGIONS, [&](const auto& region) {
        Json one = numbers(region, kRegion);
        one["state"] = name_of(kStages, region.state);
        one["node"] = region.node;
        json["regions"].push_back(std::move(one));
    });
    json["nodes"] = nodes_json(json["regions"]);
    json["classes"] = Json::array();
    each<bounce_stats_class>(view.get(), BOUNCE_STATS_CLASSES,
                             [&](const auto& one) { json["classes"].push_back(numbers(one, kClass)); });
    json["devices"] = Json::array();
    each<bounce_stats_device>(view.get(), BOUNCE_STATS_DEVICES, [&](const auto& device) {
        Json one = {{"id", device.id}, {"name", device.name}};
        one.update(numbers(device, kDevice));
        one["copy_policy"] = name_of(kCopyPolicies, device.copy_policy);
        one["reuse_policy"] = name_of(kReusePolicies, device.reuse_policy);
        json["devices"].push_back(std::move(one));
    });
    json["rings"] = Json::array();
    each<bounce_stats_ring>(view.get(), BOUNCE_STATS_RINGS, [&](const auto& ring) {
        Json one = {{"device", ring.device}};
        one.update(numbers(ring, kRing));
        json["rings"].push_back(std::move(one));
    });
    json["histograms"] = Json::array();
    each<bounce_stats_histogram>(view.get(), BOUNCE_STATS_HISTOGRAMS,
                                 [&](const auto& one) { json["histograms"].push_back(histogram_json(one)); });
    return json;
}

}  // namespace bounce::ctl
