// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Taking completions out of a split virtqueue. Whatever the device wrote is read once, checked against private state,
// and a device that lies breaks its queue and nothing else.
#include <algorithm>
#include <cerrno>

#include "allocator/base/mutation.hpp"
#include "api/dma/callbacks.hpp"
#include "api/virtio/split_queue.hpp"

namespace bounce {

Error SplitQueue::broken_error() const noexcept {
    if (broken_kind_ == BOUNCE_VIOLATION_USED_INDEX) {
        return fail(EPROTO, "ring %llu is broken: the device completed %llu requests, at most %llu were outstanding",
                    config_.index, broken_got_, broken_expected_);
    }
    return fail(EPROTO,
                "ring %llu is broken: the device completed id %llu, not the head of a request (queue size %llu)",
                config_.index, broken_got_, broken_expected_);
}

Error SplitQueue::stale() noexcept {
    stop();
    return stale_error();
}

Error SplitQueue::stale_error() const noexcept {
    return fail(ESTALE, "the memory of ring %llu was renewed: its requests can only be aborted", config_.index);
}

Error SplitQueue::violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept {
    if (renewed()) return stale();  // not the device's fault
    state_ = State::kBroken;
    broken_kind_ = kind;
    broken_got_ = got;
    broken_expected_ = expected;
    ++violations_;
    bump(counters_.violations);
    const char* text = kind == BOUNCE_VIOLATION_USED_INDEX
                           ? "the used index ran ahead of what is outstanding"
                           : "the used id is not the head of a request that the device was given";
    device_.callbacks().violation(device_.name(), kind, config_.index, got, expected, text);
    return broken_error();
}

Result<std::size_t> SplitQueue::collect(std::span<bounce_completion> completions) noexcept {
    if (state_ != State::kRunning) return refuse();
    // One look at the index a call: a device that goes on completing meanwhile cannot keep us here.
    const auto ready = static_cast<std::uint16_t>(ring_.used_index() - last_used_);
    if (ready == 0) {
        if (renewed()) [[unlikely]]
            return stale();
        return std::size_t{0};
    }
    const std::uint32_t shown = outstanding_ - static_cast<std::uint16_t>(avail_index_ - published_);
    if (ready > shown) return violate(BOUNCE_VIOLATION_USED_INDEX, ready, shown);
    const std::size_t most = std::min<std::size_t>(ready, completions.size());
    std::size_t n = 0;
    for (; n < most; ++n) {
        SplitUsedElem& element = ring_.used(last_used_);
        const std::uint32_t id = element.id.load();
        const std::uint32_t len = element.len.load();
        // All 32 bits are compared before the mask narrows them; the mask is for speculation past the branch.
        const std::uint32_t head = id & (queue_size_ - 1);
        if (id >= queue_size_ || !chains_[head].live() || chains_[head].sequence >= published_sequence_) {
            const Error error = violate(BOUNCE_VIOLATION_USED_ID, id, queue_size_);
            if (n == 0) return error;
            break;
        }
        ++last_used_;
        finish(head, len, completions[n]);
    }
    // Were these zeros of fresh memory, or did that come meanwhile? Of which request, nobody can tell.
    if (n != 0 && renewed()) [[unlikely]] {
        for (bounce_completion& completion : completions.first(n)) {
            if (completion.status == 0) completion.status = -ESTALE;
        }
    }
    return n;
}

/// Has other memory taken the place of the ring's, or of its cells'?
bool SplitQueue::renewed() const noexcept {
    return device_.renewed(block_) || (cells_.used() && device_.renewed(cells_.area()));
}

/// Gives back what a completed chain held. Its state is cleared first: a replay of the id finds nothing.
void SplitQueue::finish(std::uint32_t head, std::uint32_t reported, bounce_completion& completion) noexcept {
    const Chain chain = chains_[head];
    retire(head, chain);
    std::uint32_t left = reported;
    std::uint64_t bytes_out = 0;
    if (reported > chain.writable && !BOUNCE_MUTATED(kLengthClamp)) {
        left = chain.writable;
        ++violations_;
        bump(counters_.violations);
        device_.callbacks().violation(device_.name(), BOUNCE_VIOLATION_USED_LENGTH, config_.index, reported,
                                      chain.writable, "more bytes reported than the device could write; clamped");
    }
    completion = bounce_completion{chain.cookie, 0, left, reported, 0};
    SegmentReader tokens(segments_, chain.segments);
    for (std::uint32_t i = 0; i < std::uint32_t{chain.n_out} + chain.n_in; ++i) {
        bounce_mapping& token = tokens.next();
        // The bytes that the device wrote fill the writable segments in order.
        std::uint64_t share = 0;
        if (i >= chain.n_out) {
            share = std::min<std::uint64_t>(left, token.bytes);
            left -= static_cast<std::uint32_t>(share);
        } else {
            bytes_out += token.bytes;
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
    ++completed_;
    bump(counters_.completed);
    bump(counters_.bytes_out, bytes_out);
    bump(counters_.bytes_in, completion.written);
}

/// Ends a chain: its descriptors and its table are free.
void SplitQueue::retire(std::uint32_t head, const Chain& chain) noexcept {
    chains_[head].n_out = chains_[head].n_in = 0;
    tables_.give(chain.table, head);
    next_[chain.tail] = free_head_;
    free_head_ = static_cast<std::uint16_t>(head);
    n_free_ += chain.table == TablePool::kNone ? std::uint32_t{chain.n_out} + chain.n_in : 1;
    --outstanding_;
}

/// Ends n segments without copying anything.
void SplitQueue::discard(std::uint32_t first_block, std::uint32_t n) noexcept {
    SegmentReader tokens(segments_, first_block);
    for (std::uint32_t i = 0; i < n; ++i) {
        bounce_mapping& token = tokens.next();
        if (!is_shared_segment(token) && !CellArea::holds(token)) (void)device_.discard(context_, token);
    }
    tokens.finish();
}

void SplitQueue::sort_outstanding() noexcept {
    order_at_ = order_end_ = 0;
    for (std::uint32_t head = 0; head < queue_size_; ++head) {
        if (chains_[head].live()) order_[order_end_++] = static_cast<std::uint16_t>(head);
    }
    std::sort(order_.get(), order_.get() + order_end_,
              [this](std::uint16_t a, std::uint16_t b) { return chains_[a].sequence < chains_[b].sequence; });
}

void SplitQueue::stop() noexcept {
    if (state_ == State::kRunning) state_ = State::kStopped;
}

std::size_t SplitQueue::abort(std::span<bounce_completion> completions) noexcept {
    if (outstanding_ == 0 || completions.empty()) return 0;
    stop();
    fence();  // what was added and not published
    // From here to reset() nothing is added or collected: the order stays good over several calls.
    if (order_at_ == order_end_) sort_outstanding();
    std::size_t n = 0;
    for (; n < completions.size() && order_at_ < order_end_; ++n) {
        const std::uint16_t head = order_[order_at_++];
        const Chain chain = chains_[head];
        retire(head, chain);
        discard(chain.segments, std::uint32_t{chain.n_out} + chain.n_in);
        completions[n] = bounce_completion{chain.cookie, -ECONNRESET, 0, 0, 0};
        ++aborted_;
        bump(counters_.completed);
    }
    return n;
}

}  // namespace bounce
