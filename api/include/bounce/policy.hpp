// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// libbounce for C++20: the policy function of policy.h, which says what everything means. Header-only, throws nothing.
#ifndef BOUNCE_POLICY_HPP
#define BOUNCE_POLICY_HPP

#include <bounce/policy.h>
#include <bounce/bounce.hpp>

#include <cstdint>
#include <functional>

namespace bounce {
inline namespace v0 {

/// A transport's say: may make it stricter, and nothing else.
using PolicyHook = std::function<void(const bounce_policy_options&, bounce_policy_say&)>;

struct PolicyOptions {
    bounce_platform_kind platform = BOUNCE_PLATFORM_PLAIN;
    bounce_transport transport = BOUNCE_TRANSPORT_PCI;
    std::uint64_t features = 0;
    std::uint32_t flags = 0;  // BOUNCE_POLICY_IOMMU, BOUNCE_POLICY_TRUSTED
    bounce_without_access_platform without_access_platform = BOUNCE_WITHOUT_REFUSE;
    std::uint64_t dma_mask = 0;
    std::uint64_t coherent_dma_mask = 0;
    std::uint64_t highest_address = 0;
    std::uint64_t align = 0;
    std::uint64_t granule = 0;
    bounce_level bounce = BOUNCE_LEVEL_AUTO;
    std::uint32_t addresses = 0;  // BOUNCE_ADDRESS_*
    PolicyHook hook{};            // must not throw
};

/// The answer; BOUNCE_DECISION_REFUSE is one. EINVAL: malformed, EPERM: the hook tried to loosen.
[[nodiscard]] inline Result<bounce_policy> decide(const PolicyOptions& options) noexcept {
    bounce_policy_options raw{};
    raw.size = sizeof raw;
    raw.platform = options.platform;
    raw.transport = options.transport;
    raw.features = options.features;
    raw.flags = options.flags;
    raw.without_access_platform = options.without_access_platform;
    raw.dma_mask = options.dma_mask;
    raw.coherent_dma_mask = options.coherent_dma_mask;
    raw.highest_address = options.highest_address;
    raw.align = options.align;
    raw.granule = options.granule;
    raw.bounce = options.bounce;
    raw.addresses = options.addresses;
    if (options.hook) {
        raw.hook_user = const_cast<PolicyHook*>(&options.hook);
        raw.hook = [](void* user, const bounce_policy_options* asked, bounce_policy_say* say) noexcept {
            (*static_cast<const PolicyHook*>(user))(*asked, *say);
        };
    }
    bounce_policy policy;
    if (const int status = bounce_policy_decide(&raw, &policy); status < 0) return Error(-status);
    return policy;
}

}  // namespace v0
}  // namespace bounce
#endif
