// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/pool_report.hpp"

#include <algorithm>
#include <sstream>

#include "tools/common/device.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {

void report_line(const Report& report, std::string_view name, const std::string& value) {
    std::string padded(name);
    padded.resize(std::max<std::size_t>(padded.size() + 1, 22), ' ');
    report.line(text("  ", padded, value));
}

Json pool_json(bounce_pool* pool) {
    bounce_pool_stats stats{};
    check(bounce_pool_get_stats(pool, &stats), "cannot ask the pool");
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
    for (std::uint32_t i = 0; bounce_pool_region(pool, i, &region) == 0; ++i) {
        Json entry;
        entry["base_gpa"] = region.base_gpa;
        entry["bytes"] = region.bytes;
        entry["page_bytes"] = region.page_bytes;
        regions.push_back(std::move(entry));
    }
    json["regions"] = std::move(regions);
    return json;
}

void print_pool(const Report& report, const Json& pool) {
    report.line("pool: all that the device sees");
    for (const Json& region : pool["regions"]) {
        std::ostringstream gpa;
        gpa << "0x" << std::hex << region["base_gpa"].get<std::uint64_t>();
        report_line(report, "region",
                    text(format_bytes(region["bytes"].get<std::uint64_t>()), " at GPA ", gpa.str(), ", pages of ",
                         format_bytes(region["page_bytes"].get<std::uint64_t>())));
    }
    report_line(report, "used",
                text(format_bytes(pool["used_bytes"].get<std::uint64_t>()), " in ", pool["slots"].dump(), " slots (",
                     pool["coherent"].dump(), " coherent, ", pool["mappings"].dump(), " mappings)"));
    report_line(report, "most ever used", format_bytes(pool["used_bytes_hiwater"].get<std::uint64_t>()));
}

}  // namespace bounce::tools
