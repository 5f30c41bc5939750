// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device does whose buffers may go as they are, and the ends of tokens that have no slot. Off the hot path: that
// refuses everything of such a device (its map_limit_ is 0), and what it refuses comes here.
#include "api/dma/direct.hpp"

#include <cerrno>

#include "api/dma/device_fast.hpp"

namespace bounce {

/// Without the limits of a device that has some, and without an alignment: those are for slots.
Result<void> Device::map_direct(Context* context, void* buf, std::size_t bytes, Direction direction,
                                std::uint32_t flags, std::uint64_t align, bounce_mapping& mapping,
                                bool& streamed) noexcept {
    mapping = bounce_mapping{};
    if (!can_map(buf, bytes, flags)) return why_not_map(buf, bytes, flags);
    // Without a slot there is no operation of the pool that would notice.
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    const bool placed = special() || align != 1;
    if (placed && !direct_->may_bounce())
        return fail(ENOTSUP, "a buffer that goes as it is cannot be placed as the device or the call demands");
    if (!placed) {
        const auto address = direct_->take(buf, bytes, static_cast<int>(direction));
        if (address) {
            fill_direct(*address, {buf, bytes, direction, flags}, mapping);
            return {};
        }
        if (!direct_->may_bounce()) return address.error();
    }
    return map_special(context, buf, bytes, direction, flags, align, mapping, streamed);
}

void Device::fill_direct(std::uint64_t address, const MapRequest& request, bounce_mapping& mapping) noexcept {
    mapping.addr = address;
    mapping.bytes = request.bytes;
    mapping.orig = request.buf;
    mapping.slot = request.buf;
    mapping.device = id_;
    mapping.flags = static_cast<std::uint16_t>(request.flags);
    mapping.direction = static_cast<std::uint8_t>(request.direction);
    mapping.state = kLiveDirect;
    probes::map(id_, mapping.addr, mapping.bytes, mapping.direction);
}

/// For a request that waits. EAGAIN: it has to be bounced, and may be.
Result<std::uint64_t> Device::take_direct(const MapRequest& request) noexcept {
    const std::uint32_t flags = request.flags & ~std::uint32_t{BOUNCE_WAIT_PRIORITY};
    if (!can_map(request.buf, request.bytes, flags)) return why_not_map(request.buf, request.bytes, flags);
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (special() && !direct_->may_bounce())
        return fail(ENOTSUP, "a buffer that goes as it is cannot be placed as the device demands");
    if (special()) return Error(EAGAIN);
    auto address = direct_->take(request.buf, request.bytes, static_cast<int>(request.direction));
    if (!address && direct_->may_bounce()) return Error(EAGAIN);
    return address;
}

Result<void> Device::end_direct(bounce_mapping& mapping) noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (const auto good = check_live(mapping); !good) return good;
    // Of two threads that end this token one gets here. (Of a copy of it nobody knows.)
    std::uint8_t live = kLiveDirect;
    if (!__atomic_compare_exchange_n(&mapping.state, &live, kEnded, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return not_live(mapping);
    probes::unmap(id_, mapping.addr, mapping.bytes, mapping.direction);
    direct_->give(mapping.addr, mapping.bytes);
    return {};
}

/// Both sides work in the buffer itself: a sync has nothing to do, but it is checked as any other.
Result<void> Device::check_direct_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                       Direction direction) const noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (const auto good = check_live(mapping); !good) return good;
    return check_sync_range(mapping, offset, bytes, direction);
}

}  // namespace bounce
