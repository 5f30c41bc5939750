// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Putting requests into a packed virtqueue. Nothing of it is available to the device before publish().
#include "api/virtio/packed_queue.hpp"

namespace bounce {

/// Makes the n descriptors from avail_ on available, once nothing can fail any more; but for the first, whose flags it
/// returns.
std::uint16_t PackedQueue::put_flags(std::uint32_t n, std::uint32_t n_out) noexcept {
    const auto flags_of = [&](std::uint32_t i, const PackedPosition& at) {
        return static_cast<std::uint16_t>(at.avail_flags() | (i < n_out ? 0 : kDescWrite) |
                                          (i + 1 < n ? kDescNext : 0));
    };
    PackedPosition at = avail_;
    for (std::uint32_t i = 1; i < n; ++i) {
        at.step(queue_size_);
        ring_.desc(at.at()).flags.store(flags_of(i, at));  // relaxed: P1 comes after it
    }
    return flags_of(0, avail_);
}

Result<void> PackedQueue::add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
    if (state_ != State::kRunning) [[unlikely]]
        return refuse();
    if (!one_in_place(sg, n_out)) return add_any(sg, n_out, cookie);
    const bool readable = n_out != 0;
    const auto addr = place(sg[0], readable ? Direction::kToDevice : Direction::kFromDevice);
    if (!addr) [[unlikely]]
        return addr.error();
    const std::uint16_t id = free_head_;
    ring_.desc(avail_.at()).put(*addr, static_cast<std::uint32_t>(sg[0].bytes), id);
    added(id, static_cast<std::uint16_t>(avail_.avail_flags() | (readable ? 0 : kDescWrite)), 1);
    remember_one(id, cookie, sg[0].bytes, readable, 0);
    return {};
}

/// `used` descriptors from avail_ on are described, but for the flags of the first.
[[gnu::always_inline]] inline void PackedQueue::added(std::uint16_t id, std::uint16_t first,
                                                      std::uint32_t used) noexcept {
    if (unpublished_ == 0) {
        held_at_ = avail_.at();
        held_flags_ = first;
    } else {
        ring_.desc(avail_.at()).flags.store(first);  // relaxed: P1 comes after it
    }
    avail_.move(used, queue_size_);
    // The line after the next will be written soon, and the device was the last to write it.
    ring_.prefetch(avail_.at() + 8U < queue_size_ ? avail_.at() + 8U : 0);
    unpublished_ += used;
    n_free_ -= used;
    free_head_ = chains_[id].link;
}

Result<void> PackedQueue::add_any(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
    const std::uint16_t id = free_head_;
    Plan plan;
    if (auto good = begin_request(sg, n_out, id, plan); !good) [[unlikely]]
        return good;
    std::uint32_t segments = 0;
    PackedPosition at = avail_;
    std::uint16_t first = 0;  // flags of the first descriptor
    std::uint32_t used = 1;
    if (plan.table.memory == nullptr) {
        const auto put = [&](std::uint32_t, std::uint64_t addr, std::uint32_t bytes, bool, bool) {
            ring_.desc(at.at()).put(addr, bytes, id);
            at.step(queue_size_);
        };
        if (auto mapped = map_request(sg, n_out, id, plan, segments, put); !mapped) [[unlikely]]
            return mapped;
        used = static_cast<std::uint32_t>(sg.size());
        first = put_flags(used, static_cast<std::uint32_t>(n_out));
    } else {
        auto* const table = reinterpret_cast<PackedDesc*>(plan.table.memory);
        const auto put = [&](std::uint32_t i, std::uint64_t addr, std::uint32_t bytes, bool write, bool) {
            table[i].put(addr, bytes, 0);
            table[i].flags.store(write ? kDescWrite : std::uint16_t{0});
        };
        if (auto mapped = map_request(sg, n_out, id, plan, segments, put); !mapped) [[unlikely]]
            return mapped;
        ring_.desc(at.at()).put(plan.table.addr, static_cast<std::uint32_t>(sg.size() * kDescBytes), id);
        first = static_cast<std::uint16_t>(at.avail_flags() | kDescIndirect);
    }
    added(id, first, used);
    remember(id, cookie, sg.size(), n_out, plan, segments, 0);
    return {};
}

}  // namespace bounce
