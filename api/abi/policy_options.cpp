// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/policy_options.hpp"

#include <algorithm>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "api/dma/access_policy.hpp"
#include "api/dma/access_rules.hpp"
#include "bounce/platform.h"
#include "bounce/policy.h"

namespace bounce::abi {
namespace {

/// Not what bounce_policy_decide() puts together, but what would do harm if it were believed.
Result<void> check_answer(const bounce_policy& policy) noexcept {
    if (policy.decision > BOUNCE_DECISION_GRANT || policy.bounce < BOUNCE_LEVEL_NEVER ||
        policy.bounce > BOUNCE_LEVEL_REFUSE || policy.dma_mask == 0 || policy.coherent_dma_mask == 0 ||
        !is_power_of_two(policy.align) || !is_power_of_two(policy.granule))
        return fail(EINVAL, "options.policy (decision %llu, bounce %llu) is no answer of bounce_policy_decide()",
                    policy.decision, policy.bounce);
    return {};
}

/// Of the addresses that slots have: those of the pool's platform.
std::uint32_t form_of(std::uint32_t encoding) noexcept {
    switch (encoding) {
        case BOUNCE_ENCODING_IOVA: return BOUNCE_ADDRESS_IOVA;
        case BOUNCE_ENCODING_REGION_OFFSET: return BOUNCE_ADDRESS_REGION_OFFSET;
        default: return BOUNCE_ADDRESS_GPA;
    }
}

Result<void> check_form(const bounce_policy& policy, std::uint32_t encoding) noexcept {
    if (policy.address == form_of(encoding)) return {};
    return fail_text(ENOTSUP, "the policy is %s, but the addresses of this pool are %s", decision_name(policy.decision),
                     address_kind(form_of(encoding)));
}

/// An answer that allows something which this pool has.
Result<void> check_usable(const bounce_policy& policy, std::uint32_t encoding) noexcept {
    if (policy.decision == BOUNCE_DECISION_REFUSE)
        return fail_text(EPERM, "the policy refuses the device: %.*s", static_cast<int>(sizeof policy.reason - 1),
                         policy.reason);
    if (const auto good = check_answer(policy); !good) return good;
    return check_form(policy, encoding);
}

/// What may bounce lies where slots lie.
Result<void> check_align(const bounce_policy& policy, bool translates) noexcept {
    const bool bounces = !translates || policy.bounce > BOUNCE_LEVEL_NEVER;
    if (!bounces || policy.align <= SlabCore::kNaturalAlign) return {};
    return fail(ENOTSUP, "the policy wants data at multiples of %llu, but slots are at multiples of %llu", policy.align,
                SlabCore::kNaturalAlign);
}

}  // namespace

Result<void> read_policy(const bounce_device_options& options, std::uint32_t encoding, DeviceConfig& config) noexcept {
    if (options.policy == nullptr) {
        if (options.translate != nullptr || options.untranslate != nullptr)
            return fail(EINVAL, "options.translate or untranslate is set without a policy that allows it");
        return {};
    }
    const bounce_policy& policy = *options.policy;
    if (options.untranslate != nullptr && options.translate == nullptr)
        return fail(EINVAL, "options.untranslate is set without translate");
    if (const auto good = check_usable(policy, encoding); !good) return good;
    if (const auto good = check_align(policy, options.translate != nullptr); !good) return good;
    config.dma_mask = std::min(config.dma_mask, policy.dma_mask);
    config.coherent_dma_mask = std::min(config.coherent_dma_mask, policy.coherent_dma_mask);
    if (options.translate == nullptr || policy.bounce >= BOUNCE_LEVEL_ALWAYS) return {};
    config.direct = {.translate = options.translate,
                     .untranslate = options.untranslate,
                     .user = options.translate_user,
                     .may_bounce = policy.bounce == BOUNCE_LEVEL_WHEN_NEEDED,
                     .align = policy.align,
                     .granule = (policy.needs & BOUNCE_NEED_GRANULE) != 0 ? policy.granule : 1,
                     .highest = config.dma_mask};
    return {};
}

Result<bool> read_frontend_policy(const bounce_policy* policy, std::uint32_t encoding) noexcept {
    if (policy == nullptr) return false;
    if (const auto good = check_usable(*policy, encoding); !good) return good.error();
    switch (policy->decision) {
        case BOUNCE_DECISION_BOUNCED_GPA: return false;
        case BOUNCE_DECISION_BOUNCED_IOVA: return true;
        default:
            return fail_text(ENOTSUP, "the policy is %s, but a back-end process is shown the pool and nothing else",
                             decision_name(policy->decision));
    }
}

}  // namespace bounce::abi
