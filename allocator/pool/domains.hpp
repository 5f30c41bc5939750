// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Trust domains of a pool. A region is either *restricted*, and serves the devices that name it, or open to all others.
// A domain is what a device names: a set of restricted regions; or nothing, which is all regions that are open. Two
// domains are the same or have no region in common, so no page ever serves two.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "allocator/base/error.hpp"

namespace bounce {

/// A set of regions, a bit each.
using RegionMask = std::uint64_t;

class Domains {
public:
    /// Region `bit` is restricted from now on and for ever. Before anybody is shown the region.
    void restrict(RegionMask bit) noexcept {
        // D1: release, pairs with the acquire in restricted(). Who sees the region in the pool's masks sees this as
        // well, since it is stored before those.
        restricted_.fetch_or(bit, std::memory_order_release);
    }
    [[nodiscard]] RegionMask restricted() const noexcept {
        return restricted_.load(std::memory_order_acquire);  // D1
    }
    /// What a domain may be served from, as far as the pool has it. 0: the domain of those that name no region.
    [[nodiscard]] RegionMask regions_of(RegionMask domain) const noexcept {
        return domain != 0 ? domain : ~restricted();
    }

    /// EINVAL: not all of them are regions of the `count`, and restricted. EBUSY: in part another's. Here and below one
    /// caller at a time.
    Result<void> check(RegionMask domain, std::uint32_t count) const noexcept;
    /// After check().
    void join(RegionMask domain) noexcept;
    void leave(RegionMask domain) noexcept;
    /// Of one domain, and of all of them.
    [[nodiscard]] std::uint32_t users(RegionMask domain) const noexcept;
    [[nodiscard]] std::uint32_t users() const noexcept { return users_; }
    /// Regions with what users of before left there. join() makes them so.
    [[nodiscard]] RegionMask used() const noexcept { return used_; }
    void note_fresh(RegionMask regions) noexcept { used_ &= ~regions; }

private:
    struct Domain {
        RegionMask regions = 0;
        std::uint32_t users = 0;
    };
    std::atomic<RegionMask> restricted_{0};
    std::array<Domain, 64> domains_;  // each at its lowest region
    std::uint32_t users_ = 0;
    RegionMask used_ = 0;
};

}  // namespace bounce
