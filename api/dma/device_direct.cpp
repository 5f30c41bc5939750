// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device does whose buffers may go as they are, and the ends of tokens that have no slot. Off the hot path: that
// refuses everything of such a device (its max_fast_bytes_ is 0), and what it refuses comes here.
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/direct.hpp"

namespace bounce {

bool Device::can_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept {
    return buf != nullptr && bytes != 0 && bytes <= max_segment_bytes_ &&
           reinterpret_cast<std::uintptr_t>(buf) <= UINTPTR_MAX - bytes && (flags & ~kMapFlags) == 0 &&
           flags != kMapFlags;
}

/// What the hot path does not map.
Result<void> Device::map_other(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                               bounce_mapping& mapping) noexcept {
    if (direct_ != nullptr) return map_direct(context, buf, bytes, direction, flags, mapping);
    mapping = bounce_mapping{};
    return why_not_map(buf, bytes, flags);
}

Result<void> Device::map_direct(Context* context, void* buf, std::size_t bytes, Direction direction,
                                std::uint32_t flags, bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if (!can_map(buf, bytes, flags)) return why_not_map(buf, bytes, flags);
    // Without a slot there is no operation of the pool that would notice.
    if (!pool_.alive()) return fail(EOWNERDEAD, "this process is a forked child of the one that created the pool");
    const auto address = direct_->take(buf, bytes, static_cast<int>(direction));
    if (address) {
        mapping.addr = *address;
        mapping.bytes = bytes;
        mapping.orig = buf;
        mapping.slot = buf;
        mapping.device = id_;
        mapping.flags = static_cast<std::uint16_t>(flags);
        mapping.direction = static_cast<std::uint8_t>(direction);
        mapping.state = kLiveDirect;
        return {};
    }
    if (!direct_->may_bounce()) return address.error();
    Slot slot;
    if (const auto taken = pool_.alloc_slow(group_, context, bytes, slot); !taken) return taken;
    mapping.addr = slot.gpa.value;
    mapping.slot = slot.hva;
    mapping.epoch = slot.epoch;
    mapping.handle = slot.handle.bits();
    if (fill(mapping, slot.hva, buf, bytes, direction, flags)) fence_streams();
    note_maps(1);
    return {};
}

Result<void> Device::map_sg_direct(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                                   bounce_mapping* mappings) noexcept {
    if (sg.size() > UINT32_MAX) return fail(E2BIG, "a scatter list of %llu segments", sg.size());
    Context* const mine = context();
    Result<void> good;
    std::size_t done = 0;
    for (; good && done < sg.size(); ++done) {
        if (const auto known = check_sg_flags(sg[done], done); !known)
            good = known.error();
        else
            good = map_direct(mine, sg[done].base, sg[done].bytes, direction, flags, mappings[done]);
    }
    if (good) return good;
    for (std::size_t i = 0; i + 1 < done; ++i) static_cast<void>(discard(mine, mappings[i]));  // just made: cannot fail
    std::fill_n(mappings, sg.size(), bounce_mapping{});
    return good;
}

/// A token that the hot path does not end: one without a slot, or a wrong one.
Result<void> Device::end_other(bounce_mapping& mapping) noexcept {
    if (load_state(mapping) != kLiveDirect || direct_ == nullptr) return check_token(mapping);
    if (const auto good = check_direct(mapping); !good) return good;
    // Of two threads that end this token one gets here. (Of a copy of it nobody knows.)
    std::uint8_t live = kLiveDirect;
    if (!__atomic_compare_exchange_n(&mapping.state, &live, kEnded, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return check_token(mapping);
    direct_->give(mapping.addr, mapping.bytes);
    return {};
}

Result<void> Device::check_direct(const bounce_mapping& mapping) const noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, "this process is a forked child of the one that created the pool");
    return check_owner(mapping);
}

/// A sync that needs no copy, or was refused.
Result<void> Device::sync_other(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                Direction direction, const Result<void>& why_not) const noexcept {
    if (load_state(mapping) != kLiveDirect || direct_ == nullptr) return why_not.error();
    if (const auto good = check_direct(mapping); !good) return good;
    return check_sync_range(mapping, offset, bytes, direction);
}

}  // namespace bounce
