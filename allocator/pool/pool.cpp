// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool.hpp"

#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"

namespace bounce {
const Region& Pool::region(RegionId id) const noexcept {
    return parts_[id.value]->region;
}

SlabCore::Request Pool::request_of(const AllocRequest& request, const Region& region) noexcept {
    std::uint64_t end = region.bytes();
    const std::uint64_t base = region.base().value;
    if (request.max_address - base < end - 1) end = request.max_address - base + 1;
    if (request.max_address < base) end = 0;
    return {request.bytes, request.align, end, static_cast<unsigned>(request.kind)};
}

Result<Slot> Pool::alloc(const AllocRequest& request) noexcept {
    const auto kind = static_cast<unsigned>(request.kind);
    if (request.bytes == 0 || !is_power_of_two(request.align) || request.align > kChunkBytes || kind - 1 > 2)
        [[unlikely]] {
        return fail(EINVAL, "%llu bytes aligned to %llu of kind %llu, expected > 0, a power of two up to 2 MiB, 1 to 3",
                    request.bytes, request.align, kind);
    }
    Slot slot;
    int code = 0;
    if (try_alloc(request, slot, code)) [[likely]] {
        note_pressure();
        return slot;
    }
    if (code == EOWNERDEAD) return fail(EOWNERDEAD, kForked);
    return grow_or_fail(request);
}

bool Pool::try_alloc(const AllocRequest& request, Slot& slot, int& code) noexcept {
    for (RegionMask rest = accepted(); rest != 0; rest &= rest - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(rest));
        Part& part = *parts_[i];
        const SlabCore::Request wanted = request_of(request, part.region);
        if (wanted.end < wanted.bytes) continue;
        Placement placement;
        code = part.core.alloc(wanted, placement);
        if (code == 0) [[likely]] {
            slot = Slot{part.region.base() + placement.offset, part.region.hva() + placement.offset,
                        part.region.epoch(), RegionId{i}, placement.generation};
            return true;
        }
        if (code == EOWNERDEAD) return false;
    }
    return false;
}

Error Pool::why_not(const AllocRequest& request) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    bool below_mask = growth_helps(request);
    bool ever = below_mask;
    for (RegionMask rest = usable(); rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
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
    const std::uint64_t refused = refused_gpa_.load(std::memory_order_relaxed);
    if (refused != kNoGpa) {
        return fail(ENOSPC,
                    "%llu bytes aligned to %llu: the pool is full (%llu bytes are in use), not all of it can be used: "
                    "the first chunk that could not be had is that at GPA 0x%llx",
                    request.bytes, request.align, usage_.bytes(), refused);
    }
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
    int code = EFAULT;
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        const std::uint64_t offset = *gpa - part.region.base();
        if (offset >= part.region.bytes()) continue;
        code = part.core.find_inside(offset, bytes, static_cast<unsigned>(kind));
        break;
    }
    if (code == EPERM) return fail(EPERM, "the slot around GPA 0x%llx is of another kind", gpa->value);
    if (code != 0) return fail(code, "%llu bytes at GPA 0x%llx are not inside one slot", bytes, gpa->value);
    return gpa;
}

Result<std::byte*> Pool::to_hva(Gpa gpa, std::uint64_t bytes) const noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Region& region = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region;
        const std::uint64_t offset = gpa - region.base();
        if (offset < region.bytes() && fits(offset, bytes, region.bytes())) return region.hva() + offset;
    }
    return fail(EFAULT, "%llu bytes at GPA 0x%llx are not inside one region", bytes, gpa.value);
}

Result<Gpa> Pool::to_gpa(const void* hva, std::uint64_t bytes) const noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    const auto address = reinterpret_cast<std::uintptr_t>(hva);
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Region& region = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region;
        const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(region.hva());
        if (offset < region.bytes() && fits(offset, bytes, region.bytes())) return region.base() + offset;
    }
    return fail(EFAULT, "%llu bytes at address 0x%llx are not inside one region", bytes, address);
}

PoolStats Pool::stats() const noexcept {
    PoolStats stats{};
    if (!alive()) return stats;
    stats.regions = regions();
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        stats.bytes += part.region.bytes();
        part.core.count(stats.slots_of_kind);
    }
    stats.grows = grows_.load(std::memory_order_relaxed);
    stats.shrinks = shrinks_.load(std::memory_order_relaxed);
    for (unsigned kind = 1; kind <= 3; ++kind) {
        stats.slots += stats.slots_of_kind[kind];
        stats.allocs_of_kind[kind] = usage_.allocs(kind);
    }
    stats.used_bytes = usage_.bytes();
    stats.used_bytes_hiwater = usage_.most_bytes();
    stats.full = full_.load(std::memory_order_relaxed);
    return stats;
}

}  // namespace bounce
