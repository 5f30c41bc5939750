// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/policy_table.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "bounce/policy.h"
#include "tools/bouncectl/policy_names.hpp"
#include "tools/bouncectl/policy_report.hpp"
#include "tools/common/failure.hpp"

namespace bounce::ctl {
namespace {

using tools::Json;
using tools::text;

constexpr std::uint64_t kLegacy = BOUNCE_F_VERSION_1;  // ACCESS_PLATFORM not negotiated
constexpr std::uint64_t kModern = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
constexpr std::uint32_t kIommu = BOUNCE_POLICY_IOMMU;
constexpr std::uint32_t kTrusted = BOUNCE_POLICY_TRUSTED;

struct Row {
    const char* system;
    std::uint32_t platform;
    std::uint32_t transport;
    std::uint64_t features;
    std::uint32_t flags = 0;
    std::uint64_t dma_mask = 0;
    bool policy_only = false;  // the library has no emulation to try it on
};

constexpr std::uint64_t kSmallMask = UINT32_MAX;
constexpr bool kPolicyOnly = true;

constexpr Row kRows[] = {
    {"plain VM", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy},
    {"plain VM", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_MMIO, kLegacy},
    {"plain VM", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_CCW, kLegacy},
    {"plain VM, feature offered", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern},
    {"plain VM, small mask", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, 0, kSmallMask},
    {"behind an IOMMU", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted},
    {"behind an IOMMU", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted},
    {"behind an IOMMU", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu},
    {"past the IOMMU", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, kIommu | kTrusted},
    {"past the IOMMU", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, kIommu},
    {"AMD SEV, SEV-ES", BOUNCE_PLATFORM_SEV, BOUNCE_TRANSPORT_PCI, kModern},
    {"AMD SEV-SNP", BOUNCE_PLATFORM_SNP, BOUNCE_TRANSPORT_PCI, kModern},
    {"AMD SEV-SNP, vTOM", BOUNCE_PLATFORM_SNP_VTOM, BOUNCE_TRANSPORT_PCI, kModern},
    {"Intel TDX", BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern},
    {"s390 PV", BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_CCW, kModern},
    {"s390", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_CCW, kLegacy},
    {"s390", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_CCW, kModern},
    {"s390 PV, zPCI", BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_PCI, kModern, kIommu},
    {"POWER secure guest", BOUNCE_PLATFORM_PEF, BOUNCE_TRANSPORT_PCI, kModern},
    {"Arm CCA realm", BOUNCE_PLATFORM_CCA, BOUNCE_TRANSPORT_PCI, kModern},
    {"pKVM", BOUNCE_PLATFORM_PKVM, BOUNCE_TRANSPORT_PCI, kModern, 0, 0, kPolicyOnly},
    {"Xen with grants", BOUNCE_PLATFORM_XEN_GRANT, BOUNCE_TRANSPORT_MMIO, kModern, 0, 0, kPolicyOnly},
    {"Xen PV", BOUNCE_PLATFORM_XEN, BOUNCE_TRANSPORT_PCI, kLegacy, 0, 0, kPolicyOnly},
    {"vhost-user", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kLegacy, kTrusted},
    {"vhost-user", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kLegacy},
    {"vhost-user, IOTLB", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kModern, kTrusted},
    {"vhost-user, IOTLB", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kModern},
    {"VDUSE, vDPA", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VDPA, kModern, 0, 0, kPolicyOnly},
    {"own region (DMB)", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern | BOUNCE_F_DMB, 0, 0, kPolicyOnly},
    {"trusted (TDISP)", BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern, kTrusted},
};

bounce_policy_options question(const Row& row) {
    bounce_policy_options options{};
    options.size = sizeof options;
    options.platform = row.platform;
    options.transport = row.transport;
    options.features = row.features;
    options.flags = row.flags;
    options.dma_mask = row.dma_mask;
    return options;
}

/// What the device gets when it does not negotiate ACCESS_PLATFORM.
bounce_policy without_access_platform(const Row& row, std::uint32_t policy) {
    bounce_policy_options options = question(row);
    options.features &= ~BOUNCE_F_ACCESS_PLATFORM;
    options.without_access_platform = policy;
    return ask_policy(options);
}

bool negotiated(const Row& row) {
    return (row.features & BOUNCE_F_ACCESS_PLATFORM) != 0;
}

std::string device_text(const Row& row) {
    std::vector<std::string> words;
    if ((row.flags & kIommu) != 0) words.emplace_back("IOMMU");
    words.emplace_back((row.flags & kTrusted) != 0 ? "trusted" : "untrusted");
    if (row.dma_mask != 0) words.emplace_back("32-bit mask");
    std::string all;
    for (const std::string& word : words) all += text(all.empty() ? "" : ", ", word);
    return all;
}

/// "refuse", or "refuse / bounced-gpa": by default, and with the policy to bounce.
std::string without_text(const Row& row) {
    if (!negotiated(row)) return "-";
    const char* by_default = bounce_policy_decision_name(without_access_platform(row, BOUNCE_WITHOUT_REFUSE).decision);
    const char* bounced = bounce_policy_decision_name(without_access_platform(row, BOUNCE_WITHOUT_BOUNCE).decision);
    return std::string(by_default) == bounced ? by_default : text(by_default, " / ", bounced);
}

using Cells = std::array<std::string, 11>;

const Cells kHeads = {"system", "platform", "transport", "device",   "ACCESS_PLATFORM",        "private",
                      "rings",  "address",  "bounce",    "decision", "without ACCESS_PLATFORM"};

Cells cells_of(const Row& row) {
    const bounce_policy policy = ask_policy(question(row));
    return {text(row.system, row.policy_only ? " (policy-only)" : ""),
            platform_name(row.platform),
            transport_name(row.transport),
            device_text(row),
            negotiated(row) ? "yes" : "no",
            policy.private_memory != 0 ? "yes" : "no",
            policy.rings_text,
            policy.address_text,
            bounce_policy_level_name(policy.bounce),
            bounce_policy_decision_name(policy.decision),
            without_text(row)};
}

std::string line_of(const Cells& cells, const std::array<std::size_t, std::tuple_size_v<Cells>>& widths) {
    std::string line = "|";
    for (std::size_t i = 0; i < cells.size(); ++i)
        line += text(" ", cells[i], std::string(widths[i] - cells[i].size(), ' '), " |");
    return line + "\n";
}

}  // namespace

std::string policy_table_text() {
    std::vector<Cells> lines = {kHeads};
    for (const Row& row : kRows) lines.push_back(cells_of(row));
    std::array<std::size_t, std::tuple_size_v<Cells>> widths{};
    for (const Cells& cells : lines) {
        for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
    }
    Cells rule;
    for (std::size_t i = 0; i < rule.size(); ++i) rule[i] = std::string(widths[i], '-');
    lines.insert(lines.begin() + 1, rule);
    std::string all;
    for (const Cells& cells : lines) all += line_of(cells, widths);
    return all;
}

Json policy_table_json() {
    Json rows = Json::array();
    for (const Row& row : kRows) {
        const bounce_policy policy = ask_policy(question(row));
        Json entry = {{"system", row.system},
                      {"platform", platform_name(row.platform)},
                      {"transport", transport_name(row.transport)},
                      {"features", feature_names(row.features)},
                      {"iommu", (row.flags & kIommu) != 0},
                      {"trusted", (row.flags & kTrusted) != 0},
                      {"dma_bits", row.dma_mask != 0 ? 32 : 64},
                      {"private_memory", policy.private_memory != 0}};
        entry.update(policy_json(policy));
        if (negotiated(row)) {
            entry["without_access_platform"] = {
                {"refuse", bounce_policy_decision_name(without_access_platform(row, BOUNCE_WITHOUT_REFUSE).decision)},
                {"bounce", bounce_policy_decision_name(without_access_platform(row, BOUNCE_WITHOUT_BOUNCE).decision)}};
        }
        entry["policy_only"] = row.policy_only;
        rows.push_back(std::move(entry));
    }
    return {{"schema_version", kPolicySchema}, {"rows", std::move(rows)}};
}

}  // namespace bounce::ctl
