// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Putting requests into a split virtqueue. Nothing of it is visible to the device before publish().
#include "api/virtio/split_queue.hpp"

namespace bounce {

Result<void> SplitQueue::add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
    if (state_ != State::kRunning) [[unlikely]]
        return refuse();
    if (!one_in_place(sg, n_out)) return add_any(sg, n_out, cookie);
    const bool readable = n_out != 0;
    const auto addr = place(sg[0], readable ? Direction::kToDevice : Direction::kFromDevice);
    if (!addr) [[unlikely]]
        return addr.error();
    const std::uint16_t head = free_head_;
    ring_.desc(head).put(*addr, static_cast<std::uint32_t>(sg[0].bytes), readable ? std::uint16_t{0} : kDescWrite, 0);
    free_head_ = next_[head];
    n_free_ -= 1;
    ring_.put_avail(avail_index_++, head);
    remember_one(head, cookie, sg[0].bytes, readable, head);
    return {};
}

Result<void> SplitQueue::add_any(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
    const std::uint16_t head = free_head_;
    Plan plan;
    if (auto good = begin_request(sg, n_out, head, plan); !good) [[unlikely]]
        return good;
    std::uint32_t segments = 0;
    std::uint16_t at = head;
    std::uint16_t tail = head;
    const auto flags_of = [](bool write, bool last) {
        return static_cast<std::uint16_t>((write ? kDescWrite : 0) | (last ? 0 : kDescNext));
    };
    if (plan.table.memory == nullptr) {
        const auto put = [&](std::uint32_t, std::uint64_t addr, std::uint32_t bytes, bool write, bool last) {
            const std::uint16_t next = next_[at];
            ring_.desc(at).put(addr, bytes, flags_of(write, last), last ? std::uint16_t{0} : next);
            tail = at;
            at = next;
        };
        if (auto mapped = map_request(sg, n_out, head, plan, segments, put); !mapped) [[unlikely]]
            return mapped;
        n_free_ -= static_cast<std::uint32_t>(sg.size());
    } else {
        auto* const table = reinterpret_cast<SplitDesc*>(plan.table.memory);
        const auto put = [&](std::uint32_t i, std::uint64_t addr, std::uint32_t bytes, bool write, bool last) {
            table[i].put(addr, bytes, flags_of(write, last),
                         last ? std::uint16_t{0} : static_cast<std::uint16_t>(i + 1));
        };
        if (auto mapped = map_request(sg, n_out, head, plan, segments, put); !mapped) [[unlikely]]
            return mapped;
        ring_.desc(head).put(plan.table.addr, static_cast<std::uint32_t>(sg.size() * kDescBytes), kDescIndirect, 0);
        at = next_[head];
        n_free_ -= 1;
    }
    free_head_ = at;
    ring_.put_avail(avail_index_++, head);
    remember(head, cookie, sg.size(), n_out, plan, segments, tail);
    return {};
}

}  // namespace bounce
