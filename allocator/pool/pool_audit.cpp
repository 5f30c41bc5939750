// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/pool_audit.hpp"

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"

namespace bounce {

bool PoolAudit::there(RegionId id) const noexcept {
    return id.value < pool_.regions() && (pool_.present() >> id.value & 1) != 0;
}

std::uint64_t PoolAudit::places(RegionId id) const noexcept {
    // States of the smallest slots come last (slab_tables.hpp).
    const Region& region = pool_.region(id);
    return round_up(2 * (region.address().value % kChunkBytes + region.bytes()) / kMinSlotBytes, kColours * kCacheLine);
}

PoolAudit::Extent PoolAudit::next(RegionId id, std::uint64_t offset, std::uint64_t until) const noexcept {
    if (!there(id)) return {};
    const Pool::Part& part = *pool_.parts_[id.value];
    return offset < part.region.bytes() ? part.core.next_extent(offset, until) : Extent{};
}

std::uint32_t PoolAudit::out(RegionId id, const Extent& extent) const noexcept {
    return there(id) ? pool_.parts_[id.value]->core.slots_out(extent) : 0;
}

PoolAudit::SlotState PoolAudit::slot(RegionId id, const Extent& extent, std::uint32_t slot) const noexcept {
    SlotState state;
    if (!there(id)) return state;
    const Pool::Part& part = *pool_.parts_[id.value];
    const bool run = extent.size_class == kRunClass;
    state.bytes = run ? extent.pages * kPageBytes : kSizeClasses[extent.size_class].bytes;
    const std::uint64_t offset = extent.offset + slot * state.bytes;
    state.gpa = part.region.address() + offset;
    const std::uint64_t begin = part.region.address().value % kChunkBytes;
    state.place =
        state_index((begin + offset + begin + part.region.bytes()) >> kSlotSizes[extent.size_class & 127].state_shift);
    const SlabCore::SlotLook look = part.core.look_at(extent, slot);
    state.out = look.out;
    state.kind = static_cast<std::uint8_t>(state_kind(look.state));
    state.generation = static_cast<std::uint8_t>(state_generation(look.state));
    return state;
}

std::uint64_t PoolAudit::away_bytes() const noexcept {
    return pool_.usage_.bytes() + pool_.restricted_usage_.bytes();
}

}  // namespace bounce
