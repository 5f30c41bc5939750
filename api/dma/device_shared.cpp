// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings of born-shared buffers: no slot, no copy. Their tokens have a state of their own, so the paths of bounced
// mappings, which ask for theirs, come here by the way that leads to an error otherwise.
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "api/dma/device_fast.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kSharedFlags = BOUNCE_MAP_SHARED | BOUNCE_MAP_SHARED_IN | BOUNCE_MAP_SKIP_SYNC;

SharedMaps::Ticket ticket_of(const bounce_mapping& mapping) noexcept {
    return {mapping.handle, mapping.epoch};
}

}  // namespace

bool asks_for_shared(std::uint32_t flags) noexcept {
    return (flags & (BOUNCE_MAP_SHARED | BOUNCE_MAP_SHARED_IN)) != 0;
}

Result<void> Device::map_shared(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                                bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if ((flags & ~kSharedFlags) != 0 || (flags & BOUNCE_MAP_SHARED) == 0)
        return fail(
            EINVAL,
            "map flags 0x%llx, expected of a shared mapping BOUNCE_MAP_SHARED, and besides it at most SHARED_IN "
            "and SKIP_SYNC",
            flags);
    if (direction != Direction::kToDevice && (flags & BOUNCE_MAP_SHARED_IN) == 0)
        return fail(EPERM,
                    "a born-shared buffer is mapped for incoming data (direction %llu), which the device may change "
                    "while it is read: BOUNCE_MAP_SHARED_IN says that the caller knows",
                    static_cast<std::uint64_t>(direction));
    if (quarantined()) return fail(EPROTO, "the device is in quarantine: it must be reset first");
    const auto addr = shared_address(buf, bytes);
    if (!addr) return addr.error();
    if (const std::uint64_t mask = limits_.min_align_mask;
        ((*addr ^ reinterpret_cast<std::uintptr_t>(buf)) & mask) != 0)
        return fail(EDOM,
                    "the shared segment at 0x%llx has other low address bits than its buffer at 0x%llx, but the "
                    "device's min_align_mask is 0x%llx",
                    *addr, reinterpret_cast<std::uintptr_t>(buf), mask);
    const auto ticket = shared_maps_.open(Gpa{*addr}, bytes);
    if (!ticket) return ticket.error();
    mapping.addr = *addr;
    mapping.bytes = bytes;
    mapping.orig = buf;
    mapping.slot = buf;
    mapping.device = id_;
    mapping.epoch = ticket->generation;
    mapping.handle = ticket->index;
    mapping.flags = static_cast<std::uint16_t>(flags);
    mapping.direction = static_cast<std::uint8_t>(direction);
    mapping.state = kLiveShared;
    probes::map(id_, mapping.addr, bytes, mapping.direction);
    return {};
}

Result<void> Device::map_sg_shared(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                                   bounce_mapping* mappings) noexcept {
    Result<void> mapped;
    std::size_t done = 0;
    for (; done < sg.size() && mapped; ++done) {
        if ((sg[done].flags | sg[done].offset) != 0)
            mapped = fail(EINVAL, "segment %llu has flags 0x%llx and offset 0x%llx, both must be 0", done,
                          sg[done].flags, sg[done].offset);
        else
            mapped = map_shared(sg[done].base, sg[done].bytes, direction, flags, mappings[done]);
    }
    if (mapped) return mapped;
    // Each was opened just above, so this cannot fail.
    for (std::size_t i = 0; i + 1 < done; ++i) static_cast<void>(shared_maps_.close(ticket_of(mappings[i])));
    for (std::size_t i = 0; i < sg.size(); ++i) mappings[i] = bounce_mapping{};
    return mapped;
}

Error Device::why_not_shared(int code, const bounce_mapping& mapping) noexcept {
    if (code == EALREADY)
        return fail(code, "the mapping of a born-shared buffer (address 0x%llx) has ended before", mapping.addr);
    return fail(code, "the mapping of a born-shared buffer (address 0x%llx) has ended, the token is stale",
                mapping.addr);
}

Result<void> Device::check_mapped(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                  Direction direction) const noexcept {
    switch (load_state(mapping)) {
        case kLiveShared: return check_shared_sync(mapping, offset, bytes, direction);
        case kLiveDirect: return check_direct_sync(mapping, offset, bytes, direction);
        default: break;
    }
    if (auto good = check_token(mapping); !good) return good;
    return check_sync(mapping, offset, bytes, direction);
}

/// What is asked of a sync is what is asked here: live, of this device, inside it, and not against its direction.
Result<std::uint64_t> Device::mapped_address_slow(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                                  Direction direction) const noexcept {
    if (bytes == 0 || !fits(offset, bytes, mapping.bytes))
        return fail(EINVAL, "a segment of %llu bytes at offset %llu of a mapping of %llu bytes", bytes, offset,
                    mapping.bytes);
    if (Direction{mapping.direction} != Direction::kBidirectional && Direction{mapping.direction} != direction)
        return fail(EPERM, "a segment for direction %llu in a mapping with direction %llu",
                    static_cast<std::uint64_t>(direction), mapping.direction);
    if (const auto good = check_mapped(mapping, offset, bytes, direction); !good) return good.error();
    return mapping.addr + offset;
}

Result<void> Device::end_shared(bounce_mapping& mapping) noexcept {
    if (mapping.device != id_) return not_mine(mapping);
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (const int code = shared_maps_.close(ticket_of(mapping)); code != 0) return why_not_shared(code, mapping);
    store_ended(mapping);
    return {};
}

/// Both sides see every byte at once: a sync has nothing to do, but it is checked as any other.
Result<void> Device::check_shared_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                       Direction direction) const noexcept {
    if (mapping.device != id_) return not_mine(mapping);
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (auto good = check_sync_range(mapping, offset, bytes, direction); !good) return good;
    if (const int code = shared_maps_.check(ticket_of(mapping)); code != 0) return why_not_shared(code, mapping);
    return {};
}

}  // namespace bounce
