// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/access_policy.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "allocator/base/bits.hpp"
#include "api/dma/access_rules.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
constexpr std::uint64_t kLeastMask = 4095;  // below, not even one page
constexpr std::uint64_t kMaxAlign = 2u << 20;
constexpr std::uint64_t kLeastGranule = 4096;
constexpr std::uint64_t kCcwCoherentMask = (std::uint64_t{1} << 31) - 1;

constexpr std::uint32_t kAccessPolicyFlags = BOUNCE_POLICY_IOMMU | BOUNCE_POLICY_TRUSTED;
constexpr std::uint32_t kAddresses =
    BOUNCE_ADDRESS_GPA | BOUNCE_ADDRESS_IOVA | BOUNCE_ADDRESS_REGION_OFFSET | BOUNCE_ADDRESS_GRANT;

constexpr std::uint64_t limit_or_none(std::uint64_t mask) noexcept {
    return mask != 0 ? mask : kNoLimit;
}

Result<void> check_form(const bounce_policy_options& options) noexcept {
    if ((options.flags & ~kAccessPolicyFlags) != 0)
        return fail(EINVAL, "options.flags has unknown bits 0x%llx, known are 0x%llx",
                    options.flags & ~kAccessPolicyFlags, kAccessPolicyFlags);
    if ((options.addresses & ~kAddresses) != 0)
        return fail(EINVAL, "options.addresses has unknown bits 0x%llx, known are 0x%llx",
                    options.addresses & ~kAddresses, kAddresses);
    if (options.align != 0 && (!is_power_of_two(options.align) || options.align > kMaxAlign))
        return fail(EINVAL, "options.align is %llu, expected 0 or a power of two up to %llu", options.align, kMaxAlign);
    if (options.granule != 0 &&
        (!is_power_of_two(options.granule) || options.granule < kLeastGranule || options.granule > kMaxAlign))
        return fail(EINVAL, "options.granule is %llu, expected 0 or a power of two from %llu to %llu", options.granule,
                    kLeastGranule, kMaxAlign);
    return {};
}

/// One decision on its way: from what the device would get to what is left of that. Each step may only move it to the
/// right, so the steps need not know each other.
class Decision {
public:
    Decision(const bounce_policy_options& options, bounce_policy& policy) noexcept
        : options_(options), policy_(policy) {}

    Result<void> make() noexcept {
        if (!refused_) check_sense();
        if (!refused_) begin();
        if (!refused_) hear_transport();
        if (!refused_) hear_caller();
        if (!refused_ && options_.hook != nullptr) {
            if (const auto heard = hear_hook(); !heard) return heard;
        }
        if (!refused_) conclude();
        return {};
    }

private:
    [[nodiscard]] bool has(std::uint64_t feature) const noexcept { return (options_.features & feature) != 0; }
    [[nodiscard]] bool behind_iommu() const noexcept {
        // zPCI always has one in front of it.
        return (options_.flags & BOUNCE_POLICY_IOMMU) != 0 ||
               (options_.platform == BOUNCE_PLATFORM_S390_PV && options_.transport == BOUNCE_TRANSPORT_PCI);
    }
    [[nodiscard]] bool trusted() const noexcept { return (options_.flags & BOUNCE_POLICY_TRUSTED) != 0; }
    [[nodiscard]] bool over(std::uint32_t transport) const noexcept { return options_.transport == transport; }

    void check_sense() noexcept;
    void begin() noexcept;
    void begin_private() noexcept;
    void begin_open() noexcept;
    void note_needs() noexcept;
    void hear_transport() noexcept;
    void hear_caller() noexcept;
    Result<void> hear_hook() noexcept;
    void conclude() noexcept;

    void take(std::uint32_t level, std::uint32_t address, std::uint32_t rings) noexcept {
        say_.bounce = level;
        say_.addresses = address;
        policy_.rings = rings;
    }
    void restrict_addresses(std::uint32_t accepted, const char* why) noexcept;
    [[gnu::format(printf, 2, 3)]] void because(const char* format, ...) noexcept;
    [[gnu::format(printf, 2, 3)]] void also(const char* format, ...) noexcept;
    [[gnu::format(printf, 2, 3)]] void refuse(const char* format, ...) noexcept;
    void refuse_all() noexcept;
    void write(std::size_t at, const char* format, va_list arguments) noexcept {
        std::vsnprintf(policy_.reason + at, sizeof policy_.reason - at, format, arguments);
    }

    const bounce_policy_options& options_;
    bounce_policy& policy_;
    const PlatformRule* rule_ = nullptr;
    bounce_policy_say say_{};
    std::uint32_t needs_ = 0;
    bool refused_ = false;
};

void Decision::because(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    write(0, format, arguments);
    va_end(arguments);
}

void Decision::also(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    write(std::strlen(policy_.reason), format, arguments);
    va_end(arguments);
}

void Decision::refuse(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    write(0, format, arguments);
    va_end(arguments);
    refuse_all();
}

void Decision::refuse_all() noexcept {
    refused_ = true;
    set_refused(policy_);
}

/// What no machine can be.
void Decision::check_sense() noexcept {
    rule_ = find_platform(options_.platform);
    if (rule_ == nullptr) return refuse("platform %u is unknown", options_.platform);
    if (options_.transport > BOUNCE_TRANSPORT_VDPA) return refuse("transport %u is unknown", options_.transport);
    if (options_.bounce > BOUNCE_LEVEL_REFUSE)
        return refuse("bouncing %u is unknown, expected 0 to %d (enum bounce_level)", options_.bounce,
                      BOUNCE_LEVEL_REFUSE);
    if (options_.without_access_platform > BOUNCE_WITHOUT_BOUNCE)
        return refuse("without_access_platform %u is unknown, expected 0 (refuse) or 1 (bounce)",
                      options_.without_access_platform);
    if (const std::uint64_t unknown = options_.features & kUnknownFeatures; unknown != 0)
        return refuse("feature bit %d is not known here, and may change what an address means", lowest_bit(unknown));
    const bool s390 = options_.platform == BOUNCE_PLATFORM_S390 || options_.platform == BOUNCE_PLATFORM_S390_PV;
    if (over(BOUNCE_TRANSPORT_CCW) && !s390 && options_.platform != BOUNCE_PLATFORM_PLAIN)
        return refuse("virtio-ccw is of s390 and does not exist on %s", rule_->name);
    if (over(BOUNCE_TRANSPORT_MMIO) && s390) return refuse("%s has no virtio-mmio", rule_->name);
    for (const std::uint64_t mask : {limit_or_none(options_.dma_mask), limit_or_none(options_.coherent_dma_mask)}) {
        if (mask < kLeastMask)
            return refuse("a mask of 0x%llx reaches not even one page", static_cast<unsigned long long>(mask));
    }
    if (options_.platform == BOUNCE_PLATFORM_XEN)
        return refuse("Xen PV without grants has machine addresses, which are not ours to give");
}

/// What machine and device demand, if nobody else had a say.
void Decision::begin() noexcept {
    const bool own_region = has(BOUNCE_F_DMB);
    policy_.private_memory = rule_->is_private || own_region ? 1 : 0;
    if (policy_.private_memory != 0 && !has(BOUNCE_F_VERSION_1))
        return refuse("%s and the device did not negotiate VERSION_1, without which it gets no address at all",
                      own_region ? "the device has a region of its own," : rule_->why_private);
    if (own_region) {
        if (!has(BOUNCE_F_ACCESS_PLATFORM))
            return refuse("a device with a region of its own (VIRTIO_F_DMB) has to negotiate ACCESS_PLATFORM too");
        take(BOUNCE_LEVEL_ALWAYS, BOUNCE_ADDRESS_REGION_OFFSET, BOUNCE_RINGS_REGION);
        return because("the device sees its own region and nothing else: data bounces there, addresses are offsets");
    }
    if (rule_->is_private)
        begin_private();
    else
        begin_open();
    if (!refused_) note_needs();
}

void Decision::begin_private() noexcept {
    if (!has(BOUNCE_F_ACCESS_PLATFORM)) {
        if (options_.without_access_platform == BOUNCE_WITHOUT_REFUSE)
            return refuse("%s and the device did not negotiate ACCESS_PLATFORM", rule_->why_private);
        take(BOUNCE_LEVEL_ALWAYS, BOUNCE_ADDRESS_GPA, BOUNCE_RINGS_SHARED);
        return because("%s; without ACCESS_PLATFORM, as this device's policy allows, it gets the addresses of slots",
                       rule_->why_private);
    }
    if (options_.platform == BOUNCE_PLATFORM_XEN_GRANT) {
        if (limit_or_none(options_.dma_mask) != kNoLimit || limit_or_none(options_.coherent_dma_mask) != kNoLimit)
            return refuse("a grant has bit 63 set, which is beyond the device's mask");
        take(BOUNCE_LEVEL_NEVER, BOUNCE_ADDRESS_GRANT, BOUNCE_RINGS_GRANTED);
        return because("the other domain sees what it is granted, page by page");
    }
    const bool translated = over(BOUNCE_TRANSPORT_VDPA) || over(BOUNCE_TRANSPORT_VHOST_USER) || behind_iommu();
    const std::uint32_t address = translated ? BOUNCE_ADDRESS_IOVA : BOUNCE_ADDRESS_GPA;
    if (trusted() && rule_->lets_devices_in && !over(BOUNCE_TRANSPORT_VDPA)) {
        take(BOUNCE_LEVEL_NEVER, address, translated ? BOUNCE_RINGS_MAPPED : BOUNCE_RINGS_PRIVATE);
        return because("the device is trusted and let into private memory (TDISP, or of the paravisor)");
    }
    take(BOUNCE_LEVEL_ALWAYS, address, translated ? BOUNCE_RINGS_SHARED_MAPPED : BOUNCE_RINGS_SHARED);
    because("%s: data bounces through shared pages%s", rule_->why_private,
            translated ? ", which are mapped for the device" : "");
    if (trusted()) also("; that the device is trusted changes nothing, for it cannot be let in");
}

void Decision::begin_open() noexcept {
    const bool access_platform = has(BOUNCE_F_ACCESS_PLATFORM);
    if (over(BOUNCE_TRANSPORT_VDPA)) {
        if (!access_platform) return refuse("vDPA maps memory for the device, which takes ACCESS_PLATFORM");
        take(BOUNCE_LEVEL_ALWAYS, BOUNCE_ADDRESS_IOVA, BOUNCE_RINGS_COHERENT);
        return because("a vDPA device sees what is mapped for it: data bounces through that");
    }
    if (over(BOUNCE_TRANSPORT_VHOST_USER)) {
        take(trusted() ? BOUNCE_LEVEL_NEVER : BOUNCE_LEVEL_ALWAYS,
             access_platform ? BOUNCE_ADDRESS_IOVA : BOUNCE_ADDRESS_GPA, BOUNCE_RINGS_POOL);
        return because(trusted() ? "the back-end is trusted: it sees the buffers where they are"
                                 : "the back-end is not trusted: it sees the pool and nothing else");
    }
    if (behind_iommu() && !access_platform) {
        if (!trusted())
            return refuse(
                "without ACCESS_PLATFORM the device goes past the IOMMU, and it is not trusted with all memory");
        take(BOUNCE_LEVEL_NEVER, BOUNCE_ADDRESS_GPA, BOUNCE_RINGS_NORMAL);
        return because("without ACCESS_PLATFORM the device goes past the IOMMU; it is trusted with all memory");
    }
    if (behind_iommu()) {
        take(BOUNCE_LEVEL_NEVER, BOUNCE_ADDRESS_IOVA, BOUNCE_RINGS_MAPPED);
        if (trusted()) return because("the device is behind an IOMMU and trusted: buffers are mapped as they are");
        take(BOUNCE_LEVEL_WHEN_NEEDED, BOUNCE_ADDRESS_IOVA, BOUNCE_RINGS_MAPPED);
        needs_ |= BOUNCE_NEED_GRANULE;
        return because(
            "the device is behind an IOMMU and not trusted: what is not whole granules bounces, so that it "
            "does not see what lies beside");
    }
    const bool coherent = access_platform && options_.platform != BOUNCE_PLATFORM_S390;
    take(BOUNCE_LEVEL_NEVER, BOUNCE_ADDRESS_GPA, coherent ? BOUNCE_RINGS_COHERENT : BOUNCE_RINGS_NORMAL);
    because("memory is not private and nothing is between it and the device: buffers go as they are");
}

/// What a device cannot have as it is, unless everything bounces anyway.
void Decision::note_needs() noexcept {
    if (say_.bounce >= BOUNCE_LEVEL_ALWAYS) return;
    const std::uint64_t mask = limit_or_none(options_.dma_mask);
    // IOVAs are handed out below the mask.
    if ((say_.addresses & BOUNCE_ADDRESS_GPA) != 0 && mask < limit_or_none(options_.highest_address)) {
        needs_ |= BOUNCE_NEED_MASK;
        also("; what is above the mask 0x%llx bounces", static_cast<unsigned long long>(mask));
    }
    if (options_.align > 1) {
        needs_ |= BOUNCE_NEED_ALIGN;
        also("; what is not a multiple of %llu bounces", static_cast<unsigned long long>(options_.align));
    }
    if (needs_ != 0) say_.bounce = BOUNCE_LEVEL_WHEN_NEEDED;
}

void Decision::restrict_addresses(std::uint32_t accepted, const char* why) noexcept {
    const std::uint32_t left = say_.addresses & accepted;
    if (left == 0) return refuse("the device takes %s, but %s", address_kind(say_.addresses), why);
    say_.addresses = left;
}

void Decision::hear_transport() noexcept {
    if (over(BOUNCE_TRANSPORT_CCW))
        restrict_addresses(BOUNCE_ADDRESS_GPA, "virtio-ccw carries absolute addresses only");
    if (over(BOUNCE_TRANSPORT_VDPA)) restrict_addresses(BOUNCE_ADDRESS_IOVA, "vDPA carries IOVAs only");
}

void Decision::hear_caller() noexcept {
    if (options_.bounce == BOUNCE_LEVEL_REFUSE) return refuse("the caller asks to refuse the device");
    if (options_.bounce == BOUNCE_LEVEL_NEVER && say_.bounce > BOUNCE_LEVEL_NEVER) {
        also("; but the caller asks that nothing bounces");
        return refuse_all();
    }
    if (options_.bounce > say_.bounce) {
        say_.bounce = options_.bounce;
        also("; the caller asks to bounce %s", level_name(options_.bounce));
    }
    if (options_.addresses != 0) restrict_addresses(options_.addresses, "the caller accepts no such address");
}

Result<void> Decision::hear_hook() noexcept {
    bounce_policy_say heard = say_;
    options_.hook(options_.hook_user, &options_, &heard);
    if (heard.bounce < say_.bounce || heard.bounce > BOUNCE_LEVEL_REFUSE || (heard.addresses & ~say_.addresses) != 0) {
        refuse("the transport's hook tried to loosen the answer: bounce %u became %u, addresses 0x%x became 0x%x",
               say_.bounce, heard.bounce, say_.addresses, heard.addresses);
        return fail_text(EPERM, "%s", policy_.reason);
    }
    const bool changed = heard.bounce != say_.bounce || heard.addresses != say_.addresses;
    if (heard.bounce == BOUNCE_LEVEL_REFUSE) {
        refuse("the transport's hook refuses: %s", heard.why != nullptr ? heard.why : "it does not say why");
    } else if (heard.addresses == 0) {
        refuse("the transport's hook leaves no form of address: %s",
               heard.why != nullptr ? heard.why : "it does not say why");
    } else if (changed) {
        also("; the transport's hook makes it bounce %s%s%s", level_name(heard.bounce),
             heard.why != nullptr ? ": " : "", heard.why != nullptr ? heard.why : "");
    }
    say_.bounce = heard.bounce;
    say_.addresses = heard.addresses;
    return {};
}

void Decision::conclude() noexcept {
    const bool needed = say_.bounce == BOUNCE_LEVEL_WHEN_NEEDED && needs_ != 0;
    const bool bounces = say_.bounce == BOUNCE_LEVEL_ALWAYS || needed;
    policy_.bounce = say_.bounce;
    policy_.needs = needed ? needs_ : 0;
    policy_.address = say_.addresses;  // one: a device does not choose between forms
    policy_.decision = decision_of(say_.addresses, bounces);
    policy_.dma_mask = limit_or_none(options_.dma_mask);
    policy_.coherent_dma_mask = limit_or_none(options_.coherent_dma_mask);
    if (over(BOUNCE_TRANSPORT_CCW)) policy_.coherent_dma_mask = std::min(policy_.coherent_dma_mask, kCcwCoherentMask);
    policy_.align = std::max<std::uint64_t>(options_.align, 1);
    policy_.granule = std::max(options_.granule, kLeastGranule);
    // Rings follow the data of a device that was made to bounce, and its mask.
    const bool always = say_.bounce == BOUNCE_LEVEL_ALWAYS;
    const bool low = limit_or_none(options_.coherent_dma_mask) < limit_or_none(options_.highest_address);
    if (policy_.rings == BOUNCE_RINGS_NORMAL && (always || low)) policy_.rings = BOUNCE_RINGS_COHERENT;
    if (policy_.rings == BOUNCE_RINGS_PRIVATE && always) policy_.rings = BOUNCE_RINGS_SHARED;
    if (policy_.rings == BOUNCE_RINGS_MAPPED && always && policy_.private_memory != 0)
        policy_.rings = BOUNCE_RINGS_SHARED_MAPPED;
    set_texts(options_, *rule_, bounces, policy_);
}

}  // namespace

Result<void> decide_access(const bounce_policy_options& options, bounce_policy& policy) noexcept {
    policy = bounce_policy{};
    set_refused(policy);
    if (const auto good = check_form(options); !good) {
        std::snprintf(policy.reason, sizeof policy.reason, "%s", last_error());
        return good;
    }
    return Decision(options, policy).make();
}

}  // namespace bounce
