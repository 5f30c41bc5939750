// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Each kind of system, and each case that has to be refused.
#include <cerrno>
#include <iterator>

#include "tests/unit/api/dma/access_policy_fixture.hpp"

namespace bounce {
namespace {

struct Row {
    const char* name;
    std::uint32_t platform;
    std::uint32_t transport;
    std::uint64_t features;
    std::uint32_t flags;
    std::uint32_t decision;
    std::uint32_t level;
    std::uint32_t rings;
    const char* rings_text;
    const char* address_text;
    std::uint32_t is_private;
};

void PrintTo(const Row& row, std::ostream* os) {
    *os << row.name;
}

constexpr Row kRows[] = {
    {"plain_pci", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, 0, BOUNCE_DECISION_DIRECT_GPA,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_NORMAL, "normal RAM", "GPA", 0},
    {"plain_mmio", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_MMIO, 0, 0, BOUNCE_DECISION_DIRECT_GPA, BOUNCE_LEVEL_NEVER,
     BOUNCE_RINGS_NORMAL, "normal RAM", "GPA", 0},
    {"plain_ccw", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_CCW, kLegacy, 0, BOUNCE_DECISION_DIRECT_GPA,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_NORMAL, "normal RAM", "GPA", 0},
    {"plain_feature_offered", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_DIRECT_GPA,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_COHERENT, "coherent", "GPA", 0},
    {"iommu_trusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted,
     BOUNCE_DECISION_TRANSLATED_IOVA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_MAPPED, "mapped", "IOVA", 0},
    {"zpci_trusted", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted,
     BOUNCE_DECISION_TRANSLATED_IOVA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_MAPPED, "mapped", "IOVA", 0},
    {"iommu_untrusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu, BOUNCE_DECISION_BOUNCED_IOVA,
     BOUNCE_LEVEL_WHEN_NEEDED, BOUNCE_RINGS_MAPPED, "mapped", "IOVA of the slot", 0},
    {"past_iommu_trusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, kIommu | kTrusted,
     BOUNCE_DECISION_DIRECT_GPA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_NORMAL, "normal RAM", "GPA", 0},
    {"past_iommu_untrusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, kIommu, BOUNCE_DECISION_REFUSE,
     BOUNCE_LEVEL_REFUSE, BOUNCE_RINGS_NONE, "none", "none", 0},
    {"sev", BOUNCE_PLATFORM_SEV, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "shared (C-bit cleared)", "GPA of the slot without the C-bit", 1},
    {"snp", BOUNCE_PLATFORM_SNP, BOUNCE_TRANSPORT_MMIO, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "shared (C-bit cleared)", "GPA of the slot without the C-bit", 1},
    {"snp_vtom", BOUNCE_PLATFORM_SNP_VTOM, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_SHARED, "shared (above vTOM)", "GPA of the slot + the vTOM boundary", 1},
    {"tdx", BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "shared (shared bit set)", "GPA of the slot", 1},
    {"tdx_behind_iommu", BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern, kIommu, BOUNCE_DECISION_BOUNCED_IOVA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_SHARED_MAPPED, "shared and mapped", "IOVA of the slot", 1},
    {"s390_pv_ccw", BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_CCW, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_SHARED, "pages shared by ultravisor call, as are control blocks, below 2 GiB",
     "absolute address of the slot", 1},
    {"s390_ccw", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_CCW, kLegacy, 0, BOUNCE_DECISION_DIRECT_GPA, BOUNCE_LEVEL_NEVER,
     BOUNCE_RINGS_NORMAL, "normal RAM", "absolute address", 0},
    {"s390_ccw_feature_offered", BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_CCW, kModern, 0, BOUNCE_DECISION_DIRECT_GPA,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_NORMAL, "normal RAM", "absolute address", 0},
    {"s390_pv_zpci", BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_PCI, kModern, kIommu, BOUNCE_DECISION_BOUNCED_IOVA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_SHARED_MAPPED, "shared and mapped", "IOVA of the slot", 1},
    {"s390_pv_zpci_has_an_iommu_anyway", BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_PCI, kModern, 0,
     BOUNCE_DECISION_BOUNCED_IOVA, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_SHARED_MAPPED, "shared and mapped",
     "IOVA of the slot", 1},
    {"pef", BOUNCE_PLATFORM_PEF, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "pages shared by ultravisor call", "bus address of the slot", 1},
    {"cca", BOUNCE_PLATFORM_CCA, BOUNCE_TRANSPORT_PCI, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "shared (alias bit set)", "IPA of the slot with the shared alias bit", 1},
    {"pkvm", BOUNCE_PLATFORM_PKVM, BOUNCE_TRANSPORT_MMIO, kModern, 0, BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS,
     BOUNCE_RINGS_SHARED, "shared", "IPA of the slot", 1},
    {"xen_grant", BOUNCE_PLATFORM_XEN_GRANT, BOUNCE_TRANSPORT_MMIO, kModern, 0, BOUNCE_DECISION_GRANT,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_GRANTED, "granted", "bit 63, grant reference << 12, offset in the page", 1},
    {"xen_without_grants", BOUNCE_PLATFORM_XEN, BOUNCE_TRANSPORT_PCI, kModern, kTrusted, BOUNCE_DECISION_REFUSE,
     BOUNCE_LEVEL_REFUSE, BOUNCE_RINGS_NONE, "none", "none", 0},
    {"vhost_user_trusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kLegacy, kTrusted,
     BOUNCE_DECISION_DIRECT_GPA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_POOL, "pool", "GPA, in the memory table", 0},
    {"vhost_user_untrusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kLegacy, 0,
     BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_POOL, "pool",
     "GPA of the slot, in the memory table", 0},
    {"vhost_user_iotlb_trusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kModern, kTrusted,
     BOUNCE_DECISION_TRANSLATED_IOVA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_POOL, "pool", "IOVA", 0},
    {"vhost_user_iotlb_untrusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kModern, 0,
     BOUNCE_DECISION_BOUNCED_IOVA, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_POOL, "pool", "IOVA of the slot", 0},
    {"vhost_user_past_an_iommu_sees_the_pool_only", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VHOST_USER, kLegacy, kIommu,
     BOUNCE_DECISION_BOUNCED_GPA, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_POOL, "pool",
     "GPA of the slot, in the memory table", 0},
    {"vdpa", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VDPA, kModern, 0, BOUNCE_DECISION_BOUNCED_IOVA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_COHERENT, "coherent IOVA", "IOVA of the slot", 0},
    {"vdpa_trusted", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VDPA, kModern, kTrusted, BOUNCE_DECISION_BOUNCED_IOVA,
     BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_COHERENT, "coherent IOVA", "IOVA of the slot", 0},
    {"own_region", BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern | BOUNCE_F_DMB, 0,
     BOUNCE_DECISION_REGION_OFFSET, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_REGION, "in the device's region",
     "offset in the device's region", 1},
    {"own_region_in_private_memory", BOUNCE_PLATFORM_SNP, BOUNCE_TRANSPORT_PCI, kModern | BOUNCE_F_DMB,
     kIommu | kTrusted, BOUNCE_DECISION_REGION_OFFSET, BOUNCE_LEVEL_ALWAYS, BOUNCE_RINGS_REGION,
     "in the device's region", "offset in the device's region", 1},
    {"tdisp", BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern, kTrusted, BOUNCE_DECISION_DIRECT_GPA,
     BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_PRIVATE, "private memory", "GPA", 1},
    {"tdisp_behind_iommu", BOUNCE_PLATFORM_CCA, BOUNCE_TRANSPORT_PCI, kModern, kTrusted | kIommu,
     BOUNCE_DECISION_TRANSLATED_IOVA, BOUNCE_LEVEL_NEVER, BOUNCE_RINGS_MAPPED, "mapped", "IOVA", 1},
};

class AccessRow : public testing::TestWithParam<Row> {};

TEST_P(AccessRow, Decides) {
    const Row& row = GetParam();
    const bounce_policy policy = ask(question(row.platform, row.transport, row.features, row.flags));
    EXPECT_STREQ(decision_name(policy.decision), decision_name(row.decision)) << policy.reason;
    EXPECT_STREQ(level_name(policy.bounce), level_name(row.level)) << policy.reason;
    EXPECT_EQ(policy.rings, row.rings);
    EXPECT_STREQ(policy.rings_text, row.rings_text);
    EXPECT_STREQ(policy.address_text, row.address_text);
    EXPECT_EQ(policy.private_memory, row.is_private);
    EXPECT_STRNE(policy.reason, "");
}

INSTANTIATE_TEST_SUITE_P(Rows, AccessRow, testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

constexpr std::uint32_t kPrivate[] = {BOUNCE_PLATFORM_SEV,  BOUNCE_PLATFORM_SNP,     BOUNCE_PLATFORM_SNP_VTOM,
                                      BOUNCE_PLATFORM_TDX,  BOUNCE_PLATFORM_PEF,     BOUNCE_PLATFORM_CCA,
                                      BOUNCE_PLATFORM_PKVM, BOUNCE_PLATFORM_S390_PV, BOUNCE_PLATFORM_XEN_GRANT};

std::uint32_t usual_transport(std::uint32_t platform) {
    return platform == BOUNCE_PLATFORM_S390_PV ? BOUNCE_TRANSPORT_CCW : BOUNCE_TRANSPORT_PCI;
}

TEST(AccessPolicy, PrivateWithoutAccessPlatform) {
    for (const std::uint32_t platform : kPrivate) {
        auto options = question(platform, usual_transport(platform), kLegacy);
        EXPECT_EQ(decided(options), "refuse") << platform;
        EXPECT_NE(reason(options).find("ACCESS_PLATFORM"), std::string::npos) << reason(options);
        options.flags = kTrusted;
        EXPECT_EQ(decided(options), "refuse") << platform;
        options.without_access_platform = BOUNCE_WITHOUT_BOUNCE;
        EXPECT_EQ(decided(options), "bounced-gpa") << platform;
        options.flags = kIommu;  // it goes past it, and still sees nothing but slots
        EXPECT_EQ(decided(options), "bounced-gpa") << platform;
    }
}

TEST(AccessPolicy, PrivateWithoutVersion1) {
    for (const std::uint32_t platform : kPrivate) {
        for (const std::uint64_t features : {std::uint64_t{0}, BOUNCE_F_ACCESS_PLATFORM}) {
            for (const std::uint32_t without : {BOUNCE_WITHOUT_REFUSE, BOUNCE_WITHOUT_BOUNCE}) {
                auto options = question(platform, usual_transport(platform), features, kTrusted);
                options.without_access_platform = without;
                EXPECT_EQ(decided(options), "refuse") << platform;
                EXPECT_NE(reason(options).find("VERSION_1"), std::string::npos) << reason(options);
            }
        }
    }
}

TEST(AccessPolicy, TheBouncePolicyIsForPrivateMemoryOnly) {
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy, kIommu);
    options.without_access_platform = BOUNCE_WITHOUT_BOUNCE;
    EXPECT_EQ(decided(options), "refuse");  // past the IOMMU it reaches all memory, wherever its data is
    options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_VDPA, kLegacy);
    options.without_access_platform = BOUNCE_WITHOUT_BOUNCE;
    EXPECT_EQ(decided(options), "refuse");
    options.platform = BOUNCE_PLATFORM_TDX;  // a bounced GPA, which vDPA does not carry
    EXPECT_EQ(decided(options), "refuse");
}

TEST(AccessPolicy, TrustDoesNotLetInWhereNobodyCanBe) {
    for (const std::uint32_t platform :
         {BOUNCE_PLATFORM_SEV, BOUNCE_PLATFORM_S390_PV, BOUNCE_PLATFORM_PEF, BOUNCE_PLATFORM_PKVM}) {
        const auto options = question(platform, usual_transport(platform), kModern, kTrusted);
        EXPECT_EQ(decided(options), "bounced-gpa") << platform;
        EXPECT_NE(reason(options).find("trusted changes nothing"), std::string::npos) << reason(options);
    }
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_SNP, BOUNCE_TRANSPORT_VDPA, kModern, kTrusted)), "bounced-iova");
}

TEST(AccessPolicy, CcwCarriesNoIova) {
    const auto behind = question(BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_CCW, kModern, kIommu);
    EXPECT_EQ(decided(behind), "refuse");
    EXPECT_EQ(reason(behind), "the device takes IOVAs, but virtio-ccw carries absolute addresses only");
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_CCW, kModern, kIommu | kTrusted)), "refuse");
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_CCW, kModern | BOUNCE_F_DMB)), "refuse");
}

TEST(AccessPolicy, WhatDoesNotExist) {
    EXPECT_EQ(reason(question(12, BOUNCE_TRANSPORT_PCI, kModern)), "platform 12 is unknown");
    EXPECT_EQ(reason(question(UINT32_MAX, BOUNCE_TRANSPORT_PCI, kModern)), "platform 4294967295 is unknown");
    EXPECT_EQ(reason(question(BOUNCE_PLATFORM_PLAIN, 5, kModern)), "transport 5 is unknown");
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern);
    options.bounce = 5;
    EXPECT_EQ(decided(options), "refuse");
    options.bounce = 0;
    options.without_access_platform = 2;
    EXPECT_EQ(decided(options), "refuse");
    options.without_access_platform = 0;
    for (unsigned bit = 0; bit < 64; ++bit) {
        options.features = kModern | std::uint64_t{1} << bit;
        const bool unknown = bit == 25 || bit == 31 || (bit >= 43 && bit <= 49);
        EXPECT_EQ(decided(options) == "refuse", unknown) << bit;
        if (unknown) {
            EXPECT_EQ(reason(options), "feature bit " + std::to_string(bit) +
                                           " is not known here, and may change what an address means");
        }
    }
}

TEST(AccessPolicy, WhatContradictsItself) {
    for (const std::uint32_t platform : {BOUNCE_PLATFORM_SEV, BOUNCE_PLATFORM_TDX, BOUNCE_PLATFORM_XEN_GRANT})
        EXPECT_EQ(decided(question(platform, BOUNCE_TRANSPORT_CCW, kModern)), "refuse") << platform;
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_MMIO, kModern)), "refuse");
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_S390, BOUNCE_TRANSPORT_MMIO, kLegacy)), "refuse");
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy | BOUNCE_F_DMB)), "refuse");
    EXPECT_EQ(decided(question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, BOUNCE_F_ACCESS_PLATFORM | BOUNCE_F_DMB)),
              "refuse");
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern);
    options.dma_mask = 4094;
    EXPECT_EQ(reason(options), "a mask of 0xffe reaches not even one page");
    options.dma_mask = 0;
    options.coherent_dma_mask = 1;
    EXPECT_EQ(decided(options), "refuse");
    options = question(BOUNCE_PLATFORM_XEN_GRANT, BOUNCE_TRANSPORT_MMIO, kModern);
    options.dma_mask = UINT32_MAX;
    EXPECT_EQ(reason(options), "a grant has bit 63 set, which is beyond the device's mask");
}

TEST(AccessPolicy, MasksApart) {
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy);
    options.dma_mask = UINT32_MAX;
    bounce_policy policy = ask(options);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
    EXPECT_EQ(policy.bounce, std::uint32_t{BOUNCE_LEVEL_WHEN_NEEDED});
    EXPECT_EQ(policy.needs, std::uint32_t{BOUNCE_NEED_MASK});
    EXPECT_EQ(policy.dma_mask, UINT32_MAX);
    EXPECT_EQ(policy.coherent_dma_mask, UINT64_MAX);
    EXPECT_EQ(policy.rings, std::uint32_t{BOUNCE_RINGS_NORMAL});
    options.highest_address = UINT32_MAX;  // all there is
    EXPECT_EQ(decided(options), "direct-gpa");
    options.highest_address = 0;

    options.dma_mask = 0;
    options.coherent_dma_mask = UINT32_MAX;  // of rings only
    policy = ask(options);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_DIRECT_GPA});
    EXPECT_EQ(policy.rings, std::uint32_t{BOUNCE_RINGS_COHERENT});
    EXPECT_EQ(policy.coherent_dma_mask, UINT32_MAX);
    EXPECT_EQ(policy.dma_mask, UINT64_MAX);

    options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted);
    options.dma_mask = UINT32_MAX;  // IOVAs are handed out below it
    EXPECT_EQ(decided(options), "translated-iova");
}

TEST(AccessPolicy, CcwHas64And31Bits) {
    auto options = question(BOUNCE_PLATFORM_S390_PV, BOUNCE_TRANSPORT_CCW, kModern);
    EXPECT_EQ(ask(options).dma_mask, UINT64_MAX);
    EXPECT_EQ(ask(options).coherent_dma_mask, 0x7fff'ffffu);
    options.coherent_dma_mask = 0xffffff;
    EXPECT_EQ(ask(options).coherent_dma_mask, 0xffffffu);
}

TEST(AccessPolicy, Alignment) {
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern);
    options.align = 512;
    bounce_policy policy = ask(options);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
    EXPECT_EQ(policy.needs, std::uint32_t{BOUNCE_NEED_ALIGN});
    EXPECT_EQ(policy.align, 512u);
    options.align = 1;
    EXPECT_EQ(decided(options), "direct-gpa");
    options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted);
    options.align = 4096;
    EXPECT_EQ(decided(options), "bounced-iova");
    options.flags = kIommu;
    policy = ask(options);
    EXPECT_EQ(policy.needs, std::uint32_t{BOUNCE_NEED_ALIGN | BOUNCE_NEED_GRANULE});
}

TEST(AccessPolicy, Malformed) {
    const auto code = [](const bounce_policy_options& options) {
        bounce_policy policy;
        const int result = decide_access(options, policy).code();
        EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_REFUSE});
        EXPECT_EQ(policy.bounce, std::uint32_t{BOUNCE_LEVEL_REFUSE});
        EXPECT_STREQ(policy.reason, last_error());
        return result;
    };
    const auto good = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy);
    auto options = good;
    options.flags = 4;
    EXPECT_EQ(code(options), EINVAL);
    EXPECT_STREQ(last_error(), "options.flags has unknown bits 0x4, known are 0x3");
    options = good;
    options.addresses = 16;
    EXPECT_EQ(code(options), EINVAL);
    for (const std::uint64_t align : {std::uint64_t{3}, std::uint64_t{4u << 20}, UINT64_MAX}) {
        options = good;
        options.align = align;
        EXPECT_EQ(code(options), EINVAL) << align;
    }
    for (const std::uint64_t granule : {std::uint64_t{1}, std::uint64_t{6144}, std::uint64_t{4u << 20}}) {
        options = good;
        options.granule = granule;
        EXPECT_EQ(code(options), EINVAL) << granule;
    }
    EXPECT_EQ(ask(good).granule, 4096u);
    options.granule = 65536;
    EXPECT_EQ(ask(options).granule, 65536u);
    options.align = UINT64_MAX;
    EXPECT_EQ(code(options), EINVAL);
    EXPECT_STREQ(last_error(), "options.align is 18446744073709551615, expected 0 or a power of two up to 2097152");
}

TEST(AccessPolicy, TheTwoQuestionsAreApart) {
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kLegacy);
    options.bounce = BOUNCE_LEVEL_ALWAYS;
    bounce_policy policy = ask(options);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
    EXPECT_EQ(policy.rings, std::uint32_t{BOUNCE_RINGS_COHERENT});  // not in normal RAM, which it shall not see
    EXPECT_NE(std::string(policy.reason).find("the caller asks to bounce always"), std::string::npos);
    options.bounce = BOUNCE_LEVEL_WHEN_NEEDED;  // and nothing needs it
    EXPECT_EQ(decided(options), "direct-gpa");
    EXPECT_EQ(ask(options).bounce, std::uint32_t{BOUNCE_LEVEL_WHEN_NEEDED});
    options.bounce = BOUNCE_LEVEL_REFUSE;
    EXPECT_EQ(decided(options), "refuse");
    options.bounce = BOUNCE_LEVEL_NEVER;
    EXPECT_EQ(decided(options), "direct-gpa");
    options.dma_mask = UINT32_MAX;  // now something may have to
    EXPECT_EQ(decided(options), "refuse");
    EXPECT_NE(reason(options).find("nothing bounces"), std::string::npos);

    options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern, kIommu | kTrusted);
    options.addresses = BOUNCE_ADDRESS_IOVA | BOUNCE_ADDRESS_GRANT;
    EXPECT_EQ(decided(options), "translated-iova");
    options.bounce = BOUNCE_LEVEL_ALWAYS;
    EXPECT_EQ(decided(options), "bounced-iova");
    options.addresses = BOUNCE_ADDRESS_GPA;
    EXPECT_EQ(reason(options), "the device takes IOVAs, but the caller accepts no such address");

    options = question(BOUNCE_PLATFORM_TDX, BOUNCE_TRANSPORT_PCI, kModern, kTrusted);
    options.bounce = BOUNCE_LEVEL_ALWAYS;
    EXPECT_EQ(decided(options), "bounced-gpa");
    EXPECT_EQ(ask(options).rings, std::uint32_t{BOUNCE_RINGS_SHARED});
    options.flags |= kIommu;
    EXPECT_EQ(ask(options).rings, std::uint32_t{BOUNCE_RINGS_SHARED_MAPPED});
}

TEST(AccessPolicy, Names) {
    for (std::uint32_t decision = 0; decision <= BOUNCE_DECISION_GRANT; ++decision)
        EXPECT_STRNE(decision_name(decision), "unknown");
    EXPECT_STREQ(decision_name(7), "unknown");
    for (std::uint32_t level = 0; level <= BOUNCE_LEVEL_REFUSE; ++level) EXPECT_STRNE(level_name(level), "unknown");
    EXPECT_STREQ(level_name(5), "unknown");
}

}  // namespace
}  // namespace bounce
