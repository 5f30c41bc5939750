// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Devices come to a trust domain and leave it.
#include <bit>
#include <cerrno>
#include <cstring>

#include "allocator/pool/pool.hpp"

namespace bounce {

// The first device of a domain finds no content of devices before: they may have been another's.
Result<void> Pool::join_domain(RegionMask domain) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (domain == 0) return {};
    const std::lock_guard lock(lock_);
    if (auto good = domains_.check(domain, count_.load(std::memory_order_relaxed)); !good) return good;
    if (domains_.users(domain) == 0) {
        for (RegionMask rest = domain & domains_.used(); rest != 0; rest &= rest - 1) {
            if (auto fresh = freshen(*parts_[static_cast<std::size_t>(std::countr_zero(rest))]); !fresh) return fresh;
            domains_.note_fresh(rest & -rest);
        }
    }
    domains_.join(domain);
    return {};
}

void Pool::leave_domain(RegionMask domain) noexcept {
    if (domain == 0 || !alive()) return;
    const std::lock_guard lock(lock_);
    domains_.leave(domain);
}

/// Nobody uses the region, but whoever was shown the memory may still have it: fresh memory where that can be had. Of a
/// retired one nothing is handed out.
Result<void> Pool::freshen(Part& part) noexcept {
    if (part.retired.load(std::memory_order_relaxed)) return {};
    if (part.stage.load(std::memory_order_relaxed) > RegionStage::kDraining) return {};
    if (part.region.renewable()) return part.region.renew();
    for (std::uint32_t i = 0; i < part.next_chunk; ++i) {
        if (!part.region.usable(i)) continue;
        const Extent at = part.region.chunk(i);
        std::memset(part.region.hva() + at.offset, 0, at.bytes);
    }
    return {};
}

}  // namespace bounce
