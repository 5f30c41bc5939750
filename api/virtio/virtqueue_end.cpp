// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How requests of either layout end: completed, aborted, or with a queue that its device broke. A device that lies
// breaks its queue and nothing else.
#include <algorithm>
#include <cerrno>

#include "allocator/base/mutation.hpp"
#include "api/dma/callbacks.hpp"
#include "api/virtio/virtqueue.hpp"

namespace bounce {
namespace {

const char* text_of_device_fault(int kind) noexcept {
    switch (kind) {
        case BOUNCE_VIOLATION_USED_INDEX: return "the used index ran ahead of what is outstanding";
        case BOUNCE_VIOLATION_USED_LENGTH:
            return "more bytes reported than the device could write; the queue is broken";
        default: return "the used id is not the head of a request that the device was given";
    }
}

}  // namespace

Error Virtqueue::violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept {
    if (renewed()) return stale();  // not the device's fault
    if (!BOUNCE_MUTATED(kBrokenSticks)) state_ = State::kBroken;
    broken_kind_ = kind;
    broken_got_ = got;
    broken_expected_ = expected;
    bump(counters_.violations);
    device_.callbacks().violation(device_.name(), kind, config_.index, got, expected, text_of_device_fault(kind));
    return broken_error();
}

/// What counts as written, by the queue's policy, when it is not what the device says.
std::uint32_t Virtqueue::correct_length(std::uint32_t reported, std::uint32_t writable) noexcept {
    if (used_length_ == UsedLength::kIgnore) return writable;
    if (length_is_reserved(writable)) return 0;
    if (BOUNCE_MUTATED(kLengthClamp)) return reported;
    bump(counters_.violations);
    device_.callbacks().violation(device_.name(), BOUNCE_VIOLATION_USED_LENGTH, config_.index, reported, writable,
                                  "more bytes reported than the device could write; clamped");
    return writable;
}

void Virtqueue::end_segments(Chain chain, std::uint32_t written, bounce_completion& completion) noexcept {
    std::uint32_t left = written;
    SegmentReader tokens(segments_, chain.segments);
    for (std::uint32_t i = 0; i < chain.count(); ++i) {
        bounce_mapping& token = tokens.next();
        std::uint64_t share = 0;
        if (i >= chain.n_out) {
            share = std::min<std::uint64_t>(left, token.bytes);
            if (!BOUNCE_MUTATED(kLengthShares)) left -= static_cast<std::uint32_t>(share);
        }
        if (is_shared_segment(token)) continue;
        if (CellArea::holds(token)) {
            CellArea::unmap(token, share);
            continue;
        }
        if (auto done = device_.unmap(context_, token, share); !done && completion.status == 0)
            completion.status = -done.code();
    }
    tokens.finish();
}

Result<std::size_t> Virtqueue::collected_stale(std::span<bounce_completion> completions, std::size_t n) noexcept {
    if (n == 0) return stale();
    // Were these zeros of fresh memory, or did that come meanwhile? Of which request, nobody can tell.
    for (bounce_completion& completion : completions.first(n)) {
        if (completion.status == 0) completion.status = -ESTALE;
    }
    return n;
}

/// Ends n segments without copying anything.
void Virtqueue::discard(std::uint32_t first_block, std::uint32_t n) noexcept {
    SegmentReader tokens(segments_, first_block);
    for (std::uint32_t i = 0; i < n; ++i) {
        bounce_mapping& token = tokens.next();
        if (!is_shared_segment(token) && !CellArea::holds(token)) (void)device_.discard(context_, token);
    }
    tokens.finish();
}

void Virtqueue::sort_outstanding() noexcept {
    order_at_ = order_end_ = 0;
    for (std::uint32_t head = 0; head < queue_size_; ++head) {
        if (chains_[head].live()) order_[order_end_++] = static_cast<std::uint16_t>(head);
    }
    std::sort(order_.get(), order_.get() + order_end_,
              [this](std::uint16_t a, std::uint16_t b) { return chains_[a].sequence < chains_[b].sequence; });
}

std::size_t Virtqueue::abort(std::span<bounce_completion> completions) noexcept {
    if (outstanding_ == 0 || completions.empty()) return 0;
    stop();
    fence();  // what was added and not published
    // From here to reset() nothing is added or collected: the order stays good over several calls.
    if (order_at_ == order_end_) sort_outstanding();
    std::size_t n = 0;
    for (; n < completions.size() && order_at_ < order_end_; ++n) {
        const std::uint16_t head = order_[order_at_++];
        const Chain chain = release(head);
        free_descriptors(head, chain);
        discard(chain);
        completions[n] = bounce_completion{chain.cookie, -ECONNRESET, 0, 0, 0};
        ++aborted_;
        bump(counters_.completed);
    }
    return n;
}

}  // namespace bounce
