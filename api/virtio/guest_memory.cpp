// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/guest_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>
#include <utility>

#include "allocator/base/clock.hpp"
#include "allocator/base/membarrier.hpp"

namespace bounce {
namespace {

using GuestRegion = bounce_guest_region;

constexpr std::uint32_t kMostRegions = 1U << 20;

/// The last byte: the first one beyond does not exist when a region ends at 2^64.
std::uint64_t last_of(const GuestRegion& region) noexcept {
    return region.gpa + (region.bytes - 1);
}

Result<void> check(const GuestRegion& region) noexcept {
    if (region.bytes == 0 || region.hva == nullptr || region.gpa + (region.bytes - 1) < region.gpa) {
        return fail(EINVAL, "a guest region of %llu bytes from 0x%llx on at 0x%llx: empty, nowhere, or beyond 2^64",
                    region.bytes, region.gpa, reinterpret_cast<std::uintptr_t>(region.hva));
    }
    if ((region.flags & ~std::uint32_t{BOUNCE_GUEST_READ_ONLY}) != 0 || region.reserved != 0) {
        return fail(EINVAL, "the guest region at 0x%llx has flags 0x%llx and reserved %llu, expected 0 or 1, and 0",
                    region.gpa, region.flags, region.reserved);
    }
    return {};
}

}  // namespace

const GuestRegion* GuestMap::search(std::uint64_t gpa, std::uint32_t& last) const noexcept {
    const GuestRegion* const begin = regions.get();
    const GuestRegion* const behind =
        std::upper_bound(begin, begin + n, gpa, [](std::uint64_t at, const GuestRegion& one) { return at < one.gpa; });
    if (behind == begin || gpa - behind[-1].gpa >= behind[-1].bytes) return nullptr;
    last = static_cast<std::uint32_t>(behind - begin - 1);
    return behind - 1;
}

// ---- A user ------------------------------------------------------------------------------------------------------

GuestMemoryUser::GuestMemoryUser(GuestMemory& memory) noexcept : memory_(memory) {
    const std::lock_guard lock(memory.lock_);
    next_ = std::exchange(memory.users_, this);
}

GuestMemoryUser::~GuestMemoryUser() {
    const std::lock_guard lock(memory_.lock_);
    GuestMemoryUser** at = &memory_.users_;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
}

/// The operation goes over to the newest map.
void GuestMemoryUser::renew() noexcept {
    map_ = memory_.map_.load(std::memory_order_acquire);  // U2: pairs with C1; not older than the epoch that was seen
    epoch_ = map_->epoch;
    advance();
    seen_.store(epoch_, std::memory_order_relaxed);  // U3
}

/// Counts in a bin of its own what is held from now on. A bin that still counts, because there is none left, keeps the
/// epoch of its oldest element; the next element tries again.
void GuestMemoryUser::advance() noexcept {
    if (bins_[newest_].count != 0 && (newest_ + 1) % kBins != oldest_bin_) newest_ = (newest_ + 1) % kBins;
    if (bins_[newest_].count == 0) bins_[newest_].epoch = epoch_;
    settle();
}

/// Moves on from bins that count nothing any more.
void GuestMemoryUser::settle() noexcept {
    while (oldest_bin_ != newest_ && bins_[oldest_bin_].count == 0) oldest_bin_ = (oldest_bin_ + 1) % kBins;
    oldest_.store(bins_[oldest_bin_].epoch, std::memory_order_relaxed);  // U3
}

bool GuestMemoryUser::past(std::uint64_t epoch) const noexcept {
    const std::uint64_t sequence = sequence_.load(std::memory_order_seq_cst);  // C3: pairs with U1 and U4
    // C4: what U3 said before U4. During an operation `seen` may be of the one before: then it counts as not past.
    if (sequence % 2 != 0 && seen_.load(std::memory_order_relaxed) < epoch) return false;
    return outstanding_.load(std::memory_order_relaxed) == 0 || oldest_.load(std::memory_order_relaxed) >= epoch;
}

// ---- The memory --------------------------------------------------------------------------------------------------

GuestMemory::GuestMemory(std::unique_ptr<GuestMap> first) noexcept
    : heavy_(register_heavy_barrier()), current_(std::move(first)) {
    current_->epoch = 1;
    map_.store(current_.get(), std::memory_order_release);  // C1, before anybody looks
}

GuestMemory::~GuestMemory() {
    // One after the other: a list that ends itself would recurse.
    while (current_ != nullptr) current_ = std::move(current_->retired);
}

Result<std::unique_ptr<GuestMemory>> GuestMemory::create() noexcept {
    std::unique_ptr<GuestMap> first(new (std::nothrow) GuestMap);
    std::unique_ptr<GuestMemory> memory(first != nullptr ? new (std::nothrow) GuestMemory(std::move(first)) : nullptr);
    if (memory == nullptr) return fail(ENOMEM, "no memory for the regions of a guest");
    return memory;
}

/// A map with room for n regions that is otherwise like the current one; nullptr without memory.
std::unique_ptr<GuestMap> GuestMemory::next_map(std::uint32_t n) const noexcept {
    std::unique_ptr<GuestMap> map(new (std::nothrow) GuestMap);
    if (map == nullptr) return nullptr;
    map->regions.reset(n != 0 ? new (std::nothrow) GuestRegion[n] : nullptr);
    if (n != 0 && map->regions == nullptr) return nullptr;
    map->n = n;
    map->epoch = current_->epoch + 1;
    map->dirty = current_->dirty;
    map->dirty_user = current_->dirty_user;
    return map;
}

/// C1 and C2. The ticket of a change is its epoch.
std::uint64_t GuestMemory::show(std::unique_ptr<GuestMap> map) noexcept {
    const std::uint64_t epoch = map->epoch;
    map->retired = std::move(current_);
    current_ = std::move(map);
    map_.store(current_.get(), std::memory_order_seq_cst);  // C1: pairs with U2
    epoch_.store(epoch, std::memory_order_seq_cst);         // C1: after the map; pairs with U2
    if (heavy_) (void)heavy_barrier();                      // C2
    free_retired();
    return epoch;
}

bool GuestMemory::all_past(std::uint64_t epoch) noexcept {
    for (const GuestMemoryUser* user = users_; user != nullptr; user = user->next_) {
        if (!user->past(epoch)) return false;
    }
    return true;
}

/// Each map that is older than one which all users are past.
void GuestMemory::free_retired() noexcept {
    for (GuestMap* map = current_.get(); map->retired != nullptr; map = map->retired.get()) {
        if (!all_past(map->epoch)) continue;
        std::unique_ptr<GuestMap> gone = std::move(map->retired);
        while (gone != nullptr) gone = std::move(gone->retired);
        return;
    }
}

/// A map with what is there, when `keep`, and these.
Result<std::unique_ptr<GuestMap>> GuestMemory::map_of(std::span<const bounce_guest_region> regions,
                                                      bool keep) const noexcept {
    for (const GuestRegion& region : regions) {
        if (auto good = check(region); !good) return good.error();
    }
    const std::uint32_t kept = keep ? current_->n : 0;
    if (regions.size() > kMostRegions - kept) {
        return fail(EINVAL, "%llu regions beside the %llu that a guest has, expected at most %llu", regions.size(),
                    kept, kMostRegions);
    }
    auto map = next_map(kept + static_cast<std::uint32_t>(regions.size()));
    if (map == nullptr) return fail(ENOMEM, "no memory for %llu regions of a guest", kept + regions.size());
    GuestRegion* const all = map->regions.get();
    std::copy_n(current_->regions.get(), kept, all);
    std::copy(regions.begin(), regions.end(), all + kept);
    std::sort(all, all + map->n, [](const GuestRegion& a, const GuestRegion& b) { return a.gpa < b.gpa; });
    for (std::uint32_t i = 1; i < map->n; ++i) {
        if (last_of(all[i - 1]) >= all[i].gpa) {
            return fail(EEXIST, "the guest regions at 0x%llx (%llu bytes) and 0x%llx overlap", all[i - 1].gpa,
                        all[i - 1].bytes, all[i].gpa);
        }
    }
    return map;
}

Result<void> GuestMemory::add(std::span<const bounce_guest_region> regions) noexcept {
    const std::lock_guard lock(lock_);
    auto map = map_of(regions, true);
    if (!map) return map.error();
    (void)show(std::move(*map));
    return {};
}

Result<std::uint64_t> GuestMemory::set(std::span<const bounce_guest_region> regions) noexcept {
    const std::lock_guard lock(lock_);
    auto map = map_of(regions, false);
    if (!map) return map.error();
    return show(std::move(*map));
}

Result<std::uint64_t> GuestMemory::remove(std::uint64_t gpa, std::uint64_t bytes) noexcept {
    if (bytes == 0 || gpa + (bytes - 1) < gpa) {
        return fail(EINVAL, "%llu bytes from 0x%llx on: empty, or beyond 2^64", bytes, gpa);
    }
    const std::uint64_t last = gpa + (bytes - 1);
    const std::lock_guard lock(lock_);
    std::uint32_t gone = 0;
    for (std::uint32_t i = 0; i < current_->n; ++i) {
        const GuestRegion& one = current_->regions[i];
        if (last_of(one) < gpa || one.gpa > last) continue;
        if (one.gpa < gpa || last_of(one) > last) {
            return fail(EINVAL, "the guest region at 0x%llx (%llu bytes) is only partly in 0x%llx to 0x%llx", one.gpa,
                        one.bytes, gpa, last);
        }
        ++gone;
    }
    if (gone == 0) return fail(ENOENT, "no guest region is in 0x%llx to 0x%llx", gpa, last);
    auto map = next_map(current_->n - gone);
    if (map == nullptr) return fail(ENOMEM, "no memory for %llu regions of a guest", current_->n - gone);
    std::copy_if(current_->regions.get(), current_->regions.get() + current_->n, map->regions.get(),
                 [&](const GuestRegion& one) { return one.gpa < gpa || one.gpa > last; });
    return show(std::move(map));
}

Result<std::uint64_t> GuestMemory::log_dirty(bounce_dirty_fn dirty, void* user) noexcept {
    const std::lock_guard lock(lock_);
    auto map = next_map(current_->n);
    if (map == nullptr) return fail(ENOMEM, "no memory for %llu regions of a guest", current_->n);
    std::copy_n(current_->regions.get(), current_->n, map->regions.get());
    map->dirty = dirty;
    map->dirty_user = user;
    return show(std::move(map));
}

Result<void> GuestMemory::wait(std::uint64_t ticket, std::uint32_t timeout_ms) noexcept {
    constexpr std::uint64_t kFirst = 50'000;
    constexpr std::uint64_t kLongest = 1'000'000;
    const std::uint64_t begin = clock_ns();
    for (std::uint64_t pause = kFirst;; pause = std::min(2 * pause, kLongest)) {
        {
            const std::lock_guard lock(lock_);
            if (ticket < 2 || ticket > current_->epoch) {
                return fail(EINVAL, "ticket %llu, expected 2 to %llu: those of the changes so far", ticket,
                            current_->epoch);
            }
            if (all_past(ticket)) {
                free_retired();
                return {};
            }
        }
        if (timeout_ms != UINT32_MAX && clock_ns() - begin >= timeout_ms * std::uint64_t{1'000'000}) {
            return fail(ETIMEDOUT, "after %llu ms a queue still uses the memory of before change %llu", timeout_ms,
                        ticket);
        }
        const timespec time{0, static_cast<long>(pause)};
        ::nanosleep(&time, nullptr);
    }
}

bool GuestMemory::used() noexcept {
    const std::lock_guard lock(lock_);
    return users_ != nullptr;
}

}  // namespace bounce
