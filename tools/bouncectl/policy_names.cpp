// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/policy_names.hpp"

#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>

#include "bounce/policy.h"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::text;
using tools::UsageError;

template <class T>
struct Named {
    const char* name;
    T value;
};

constexpr Named<std::uint32_t> kPlatforms[] = {
    {"plain", BOUNCE_PLATFORM_PLAIN},       {"sev", BOUNCE_PLATFORM_SEV}, {"snp", BOUNCE_PLATFORM_SNP},
    {"snp-vtom", BOUNCE_PLATFORM_SNP_VTOM}, {"tdx", BOUNCE_PLATFORM_TDX}, {"s390", BOUNCE_PLATFORM_S390},
    {"s390-pv", BOUNCE_PLATFORM_S390_PV},   {"pef", BOUNCE_PLATFORM_PEF}, {"cca", BOUNCE_PLATFORM_CCA},
    {"pkvm", BOUNCE_PLATFORM_PKVM},         {"xen", BOUNCE_PLATFORM_XEN}, {"xen-grant", BOUNCE_PLATFORM_XEN_GRANT},
};

constexpr Named<std::uint32_t> kTransports[] = {
    {"ccw", BOUNCE_TRANSPORT_CCW},   {"pci", BOUNCE_TRANSPORT_PCI},
    {"mmio", BOUNCE_TRANSPORT_MMIO}, {"vhost-user", BOUNCE_TRANSPORT_VHOST_USER},
    {"vdpa", BOUNCE_TRANSPORT_VDPA},
};

constexpr Named<unsigned> kFeatures[] = {
    {"notify_on_empty", 24}, {"any_layout", 27},        {"indirect_desc", 28},
    {"event_idx", 29},       {"version_1", 32},         {"access_platform", 33},
    {"ring_packed", 34},     {"in_order", 35},          {"order_platform", 36},
    {"sr_iov", 37},          {"notification_data", 38}, {"notif_config_data", 39},
    {"ring_reset", 40},      {"admin_vq", 41},          {"dmb", 42},
};

constexpr Named<std::uint32_t> kWithout[] = {
    {"refuse", BOUNCE_WITHOUT_REFUSE},
    {"bounce", BOUNCE_WITHOUT_BOUNCE},
};

constexpr Named<std::uint32_t> kLevels[] = {
    {"auto", BOUNCE_LEVEL_AUTO},     {"never", BOUNCE_LEVEL_NEVER},   {"when-needed", BOUNCE_LEVEL_WHEN_NEEDED},
    {"always", BOUNCE_LEVEL_ALWAYS}, {"refuse", BOUNCE_LEVEL_REFUSE},
};

constexpr Named<std::uint32_t> kAddresses[] = {
    {"gpa", BOUNCE_ADDRESS_GPA},
    {"iova", BOUNCE_ADDRESS_IOVA},
    {"region-offset", BOUNCE_ADDRESS_REGION_OFFSET},
    {"grant", BOUNCE_ADDRESS_GRANT},
};

template <class T>
T parse_name(const std::string& input, const char* what, std::span<const Named<T>> table) {
    std::string known;
    for (const Named<T>& entry : table) {
        if (input == entry.name) return entry.value;
        known += text(known.empty() ? "" : ", ", entry.name);
    }
    throw UsageError(text("'", input, "' is not ", what, ": expected one of ", known));
}

template <class T>
const char* name_in(T value, std::span<const Named<T>> table) {
    const auto at =
        std::find_if(table.begin(), table.end(), [value](const auto& entry) { return entry.value == value; });
    return at != table.end() ? at->name : "unknown";
}

/// As the tables have it: "VIRTIO_F_VERSION_1" and "version-1" are version_1.
std::string feature_word(std::string_view input) {
    std::string word(input);
    for (char& c : word) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const std::string_view prefix : {"virtio_ring_f_", "virtio_f_"}) {
        if (word.starts_with(prefix)) return word.substr(prefix.size());
    }
    return word;
}

}  // namespace

std::uint32_t parse_platform(const std::string& input) {
    return parse_name<std::uint32_t>(input, "a platform", kPlatforms);
}

std::uint32_t parse_transport(const std::string& input) {
    return parse_name<std::uint32_t>(input, "a transport", kTransports);
}

std::uint64_t parse_features(const std::string& input) {
    std::uint64_t features = 0;
    if (input.empty()) return features;
    for (const std::string& item : tools::split_list(input)) {
        const bool number = !item.empty() && std::isdigit(static_cast<unsigned char>(item.front())) != 0;
        const auto bit = number
                             ? static_cast<unsigned>(tools::parse_number(item, 0, 63))
                             : parse_name<unsigned>(feature_word(item), "a feature (nor the number of one)", kFeatures);
        features |= std::uint64_t{1} << bit;
    }
    return features;
}

std::uint32_t parse_without(const std::string& input) {
    return parse_name<std::uint32_t>(input, "a choice", kWithout);
}

std::uint32_t parse_level(const std::string& input) {
    return parse_name<std::uint32_t>(input, "a way to bounce", kLevels);
}

std::uint32_t parse_addresses(const std::string& input) {
    std::uint32_t addresses = 0;
    for (const std::string& item : tools::split_list(input))
        addresses |= parse_name<std::uint32_t>(item, "a form of address", kAddresses);
    return addresses;
}

const char* platform_name(std::uint32_t platform) {
    return name_in<std::uint32_t>(platform, kPlatforms);
}

const char* transport_name(std::uint32_t transport) {
    return name_in<std::uint32_t>(transport, kTransports);
}

std::vector<std::string> feature_names(std::uint64_t features) {
    std::vector<std::string> names;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((features >> bit & 1) == 0) continue;
        const std::string name = name_in<unsigned>(bit, kFeatures);
        names.push_back(name != "unknown" ? name : std::to_string(bit));
    }
    return names;
}

}  // namespace bounce::ctl
