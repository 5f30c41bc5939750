// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Scatter lists: all or nothing on the way in, everything on the way out.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "api/dma/device_fast.hpp"

namespace bounce {

// All or nothing on the way in: every segment is looked at first, then all slots are taken, then all are filled.
Result<void> Device::map_sg(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                            bounce_mapping* mappings) noexcept {
    // One comparison for a list that is empty, one that is too long, and a device that is watched or has limits.
    if (sg.size() - 1 >= list_limit_.load(std::memory_order_relaxed)) [[unlikely]]
        return map_list_long(sg, direction, flags, mappings);
    if (asks_for_shared(flags)) [[unlikely]]
        return map_sg_shared(sg, direction, flags, mappings);
    auto good = check_sg(sg, flags);
    std::uint32_t done = 0;
    Context* const mine = context();
    const auto n = static_cast<std::uint32_t>(sg.size());
    if (good) {
        const auto sink = [mappings](std::uint32_t i, const KeptSlot& kept, std::uint32_t epoch) {
            mappings[i].addr = kept.gpa.value;
            mappings[i].slot = kept.hva;
            mappings[i].epoch = epoch;
            mappings[i].handle = kept.handle.bits();
        };
        good = pool_.alloc_many(
            group_, mine, n, [&](std::uint32_t i) { return sg[i].bytes; }, sink, done);
    }
    if (!good) {
        // Each was handed out just above, so this cannot fail. The error stays this thread's last one.
        for (std::uint32_t i = 0; i < done; ++i) static_cast<void>(pool_.free(group_, mine, slot_of(mappings[i])));
        std::fill_n(mappings, sg.size(), bounce_mapping{});
        // One request of many is known by its first piece; the memory that it wanted is one piece after the other.
        for (std::size_t i = 1; i < sg.size(); ++i) trace_no_slot(good.code(), sg[i].base, sg[i].bytes);
        return no_slot(good.error(), sg[0].base, sg[0].bytes, flags);
    }
    bool streamed = false;
    for (std::uint32_t i = 0; i < n; ++i)
        streamed |=
            fill(mappings[i], static_cast<std::byte*>(mappings[i].slot), sg[i].base, sg[i].bytes, direction, flags);
    if (streamed) fence_streams();  // one for all of them
    note_maps(n);
    return {};
}

Result<void> Device::check_sg(std::span<const bounce_sg> sg, std::uint32_t flags) const noexcept {
    for (std::size_t i = 0; i < sg.size(); ++i) {
        if ((sg[i].flags | sg[i].offset) != 0) {
            return fail(EINVAL, "segment %llu has flags 0x%llx and offset 0x%llx, both must be 0", i, sg[i].flags,
                        sg[i].offset);
        }
        if (!good_map(sg[i].base, sg[i].bytes, flags, limits_.max_segment_bytes) &&
            !can_map(sg[i].base, sg[i].bytes, flags)) [[unlikely]]
            return why_not_map(sg[i].base, sg[i].bytes, flags);
    }
    return {};
}

// Everything on the way out.
template <class WrittenOf>
[[gnu::always_inline]] inline Result<void> Device::unmap_many(std::span<bounce_mapping> mappings,
                                                              WrittenOf&& written_of) noexcept {
    Context* const mine = context();
    Pool::EndedSlots ended;
    std::uint32_t n = 0;
    Result<void> first;
    for (bounce_mapping& mapping : mappings) {
        const std::size_t part = written_of(mapping);
        Result<void> one;
        if (good_token(mapping)) [[likely]] {
            const auto begun =
                pool_.begin(mine, slot_of(mapping), SlotKind::kStreaming, mapping.bytes, true, ended.slots[n]);
            if (begun == Pool::Begun::kYes) [[likely]] {
                store_ended(mapping);
                if (copy_back(mapping, part)) [[unlikely]]
                    one = lost(mapping);
                if (++n == Pool::kBulk) pool_.finish_many(group_, mine, ended.slots, std::exchange(n, 0));
            } else {
                one = unmap_slow(mine, mapping, &part, begun);
            }
        } else {
            one = end_long(mine, mapping, &part);
        }
        if (first && !one) [[unlikely]]
            first = one;
    }
    pool_.finish_many(group_, mine, ended.slots, n);
    return first;
}

Result<void> Device::unmap_sg(std::span<bounce_mapping> mappings, std::size_t written) noexcept {
    if (mappings.size() - 1 >= list_limit_.load(std::memory_order_relaxed)) [[unlikely]] {  // as above
        if (mappings.empty()) return fail(EINVAL, "a scatter list of 0 mappings, expected at least 1");
        if (watched()) return unmap_list_watched(mappings, written);
    }
    return unmap_many(mappings, [&written](const bounce_mapping& mapping) {
        const std::size_t part = std::min<std::size_t>(written, mapping.bytes);
        written -= part;
        return part;
    });
}

Result<void> Device::unmap_bulk(std::span<bounce_mapping> mappings, const std::size_t* written) noexcept {
    if (mappings.empty()) return fail(EINVAL, "0 mappings, expected at least 1");
    return unmap_many(mappings, [&written](const bounce_mapping&) { return *written++; });
}

}  // namespace bounce
