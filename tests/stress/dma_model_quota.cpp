// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Quotas that change under way: what a device may have, what it is sure to get, and when it is told that there is no
// more. What a slot takes is not modelled to the byte: bounds are, from what its payload takes at least and at most.
#include "tests/stress/dma_model_run.hpp"

namespace bounce::model {
namespace {

// What the contexts of a device may keep together, by the pool's rule.
constexpr std::uint64_t kKept = kLimit / 64;

std::uint64_t with_tails(std::uint64_t floors) {
    return floors + floors / 8;
}

}  // namespace

std::uint64_t ModelRun::floors() const {
    std::uint64_t sum = 0;
    for (const Quota& quota : quotas_) sum += quota.floor;
    return sum;
}

/// What the device can have away from home at most.
std::uint64_t ModelRun::most_used(std::size_t d) const {
    std::uint64_t bytes = kKept;
    for (const Mapped& mapped : mapped_)
        if (mapped.device == d) bytes += 2 * mapped.total() + mapped.tokens.size() * kSlotMost;
    for (const Block& block : blocks_)
        if (block.device == d) bytes += 2 * block.side.bytes.size() + kSlotMost;
    return bytes;
}

// May this be refused? Beyond the ceiling; or when the pool is full, or promised to others.
void ModelRun::refused(std::size_t d, int got, std::uint64_t bytes) {
    const Quota& quota = quotas_[d];
    const bounce_pool_stats now = stats();
    const std::uint64_t mine = most_used(d) + now.quarantined_bytes + 2 * bytes + kSlotMost;
    if (got == -EDQUOT) {
        ++accounts_.over;
        check(quota.ceiling != 0, "beyond a ceiling that the device has not");
        return check(mine > quota.ceiling, "so much is below the ceiling");
    }
    expect(got, ENOSPC);
    ++accounts_.full;
    // While half of it is free, what fits into a few pages must fit. (Where something is promised, whole slabs count of
    // which those beyond their floors have a slot: there is no such bound.)
    const std::uint64_t out = now.used_bytes + now.quarantined_bytes;
    check(floors() + reserve_ != 0 || out + bytes > active() / 2 || bytes > 64u << 10, "the pool is not so full");
    const bool simple = limits_[d].min_align_mask == 0 && limits_[d].boundary == 0 && bytes <= 8192;
    check(!quota.sure || !simple || mine > quota.floor, "refused within the floor");
}

void ModelRun::served(std::size_t d) {
    const Quota& quota = quotas_[d];
    bounce_quota now;
    check(bounce_device_get_quota(devices_[d], &now) == 0, "quota");
    check(now.floor_bytes == quota.floor && now.ceiling_bytes == quota.ceiling, "another quota");
    check(quota.ceiling == 0 || now.used_bytes <= quota.ceiling + kSlotMost, "served beyond the ceiling");
}

// From now on the floors are sure if there is plenty; otherwise only once enough has come home.
void ModelRun::note_promises() {
    const bounce_pool_stats now = stats();
    const std::uint64_t all = now.used_bytes + now.quarantined_bytes + with_tails(floors()) + reserve_;
    const bool plenty = aside_ < 0 && all <= active() / 4;
    for (Quota& quota : quotas_) quota.sure = plenty;
}

void ModelRun::set_quota() {
    operation_ = "quota";
    const std::size_t d = below(devices_.size());
    const std::uint64_t floor = below(3) == 0 ? 0 : below(8) == 0 ? below(kLimit) : below(3u << 18);
    const std::uint64_t ceiling = below(2) == 0 ? 0 : below(8) == 0 ? floor / 2 : floor + below(2u << 20);
    const std::uint64_t others = floors() - quotas_[d].floor;
    const int got = bounce_device_set_quota(devices_[d], floor, ceiling);
    if (ceiling != 0 && floor > ceiling) return expect(got, EINVAL);
    if (got == -ENOSPC) {
        ++accounts_.no_quota;
        const std::uint64_t there = active() - std::min(active(), stats().quarantined_bytes + kSlotMost);
        return check(floor > quotas_[d].floor && with_tails(others + floor) + reserve_ > there,
                     "the pool has enough for this floor");
    }
    expect(got, 0);
    check(floor <= quotas_[d].floor || with_tails(others + floor) + reserve_ <= active(), "more promised than there is");
    ++accounts_.quotas;
    quotas_[d].floor = floor;
    quotas_[d].ceiling = ceiling;
    note_promises();
}

void ModelRun::set_reserve() {
    operation_ = "reserve";
    const std::uint64_t bytes = below(2) == 0 ? 0 : below(1u << 20);
    const int got = bounce_pool_set_reserve(pool_, bytes);
    if (got == -ENOSPC) {
        ++accounts_.no_quota;
        const std::uint64_t there = active() - std::min(active(), stats().quarantined_bytes + kSlotMost);
        return check(bytes > reserve_ && with_tails(floors()) + bytes > there, "the pool has enough for this reserve");
    }
    expect(got, 0);
    ++accounts_.quotas;
    reserve_ = bytes;
    bounce_reserve now;
    check(bounce_pool_get_reserve(pool_, &now) == 0 && now.reserve_bytes == reserve_ && now.floor_bytes == floors() &&
              now.promised_bytes <= now.floor_bytes,
          "another reserve");
    note_promises();
}

void ModelRun::lift_quotas() {
    operation_ = "lift quotas";
    for (std::size_t d = 0; d < devices_.size(); ++d) {
        expect(bounce_device_set_quota(devices_[d], 0, 0), 0);
        quotas_[d] = {};
    }
    expect(bounce_pool_set_reserve(pool_, 0), 0);
    reserve_ = 0;
    bounce_reserve now;
    check(bounce_pool_get_reserve(pool_, &now) == 0 && now.floor_bytes == 0 && now.promised_bytes == 0,
          "promises are left");
}

}  // namespace bounce::model
