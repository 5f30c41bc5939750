// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/platform_options.hpp"

#include "allocator/base/bits.hpp"
#include "api/abi/options.hpp"

namespace bounce::abi {
namespace {

constexpr std::size_t kFirstPlatformOptions = offsetof(bounce_platform, user) + sizeof(void*);
constexpr std::uint32_t kPlatformFlags = BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM | BOUNCE_PLATFORM_OWN_MEMORY;

Result<void> check_encoding(const bounce_platform& platform) noexcept {
    const std::uint64_t value = platform.encoding_value;
    switch (platform.encoding) {
        case BOUNCE_ENCODING_IDENTITY:
        case BOUNCE_ENCODING_REGION_OFFSET: return must_be_zero(value, "platform.encoding_value");
        case BOUNCE_ENCODING_C_BIT:
        case BOUNCE_ENCODING_SHARED_BIT:
            if (is_power_of_two(value) && value >= kChunkBytes) return {};
            return fail(EINVAL, "platform.encoding_value is 0x%llx, expected one bit of at least 2 MiB", value);
        case BOUNCE_ENCODING_BIAS:
        case BOUNCE_ENCODING_IOVA:
            if (is_multiple(value, kChunkBytes)) return {};
            return fail(EINVAL, "platform.encoding_value is 0x%llx, expected a multiple of 2 MiB", value);
        default:
            return fail(EINVAL, "platform.encoding is %llu, expected 0 to %llu (enum bounce_encoding)",
                        platform.encoding, BOUNCE_ENCODING_IOVA);
    }
}

Result<void> check_audience(const bounce_audience& audience) noexcept {
    if (const auto good = must_be_zero(audience.reserved, "platform.audience.reserved"); !good) return good;
    if (audience.kind > BOUNCE_AUDIENCE_PROCESS)
        return fail(EINVAL, "platform.audience.kind is %llu, expected 0 (everyone), 1 (domain) or 2 (process)",
                    audience.kind);
    if (audience.kind == BOUNCE_AUDIENCE_EVERYONE) return must_be_zero(audience.id, "platform.audience.id");
    return {};
}

Result<void> check_hooks(const bounce_platform& platform) noexcept {
    if ((platform.share == nullptr) != (platform.unshare == nullptr))
        return fail(EINVAL, "one of platform.share and platform.unshare is NULL, expected both or none");
    if ((platform.iommu_map == nullptr) != (platform.iommu_unmap == nullptr))
        return fail(EINVAL, "one of platform.iommu_map and platform.iommu_unmap is NULL, expected both or none");
    if (platform.encoding != BOUNCE_ENCODING_IOVA && (platform.iommu_map != nullptr || platform.locate != nullptr))
        return fail(EINVAL, "platform.encoding is %llu, but the hooks of an IOMMU come with %llu (IOVA) only",
                    platform.encoding, BOUNCE_ENCODING_IOVA);
    if (platform.locate != nullptr && platform.encoding_value != 0)
        return fail(EINVAL, "platform.encoding_value is 0x%llx, but platform.locate says where regions are, must be 0",
                    platform.encoding_value);
    if (!is_power_of_two(platform.granule) || platform.granule < kPageBytes || platform.granule > kChunkBytes)
        return fail(EINVAL, "platform.granule is %llu, expected a power of two from 4096 to 2 MiB", platform.granule);
    return {};
}

enum class Step { kShare, kUnshare, kMap, kUnmap };

int convert(bounce_pool& pool, Step step, std::uint64_t address, std::uint64_t gpa, void* hva,
            std::uint64_t bytes) noexcept {
    const bounce_platform& platform = pool.platform;
    const bounce_range range{gpa, address, hva, bytes};
    const bounce_convert_fn hooks[] = {platform.share, platform.unshare, platform.iommu_map, platform.iommu_unmap};
    const int status = hooks[static_cast<int>(step)](platform.user, &range, &platform.audience);
    if (status != 0) {
        static constexpr const char* kWhat[] = {"shared", "unshared", "put into the IOMMU", "taken out of the IOMMU"};
        const bool in = step == Step::kShare || step == Step::kMap;
        pool.callbacks.log(in ? BOUNCE_LOG_WARNING : BOUNCE_LOG_ERROR,
                           "the chunk of %llu bytes at GPA 0x%llx could not be %s (%d); it is not used%s",
                           static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(gpa),
                           kWhat[static_cast<int>(step)], status, in ? "" : " any more, and stays mapped");
    }
    return status;
}

template <Step step>
int converted(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
    auto& pool = *static_cast<bounce_pool*>(user);
    return convert(pool, step, 0, gpa, hva, bytes);
}

template <Step step>
int mapped(void* user, std::uint64_t address, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
    return convert(*static_cast<bounce_pool*>(user), step, address, gpa, hva, bytes);
}

}  // namespace

Result<bounce_platform> read_platform(const bounce_platform* given) noexcept {
    bounce_platform platform{};
    if (const auto read = read_options(given, kFirstPlatformOptions, "platform", platform); !read) return read.error();
    platform.size = sizeof platform;
    if (platform.granule == 0) platform.granule = kPageBytes;
    if (platform.kind > BOUNCE_PLATFORM_XEN_GRANT)
        return fail(EINVAL, "platform.kind is %llu, expected 0 to %llu (enum bounce_platform_kind)", platform.kind,
                    BOUNCE_PLATFORM_XEN_GRANT);
    if (const auto good = known_flags(platform.flags, kPlatformFlags, "platform.flags"); !good) return good.error();
    if (const auto good = check_encoding(platform); !good) return good.error();
    if (const auto good = check_audience(platform.audience); !good) return good.error();
    if (const auto good = check_hooks(platform); !good) return good.error();
    return platform;
}

AddressForm address_form(const bounce_platform& platform) noexcept {
    AddressForm form;
    switch (platform.encoding) {
        case BOUNCE_ENCODING_C_BIT: form.forbidden = platform.encoding_value; break;
        case BOUNCE_ENCODING_SHARED_BIT: form.forbidden = form.bias = platform.encoding_value; break;
        case BOUNCE_ENCODING_REGION_OFFSET: form.offset = true; break;
        default: form.bias = platform.encoding_value; break;  // 0 for the identity
    }
    form.locate = platform.locate;
    form.user = platform.user;
    return form;
}

ShareHooks platform_hooks(bounce_pool& pool) noexcept {
    const bounce_platform& platform = pool.platform;
    ShareHooks hooks;
    hooks.user = &pool;
    hooks.granule = platform.granule;
    if (platform.share != nullptr) {
        hooks.share = converted<Step::kShare>;
        hooks.unshare = converted<Step::kUnshare>;
    }
    if (platform.iommu_map != nullptr) {
        hooks.map = mapped<Step::kMap>;
        hooks.unmap = mapped<Step::kUnmap>;
    }
    return hooks;
}

}  // namespace bounce::abi
