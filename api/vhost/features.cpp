// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/features.hpp"

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdio>

#include "api/vhost/protocol.hpp"

namespace bounce::vhost {
namespace {

// Bits 24 to 49 belong to rings and transport (virtio 1.2, section 2.2); the others to the type of device, and any of
// them may be accepted for the caller.
constexpr std::uint64_t kTransportBits = ((std::uint64_t{1} << 50) - 1) & ~((std::uint64_t{1} << 24) - 1);
constexpr std::uint64_t kOurTransportBits =
    kIndirectDesc | kEventIdx | kVersion1 | kRingPacked | kInOrder | kOrderPlatform | kNotificationData | kRingReset;
constexpr std::uint64_t kAcceptable = ~kTransportBits | kOurTransportBits;

std::uint64_t acceptable(const FeaturePolicy& policy) noexcept {
    return kAcceptable | (policy.translated ? kAccessPlatform : 0);
}

std::uint64_t required_of(const FeaturePolicy& policy) noexcept {
    return policy.required | kVersion1 | (policy.translated ? kAccessPlatform : 0);
}

const char* name_of(unsigned bit) {
    switch (bit) {
        case 24: return "NOTIFY_ON_EMPTY";
        case 26: return "LOG_ALL";
        case 27: return "ANY_LAYOUT";
        case 28: return "INDIRECT_DESC";
        case 29: return "EVENT_IDX";
        case 30: return "PROTOCOL_FEATURES";
        case 32: return "VERSION_1";
        case 33: return "ACCESS_PLATFORM";
        case 34: return "RING_PACKED";
        case 35: return "IN_ORDER";
        case 36: return "ORDER_PLATFORM";
        case 37: return "SR_IOV";
        case 38: return "NOTIFICATION_DATA";
        case 40: return "RING_RESET";
        default: return nullptr;
    }
}

}  // namespace

FeatureNames::FeatureNames(std::uint64_t bits) noexcept : text{} {
    std::size_t at = 0;
    for (; bits != 0; bits &= bits - 1) {
        const auto bit = static_cast<unsigned>(std::countr_zero(bits));
        const char* name = name_of(bit);
        const char* separator = at == 0 ? "" : ", ";
        if (at + 40 > sizeof text) {  // room for one more in any case
            std::snprintf(text + at, sizeof text - at, "%s...", separator);
            return;
        }
        const int n = name == nullptr
                          ? std::snprintf(text + at, sizeof text - at, "%sbit %u", separator, bit)
                          : std::snprintf(text + at, sizeof text - at, "%sbit %u (%s)", separator, bit, name);
        at += static_cast<std::size_t>(n);
    }
}

Result<void> check_policy(const FeaturePolicy& policy) noexcept {
    const std::uint64_t required = required_of(policy);
    if (const std::uint64_t both = required & policy.refused; both != 0)
        return fail_text(EINVAL, "features both required and refused: %s%s", FeatureNames(both).text,
                         (both & kVersion1) != 0 ? "; VERSION_1 always is required" : "");
    if ((required & kAccessPlatform) != 0 && !policy.translated)
        return fail_text(ENOTSUP,
                         "ACCESS_PLATFORM (bit 33) is required, which makes addresses IOVAs, but no policy says that "
                         "they are: the back-end would see the pool at the addresses of the memory table");
    if (const std::uint64_t unknown = required & ~acceptable(policy); unknown != 0)
        return fail_text(ENOTSUP, "required features that the library does not have: %s", FeatureNames(unknown).text);
    return {};
}

Result<std::uint64_t> accept_features(std::uint64_t offered, const FeaturePolicy& policy,
                                      std::uint64_t previous) noexcept {
    if (auto possible = check_policy(policy); !possible) return possible.error();
    const std::uint64_t required = required_of(policy);
    if (const std::uint64_t missing = required & ~offered; missing != 0)
        return fail_text(ENOTSUP, "the back-end does not offer required features: %s (it offers 0x%llx)",
                         FeatureNames(missing).text, static_cast<unsigned long long>(offered));
    const std::uint64_t asked = required | policy.wanted | kEventIdx | kIndirectDesc;
    const std::uint64_t accepted = offered & asked & acceptable(policy) & ~policy.refused;
    if (const std::uint64_t lost = previous & ~accepted; lost != 0)
        return fail_text(ENOTSUP,
                         "the back-end does not offer features that its predecessor had: %s (it offers 0x%llx)",
                         FeatureNames(lost).text, static_cast<unsigned long long>(offered));
    return previous != 0 ? previous : accepted;
}

}  // namespace bounce::vhost
