// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Devices that are made of an answer of the policy function.
#include <sys/wait.h>
#include <unistd.h>

#include "bounce/platform.h"
#include "bounce/policy.hpp"
#include "tests/support/emulator.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kGuest = 0x40'0000'0000;

class PolicyDevice : public AbiTest {
protected:
    static bounce_policy answer(const PolicyOptions& options) {
        const auto policy = decide(options);
        EXPECT_TRUE(policy) << Error::message();
        return *policy;
    }
    static bounce_policy direct_answer(std::uint64_t dma_mask = 0) {
        return answer({.features = BOUNCE_F_VERSION_1, .dma_mask = dma_mask});
    }

    int create(const bounce_policy& policy, bool translates = true) {
        options_ = device_options();
        options_.policy = &policy;
        if (translates) {
            options_.translate = translate;
            options_.untranslate = untranslate;
            options_.translate_user = this;
        }
        return bounce_device_create(pool_, &options_, &made_);
    }
    void TearDown() override {
        EXPECT_EQ(bounce_device_destroy(made_), 0) << bounce_last_error();
        EXPECT_EQ(taken_, given_);
        AbiTest::TearDown();
    }
    void expect_no_device(const bounce_policy& policy, int code, const char* part) {
        expect_error(create(policy), code, part);
        EXPECT_EQ(made_, nullptr);
    }

    static int translate(void* user, const void* buf, size_t bytes, int, uint64_t* address) {
        auto& mine = *static_cast<PolicyDevice*>(user);
        const auto* at = static_cast<const char*>(buf);
        if (at < mine.memory_ || at + bytes > mine.memory_ + sizeof mine.memory_) return -ENXIO;
        *address = mine.guest_ + static_cast<std::uint64_t>(at - mine.memory_);
        ++mine.taken_;
        return 0;
    }
    static void untranslate(void* user, uint64_t, size_t) { ++static_cast<PolicyDevice*>(user)->given_; }

    alignas(4096) char memory_[16384] = "private";
    std::uint64_t guest_ = kGuest;
    int taken_ = 0;
    int given_ = 0;
    bounce_device_options options_{};
    bounce_device* made_ = nullptr;
    bounce_mapping mapping_{};
};

TEST_F(PolicyDevice, ARefusalIsNoDevice) {
    const auto policy = answer({.platform = BOUNCE_PLATFORM_S390_PV, .transport = BOUNCE_TRANSPORT_CCW});
    expect_no_device(policy, EPERM, policy.reason);
    expect_no_device(bounce_policy{}, EPERM, "refuses");  // nobody asked
    bounce_policy endless{};
    std::memset(endless.reason, 'x', sizeof endless.reason);  // no end in sight
    expect_no_device(endless, EPERM, "xxx");
}

TEST_F(PolicyDevice, DirectMappingsHaveTheBuffersAddress) {
    ASSERT_EQ(create(direct_answer()), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_ + 16, 100, BOUNCE_BIDIRECTIONAL, 0, &mapping_), 0)
        << bounce_last_error();
    EXPECT_EQ(mapping_.addr, kGuest + 16);
    EXPECT_EQ(mapping_.slot, memory_ + 16);
    EXPECT_EQ(stats().slots, 0u);
    EXPECT_EQ(bounce_device_sync_for_cpu(made_, &mapping_, 0, 100, BOUNCE_FROM_DEVICE), 0);
    EXPECT_EQ(bounce_device_destroy(made_), -EBUSY);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 100), 0);
    expect_error(bounce_device_unmap(made_, &mapping_, 100), EALREADY);
    char outside[8] = {};
    expect_error(bounce_device_map(made_, outside, 8, BOUNCE_TO_DEVICE, 0, &mapping_), ENXIO, "no address");
}

TEST_F(PolicyDevice, ASmallMaskBouncesWhenNeeded) {
    ASSERT_EQ(create(direct_answer(UINT32_MAX)), 0) << bounce_last_error();
    guest_ = UINT32_MAX - 4095;  // the first page is within the mask
    ASSERT_EQ(bounce_device_map(made_, memory_, 4096, BOUNCE_TO_DEVICE, 0, &mapping_), 0) << bounce_last_error();
    EXPECT_EQ(mapping_.addr, UINT32_MAX - 4095u);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
    // The pool is above the mask, too.
    expect_error(bounce_device_map(made_, memory_ + 1, 4096, BOUNCE_TO_DEVICE, 0, &mapping_), ERANGE);
    bounce_region_options low = region_options(1u << 20, 0x10'0000);
    ASSERT_EQ(bounce_pool_add_region(pool_, &low), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_ + 1, 4096, BOUNCE_TO_DEVICE, 0, &mapping_), 0) << bounce_last_error();
    EXPECT_LT(mapping_.addr, 0x20'0000u);
    EXPECT_EQ(stats().mappings, 1u);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
}

TEST_F(PolicyDevice, WithoutTranslationAllBounces) {
    ASSERT_EQ(create(direct_answer(), false), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mapping_), 0);
    EXPECT_EQ(stats().mappings, 1u);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
}

TEST_F(PolicyDevice, PrivateMemoryNeverGoesDirectly) {
    const auto policy =
        answer({.platform = BOUNCE_PLATFORM_TDX, .features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM});
    ASSERT_EQ(create(policy), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mapping_), 0);
    EXPECT_GE(mapping_.addr, kBase);
    EXPECT_LT(mapping_.addr, kBase + (4u << 20));
    EXPECT_EQ(taken_, 0);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
}

TEST_F(PolicyDevice, TheSmallerMasksHold) {
    const auto policy = answer({.platform = BOUNCE_PLATFORM_S390_PV,
                                .transport = BOUNCE_TRANSPORT_CCW,
                                .features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM});
    ASSERT_EQ(create(policy), 0) << bounce_last_error();
    bounce_block block;
    expect_error(bounce_coherent_alloc(made_, 64, 0, &block), ERANGE);  // ccw: below 2 GiB, where there is no region
    ASSERT_EQ(bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mapping_), 0);  // data: anywhere
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
    EXPECT_EQ(bounce_device_destroy(made_), 0);

    const auto wide = direct_answer();
    options_ = device_options();
    options_.policy = &wide;
    options_.dma_mask = UINT32_MAX;
    ASSERT_EQ(bounce_device_create(pool_, &options_, &made_), 0);
    expect_error(bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mapping_), ERANGE);
}

TEST_F(PolicyDevice, FormsThatThePoolHasNot) {
    const std::uint64_t modern = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
    expect_no_device(answer({.features = modern, .flags = BOUNCE_POLICY_IOMMU | BOUNCE_POLICY_TRUSTED}), ENOTSUP,
                     "translated-iova");
    expect_no_device(answer({.platform = BOUNCE_PLATFORM_S390_PV, .features = modern}), ENOTSUP, "bounced-iova");
    expect_no_device(answer({.features = modern | BOUNCE_F_DMB}), ENOTSUP, "region-offset");
    expect_no_device(answer({.platform = BOUNCE_PLATFORM_XEN_GRANT, .features = modern}), ENOTSUP, "grant");
}

// On a pool whose slots have IOVAs: direct ones by the host's translation, others those of slots.
TEST_F(PolicyDevice, PoolsOfAnotherForm) {
    bounce_platform platform{};
    platform.size = sizeof platform;
    platform.encoding = BOUNCE_ENCODING_IOVA;
    platform.encoding_value = std::uint64_t{1} << 40;
    const auto options = pool_options();
    bounce_pool* iovas = nullptr;
    ASSERT_EQ(bounce_pool_create_on(&platform, &options, &iovas), 0) << bounce_last_error();
    const auto untrusted =
        answer({.features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM, .flags = BOUNCE_POLICY_IOMMU});
    const auto plain = direct_answer();
    auto of_device = device_options();
    of_device.policy = &plain;
    bounce_device* device = nullptr;
    expect_error(bounce_device_create(iovas, &of_device, &device), ENOTSUP, "direct-gpa");
    of_device.policy = &untrusted;
    of_device.translate = translate;
    of_device.untranslate = untranslate;
    of_device.translate_user = this;
    ASSERT_EQ(bounce_device_create(iovas, &of_device, &device), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(device, memory_, 4096, BOUNCE_TO_DEVICE, 0, &mapping_), 0) << bounce_last_error();
    EXPECT_EQ(mapping_.addr, kGuest);  // a whole granule
    EXPECT_EQ(bounce_device_unmap(device, &mapping_, 0), 0);
    ASSERT_EQ(bounce_device_map(device, memory_, 4095, BOUNCE_TO_DEVICE, 0, &mapping_), 0) << bounce_last_error();
    EXPECT_GE(mapping_.addr, kBase + (std::uint64_t{1} << 40));
    EXPECT_EQ(taken_, 1);
    EXPECT_EQ(bounce_device_unmap(device, &mapping_, 0), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
    EXPECT_EQ(bounce_pool_destroy(iovas), 0);
}

TEST_F(PolicyDevice, AlignmentThatSlotsHaveNot) {
    const auto policy = answer({.features = BOUNCE_F_VERSION_1, .align = 512});
    expect_no_device(policy, ENOTSUP, "multiples of 512");
    ASSERT_EQ(create(answer({.features = BOUNCE_F_VERSION_1, .align = 8})), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_ + 1, 10, BOUNCE_TO_DEVICE, 0, &mapping_), 0) << bounce_last_error();
    EXPECT_EQ(mapping_.addr % 8, 0u);
    EXPECT_LT(mapping_.addr, kGuest);
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
}

TEST_F(PolicyDevice, WhatIsNoAnswer) {
    const auto good = direct_answer();
    const auto broken = [&](auto&& change) {
        bounce_policy policy = good;
        change(policy);
        expect_no_device(policy, EINVAL, "no answer of bounce_policy_decide()");
    };
    broken([](auto& p) { p.decision = 7; });
    broken([](auto& p) { p.bounce = BOUNCE_LEVEL_AUTO; });
    broken([](auto& p) { p.bounce = 5; });
    broken([](auto& p) { p.dma_mask = 0; });
    broken([](auto& p) { p.coherent_dma_mask = 0; });
    broken([](auto& p) { p.align = 0; });
    broken([](auto& p) { p.granule = 3; });

    options_ = device_options();
    options_.translate = translate;
    expect_error(bounce_device_create(pool_, &options_, &made_), EINVAL, "without a policy");
    options_ = device_options();
    options_.policy = &good;
    options_.untranslate = untranslate;
    expect_error(bounce_device_create(pool_, &options_, &made_), EINVAL, "without translate");
}

// Requests of a ring go the same way; what is in its cells does not.
TEST_F(PolicyDevice, Rings) {
    ASSERT_EQ(create(direct_answer()), 0) << bounce_last_error();
    bounce_ring* ring = nullptr;
    const auto options = ring_options();
    ASSERT_EQ(bounce_ring_create(made_, &options, &ring), 0) << bounce_last_error();
    const bounce_sg sg[] = {{memory_, 4096, 0, 0}, {memory_ + 4096, 4096, 0, 0}};
    ASSERT_EQ(bounce_ring_add(ring, sg, 1, 1, this), 0) << bounce_last_error();
    EXPECT_EQ(taken_, 2);
    EXPECT_EQ(stats().mappings, 0u);
    bounce_completion completion;
    ASSERT_EQ(bounce_ring_abort(ring, &completion, 1), 1) << bounce_last_error();
    EXPECT_EQ(given_, 2);
    EXPECT_EQ(bounce_ring_destroy(ring), 0) << bounce_last_error();
}

TEST_F(PolicyDevice, AForkedChildMapsNothing) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    ASSERT_EQ(create(direct_answer()), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mapping_), 0);
    const pid_t child = fork();
    if (child == 0) {
        bounce_mapping mine;
        const bool refused = bounce_device_map(made_, memory_, 8, BOUNCE_TO_DEVICE, 0, &mine) == -EOWNERDEAD &&
                             bounce_device_sync_for_cpu(made_, &mapping_, 0, 1, BOUNCE_TO_DEVICE) == -EOWNERDEAD &&
                             bounce_device_unmap(made_, &mapping_, 0) == -EOWNERDEAD;
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(bounce_device_unmap(made_, &mapping_, 0), 0);
}

// A program that was built before there were policies.
TEST_F(PolicyDevice, OlderOptions) {
    auto older = device_options();
    older.size = offsetof(bounce_device_options, policy);
    older.translate = translate;  // beyond its struct
    ASSERT_EQ(bounce_device_create(pool_, &older, &made_), 0) << bounce_last_error();
}

}  // namespace
}  // namespace bounce
