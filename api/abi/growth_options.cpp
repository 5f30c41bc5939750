// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/abi/growth_options.hpp"

#include "allocator/base/bits.hpp"
#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"

namespace bounce::abi {
namespace {

constexpr std::uint32_t kGrowthFlags = BOUNCE_POOL_INLINE_GROWTH | BOUNCE_POOL_GROWTH_PREFAULT;
constexpr std::uint32_t kPoolFlags = kGrowthFlags | BOUNCE_POOL_EACH_NODE | BOUNCE_POOL_UNCHECKED;

int share(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
    auto& pool = *static_cast<bounce_pool*>(user);
    const int status = pool.share(pool.share_user, gpa, hva, bytes);
    if (status != 0)
        pool.callbacks.log(BOUNCE_LOG_WARNING,
                           "the chunk of %llu bytes at GPA 0x%llx could not be shared (%d); it is not used",
                           static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(gpa), status);
    return status;
}

int unshare(void* user, std::uint64_t gpa, void* hva, std::uint64_t bytes) noexcept {
    auto& pool = *static_cast<bounce_pool*>(user);
    const int status = pool.unshare(pool.share_user, gpa, hva, bytes);
    if (status != 0)
        pool.callbacks.log(BOUNCE_LOG_ERROR,
                           "the chunk of %llu bytes at GPA 0x%llx could not be unshared (%d): it stays mapped, and is "
                           "never used again",
                           static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(gpa), status);
    return status;
}

Result<void> check_hooks(const bounce_pool_options& options) noexcept {
    if ((options.share == nullptr) != (options.unshare == nullptr))
        return fail(EINVAL, "one of options.share and options.unshare is NULL, expected both or none");
    if (options.share == nullptr && options.share_granule != 0)
        return fail(EINVAL, "options.share_granule is %llu without options.share, must be 0", options.share_granule);
    if (options.share_granule != 0 && (!is_power_of_two(options.share_granule) || options.share_granule < kPageBytes ||
                                       options.share_granule > kChunkBytes))
        return fail(EINVAL, "options.share_granule is %llu, expected a power of two from 4096 to 2 MiB",
                    options.share_granule);
    return {};
}

}  // namespace

Result<GrowthConfig> read_growth_options(const bounce_pool_options& options) noexcept {
    if (const auto good = known_flags(options.flags, kPoolFlags, "options.flags"); !good) return good.error();
    if (const auto good = check_hooks(options); !good) return good.error();
    const bool set = (options.flags & kGrowthFlags) != 0 || options.low_watermark != 0 || options.high_watermark != 0 ||
                     options.growth_base_gpa != 0 || options.shrink_delay_ms != 0;
    if (options.limit_bytes == 0 && set)
        return fail(EINVAL, "options.limit_bytes is 0, so that the pool does not grow, but how it does is said");
    if (options.high_watermark != 0 && options.high_watermark < options.low_watermark)
        return fail(EINVAL, "options.high_watermark is %llu, expected at least the low one, %llu",
                    options.high_watermark, options.low_watermark);
    GrowthConfig config;
    config.limit_bytes = options.limit_bytes;
    config.low_watermark = options.low_watermark;
    config.high_watermark = options.high_watermark;
    config.shrink_delay_ms = options.shrink_delay_ms;
    config.base_gpa = Gpa{options.growth_base_gpa};
    config.in_line = (options.flags & BOUNCE_POOL_INLINE_GROWTH) != 0;
    config.prefault = (options.flags & BOUNCE_POOL_GROWTH_PREFAULT) != 0;
    return config;
}

ShareHooks share_hooks(bounce_pool& pool, const bounce_pool_options& options) noexcept {
    if (options.share == nullptr) return {};
    pool.share = options.share;
    pool.unshare = options.unshare;
    pool.share_user = options.share_user;
    return {share, unshare, &pool, options.share_granule == 0 ? kPageBytes : options.share_granule};
}

}  // namespace bounce::abi
