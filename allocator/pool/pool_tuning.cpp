// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool_tuning.hpp"

#include <cerrno>

namespace bounce {

GrowthConfig PoolTuning::growth() const noexcept {
    const std::lock_guard lock(pool_.lock_);
    return pool_.policy_.config();
}

std::uint64_t PoolTuning::most_limit() const noexcept {
    return pool_.policy_.window_bytes();  // never changes
}

Result<void> PoolTuning::set_growth(const GrowthConfig& growth) noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    const Pool::LookAfter look_after{pool_};
    const std::lock_guard lock(pool_.lock_);
    if (!pool_.policy_.grows()) return fail(ENOTSUP, "the pool was created without a limit: it does not grow");
    if (growth.limit_bytes == 0 || growth.limit_bytes > most_limit())
        return fail(EINVAL, "a limit of %llu bytes, expected 1 to %llu: so much was reserved at creation",
                    growth.limit_bytes, most_limit());
    if (growth.high_watermark != 0 && growth.high_watermark < growth.low_watermark)
        return fail(EINVAL, "a high watermark of %llu bytes, expected at least the low one, %llu",
                    growth.high_watermark, growth.low_watermark);
    pool_.policy_.tune(growth);
    pool_.update();
    // Who failed before may be served now; and what is due is to be seen.
    pool_.growth_failed_ = false;
    pool_.want_service();
    return {};
}

void Pool::set_numa_policy(ContextGroup& group, NumaPolicy policy) noexcept {
    if (!alive()) return;
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    if (group.numa_policy.exchange(policy, std::memory_order_relaxed) != policy) empty_contexts();
}

std::uint32_t PoolTuning::context_part() const noexcept {
    return pool_.contexts_.part();
}

void PoolTuning::set_context_part(std::uint32_t part) noexcept {
    const std::lock_guard lock(pool_.lock_);
    pool_.contexts_.set_part(part);
    pool_.update();
    pool_.empty_contexts();
}

}  // namespace bounce
