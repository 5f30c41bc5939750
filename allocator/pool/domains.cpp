// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/domains.hpp"

#include <bit>
#include <cerrno>

namespace bounce {
namespace {

std::size_t place_of(RegionMask domain) noexcept {
    return static_cast<std::size_t>(std::countr_zero(domain));
}

}  // namespace

Result<void> Domains::check(RegionMask domain, std::uint32_t count) const noexcept {
    const RegionMask there = count >= 64 ? ~RegionMask{0} : (RegionMask{1} << count) - 1;
    if (const RegionMask none = domain & ~there; none != 0)
        return fail(EINVAL, "the device names region %llu, but the pool has %llu", place_of(none), count);
    if (const RegionMask open = domain & ~restricted(); open != 0)
        return fail(EINVAL, "the device names region %llu, which is not restricted (BOUNCE_REGION_RESTRICTED)",
                    place_of(open));
    for (const Domain& other : domains_) {
        if (other.users == 0 || other.regions == domain || (other.regions & domain) == 0) continue;
        return fail(EBUSY,
                    "the device names the regions 0x%llx, and another one that exists 0x%llx: both must name the same, "
                    "or none in common",
                    domain, other.regions);
    }
    return {};
}

void Domains::join(RegionMask domain) noexcept {
    Domain& mine = domains_[place_of(domain)];
    mine.regions = domain;
    ++mine.users;
    ++users_;
    used_ |= domain;
}

void Domains::leave(RegionMask domain) noexcept {
    --domains_[place_of(domain)].users;
    --users_;
}

std::uint32_t Domains::users(RegionMask domain) const noexcept {
    const Domain& mine = domains_[place_of(domain)];
    return mine.regions == domain ? mine.users : 0;
}

}  // namespace bounce
