// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Questions to the policy function, and how strict an answer is.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "api/dma/access_policy.hpp"

namespace bounce {

inline constexpr std::uint64_t kLegacy = BOUNCE_F_VERSION_1;
inline constexpr std::uint64_t kModern = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
inline constexpr std::uint32_t kIommu = BOUNCE_POLICY_IOMMU;
inline constexpr std::uint32_t kTrusted = BOUNCE_POLICY_TRUSTED;

inline bounce_policy_options question(std::uint32_t platform, std::uint32_t transport, std::uint64_t features,
                                      std::uint32_t flags = 0) {
    bounce_policy_options options{};
    options.size = sizeof options;
    options.platform = platform;
    options.transport = transport;
    options.features = features;
    options.flags = flags;
    return options;
}

inline bounce_policy ask(const bounce_policy_options& options) {
    bounce_policy policy;
    const auto decided = decide_access(options, policy);
    EXPECT_EQ(decided.code(), 0) << policy.reason;
    return policy;
}

inline std::string decided(const bounce_policy_options& options) {
    return decision_name(ask(options).decision);
}

inline std::string reason(const bounce_policy_options& options) {
    return ask(options).reason;
}

/// Of a device that asks with these; for messages.
inline std::string shown(const bounce_policy_options& o) {
    return "platform " + std::to_string(o.platform) + " transport " + std::to_string(o.transport) + " features " +
           std::to_string(o.features) + " flags " + std::to_string(o.flags) + " without " +
           std::to_string(o.without_access_platform) + " mask " + std::to_string(o.dma_mask) + " align " +
           std::to_string(o.align) + " bounce " + std::to_string(o.bounce) + " addresses " +
           std::to_string(o.addresses);
}

}  // namespace bounce
