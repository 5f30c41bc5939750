// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Translated addresses: what the back-end may reach is what is in a private table, and what it asks for is looked up
// there and nowhere else.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "api/vhost/frontend.hpp"

namespace bounce::vhost {
namespace {

/// Of one call: a back-end that goes on asking cannot keep us.
constexpr std::uint32_t kMostRequests = 256;

bool valid(std::uint8_t access) noexcept {
    return access >= static_cast<std::uint8_t>(IotlbAccess::kRead) &&
           access <= static_cast<std::uint8_t>(IotlbAccess::kBoth);
}

}  // namespace

Result<void> Frontend::need_translation() const noexcept {
    if (config_.features.translated) return {};
    return fail(ENOTSUP, "addresses of this front-end are not translated: it was connected without a policy of IOVAs");
}

/// All of a region can be reached from the moment on at which the back-end is shown it.
Result<void> Frontend::translate_regions(RegionMask regions) noexcept {
    if (!config_.features.translated) return {};
    for (; regions != 0; regions &= regions - 1) {
        const Region& region = pool_.region(RegionId{static_cast<std::uint32_t>(std::countr_zero(regions))});
        const Translation range{region.address().value, region.bytes(), region.base().value, IotlbAccess::kBoth};
        if (auto done = iotlb_.map(range); !done) return done;
    }
    return {};
}

Result<void> Frontend::stop_translating(RegionMask regions) noexcept {
    if (!config_.features.translated) return {};
    for (; regions != 0; regions &= regions - 1) {
        const Region& region = pool_.region(RegionId{static_cast<std::uint32_t>(std::countr_zero(regions))});
        if (auto done = iotlb_.unmap(region.address().value, region.bytes()); !done) return done.error();
        if (auto done = session_.invalidate_iotlb(region.address().value, region.bytes()); !done) return done;
        ++iotlb_counts_.invalidations;
    }
    return {};
}

/// True: it was done.
Result<bool> Frontend::answer(const BackendMessage& message) noexcept {
    if (message.request != BackendRequest::kIotlb) return true;  // the configuration changed: who cares reads it
    const IotlbMessage& ask = message.iotlb;
    if (static_cast<IotlbType>(ask.type) == IotlbType::kAccessFail) {
        ++iotlb_counts_.denied;
        callbacks_.violation(name_, BOUNCE_VIOLATION_ACCESS, kNoRing, ask.iova, 0,
                             "the back-end was denied an access, as it says itself");
        return true;
    }
    if (static_cast<IotlbType>(ask.type) != IotlbType::kMiss || !valid(ask.access)) return false;
    ++iotlb_counts_.misses;
    const Translation* range = iotlb_.find(ask.iova);
    if (range == nullptr || !allows(range->access, static_cast<IotlbAccess>(ask.access))) {
        ++iotlb_counts_.denied;
        iotlb_counts_.denied_address = ask.iova;
        callbacks_.violation(name_, BOUNCE_VIOLATION_ACCESS, kNoRing, ask.iova, 0,
                             range == nullptr ? "the back-end wants an address that is not mapped for it"
                                              : "the back-end wants more of an address than it is mapped for");
        return false;
    }
    if (auto told = session_.update_iotlb(*range); !told) return told.error();
    ++iotlb_counts_.updates;
    return true;
}

/// Answers what has come, not more than so many at a time. How many.
Result<std::uint32_t> Frontend::serve_requests() noexcept {
    std::uint32_t done = 0;
    for (BackendMessage message; done < kMostRequests; ++done) {
        auto there = session_.receive_request(message);
        if (!there) return there.error();
        if (!*there) break;
        auto result = answer(message);
        if (!result) return result.error();
        if (auto sent = session_.answer_request(message, *result); !sent) return sent.error();
    }
    return done;
}

Result<std::uint32_t> Frontend::process() noexcept {
    if (auto good = need_translation(); !good) return good.error();
    if (auto good = need_connection(); !good) return good.error();
    auto done = serve_requests();
    if (!done) return noted(done.error()).error();
    return done;
}

/// While the connection is being made.
Result<void> Frontend::serve_misses() noexcept {
    if (!config_.features.translated) return {};
    auto done = serve_requests();
    return done ? Result<void>() : Result<void>(done.error());
}

Result<int> Frontend::requests_fd() const noexcept {
    if (auto good = need_translation(); !good) return good.error();
    if (auto good = need_connection(); !good) return good.error();
    return session_.requests_fd();
}

Result<void> Frontend::map_iova(std::uint64_t address, std::uint64_t bytes, IotlbAccess access) noexcept {
    if (auto good = need_translation(); !good) return good;
    if (auto good = need_connection(); !good) return good;
    for (RegionMask rest = shown_regions_; rest != 0; rest &= rest - 1) {
        const Region& region = pool_.region(RegionId{static_cast<std::uint32_t>(std::countr_zero(rest))});
        const std::uint64_t from = region.address().value;
        if (address < from || address - from >= region.bytes() || bytes > region.bytes() - (address - from)) continue;
        const Translation range{address, bytes, region.base().value + (address - from), access};
        if (auto done = iotlb_.map(range); !done) return done;
        // A back-end that asked before and was not told is told now: it may wait for that and not ask again.
        auto told = session_.update_iotlb(range);
        if (!told) return noted(told);
        ++iotlb_counts_.updates;
        return {};
    }
    return fail(EFAULT, "[0x%llx, +%llu) does not lie in one region that the back-end was shown", address, bytes);
}

Result<void> Frontend::unmap_iova(std::uint64_t address, std::uint64_t bytes) noexcept {
    if (auto good = need_translation(); !good) return good;
    if (auto good = need_connection(); !good) return good;
    auto taken = iotlb_.unmap(address, bytes);
    if (!taken) return taken.error();
    if (*taken == 0) return fail(EFAULT, "nothing of [0x%llx, +%llu) is mapped for the back-end", address, bytes);
    auto gone = session_.invalidate_iotlb(address, bytes);
    if (!gone) return noted(gone);
    ++iotlb_counts_.invalidations;
    return {};
}

Result<bounce_iotlb_info> Frontend::iotlb_info() const noexcept {
    if (auto good = need_translation(); !good) return good.error();
    bounce_iotlb_info info = iotlb_counts_;
    info.translations = iotlb_.count();
    return info;
}

}  // namespace bounce::vhost
