// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The policy function through C and through its C++ wrapper: whatever goes wrong, what is in the caller's hand
// afterwards is a refusal.
#include "bounce/policy.h"

#include <random>

#include "bounce/policy.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

bounce_policy_options good() {
    bounce_policy_options options{};
    options.size = sizeof options;
    options.features = BOUNCE_F_VERSION_1;
    return options;
}

/// An answer that somebody forgot to look at.
bounce_policy garbage() {
    bounce_policy policy;
    std::memset(&policy, 0x11, sizeof policy);
    return policy;
}

void expect_refused(const bounce_policy_options* options, int code, const char* part) {
    bounce_policy policy = garbage();
    expect_error(bounce_policy_decide(options, &policy), code, part);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_REFUSE});
    EXPECT_EQ(policy.address, 0u);
    EXPECT_STREQ(policy.reason, bounce_last_error());
    EXPECT_STREQ(policy.rings_text, "none");
}

TEST(PolicyAbi, Answers) {
    const auto options = good();
    bounce_policy policy = garbage();
    ASSERT_EQ(bounce_policy_decide(&options, &policy), 0) << bounce_last_error();
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_DIRECT_GPA});
    EXPECT_STREQ(bounce_policy_decision_name(policy.decision), "direct-gpa");
    EXPECT_STREQ(bounce_policy_level_name(policy.bounce), "never");
    EXPECT_STREQ(bounce_policy_decision_name(99), "unknown");
    EXPECT_STREQ(bounce_policy_level_name(99), "unknown");
}

TEST(PolicyAbi, Malformed) {
    expect_error(bounce_policy_decide(nullptr, nullptr), EINVAL, "policy is NULL");
    expect_refused(nullptr, EINVAL, "options is NULL");
    auto options = good();
    options.size = 0;
    expect_refused(&options, EINVAL, "options.size is 0");
    options.size = sizeof options - 8;
    expect_refused(&options, EINVAL, "options.size");
    struct {
        bounce_policy_options known = good();
        std::uint64_t newer = 1;
    } longer;
    longer.known.size = sizeof longer;
    expect_refused(&longer.known, EINVAL, "nonzero byte");
    longer.newer = 0;
    bounce_policy policy;
    EXPECT_EQ(bounce_policy_decide(&longer.known, &policy), 0);
    options = good();
    options.flags = 1u << 31;
    expect_refused(&options, EINVAL, "options.flags");
    options = good();
    options.addresses = UINT32_MAX;
    expect_refused(&options, EINVAL, "options.addresses");
    options = good();
    options.align = 48;
    expect_refused(&options, EINVAL, "options.align");
}

TEST(PolicyAbi, AHookThatLoosens) {
    auto options = good();
    options.platform = BOUNCE_PLATFORM_TDX;
    options.features |= BOUNCE_F_ACCESS_PLATFORM;
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say* say) {
        say->bounce = BOUNCE_LEVEL_NEVER;
    };
    expect_refused(&options, EPERM, "tried to loosen");
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say* say) {
        say->addresses |= BOUNCE_ADDRESS_IOVA;
    };
    expect_refused(&options, EPERM, "tried to loosen");
}

// Whatever bytes are in the options: an answer that is whole, or an error with a sentence; never an address by
// accident.
TEST(PolicyAbi, Garbage) {
    std::mt19937_64 random(20240611);
    int answers = 0;
    for (int i = 0; i < 200000; ++i) {
        auto options = good();
        const std::uint64_t draw = random();
        options.platform = (draw & 1) != 0 ? draw >> 8 & 15 : static_cast<std::uint32_t>(draw);
        options.transport = (draw & 2) != 0 ? draw >> 12 & 7 : static_cast<std::uint32_t>(draw >> 32);
        options.features = (draw & 4) != 0 ? random() & random() : BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
        options.flags = (draw & 8) != 0 ? draw >> 16 & 3 : static_cast<std::uint32_t>(random());
        options.without_access_platform = draw >> 20 & 3;
        options.dma_mask = (draw & 16) != 0 ? random() : 0;
        options.coherent_dma_mask = (draw & 32) != 0 ? random() : 0;
        options.align = (draw & 64) != 0 ? std::uint64_t{1} << (draw >> 24 & 31) : 0;
        options.bounce = draw >> 40 & 7;
        options.addresses = draw >> 44 & 31;
        bounce_policy policy = garbage();
        const int status = bounce_policy_decide(&options, &policy);
        ASSERT_TRUE(status == 0 || status == -EINVAL) << status;
        ASSERT_LT(strnlen(policy.reason, sizeof policy.reason), sizeof policy.reason);
        ASSERT_STRNE(policy.reason, "");
        ASSERT_LE(policy.decision, std::uint32_t{BOUNCE_DECISION_GRANT});
        ASSERT_EQ(policy.decision == BOUNCE_DECISION_REFUSE, policy.address == 0);
        if (status != 0) {
            ASSERT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_REFUSE});
        }
        answers += policy.decision != BOUNCE_DECISION_REFUSE ? 1 : 0;
    }
    EXPECT_GT(answers, 100);
}

TEST(PolicyWrapper, Decides) {
    const auto policy = decide({.platform = BOUNCE_PLATFORM_SEV,
                                .transport = BOUNCE_TRANSPORT_PCI,
                                .features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM});
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
    const auto wrong = decide({.align = 3});
    EXPECT_EQ(wrong.code(), EINVAL);
}

TEST(PolicyWrapper, HooksAreCalled) {
    int calls = 0;
    PolicyOptions options;
    options.hook = [&calls](const bounce_policy_options& asked, bounce_policy_say& say) {
        ++calls;
        EXPECT_EQ(asked.size, sizeof asked);
        say.bounce = BOUNCE_LEVEL_ALWAYS;
    };
    const auto policy = decide(options);
    ASSERT_TRUE(policy) << Error::message();
    EXPECT_EQ(policy->decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
    EXPECT_EQ(calls, 1);
    options.hook = [](const bounce_policy_options&, bounce_policy_say& say) { say.bounce = 0; };
    EXPECT_EQ(decide(options).code(), EPERM);
}

}  // namespace
}  // namespace bounce
