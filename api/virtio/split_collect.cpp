// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Taking completions out of a split virtqueue. Whatever the device wrote is read once, and checked against private
// state.
#include "allocator/base/mutation.hpp"
#include "api/virtio/dma_barrier.hpp"
#include "api/virtio/split_queue.hpp"

namespace bounce {

Result<std::size_t> SplitQueue::collect(std::span<bounce_completion> completions) noexcept {
    if (state_ != State::kRunning) [[unlikely]]
        return refuse();
    // At most one look at the index a call: a device that goes on completing meanwhile cannot keep us here. None, when
    // the last one found enough.
    auto ready = static_cast<std::uint16_t>(seen_used_ - last_used_);
    if (ready + confirmed_ < completions.size()) {
        const std::uint16_t index = ring_.used_index();
        if (order_platform_) dma_read_barrier();
        ready = static_cast<std::uint16_t>(index - last_used_);
        const std::uint32_t shown = outstanding_ - static_cast<std::uint16_t>(avail_index_ - published_) - confirmed_;
        if (ready > shown && !unchecked_ && !BOUNCE_MUTATED(kUsedIndex)) [[unlikely]]
            return violate(BOUNCE_VIOLATION_USED_INDEX, ready, shown);
        seen_used_ = index;
    }
    std::size_t n = 0;
    while (n < completions.size()) {
        std::uint32_t head = 0;
        std::uint32_t len = 0;
        if (confirmed_ != 0) {
            head = next_in_order(len);
        } else if (ready == 0) {
            break;
        } else if (!next_used(ready, head, len)) [[unlikely]] {
            if (n == 0) return refuse();
            break;
        }
        const Chain chain = release(head);
        free_descriptors(head, chain);
        complete(chain, len, completions[n++]);
    }
    return collected(completions, n);
}

bool SplitQueue::next_used(std::uint16_t& ready, std::uint32_t& head, std::uint32_t& len) noexcept {
    SplitUsedElem& element = ring_.used(last_used_);
    std::uint32_t id = element.id.load();
    if (BOUNCE_MUTATED(kUsedIdWidth)) id &= 0xffff;
    len = element.len.load();
    // All 32 bits are compared before the mask narrows them; the mask is for speculation past the branch.
    head = BOUNCE_MUTATED(kIndexMask) ? (id < queue_size_ ? id : 0) : id & index_mask_;
    if ((id >= queue_size_ || !is_shown(head)) && !unchecked_) [[unlikely]] {
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_ID, id, queue_size_));
        return false;
    }
    if (BOUNCE_MUTATED(kReadOnce)) head = element.id.load() & index_mask_;
    if (too_long(head, len)) [[unlikely]] {
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_LENGTH, len, chains_[head].writable));
        return false;
    }
    if (!in_order_) {
        ++last_used_;
        --ready;
        return true;
    }
    // The element stands for all requests up to this one, and the index moved past all of them.
    const std::uint64_t batch = batch_of(head);
    if (batch > ready) [[unlikely]] {
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_INDEX, batch, ready));
        return false;
    }
    last_used_ = static_cast<std::uint16_t>(last_used_ + batch);
    ready = static_cast<std::uint16_t>(ready - batch);
    confirm(batch, len);
    head = next_in_order(len);
    return true;
}

void SplitQueue::free_descriptors(std::uint32_t head, const Chain& chain) noexcept {
    n_free_ += chain.descriptors();
    std::uint16_t last = chain.link;
    if (BOUNCE_MUTATED(kTableRemembered) && (ring_.desc(head).len_flags_next.load() >> 32 & kDescIndirect) == 0)
        n_free_ += chain.count() - chain.descriptors();
    if (BOUNCE_MUTATED(kPrivateShadow)) {
        last = static_cast<std::uint16_t>(head);
        for (std::uint32_t i = 1; i < chain.descriptors(); ++i)
            last = static_cast<std::uint16_t>(ring_.desc(last).len_flags_next.load() >> 48 & index_mask_);
    }
    if (in_order_) return;
    next_[last] = free_head_;
    free_head_ = static_cast<std::uint16_t>(head);
}

}  // namespace bounce
