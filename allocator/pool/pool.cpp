// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool.hpp"

#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"
#include "allocator/pool/thread_record.hpp"

namespace bounce {
const Region& Pool::region(RegionId id) const noexcept {
    return parts_[id.value]->region;
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

Result<Gpa> Pool::find_in_slot(const void* hva, std::uint64_t bytes, SlotKind kind, RegionMask domain,
                               RegionId* where) const noexcept {
    const auto gpa = to_gpa(hva, bytes);
    if (!gpa) return gpa.error();
    Gpa address;
    int code = EFAULT;
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        const std::uint64_t offset = *gpa - part.region.base();
        if (offset >= part.region.bytes()) continue;
        if ((domains_.regions_of(domain) & rest & -rest) == 0)
            return fail(EXDEV, "GPA 0x%llx is in region %llu, which is not one of the device's", gpa->value,
                        static_cast<std::uint64_t>(std::countr_zero(rest)));
        code = part.core.find_inside(offset, bytes, static_cast<unsigned>(kind));
        address = part.region.address() + offset;
        if (where != nullptr) *where = RegionId{static_cast<std::uint32_t>(std::countr_zero(rest))};
        break;
    }
    if (code == EPERM) return fail(EPERM, "the slot around GPA 0x%llx is of another kind", gpa->value);
    if (code != 0) return fail(code, "%llu bytes at GPA 0x%llx are not inside one slot", bytes, gpa->value);
    return address;
}

Result<Gpa> Pool::to_address(Gpa gpa, std::uint64_t bytes) const noexcept {
    const auto hva = to_hva(gpa, bytes);
    if (!hva) return hva.error();
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Region& region = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region;
        if (gpa - region.base() < region.bytes()) return region.address() + (gpa - region.base());
    }
    return fail(EFAULT, "the region at GPA 0x%llx has just been removed", gpa.value);
}

Result<Gpa> Pool::from_address(Gpa address, std::uint64_t bytes) const noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1) {
        const Region& region = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region;
        const std::uint64_t offset = address - region.address();
        if (offset < region.bytes() && fits(offset, bytes, region.bytes())) return region.base() + offset;
    }
    return fail(EFAULT, "%llu bytes at the device's address 0x%llx are not inside one region", bytes, address.value);
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

}  // namespace bounce
