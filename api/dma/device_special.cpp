// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings that ask for more than a length: devices with a minimal alignment, a boundary or a scrub policy, calls with
// an alignment or a flag of their own. The hot path sends whatever it does not know to the long way (watched.cpp),
// which comes here: map_limit_ of such a device is 0, and tokens that end otherwise have a state of their own. So it
// has no instruction for any of this.
//
// Padding. With min_align_mask a mapping begins as far behind the start of its slot as the private buffer does behind a
// multiple of mask + 1, where the slot starts. So the start is found again from the token's address.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/device_fast.hpp"

namespace bounce {

void Device::set_short_ways(bool direct) noexcept {
    const bool all = !watched_ && !special() && !direct;
    map_limit_.store(all ? limits_.max_segment_bytes : 0, std::memory_order_relaxed);
    list_limit_.store(all ? UINT32_MAX : 0, std::memory_order_relaxed);
}

void Device::set_scrub(Scrub at_map, Scrub at_unmap) noexcept {
    scrub_at_map_.store(at_map, std::memory_order_relaxed);
    scrub_at_unmap_.store(at_unmap, std::memory_order_relaxed);
    set_short_ways(direct_ != nullptr);
}

Error Device::why_not_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept {
    if (buf == nullptr) return fail(EINVAL, "the buffer to map is NULL");
    if (bytes == 0) return fail(EINVAL, "mapping of 0 bytes, expected at least 1");
    if (reinterpret_cast<std::uintptr_t>(buf) > UINTPTR_MAX - bytes)
        return fail(EINVAL, "a buffer of %llu bytes at 0x%llx wraps around the address space", bytes,
                    reinterpret_cast<std::uintptr_t>(buf));
    if ((flags & ~kAllMapFlags) != 0)
        return fail(EINVAL, "map flags have unknown bits 0x%llx, known are 0x%llx", flags & ~kAllMapFlags,
                    kAllMapFlags);
    if ((flags & kMapFlags) == kMapFlags)
        return fail(EINVAL, "PRESERVE asks for a copy at map and SKIP_SYNC for none, expected at most one of them");
    return fail(E2BIG, "mapping of %llu bytes, but the device's max_segment_bytes is %llu", bytes,
                limits_.max_segment_bytes);
}

/// good_map() of every device and flag.
bool Device::can_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept {
    return buf != nullptr && bytes != 0 && bytes <= limits_.max_segment_bytes &&
           reinterpret_cast<std::uintptr_t>(buf) <= UINTPTR_MAX - bytes && (flags & ~kAllMapFlags) == 0 &&
           (flags & kMapFlags) != kMapFlags;
}

/// The slot that a mapping is in.
Slot Device::whole_slot(const bounce_mapping& mapping) const noexcept {
    const std::uint64_t padding = limits_.padding(mapping.addr);
    Slot slot = slot_of(mapping);
    slot.gpa = Gpa{mapping.addr - padding};
    // As a number: the token may be damaged.
    slot.hva = reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(mapping.slot) - padding);
    return slot;
}

/// What to ask the pool for. EDOM: the boundary cannot be kept.
Result<Wish> Device::wish_for(std::uint64_t padding, std::uint64_t bytes, std::uint64_t align) const noexcept {
    const std::uint64_t boundary = limits_.segment_boundary;
    Wish wish{.bytes = round_up(padding + bytes, align), .align = std::max(align, limits_.min_align_mask + 1)};
    if (wish.bytes < bytes) return fail(E2BIG, "mapping of %llu bytes aligned to %llu", bytes, align);
    if (boundary == 0 || BOUNCE_MUTATED(kBoundaryCheck)) return wish;
    // Where the slot starts, the boundary is, or is a multiple of the alignment: the padding decides in either case.
    if ((padding & (boundary - 1)) + bytes > boundary) {
        return fail(EDOM,
                    "mapping of %llu bytes of a buffer whose low address bits are 0x%llx: it would cross a multiple of "
                    "the device's segment_boundary 0x%llx",
                    bytes, padding, boundary);
    }
    if (wish.align < boundary) wish.boundary = boundary;
    return wish;
}

/// The request of so many bytes has none.
Error Device::no_slot(Error error, const void* buf, std::uint64_t bytes, std::uint32_t flags) noexcept {
    trace_no_slot(error.code(), buf, bytes);
    if (error.code() == ENOSPC) callbacks_.telemetry().note_full(id_);
    if (error.code() == ENOSPC || error.code() == EDQUOT) probes::full(id_, bytes, error.code());
    if (error.code() == ENOSPC && (flags & BOUNCE_MAP_NO_WARN) == 0 && callbacks_.logs())
        callbacks_.log(BOUNCE_LOG_WARNING, "%s: %s", name_, last_error());
    return error;
}

Result<void> Device::map_special(Context* context, void* buf, std::size_t bytes, Direction direction,
                                 std::uint32_t flags, std::uint64_t align, bounce_mapping& mapping,
                                 bool& streamed) noexcept {
    mapping = bounce_mapping{};
    if (!can_map(buf, bytes, flags)) return why_not_map(buf, bytes, flags);
    const std::uint64_t padding = limits_.padding(reinterpret_cast<std::uintptr_t>(buf));
    const auto wish = wish_for(padding, bytes, align);
    if (!wish) return wish.error();
    Slot slot;
    if (const auto taken = pool_.alloc_placed(group_, context, *wish, slot); !taken)
        return no_slot(taken.error(), buf, wish->bytes, flags);
    streamed |= fill_special(slot, wish->bytes, {buf, bytes, direction, flags}, mapping);
    note_maps(1);
    return {};
}

bool Device::fill_special(const Slot& slot, std::uint64_t wanted, const MapRequest& request,
                          bounce_mapping& mapping) noexcept {
    const std::uint64_t padding = limits_.padding(reinterpret_cast<std::uintptr_t>(request.buf));
    mapping.addr = slot.gpa.value + padding;
    mapping.slot = slot.hva + padding;
    mapping.epoch = slot.epoch;
    mapping.handle = slot.handle.bits();
    const bool copied = (copies_in(request.direction) || (request.flags & BOUNCE_MAP_PRESERVE) != 0) &&
                        (request.flags & BOUNCE_MAP_SKIP_SYNC) == 0;
    scrub_mapped(slot.hva, room_of(slot.handle, wanted), padding, request.bytes, copied);
    const bool streamed =
        fill(mapping, slot.hva + padding, request.buf, request.bytes, request.direction, request.flags);
    if (padding != 0 || scrub_at_unmap() != Scrub::kNone) mapping.state = kLiveSpecial;
    return streamed;
}

Result<void> Device::map_aligned(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                                 std::uint64_t align, bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if (align == 0) align = 1;
    if (!is_power_of_two(align) || align > kChunkBytes)
        return fail(EINVAL, "alignment %llu, expected 0 or a power of two up to %llu", align, kChunkBytes);
    bool streamed = false;
    const auto mapped = map_long(context(), buf, bytes, direction, flags, align, mapping, streamed);
    if (streamed) fence_streams();
    return mapped;
}

// The private side has not been told the address yet: ordinary stores, which the one that tells it comes after.
void Device::scrub_mapped(std::byte* slot, std::uint64_t room, std::uint64_t padding, std::uint64_t bytes,
                          bool copied) const noexcept {
    const Scrub scrub = scrub_at_map();
    if (scrub == Scrub::kNone || BOUNCE_MUTATED(kScrubAtAlloc)) return;
    if (scrub == Scrub::kAll && !copied) return zero_slot(slot, room);
    zero_slot(slot, padding);
    zero_slot(slot + padding + bytes, room - padding - bytes);
}

// The slot is out of reach of others as yet.
void Device::scrub_ended(const Pool::Ending& ending, std::uint64_t padding, std::uint64_t bytes) const noexcept {
    const Scrub scrub = scrub_at_unmap();
    if (scrub == Scrub::kNone) return;
    const std::uint64_t room = ending.pages != 0 ? std::uint64_t{ending.pages} * kPageBytes
                                                 : kSlotSizes[ending.slot.handle.size_class()].bytes;
    std::byte* const slot = ending.slot.hva;
    if (scrub == Scrub::kAll) return zero_slot(slot, room);
    zero_slot(slot, padding);
    zero_slot(slot + padding + bytes, room - padding - bytes);
}

/// A mapping that is not watched, with a token of whatever state. written == nullptr: nothing is copied.
Result<void> Device::end_special(Context* context, bounce_mapping& mapping, const std::size_t* written) noexcept {
    if (const auto good = check_token(mapping); !good) return good;
    const std::uint64_t padding = limits_.padding(mapping.addr);
    if (mapping.bytes > UINT64_MAX - padding) return fail(EFAULT, "the token is damaged: %llu bytes", mapping.bytes);
    Pool::Ending ending;
    const auto begun = pool_.begin_free(whole_slot(mapping), SlotKind::kStreaming, mapping.bytes + padding, ending);
    if (!begun) return begun;
    store_ended(mapping);
    if (written == nullptr) trace_dropped(mapping);
    const bool renewed = written != nullptr && copy_back(mapping, *written);
    scrub_ended(ending, padding, mapping.bytes);
    pool_.finish_free(group_, context, ending);
    return renewed ? lost(mapping) : Result<void>();
}

std::uint64_t Device::max_mapping() const noexcept {
    std::uint64_t most = 0;
    const RegionMask mine = group_.domain != 0 ? pool_.usable() & group_.domain : pool_.shown();
    for (RegionMask rest = mine; rest != 0; rest &= rest - 1) {
        const Region& region = pool_.region(RegionId{static_cast<std::uint32_t>(std::countr_zero(rest))});
        const std::uint64_t base = region.address().value;
        if (base > dma_mask_) continue;
        std::uint64_t bytes = region.bytes();
        if (dma_mask_ - base < bytes - 1) bytes = dma_mask_ - base + 1;
        // The start of a slot is aligned, and the mapping begins behind it.
        const std::uint64_t align = limits_.min_align_mask + 1;
        const std::uint64_t lost = round_up(base, align) - base + limits_.min_align_mask;
        most = std::max(most, bytes > lost ? bytes - lost : 0);
    }
    if (limits_.segment_boundary != 0) {
        const std::uint64_t padding = limits_.min_align_mask & (limits_.segment_boundary - 1);
        most = std::min(most, limits_.segment_boundary - padding);
    }
    return std::min(most, limits_.max_segment_bytes);
}

Result<void> Device::quarantine() noexcept {
    return pool_.quarantine(group_, name_, outstanding_blocks());
}

}  // namespace bounce
