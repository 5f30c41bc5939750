// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/access_rules.hpp"

#include "api/dma/access_policy.hpp"

namespace bounce {
namespace {

constexpr const char* kGpa = "GPA of the slot";
constexpr const char* kUltravisor = "pages shared by ultravisor call";

// Where devices are let in: SEV-TIO, TDX Connect and RME-DA (all of them TDISP), and what a paravisor emulates.
constexpr PlatformRule kPlatforms[] = {
    {BOUNCE_PLATFORM_PLAIN, "a plain VM", "", "", "", false, true},
    {BOUNCE_PLATFORM_SEV, "SEV", "SEV encrypts memory", "shared (C-bit cleared)", "GPA of the slot without the C-bit",
     true, false},
    {BOUNCE_PLATFORM_SNP, "SEV-SNP", "SEV-SNP encrypts memory", "shared (C-bit cleared)",
     "GPA of the slot without the C-bit", true, true},
    {BOUNCE_PLATFORM_SNP_VTOM, "SEV-SNP with vTOM", "SEV-SNP encrypts memory below vTOM", "shared (above vTOM)",
     "GPA of the slot + the vTOM boundary", true, true},
    {BOUNCE_PLATFORM_TDX, "TDX", "TDX encrypts memory", "shared (shared bit set)", kGpa, true, true},
    {BOUNCE_PLATFORM_S390, "s390", "", "", "", false, true},
    {BOUNCE_PLATFORM_S390_PV, "s390 protected virtualization", "s390 protects memory", kUltravisor,
     "absolute address of the slot", true, false},
    {BOUNCE_PLATFORM_PEF, "a POWER secure guest", "the ultravisor of POWER protects memory", kUltravisor,
     "bus address of the slot", true, false},
    {BOUNCE_PLATFORM_CCA, "a CCA realm", "the memory of a CCA realm is private", "shared (alias bit set)",
     "IPA of the slot with the shared alias bit", true, true},
    {BOUNCE_PLATFORM_PKVM, "pKVM", "pKVM protects memory", "shared", "IPA of the slot", true, false},
    {BOUNCE_PLATFORM_XEN, "Xen PV", "", "", "", false, false},
    {BOUNCE_PLATFORM_XEN_GRANT, "Xen with grants", "memory is granted page by page", "shared", kGpa, true, false},
};

const char* rings_text(const bounce_policy_options& options, const PlatformRule& rule, std::uint32_t rings) noexcept {
    const bool pv_ccw = options.platform == BOUNCE_PLATFORM_S390_PV && options.transport == BOUNCE_TRANSPORT_CCW;
    switch (rings) {
        case BOUNCE_RINGS_NORMAL: return "normal RAM";
        case BOUNCE_RINGS_COHERENT: return options.transport == BOUNCE_TRANSPORT_VDPA ? "coherent IOVA" : "coherent";
        case BOUNCE_RINGS_MAPPED: return "mapped";
        case BOUNCE_RINGS_SHARED:
            return pv_ccw ? "pages shared by ultravisor call, as are control blocks, below 2 GiB" : rule.rings;
        case BOUNCE_RINGS_SHARED_MAPPED: return "shared and mapped";
        case BOUNCE_RINGS_POOL: return "pool";
        case BOUNCE_RINGS_GRANTED: return "granted";
        case BOUNCE_RINGS_REGION: return "in the device's region";
        case BOUNCE_RINGS_PRIVATE: return "private memory";
        default: return "none";
    }
}

const char* gpa_text(const bounce_policy_options& options, const PlatformRule& rule, bool bounces) noexcept {
    if (rule.is_private && bounces) return rule.slot;
    if (options.transport == BOUNCE_TRANSPORT_VHOST_USER)
        return bounces ? "GPA of the slot, in the memory table" : "GPA, in the memory table";
    if (options.platform == BOUNCE_PLATFORM_S390) return bounces ? "absolute address of the slot" : "absolute address";
    return bounces ? kGpa : "GPA";
}

}  // namespace

const PlatformRule* find_platform(std::uint32_t kind) noexcept {
    for (const PlatformRule& rule : kPlatforms) {
        if (rule.kind == kind) return &rule;
    }
    return nullptr;
}

const char* address_kind(std::uint32_t address) noexcept {
    switch (address) {
        case BOUNCE_ADDRESS_GPA: return "guest-physical addresses";
        case BOUNCE_ADDRESS_IOVA: return "IOVAs";
        case BOUNCE_ADDRESS_REGION_OFFSET: return "offsets in its region";
        case BOUNCE_ADDRESS_GRANT: return "grants";
        default: return "no addresses";
    }
}

std::uint32_t decision_of(std::uint32_t address, bool bounces) noexcept {
    switch (address) {
        case BOUNCE_ADDRESS_GPA: return bounces ? BOUNCE_DECISION_BOUNCED_GPA : BOUNCE_DECISION_DIRECT_GPA;
        case BOUNCE_ADDRESS_IOVA: return bounces ? BOUNCE_DECISION_BOUNCED_IOVA : BOUNCE_DECISION_TRANSLATED_IOVA;
        case BOUNCE_ADDRESS_REGION_OFFSET: return BOUNCE_DECISION_REGION_OFFSET;
        case BOUNCE_ADDRESS_GRANT: return BOUNCE_DECISION_GRANT;
        default: return BOUNCE_DECISION_REFUSE;
    }
}

void set_refused(bounce_policy& policy) noexcept {
    policy.decision = BOUNCE_DECISION_REFUSE;
    policy.bounce = BOUNCE_LEVEL_REFUSE;
    policy.needs = 0;
    policy.address = 0;
    policy.rings = BOUNCE_RINGS_NONE;
    policy.dma_mask = 0;
    policy.coherent_dma_mask = 0;
    policy.align = 1;
    policy.granule = 1;
    policy.rings_text = "none";
    policy.address_text = "none";
}

void set_texts(const bounce_policy_options& options, const PlatformRule& rule, bool bounces,
               bounce_policy& policy) noexcept {
    policy.rings_text = rings_text(options, rule, policy.rings);
    switch (policy.address) {
        case BOUNCE_ADDRESS_GPA: policy.address_text = gpa_text(options, rule, bounces); break;
        case BOUNCE_ADDRESS_IOVA: policy.address_text = bounces ? "IOVA of the slot" : "IOVA"; break;
        case BOUNCE_ADDRESS_REGION_OFFSET: policy.address_text = "offset in the device's region"; break;
        default: policy.address_text = "bit 63, grant reference << 12, offset in the page"; break;
    }
}

const char* decision_name(std::uint32_t decision) noexcept {
    switch (decision) {
        case BOUNCE_DECISION_REFUSE: return "refuse";
        case BOUNCE_DECISION_DIRECT_GPA: return "direct-gpa";
        case BOUNCE_DECISION_BOUNCED_GPA: return "bounced-gpa";
        case BOUNCE_DECISION_TRANSLATED_IOVA: return "translated-iova";
        case BOUNCE_DECISION_BOUNCED_IOVA: return "bounced-iova";
        case BOUNCE_DECISION_REGION_OFFSET: return "region-offset";
        case BOUNCE_DECISION_GRANT: return "grant";
        default: return "unknown";
    }
}

const char* level_name(std::uint32_t level) noexcept {
    switch (level) {
        case BOUNCE_LEVEL_AUTO: return "auto";
        case BOUNCE_LEVEL_NEVER: return "never";
        case BOUNCE_LEVEL_WHEN_NEEDED: return "when-needed";
        case BOUNCE_LEVEL_ALWAYS: return "always";
        case BOUNCE_LEVEL_REFUSE: return "refuse";
        default: return "unknown";
    }
}

}  // namespace bounce
