// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the file of a trace says of the pool, and of its clock.
#include <algorithm>

#include "tools/common/failure.hpp"
#include "tools/trace/trace_file.hpp"

namespace bounce::tools {
namespace {

std::uint64_t number_in(const Json& json, const char* name) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number_unsigned()) throw Failure(text("its '", name, "' is no number"));
    return found->get<std::uint64_t>();
}
std::string string_in(const Json& json, const char* name) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) throw Failure(text("its '", name, "' is no string"));
    return found->get<std::string>();
}
bool bool_in(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && (found->is_boolean() ? found->get<bool>() : found->is_number() && *found != 0);
}
const Json& part_of(const Json& json, const char* name, bool array) {
    const auto found = json.find(name);
    if (found == json.end() || (array ? !found->is_array() : !found->is_object()))
        throw Failure(text("it has no '", name, "'"));
    for (const Json& one : *found) {
        if (array && !one.is_object()) throw Failure(text("an item of its '", name, "' is no object"));
    }
    return *found;
}

}  // namespace

const TraceTunable* TraceConfig::tunable(const std::string& name) const {
    const auto found =
        std::find_if(tunables.begin(), tunables.end(), [&name](const TraceTunable& one) { return one.name == name; });
    return found != tunables.end() ? &*found : nullptr;
}

const TraceDevice* TraceConfig::device(std::uint32_t id) const {
    const auto found =
        std::find_if(devices.begin(), devices.end(), [id](const TraceDevice& one) { return one.id == id; });
    return found != devices.end() ? &*found : nullptr;
}

std::string TraceConfig::device_name(std::uint32_t id) const {
    const TraceDevice* const found = device(id);
    if (found != nullptr && !found->name.empty()) return found->name;
    return id == 0 ? "unknown" : text("device ", id);
}

std::uint64_t TraceClock::ns_of(std::uint64_t ticks) const noexcept {
    if (ticks <= begin_ticks) return 0;
    const auto passed = static_cast<double>(ticks - begin_ticks);
    if (last_ticks <= begin_ticks || last_ns <= begin_ns) return ticks - begin_ticks;
    const double ns =
        passed * (static_cast<double>(last_ns - begin_ns) / static_cast<double>(last_ticks - begin_ticks));
    constexpr double kMost = 1e18;  // 30 years
    return static_cast<std::uint64_t>(std::min(ns, kMost));
}

void TraceReader::read_config(const std::string& whole) {
    const Json json = Json::parse(whole, nullptr, false);
    if (!json.is_object()) throw Failure("it is no JSON object");
    if (const std::uint64_t version = number_in(json, "schema_version"); version != 1)
        throw Failure(text("schema_version ", version, ", this program knows 1"));
    const Json& pool = part_of(json, "pool", false);
    config_.pool_name = string_in(pool, "name");
    config_.bytes = number_in(pool, "bytes");
    config_.limit_bytes = number_in(pool, "limit_bytes");
    config_.low_watermark = number_in(pool, "low_watermark");
    config_.high_watermark = number_in(pool, "high_watermark");
    config_.shrink_delay_ms = number_in(pool, "shrink_delay_ms");
    config_.reserve_bytes = number_in(pool, "reserve_bytes");
    const Json& regions = part_of(json, "regions", true);
    config_.first_region_bytes = regions.empty() ? config_.bytes : number_in(regions[0], "bytes");
    for (const Json& one : part_of(json, "devices", true)) {
        TraceDevice device;
        device.id = static_cast<std::uint32_t>(number_in(one, "id") & 0xff'ffffU);
        device.name = string_in(one, "name");
        device.floor_bytes = number_in(one, "floor_bytes");
        device.ceiling_bytes = number_in(one, "ceiling_bytes");
        device.priority = bool_in(one, "priority");
        config_.devices.push_back(std::move(device));
    }
    for (const Json& one : part_of(json, "tunables", true))
        config_.tunables.push_back(
            {string_in(one, "name"), number_in(one, "value"), number_in(one, "most"), bool_in(one, "live")});
}

}  // namespace bounce::tools
