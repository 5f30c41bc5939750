// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Requests of either layout: is the list good, is there room, and where are its segments for the device.
#include <cerrno>
#include <cstdint>

#include "api/virtio/virtqueue.hpp"

namespace bounce {
namespace {

/// A chain longer than this goes into a table where there are tables: one descriptor of the ring instead of many.
constexpr std::uint32_t kLongDirect = 8;
/// Direct chains stop when they would leave less than this part of the ring free.
constexpr std::uint32_t kReservePart = 4;

constexpr std::uint32_t kInPlaceFlags = BOUNCE_SG_SHARED | BOUNCE_SG_MAPPED;

Error bad_segment(std::size_t i, const bounce_sg& one) noexcept {
    if (one.base == nullptr || one.bytes == 0 || one.bytes > kMostRequestBytes) {
        return fail(EINVAL, "segment %llu has %llu bytes at 0x%llx, expected 1 to 2^32 - 1 at a buffer", i, one.bytes,
                    reinterpret_cast<std::uintptr_t>(one.base));
    }
    return fail(EINVAL,
                "segment %llu has flags 0x%llx and offset 0x%llx, expected 0, BOUNCE_SG_SHARED or that with SHARED_IN, "
                "and offset 0, or BOUNCE_SG_MAPPED",
                i, one.flags, one.offset);
}

constexpr bool good_flags(const bounce_sg& one) noexcept {
    switch (one.flags) {
        case 0:
        case BOUNCE_SG_SHARED:
        case BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN: return one.offset == 0;
        case BOUNCE_SG_MAPPED: return true;
        default: return false;
    }
}

}  // namespace

/// Is the list what the public header asks for?
Result<void> Virtqueue::check_list(std::span<const bounce_sg> sg, std::size_t n_out, Plan& plan) const noexcept {
    if (sg.empty() || sg.size() > chain_limit_) {
        return fail(EINVAL, "a request of %llu segments, expected 1 to %llu", sg.size(), chain_limit_);
    }
    if (n_out > sg.size()) return fail(EINVAL, "%llu segments to read of %llu", n_out, sg.size());
    std::uint64_t total = 0;
    std::uint64_t writable = 0;
    bool in_place = true;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        const bounce_sg& one = sg[i];
        if (!unchecked_) {
            if (one.base == nullptr || one.bytes - 1 >= kMostRequestBytes || !good_flags(one)) [[unlikely]]
                return bad_segment(i, one);
            if (i >= n_out && one.flags == BOUNCE_SG_SHARED) [[unlikely]] {
                return fail(
                    EPERM,
                    "segment %llu is born-shared and for incoming data, which the device may change while it is "
                    "read: BOUNCE_SG_SHARED_IN says that the caller knows",
                    i);
            }
        }
        in_place = in_place && (one.flags & kInPlaceFlags) != 0;
        total += one.bytes;  // cannot overflow: at most 32768 times 2^32
        writable += i < n_out ? 0 : one.bytes;
    }
    if (total > kMostRequestBytes) {
        return fail(EINVAL, "the segments of a request add up to %llu bytes, expected at most %llu", total,
                    kMostRequestBytes);
    }
    plan.writable = static_cast<std::uint32_t>(writable);
    plan.readable = static_cast<std::uint32_t>(total - writable);
    plan.in_place = in_place;
    return {};
}

bool Virtqueue::use_table(std::uint32_t n) const noexcept {
    if (!indirect_ || n < 2 || n > kMaxTable) return false;
    return n > kLongDirect || n + queue_size_ / kReservePart > n_free_;
}

Result<void> Virtqueue::begin_request(std::span<const bounce_sg> sg, std::size_t n_out, std::uint32_t head,
                                      Plan& plan) noexcept {
    if (auto good = check_list(sg, n_out, plan); !good) return good;
    const auto n = static_cast<std::uint32_t>(sg.size());
    if (n_free_ == 0 || (!plan.in_place && blocks_for(n) > segments_.n_free())) {
        return fail(EAGAIN,
                    "the ring has room for %llu descriptors and %llu blocks of tokens, %llu segments do not fit",
                    n_free_, segments_.n_free(), n);
    }
    if (use_table(n)) {
        auto taken = tables_.take(n, head);
        if (taken) {
            plan.table = *taken;
        } else if (n > n_free_) {
            return taken.error();
        }
    } else if (n > n_free_) {
        return fail(EAGAIN, "%llu descriptors are free, %llu segments need one each", n_free_, n);
    }
    return {};
}

/// `cells` counts how many of the request's segments are in cells of `block`.
Result<void> Virtqueue::map_segment(const bounce_sg& sg, Direction direction, std::uint32_t block, std::uint32_t& cells,
                                    bounce_mapping& token) noexcept {
    if ((sg.flags & kInPlaceFlags) == 0) {
        if (!cells_.map(block, cells, sg, direction, token)) {
            return device_.map_unfenced(context_, sg.base, sg.bytes, direction, 0, token, streamed_);
        }
        ++cells;
        return {};
    }
    auto addr = place(sg, direction);
    if (!addr) return addr.error();
    make_shared_segment(token, *addr, sg.bytes);
    return {};
}

/// Takes back the first n segments of a request that cannot be put in.
void Virtqueue::undo(const SegmentWriter& tokens, std::uint32_t n) noexcept {
    fence();
    discard(tokens.first(), n);
}

Result<std::size_t> Virtqueue::add_many(std::span<const bounce_ring_request> requests) noexcept {
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const bounce_ring_request& one = requests[i];
        const std::span list(one.sg, one.sg != nullptr ? std::size_t{one.n_out} + one.n_in : 0);
        if (auto added = add(list, one.n_out, one.cookie); !added) {
            if (i == 0) return added.error();
            return i;
        }
    }
    return requests.size();
}

}  // namespace bounce
