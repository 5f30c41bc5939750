// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What holds for every question that can be asked, and for every hook.
#include <cerrno>
#include <cstring>

#include "tests/unit/api/dma/access_policy_fixture.hpp"

namespace bounce {
namespace {

bool is_private(std::uint32_t platform) {
    return platform != BOUNCE_PLATFORM_PLAIN && platform != BOUNCE_PLATFORM_S390 && platform != BOUNCE_PLATFORM_XEN;
}

/// Every question but for what the caller asks for; unknown platforms and transports included.
template <class Ask>
void for_each_system(Ask&& ask_one) {
    for (std::uint32_t platform = 0; platform <= BOUNCE_PLATFORM_XEN_GRANT + 1; ++platform) {
        for (std::uint32_t transport = 0; transport <= BOUNCE_TRANSPORT_VDPA + 1; ++transport) {
            for (unsigned bits = 0; bits < 64; ++bits) {
                std::uint64_t features = 0;
                if ((bits & 1) != 0) features |= BOUNCE_F_VERSION_1;
                if ((bits & 2) != 0) features |= BOUNCE_F_ACCESS_PLATFORM;
                if ((bits & 4) != 0) features |= BOUNCE_F_DMB;
                auto options = question(platform, transport, features, bits >> 3 & 3);
                options.without_access_platform = bits >> 5;
                ask_one(options);
            }
        }
    }
}

template <class Ask>
void for_each_question(Ask&& ask_one) {
    for_each_system([&](bounce_policy_options options) {
        for (unsigned bits = 0; bits < 4; ++bits) {
            options.dma_mask = (bits & 1) != 0 ? UINT32_MAX : 0;
            options.align = (bits & 2) != 0 ? 4096 : 0;
            for (std::uint32_t level = 0; level <= BOUNCE_LEVEL_REFUSE; ++level) {
                options.bounce = level;
                for (const std::uint32_t addresses : {0u, 1u, 2u, 12u}) {
                    options.addresses = addresses;
                    ask_one(options);
                }
            }
        }
    });
}

bool direct(const bounce_policy& policy) {
    return policy.decision == BOUNCE_DECISION_DIRECT_GPA || policy.decision == BOUNCE_DECISION_TRANSLATED_IOVA;
}

TEST(AccessProperties, PrivateMemoryStaysPrivate) {
    for_each_question([](const bounce_policy_options& options) {
        const bounce_policy policy = ask(options);
        if (!is_private(options.platform)) return;
        const bool let_in = options.platform == BOUNCE_PLATFORM_SNP || options.platform == BOUNCE_PLATFORM_SNP_VTOM ||
                            options.platform == BOUNCE_PLATFORM_TDX || options.platform == BOUNCE_PLATFORM_CCA;
        const bool trusted = (options.flags & kTrusted) != 0;
        const bool whole = (options.features & kModern) == kModern;
        // Also what goes directly now and then.
        const bool ever_direct =
            direct(policy) || (policy.decision != BOUNCE_DECISION_REFUSE && policy.decision != BOUNCE_DECISION_GRANT &&
                               policy.bounce < BOUNCE_LEVEL_ALWAYS);
        ASSERT_TRUE(!ever_direct || (let_in && trusted && whole)) << shown(options) << ": " << policy.reason;
        ASSERT_TRUE((options.features & BOUNCE_F_VERSION_1) != 0 || policy.decision == BOUNCE_DECISION_REFUSE)
            << shown(options);
        if ((options.features & BOUNCE_F_ACCESS_PLATFORM) != 0) return;
        ASSERT_TRUE(policy.decision == BOUNCE_DECISION_REFUSE ||
                    (policy.decision == BOUNCE_DECISION_BOUNCED_GPA && policy.bounce == BOUNCE_LEVEL_ALWAYS &&
                     options.without_access_platform == BOUNCE_WITHOUT_BOUNCE))
            << shown(options);
    });
}

TEST(AccessProperties, UntrustedDevicesSeeNoMoreThanTheyMust) {
    for_each_question([](const bounce_policy_options& options) {
        if ((options.flags & kTrusted) != 0) return;
        const bounce_policy policy = ask(options);
        if (options.transport == BOUNCE_TRANSPORT_VHOST_USER && policy.decision != BOUNCE_DECISION_REFUSE &&
            policy.decision != BOUNCE_DECISION_GRANT) {
            ASSERT_EQ(policy.bounce, std::uint32_t{BOUNCE_LEVEL_ALWAYS}) << shown(options);
        }
        if ((options.flags & kIommu) != 0) {
            ASSERT_NE(policy.decision, std::uint32_t{BOUNCE_DECISION_DIRECT_GPA}) << shown(options);
            ASSERT_NE(policy.decision, std::uint32_t{BOUNCE_DECISION_TRANSLATED_IOVA}) << shown(options);
        }
    });
}

TEST(AccessProperties, AnswersAreWhole) {
    for_each_question([](const bounce_policy_options& options) {
        const bounce_policy policy = ask(options);
        const bool refused = policy.decision == BOUNCE_DECISION_REFUSE;
        ASSERT_EQ(refused, policy.bounce == BOUNCE_LEVEL_REFUSE) << shown(options);
        ASSERT_EQ(refused, policy.address == 0) << shown(options);
        ASSERT_EQ(refused, policy.rings == BOUNCE_RINGS_NONE) << shown(options);
        ASSERT_TRUE(refused || (policy.address & (policy.address - 1)) == 0) << shown(options);
        ASSERT_NE(policy.bounce, std::uint32_t{BOUNCE_LEVEL_AUTO});
        ASSERT_TRUE(policy.needs == 0 || policy.bounce == BOUNCE_LEVEL_WHEN_NEEDED) << shown(options);
        if (policy.bounce == BOUNCE_LEVEL_WHEN_NEEDED && policy.address <= BOUNCE_ADDRESS_IOVA) {
            ASSERT_EQ(policy.needs == 0, direct(policy)) << shown(options);
        }
        const std::size_t length = strnlen(policy.reason, sizeof policy.reason);
        ASSERT_GT(length, 0u) << shown(options);
        ASSERT_LT(length, sizeof policy.reason - 1) << "cut off: " << policy.reason;
        ASSERT_EQ(std::strpbrk(policy.reason, "\n%"), nullptr) << policy.reason;
        ASSERT_STRNE(policy.rings_text, "");
        ASSERT_STRNE(policy.address_text, "");
        const bounce_policy again = ask(options);
        ASSERT_EQ(std::memcmp(&policy, &again, sizeof policy), 0) << shown(options);
    });
}

TEST(AccessProperties, TransportsCarryWhatTheyCan) {
    for_each_question([](const bounce_policy_options& options) {
        const std::uint32_t address = ask(options).address;
        if (options.transport == BOUNCE_TRANSPORT_CCW) {
            ASSERT_EQ(address & ~std::uint32_t{BOUNCE_ADDRESS_GPA}, 0u) << shown(options);
        }
        if (options.transport == BOUNCE_TRANSPORT_VDPA) {
            ASSERT_EQ(address & ~std::uint32_t{BOUNCE_ADDRESS_IOVA}, 0u) << shown(options);
        }
        if (options.addresses != 0) {
            ASSERT_EQ(address & ~options.addresses, 0u) << shown(options);
        }
        if (options.platform > BOUNCE_PLATFORM_XEN_GRANT || options.transport > BOUNCE_TRANSPORT_VDPA) {
            ASSERT_EQ(address, 0u) << shown(options);
        }
    });
}

/// How strict: the level, and within it whether anything bounces.
std::uint32_t strictness(const bounce_policy& policy) {
    return policy.bounce * 2 + (direct(policy) ? 0 : 1);
}

// More trust, more room, fewer demands: never a stricter answer.
TEST(AccessProperties, Monotonic) {
    for_each_question([](const bounce_policy_options& options) {
        const auto here = strictness(ask(options));
        const auto looser = [&](auto&& change, const char* what) {
            bounce_policy_options other = options;
            change(other);
            ASSERT_LE(strictness(ask(other)), here) << what << ": " << shown(options);
        };
        looser([](auto& o) { o.flags |= kTrusted; }, "trusted");
        looser([](auto& o) { o.dma_mask = 0; }, "no mask");
        looser([](auto& o) { o.align = 0; }, "no alignment");
        looser([](auto& o) { o.addresses = 0; }, "any address");
        looser([](auto& o) { o.features |= BOUNCE_F_VERSION_1; }, "VERSION_1");
        looser([](auto& o) { o.bounce = BOUNCE_LEVEL_AUTO; }, "nothing asked for");
        if (options.bounce > BOUNCE_LEVEL_WHEN_NEEDED) looser([](auto& o) { --o.bounce; }, "less asked for");
        looser([](auto& o) { o.without_access_platform = BOUNCE_WITHOUT_BOUNCE; }, "may bounce without");
    });
}

struct Say {
    std::uint32_t bounce;
    std::uint32_t addresses;
    bounce_policy_say before{};
    int calls = 0;
};

void say(void* user, const bounce_policy_options*, bounce_policy_say* said) {
    auto& mine = *static_cast<Say*>(user);
    ++mine.calls;
    mine.before = *said;
    *said = {mine.bounce, mine.addresses, nullptr};
}

// Every hook there can be: with each level, also such as do not exist, and each set of addresses.
TEST(AccessProperties, AHookOnlyMakesItStricter) {
    int loosened = 0;
    int obeyed = 0;
    for_each_system([&](bounce_policy_options options) {
        const bounce_policy plain = ask(options);
        for (std::uint32_t level = 0; level <= BOUNCE_LEVEL_REFUSE + 1; ++level) {
            for (std::uint32_t addresses = 0; addresses <= 16; ++addresses) {
                Say mine{level, addresses};
                options.hook = say;
                options.hook_user = &mine;
                bounce_policy policy;
                const int code = decide_access(options, policy).code();
                if (plain.decision == BOUNCE_DECISION_REFUSE) {
                    ASSERT_EQ(mine.calls, 0);
                    ASSERT_EQ(code, 0);
                    ASSERT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_REFUSE});
                    continue;
                }
                ASSERT_EQ(mine.calls, 1);
                ASSERT_EQ(mine.before.bounce, plain.bounce);
                ASSERT_EQ(mine.before.addresses, plain.address);
                const bool looser =
                    level < plain.bounce || level > BOUNCE_LEVEL_REFUSE || (addresses & ~plain.address) != 0;
                ASSERT_EQ(code, looser ? EPERM : 0) << shown(options) << " hook " << level << " " << addresses;
                if (looser || addresses == 0 || level == BOUNCE_LEVEL_REFUSE) {
                    ASSERT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_REFUSE}) << policy.reason;
                    ASSERT_EQ(policy.address, 0u);
                    loosened += looser ? 1 : 0;
                    continue;
                }
                ++obeyed;
                ASSERT_EQ(policy.bounce, level);
                ASSERT_GE(strictness(policy), strictness(plain)) << shown(options);
                ASSERT_EQ(policy.address, addresses);
            }
        }
    });
    EXPECT_GT(loosened, 1000);
    EXPECT_GT(obeyed, 1000);
}

TEST(AccessHook, SaysWhy) {
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern);
    options.hook = [](void*, const bounce_policy_options* asked, bounce_policy_say* said) {
        EXPECT_EQ(asked->platform, std::uint32_t{BOUNCE_PLATFORM_PLAIN});
        said->bounce = BOUNCE_LEVEL_ALWAYS;
        said->why = "its DMA engine is broken";
    };
    EXPECT_EQ(decided(options), "bounced-gpa");
    EXPECT_NE(reason(options).find("the transport's hook makes it bounce always: its DMA engine is broken"),
              std::string::npos)
        << reason(options);
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say* said) {
        said->bounce = BOUNCE_LEVEL_REFUSE;
        said->why = "not this one";
    };
    EXPECT_EQ(reason(options), "the transport's hook refuses: not this one");
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say* said) { said->addresses = 0; };
    EXPECT_EQ(reason(options), "the transport's hook leaves no form of address: it does not say why");
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say*) {};
    EXPECT_EQ(decided(options), "direct-gpa");
    EXPECT_EQ(reason(options).find("hook"), std::string::npos);
}

// A clause of any length is cut, not overrun.
TEST(AccessHook, TalksTooMuch) {
    static const std::string kLong(4096, 'x');
    auto options = question(BOUNCE_PLATFORM_PLAIN, BOUNCE_TRANSPORT_PCI, kModern);
    options.hook = [](void*, const bounce_policy_options*, bounce_policy_say* said) {
        said->bounce = BOUNCE_LEVEL_ALWAYS;
        said->why = kLong.c_str();
    };
    const bounce_policy policy = ask(options);
    EXPECT_EQ(strnlen(policy.reason, sizeof policy.reason), sizeof policy.reason - 1);
    EXPECT_EQ(policy.decision, std::uint32_t{BOUNCE_DECISION_BOUNCED_GPA});
}

}  // namespace
}  // namespace bounce
