// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device asks of its mappings. Most ask for nothing but a length, which the hot path looks at; for all others
// there is device_special.cpp.
#pragma once

#include <cstdint>

#include "bounce/bounce.h"

namespace bounce {

enum class Scrub : std::uint8_t {
    kNone = BOUNCE_SCRUB_NONE,
    kTail = BOUNCE_SCRUB_TAIL,
    kAll = BOUNCE_SCRUB_ALL,
};

struct DeviceLimits {
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};
    static constexpr std::uint64_t kLeastBoundary = 64;

    std::uint64_t max_segment_bytes = kNone;
    std::uint64_t min_align_mask = 0;    // 2^k - 1, below 2 MiB
    std::uint64_t segment_boundary = 0;  // power of two from kLeastBoundary on; 0: none
    std::uint32_t max_segments = 0;      // of a list; 0: no limit
    // At creation; Device::set_scrub() changes what is in force.
    Scrub scrub_at_map = Scrub::kNone;
    Scrub scrub_at_unmap = Scrub::kNone;

    /// Not every slot that is large enough will do.
    [[nodiscard]] constexpr bool placed() const noexcept { return min_align_mask != 0 || segment_boundary != 0; }
    /// The bytes of a slot that stand before the mapping of a buffer at this address.
    [[nodiscard]] constexpr std::uint64_t padding(std::uint64_t address) const noexcept {
        return address & min_align_mask;
    }
};

}  // namespace bounce
