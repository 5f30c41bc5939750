// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <new>

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

constexpr const char* kForked = "a forked child has no pool: it stayed with its parent";

bool overlap(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b, std::uint64_t b_bytes) noexcept {
    return a <= b ? b - a < a_bytes : a - b < b_bytes;
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::create(const RegionConfig& first) noexcept {
    auto guard = ForkGuard::create();
    if (!guard) return guard.error();
    std::unique_ptr<Pool> pool(new (std::nothrow) Pool(std::move(*guard)));
    if (pool == nullptr) return fail(ENOMEM, "no private memory for a pool");
    if (auto added = pool->add_region(first); !added) return added.error();
    return pool;
}

Pool::~Pool() = default;

Result<RegionId> Pool::add_region(const RegionConfig& config) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const std::uint32_t count = count_.load(std::memory_order_relaxed);
    if (count == kMaxRegions) return fail(EINVAL, "the pool has %llu regions, which is the most", kMaxRegions);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Region& other = parts_[i]->region;
        if (overlap(config.base_gpa.value, config.bytes, other.base().value, other.bytes())) {
            return fail(EINVAL, "%llu bytes from GPA 0x%llx overlap the region at GPA 0x%llx (%llu bytes)",
                        config.bytes, config.base_gpa.value, other.base().value, other.bytes());
        }
        if (config.imported_hva != nullptr &&
            overlap(reinterpret_cast<std::uintptr_t>(config.imported_hva), config.bytes,
                    reinterpret_cast<std::uintptr_t>(other.hva()), other.bytes())) {
            return fail(EINVAL, "the mapping handed in overlaps that of region %llu", i);
        }
    }
    auto region = Region::create(config);
    if (!region) return region.error();
    auto tables = PrivateMemory::create(SlabTables::bytes_needed(config.base_gpa, config.bytes));
    if (!tables) return tables.error();
    parts_[count].reset(new (std::nothrow) Part(std::move(*region), std::move(*tables), usage_));
    if (parts_[count] == nullptr) return fail(ENOMEM, "no private memory for a region");
    // P1: release, pairs with the acquire in regions().
    count_.store(count + 1, std::memory_order_release);
    if (!lent()) use_regions(count + 1);
    return RegionId{count};
}

void Pool::use_regions(std::uint32_t count) noexcept {
    // P2: release, pairs with the acquire in usable_regions().
    usable_.store(count, std::memory_order_release);
}

std::uint32_t Pool::usable_regions() const noexcept {
    // P2: acquire, pairs with the release in use_regions().
    return usable_.load(std::memory_order_acquire);
}

std::uint32_t Pool::regions() const noexcept {
    // P1: acquire, pairs with the release in add_region().
    return count_.load(std::memory_order_acquire);
}

const Region& Pool::region(RegionId id) const noexcept {
    return parts_[id.value]->region;
}

SlabCore::Request Pool::request_of(const AllocRequest& request, const Region& region) noexcept {
    std::uint64_t end = region.bytes();
    const std::uint64_t base = region.base().value;
    if (request.max_address - base < end - 1) end = request.max_address - base + 1;
    if (request.max_address < base) end = 0;
    return {request.bytes, request.align, end, static_cast<unsigned>(request.kind), request.boundary};
}

Result<Slot> Pool::alloc(const AllocRequest& request) noexcept {
    const auto kind = static_cast<unsigned>(request.kind);
    if (request.bytes == 0 || !is_power_of_two(request.align) || request.align > kChunkBytes || kind - 1 > 2)
        [[unlikely]] {
        return fail(EINVAL, "%llu bytes aligned to %llu of kind %llu, expected > 0, a power of two up to 2 MiB, 1 to 3",
                    request.bytes, request.align, kind);
    }
    if (request.boundary != 0 && (!is_power_of_two(request.boundary) || request.boundary < request.bytes))
        [[unlikely]] {
        return fail(EINVAL, "%llu bytes within a boundary of %llu, expected 0 or a power of two that is not less",
                    request.bytes, request.boundary);
    }
    const std::uint32_t count = usable_regions();
    for (std::uint32_t i = 0; i < count; ++i) {
        Part& part = *parts_[i];
        const SlabCore::Request wanted = request_of(request, part.region);
        if (wanted.end < wanted.bytes) continue;
        Placement placement;
        const int code = part.core.alloc(wanted, placement);
        if (code == 0) [[likely]] {
            return Slot{part.region.base() + placement.offset, part.region.hva() + placement.offset,
                        part.region.epoch(), RegionId{i}, placement.generation};
        }
        if (code == EOWNERDEAD) return fail(EOWNERDEAD, kForked);
    }
    return why_not(request);
}

Error Pool::why_not(const AllocRequest& request) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    bool ever = false;
    bool below_mask = false;
    for (std::uint32_t i = 0; i < usable_regions(); ++i) {
        const Part& part = *parts_[i];
        SlabCore::Request wanted = request_of(request, part.region);
        below_mask = below_mask || part.core.could_hold(wanted);
        wanted.end = part.region.bytes();
        ever = ever || part.core.could_hold(wanted);
    }
    if (!ever) {
        return fail(E2BIG, "%llu bytes aligned to %llu: no region of the pool is large enough, even if empty",
                    request.bytes, request.align);
    }
    if (!below_mask) {
        return fail(ERANGE, "%llu bytes below 0x%llx: the pool has none there", request.bytes, request.max_address);
    }
    full_.fetch_add(1, std::memory_order_relaxed);
    return fail(ENOSPC, "%llu bytes aligned to %llu: the pool is full (%llu bytes are in use)", request.bytes,
                request.align, usage_.bytes());
}

// The part that a token names, nullptr when the token cannot be asked about. In a forked child the part finds nothing
// but zeroes and says so itself.
inline Pool::Part* Pool::part_of(const Slot& slot, SlotKind kind) const noexcept {
    if (slot.region.value >= regions() || static_cast<unsigned>(kind) - 1 > 2) [[unlikely]]
        return nullptr;
    Part* const part = parts_[slot.region.value].get();
    return slot.gpa - part->region.base() < part->region.bytes() ? part : nullptr;
}

// Why part_of() found none.
Error Pool::no_part(const Slot& slot, SlotKind kind) const noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (static_cast<unsigned>(kind) - 1 > 2) {
        return fail(EINVAL, "a slot of kind %llu, expected 1 to 3", static_cast<unsigned>(kind));
    }
    if (slot.region.value >= regions()) {
        return fail(EFAULT, "region %llu, but the pool has %llu", slot.region.value, regions());
    }
    return fail(EFAULT, "GPA 0x%llx is not in region %llu", slot.gpa.value, slot.region.value);
}

Placement Pool::placement_of(const Part& part, const Slot& slot) noexcept {
    return {slot.gpa - part.region.base(), slot.generation};
}

Error Pool::refuse(int code, const Slot& slot) noexcept {
    switch (code) {
        case EALREADY: return fail(code, "the slot at GPA 0x%llx is free already", slot.gpa.value);
        case ESTALE: return fail(code, "the slot at GPA 0x%llx is another by now, the token is stale", slot.gpa.value);
        case EPERM: return fail(code, "the slot at GPA 0x%llx is of another kind", slot.gpa.value);
        case EOWNERDEAD: return fail(code, kForked);
        default:
            return fail(code, "no slot begins at GPA 0x%llx, or it is shorter than the token says", slot.gpa.value);
    }
}

Result<void> Pool::free(const Slot& slot, SlotKind kind) noexcept {
    Part* const part = part_of(slot, kind);
    if (part == nullptr) [[unlikely]]
        return no_part(slot, kind);
    const int code = part->core.free(placement_of(*part, slot), static_cast<unsigned>(kind));
    if (code != 0) [[unlikely]]
        return refuse(code, slot);
    return {};
}

Result<void> Pool::begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes) noexcept {
    Part* const part = part_of(slot, kind);
    if (part == nullptr) [[unlikely]]
        return no_part(slot, kind);
    const Placement placement = placement_of(*part, slot);
    if (slot.hva != part->region.hva() + placement.offset) [[unlikely]]
        return misplaced(slot);
    const int code = part->core.begin_free(placement, static_cast<unsigned>(kind), bytes);
    if (code != 0) [[unlikely]]
        return refuse(code, slot);
    return {};
}

void Pool::finish_free(const Slot& slot) noexcept {
    Part& part = *parts_[slot.region.value];
    part.core.finish_free(placement_of(part, slot));
}

Result<void> Pool::check(const Slot& slot, SlotKind kind, std::uint64_t bytes) const noexcept {
    Part* const part = part_of(slot, kind);
    if (part == nullptr) [[unlikely]]
        return no_part(slot, kind);
    const Placement placement = placement_of(*part, slot);
    if (slot.hva != part->region.hva() + placement.offset) [[unlikely]]
        return misplaced(slot);
    const int code = part->core.check(placement, static_cast<unsigned>(kind), bytes);
    if (code != 0) [[unlikely]]
        return refuse(code, slot);
    return {};
}

Error Pool::misplaced(const Slot& slot) noexcept {
    return fail(EFAULT, "a slot at address 0x%llx, which is not where GPA 0x%llx is",
                reinterpret_cast<std::uintptr_t>(slot.hva), slot.gpa.value);
}

Result<Gpa> Pool::find_in_slot(const void* hva, std::uint64_t bytes, SlotKind kind) const noexcept {
    auto gpa = to_gpa(hva, bytes);
    if (!gpa) return gpa;
    std::uint32_t i = 0;
    while (*gpa - parts_[i]->region.base() >= parts_[i]->region.bytes()) ++i;
    const int code = parts_[i]->core.find_inside(*gpa - parts_[i]->region.base(), bytes, static_cast<unsigned>(kind));
    if (code == EPERM) return fail(EPERM, "the slot around GPA 0x%llx is of another kind", gpa->value);
    if (code != 0) return fail(code, "%llu bytes at GPA 0x%llx are not inside one slot", bytes, gpa->value);
    return gpa;
}

Result<void> Pool::renew() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    return renew_locked();
}

Result<void> Pool::forget() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const std::uint64_t allocs = usage_.allocs();
    // No device can come while the lock is held, so nobody writes while this goes on.
    if (users() != 0 || allocs == allocs_forgotten_) return {};
    const std::uint32_t count = count_.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i) {
        Region& region = parts_[i]->region;
        if (region.imported()) continue;
        if (auto renewed = region.renew(); !renewed) return renewed;
    }
    allocs_forgotten_ = allocs;
    return {};
}

Result<void> Pool::renew_locked() noexcept {
    const std::uint32_t count = count_.load(std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i) {
        if (parts_[i]->region.imported()) {
            return fail(ENOTSUP, "region %llu is a mapping handed in by the caller: it cannot be renewed", i);
        }
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        if (auto renewed = parts_[i]->region.renew(); !renewed) {
            return fail(renewed.code(), "no fresh memory for region %llu; of %llu regions, those before it are renewed",
                        i, count);
        }
    }
    return {};
}

Result<std::byte*> Pool::to_hva(Gpa gpa, std::uint64_t bytes) const noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    const std::uint32_t count = regions();
    for (std::uint32_t i = 0; i < count; ++i) {
        const Region& region = parts_[i]->region;
        const std::uint64_t offset = gpa - region.base();
        if (offset < region.bytes() && fits(offset, bytes, region.bytes())) return region.hva() + offset;
    }
    return fail(EFAULT, "%llu bytes at GPA 0x%llx are not inside one region", bytes, gpa.value);
}

Result<Gpa> Pool::to_gpa(const void* hva, std::uint64_t bytes) const noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    const auto address = reinterpret_cast<std::uintptr_t>(hva);
    const std::uint32_t count = regions();
    for (std::uint32_t i = 0; i < count; ++i) {
        const Region& region = parts_[i]->region;
        const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(region.hva());
        if (offset < region.bytes() && fits(offset, bytes, region.bytes())) return region.base() + offset;
    }
    return fail(EFAULT, "%llu bytes at address 0x%llx are not inside one region", bytes, address);
}

PoolStats Pool::stats() const noexcept {
    PoolStats stats{};
    if (!alive()) return stats;
    stats.regions = regions();
    for (std::uint32_t i = 0; i < stats.regions; ++i) {
        stats.bytes += parts_[i]->region.bytes();
        parts_[i]->core.count(stats.slots_of_kind);
    }
    for (unsigned kind = 1; kind <= 3; ++kind) {
        stats.slots += stats.slots_of_kind[kind];
        stats.allocs_of_kind[kind] = usage_.allocs(kind);
    }
    stats.used_bytes = usage_.bytes();
    stats.used_bytes_hiwater = usage_.most_bytes();
    stats.full = full_.load(std::memory_order_relaxed);
    return stats;
}

void Pool::add_user() noexcept {
    const std::lock_guard lock(lock_);  // not while forget() finds that there is none
    users_.fetch_add(1, std::memory_order_relaxed);
}

void Pool::drop_user() noexcept {
    // Release, pairs with the acquire in users(): what the user did to the pool is done.
    users_.fetch_sub(1, std::memory_order_release);
}

std::uint32_t Pool::users() const noexcept {
    // Acquire, pairs with the release in drop_user().
    return users_.load(std::memory_order_acquire);
}

Result<void> Pool::lend() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    switch (lending_.load(std::memory_order_relaxed)) {
        case Lending::kFree: break;
        case Lending::kLent: return fail(EBUSY, "the pool is lent to another back-end");
        case Lending::kWrittenOff:
            if (auto renewed = renew_locked(); !renewed) {
                char why[200];
                std::snprintf(why, sizeof why, "%s", last_error());
                return fail_text(
                    EBUSY,
                    "a former back-end may still write to the pool's memory, which cannot be renewed (%s): "
                    "it is lent to nobody",
                    why);
            }
    }
    lending_.store(Lending::kLent, std::memory_order_relaxed);
    return {};
}

void Pool::take_back() noexcept {
    const std::lock_guard lock(lock_);
    lending_.store(Lending::kFree, std::memory_order_relaxed);
    use_regions(count_.load(std::memory_order_relaxed));
}

void Pool::write_off() noexcept {
    const std::lock_guard lock(lock_);
    lending_.store(Lending::kWrittenOff, std::memory_order_relaxed);
    use_regions(count_.load(std::memory_order_relaxed));  // nobody is shown any
}

}  // namespace bounce
