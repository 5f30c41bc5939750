// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/growth.hpp"

#include <algorithm>

#include "allocator/base/bits.hpp"
#include "allocator/region/region.hpp"

namespace bounce {

std::uint64_t GrowthPolicy::low_mark(std::uint64_t bytes) const noexcept {
    return config_.low_watermark != 0 ? config_.low_watermark : bytes / 4;
}

std::uint64_t GrowthPolicy::high_mark(std::uint64_t bytes) const noexcept {
    return config_.high_watermark != 0 ? config_.high_watermark : bytes / 4 * 3;
}

std::uint64_t GrowthPolicy::room(std::uint64_t total) const noexcept {
    return config_.limit_bytes > total ? config_.limit_bytes - total : 0;
}

std::uint64_t GrowthPolicy::next_region(std::uint64_t total, std::uint64_t wanted, bool hugepages) const noexcept {
    const std::uint64_t left = std::min(round_down(room(total), kPageBytes), Region::kMaxBytes);
    // A request beyond all bounds is not what the size is made for.
    const std::uint64_t least = std::max(total, wanted <= left ? wanted : 0);
    std::uint64_t bytes = std::min(left, round_up(std::max<std::uint64_t>(least, 1), kChunkBytes));
    if (hugepages) bytes = round_down(bytes, kChunkBytes);
    return bytes < Region::kMinBytes ? 0 : bytes;
}

bool GrowthPolicy::short_of_memory(const GrowthState& state) const noexcept {
    const std::uint64_t have = state.ready + state.coming;
    const std::uint64_t free = have > state.used ? have - state.used : 0;
    if (state.wanted != 0 && state.coming < state.wanted) return true;
    return free < low_mark(have);
}

std::uint64_t GrowthPolicy::pressure_mark(const GrowthState& state, bool can_grow) const noexcept {
    if (!grows() || !can_grow) return ~std::uint64_t{0};
    // What is on its way does not help before it is there.
    const std::uint64_t low = low_mark(state.ready + state.coming);
    return state.ready + state.coming > low ? state.ready + state.coming - low : 0;
}

bool GrowthPolicy::spare(const GrowthState& state, std::uint64_t region_bytes) const noexcept {
    const std::uint64_t free = state.ready > state.used ? state.ready - state.used : 0;
    if (state.wanted != 0 || state.ready <= region_bytes) return false;
    const std::uint64_t left = state.ready - region_bytes;
    return free > high_mark(state.ready) && free > region_bytes && free - region_bytes > low_mark(left);
}

bool GrowthPolicy::spare_for_long(bool spare_now, std::uint64_t now_ms) noexcept {
    if (spare_now && !spare_before_) spare_since_ms_ = now_ms;
    spare_before_ = spare_now;
    return spare_now && config_.shrink_delay_ms != 0 && now_ms - spare_since_ms_ >= config_.shrink_delay_ms;
}

}  // namespace bounce
