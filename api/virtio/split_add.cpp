// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Putting requests into a split virtqueue: check, map, describe. Nothing of it is visible to the device before
// publish().
#include <cerrno>
#include <cstdint>
#include <limits>

#include "api/virtio/split_queue.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMaxChainBytes = std::numeric_limits<std::uint32_t>::max();

/// A chain longer than this goes into a table where there are tables: one descriptor of the ring instead of many.
constexpr std::uint32_t kLongDirect = 8;
/// Direct chains stop when they would leave less than this part of the ring free.
constexpr std::uint32_t kReservePart = 4;

/// Bytes that the device may write, when the list is what the public header asks for.
Result<std::uint32_t> check(std::span<const bounce_sg> sg, std::size_t n_out, std::uint32_t limit) noexcept {
    if (sg.empty() || sg.size() > limit) {
        return fail(EINVAL, "a request of %llu segments, expected 1 to %llu", sg.size(), limit);
    }
    if (n_out > sg.size()) return fail(EINVAL, "%llu segments to read of %llu", n_out, sg.size());
    std::uint64_t total = 0;
    std::uint64_t readable = 0;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        const bounce_sg& one = sg[i];
        if (one.base == nullptr || one.bytes == 0 || one.bytes > kMaxChainBytes) {
            return fail(EINVAL, "segment %llu has %llu bytes at 0x%llx, expected 1 to 2^32 - 1 at a buffer", i,
                        one.bytes, reinterpret_cast<std::uintptr_t>(one.base));
        }
        constexpr std::uint32_t kFlags = BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN;
        if ((one.flags & ~kFlags) != 0 || one.flags == BOUNCE_SG_SHARED_IN || one.reserved != 0) {
            return fail(EINVAL,
                        "segment %llu has flags 0x%llx and reserved 0x%llx, expected 0, BOUNCE_SG_SHARED or that with "
                        "SHARED_IN, and 0",
                        i, one.flags, one.reserved);
        }
        if (i >= n_out && one.flags == BOUNCE_SG_SHARED) {
            return fail(EPERM,
                        "segment %llu is born-shared and for incoming data, which the device may change while it is "
                        "read: BOUNCE_SG_SHARED_IN says that the caller knows",
                        i);
        }
        if (i == n_out) readable = total;
        total += one.bytes;  // cannot overflow: at most 32768 times 2^32
    }
    if (n_out == sg.size()) readable = total;
    if (total > kMaxChainBytes) {
        return fail(EINVAL, "the segments of a request add up to %llu bytes, expected at most %llu", total,
                    kMaxChainBytes);
    }
    return static_cast<std::uint32_t>(total - readable);
}

}  // namespace

bool SplitQueue::use_table(std::uint32_t n) const noexcept {
    if (!indirect_ || n < 2 || n > kSplitMaxTable) return false;
    return n > kLongDirect || n + queue_size_ / kReservePart > n_free_;
}

/// `cells` counts how many of the request's segments are in cells of `block`.
Result<void> SplitQueue::map_segment(const bounce_sg& sg, Direction direction, std::uint32_t block,
                                     std::uint32_t& cells, bounce_mapping& token) noexcept {
    if ((sg.flags & BOUNCE_SG_SHARED) == 0) {
        if (!cells_.map(block, cells, sg, direction, token)) {
            return device_.map_unfenced(context_, sg.base, sg.bytes, direction, 0, token, streamed_);
        }
        ++cells;
        return {};
    }
    auto addr = device_.shared_address(sg.base, sg.bytes);
    if (!addr) return addr.error();
    make_shared_segment(token, *addr, sg.bytes);
    return {};
}

Result<void> SplitQueue::add(std::span<const bounce_sg> sg, std::size_t n_out, void* cookie) noexcept {
    if (state_ != State::kRunning) return refuse();
    auto writable = check(sg, n_out, chain_limit_);
    if (!writable) return writable.error();
    const auto n = static_cast<std::uint32_t>(sg.size());
    if (n_free_ == 0 || blocks_for(n) > segments_.n_free()) {
        return fail(EAGAIN,
                    "the ring has room for %llu descriptors and %llu blocks of tokens, %llu segments do not fit",
                    n_free_, segments_.n_free(), n);
    }
    const std::uint16_t head = free_head_;
    TablePool::Table table;
    if (use_table(n)) {
        auto taken = tables_.take(n, head);
        if (taken) {
            table = *taken;
        } else if (n > n_free_) {
            return taken.error();
        }
    } else if (n > n_free_) {
        return fail(EAGAIN, "%llu descriptors are free, %llu segments need one each", n_free_, n);
    }

    // Descriptors are described while they are mapped: what a failure leaves in free ones is never looked at.
    SegmentWriter tokens(segments_);
    std::uint16_t at = head;
    std::uint16_t tail = head;
    std::uint32_t cells = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
        const bool out = i < n_out;
        bounce_mapping& token = tokens.next();
        const Direction direction = out ? Direction::kToDevice : Direction::kFromDevice;
        if (auto mapped = map_segment(sg[i], direction, tokens.first(), cells, token); !mapped) {
            make_shared_segment(token, 0, 0);  // nothing to discard
            fence();
            discard(tokens.first(), i + 1);
            tables_.give(table.id, head);
            return mapped;
        }
        const bool last = i + 1 == n;
        const auto flags = static_cast<std::uint16_t>((out ? 0 : kDescWrite) | (last ? 0 : kDescNext));
        const auto bytes = static_cast<std::uint32_t>(sg[i].bytes);
        if (table.desc != nullptr) {
            table.desc[i].put(token.addr, bytes, flags, last ? std::uint16_t{0} : static_cast<std::uint16_t>(i + 1));
        } else {
            ring_.desc(at).put(token.addr, bytes, flags, last ? std::uint16_t{0} : next_[at]);
            tail = at;
            at = next_[at];
        }
    }
    if (table.desc != nullptr) {
        ring_.desc(head).put(table.addr, n * static_cast<std::uint32_t>(sizeof(SplitDesc)), kDescIndirect, 0);
        at = next_[head];
        n_free_ -= 1;
    } else {
        n_free_ -= n;
    }
    free_head_ = at;

    Chain& chain = chains_[head];
    chain.cookie = cookie;
    chain.sequence = added_++;
    chain.writable = *writable;
    chain.segments = tokens.first();
    chain.n_out = static_cast<std::uint16_t>(n_out);
    chain.n_in = static_cast<std::uint16_t>(n - n_out);
    chain.tail = tail;
    chain.table = table.id;
    ring_.put_avail(avail_index_++, head);
    ++outstanding_;
    bump(counters_.added);
    return {};
}

}  // namespace bounce
