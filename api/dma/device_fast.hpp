// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The parts of a map and an unmap, inlined into those of one and of many.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "allocator/base/mutation.hpp"
#include "allocator/base/probes.hpp"
#include "allocator/pool/pool_bulk.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"
#include "api/dma/telemetry.hpp"
#include "api/dma/ticks.hpp"
#include "api/dma/token.hpp"

namespace bounce {

// Those that the hot path knows, and all.
inline constexpr std::uint32_t kMapFlags = BOUNCE_MAP_PRESERVE | BOUNCE_MAP_SKIP_SYNC;
inline constexpr std::uint32_t kAllMapFlags = kMapFlags | BOUNCE_MAP_NO_WARN;

constexpr bool copies_in(Direction direction) noexcept {
    return direction != Direction::kFromDevice;
}
inline bool copies_back(Direction direction) noexcept {
    return direction != Direction::kToDevice || BOUNCE_MUTATED(kDirectionAtUnmap);
}

// state is atomic in case that two threads end one token at once: the pool decides between them, and both then store
// the same value.
inline std::uint8_t load_state(const bounce_mapping& mapping) noexcept {
    return __atomic_load_n(&mapping.state, __ATOMIC_RELAXED);
}
[[gnu::always_inline]] inline void store_ended(bounce_mapping& mapping) noexcept {
    __atomic_store_n(&mapping.state, kEnded, __ATOMIC_RELAXED);
    probes::unmap(mapping.device, mapping.addr, mapping.bytes, mapping.direction);
}

/// Of a slot, or of a run of so many bytes.
inline std::uint64_t room_of(SlotHandle handle, std::uint64_t bytes) noexcept {
    const std::uint32_t slot = kSlotSizes[handle.size_class()].bytes;
    return slot != 0 ? slot : (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

[[gnu::always_inline]] inline Context* Device::context_here() noexcept {
    return pool_.context(group_);
}

inline bool Device::good_map(const void* buf, std::size_t bytes, std::uint32_t flags, std::uint64_t limit) noexcept {
    // bytes - 1: of 0 bytes it is beyond every limit.
    return buf != nullptr && bytes - 1 < limit && bytes != 0 &&
           reinterpret_cast<std::uintptr_t>(buf) <= UINTPTR_MAX - bytes && (flags & ~kMapFlags) == 0 &&
           flags != kMapFlags;
}

/// True: it was streamed.
inline bool Device::copy_in(std::uint32_t mode, std::byte* slot, const void* buf, std::size_t bytes) noexcept {
    if ((mode & kStreams) == 0 || bytes < kStreamFrom) {
        copy_to_slot(slot, buf, bytes);
        return false;
    }
    stream_to_slot(slot, buf, bytes);
    return can_stream();
}

[[gnu::always_inline]] inline void Device::tag_slot(SlotHandle handle, Gpa gpa, std::uint64_t bytes,
                                                    Direction direction) noexcept {
    callbacks_.telemetry().tag(pool_, handle, gpa, number_, bytes, static_cast<std::uint32_t>(direction));
}

/// The slot and the rest of a token that knows its slot. True: it was streamed. `first`: the mapping is where the slot
/// begins, but for padding; of the pieces of a list in one slot that is the first.
[[gnu::always_inline]] inline bool Device::fill(bounce_mapping& mapping, std::byte* slot, void* buf, std::size_t bytes,
                                                Direction direction, std::uint32_t flags, bool first) noexcept {
    const bool copies =
        (copies_in(direction) || (flags & BOUNCE_MAP_PRESERVE) != 0) && (flags & BOUNCE_MAP_SKIP_SYNC) == 0;
    const std::uint32_t mode = mode_.load(std::memory_order_relaxed);  // M1
    bool streamed = false;
    if ((mode & kNoted) != 0) [[unlikely]]
        streamed = map_noted(first ? mode : mode & ~kTagged, slot, buf, bytes, copies, mapping, direction);
    else if (copies)
        streamed = copy_in(mode, slot, buf, bytes);
    mapping.bytes = bytes;
    mapping.orig = buf;
    mapping.device = id_;
    mapping.flags = static_cast<std::uint16_t>(flags);
    mapping.direction = static_cast<std::uint8_t>(direction);
    mapping.state = kLiveMapping;
    probes::map(id_, mapping.addr, bytes, static_cast<std::uint8_t>(direction));
    return streamed;
}

inline bool Device::good_token(const bounce_mapping& mapping) const noexcept {
    return load_state(mapping) == kLiveMapping && mapping.device == id_ && mapping.direction <= BOUNCE_FROM_DEVICE &&
           mapping.orig != nullptr;
}

/// Of several holders of copies of the token one gets here, and the slot is out of reach of others. True: the memory
/// was renewed meanwhile. `copied`: all of it came back.
[[gnu::always_inline]] inline bool Device::copy_out(const bounce_mapping& mapping, std::size_t written,
                                                    bool& copied) noexcept {
    if (!copies_back(Direction{mapping.direction})) return false;
    // Before the copy: old tokens copy nothing. After it: the memory may have been renewed while it was copied.
    const Region& region = pool_.region(SlotHandle(mapping.handle).region());
    const std::uint32_t epoch = mapping.epoch;
    if (region.renewed_since(epoch)) [[unlikely]]
        return true;
    if (written == 0 || (mapping.flags & BOUNCE_MAP_SKIP_SYNC) != 0) return false;
    copy_from_slot(mapping.orig, static_cast<const std::byte*>(mapping.slot),
                   BOUNCE_MUTATED(kLengthClamp) ? written : std::min<std::size_t>(written, mapping.bytes));
    copied = written >= mapping.bytes;
    return region.renewed_under_copy(epoch);
}

[[gnu::always_inline]] inline bool Device::copy_back(const bounce_mapping& mapping, std::size_t written) noexcept {
    const std::uint32_t mode = mode_.load(std::memory_order_relaxed);  // M1
    if ((mode & kLong) != 0) [[unlikely]]
        return copy_back_noted(mode, mapping, written);
    bool copied = false;
    return copy_out(mapping, written, copied);
}

[[gnu::always_inline]] inline Result<void> Device::end(Context* context, bounce_mapping& mapping,
                                                       std::size_t written) noexcept {
    if (!good_token(mapping)) [[unlikely]]
        return end_long(context, mapping, &written);
    return end_good(context, mapping, written);
}

[[gnu::always_inline]] inline Result<void> Device::end_good(Context* context, bounce_mapping& mapping,
                                                            std::size_t written) noexcept {
    KeptSlot ended;
    const auto begun = pool_.begin(context, slot_of(mapping), SlotKind::kStreaming, mapping.bytes, true, ended);
    if (begun != Pool::Begun::kYes) [[unlikely]]
        return unmap_slow(context, mapping, &written, begun);
    store_ended(mapping);
    const bool renewed = copy_back(mapping, written);
    pool_.finish(group_, context, ended);
    return renewed ? lost(mapping) : Result<void>();
}

[[gnu::always_inline]] inline Result<std::uint64_t> Device::mapped_address(const bounce_mapping& mapping,
                                                                           std::size_t offset, std::size_t bytes,
                                                                           Direction direction) const noexcept {
    const auto mapped = Direction{mapping.direction};
    if (good_token(mapping) && bytes != 0 && fits(offset, bytes, mapping.bytes) &&
        (mapped == direction || mapped == Direction::kBidirectional) &&
        pool_.is_live(slot_of(mapping), SlotKind::kStreaming, mapping.bytes) &&
        !pool_.region(SlotHandle(mapping.handle).region()).renewed_under_copy(mapping.epoch)) [[likely]]
        return mapping.addr + offset;
    return mapped_address_slow(mapping, offset, bytes, direction);
}

[[gnu::always_inline]] inline Result<std::uint64_t> Device::shared_address_near(RegionId& region, const void* ptr,
                                                                                std::size_t bytes) const noexcept {
    Gpa gpa;
    if (bytes - 1 < limits_.max_segment_bytes && limits_.segment_boundary == 0 &&
        pool_.find_block_near(region, ptr, bytes, group_.domain, gpa) && gpa.value <= dma_mask_ &&
        bytes - 1 <= dma_mask_ - gpa.value) [[likely]]
        return gpa.value;
    auto addr = shared_address(ptr, bytes, SlotKind::kBuffer, &region);
    if (addr.code() != EPERM) return addr;
    return shared_address(ptr, bytes, SlotKind::kCoherent, &region);
}

}  // namespace bounce
