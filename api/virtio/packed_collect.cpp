// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Taking completions out of a packed virtqueue. Whatever the device wrote is read once, and checked against private
// state. Each step ends a live request, so a call ends with what was outstanding, whatever the device does meanwhile.
#include "allocator/base/mutation.hpp"
#include "api/virtio/dma_barrier.hpp"
#include "api/virtio/packed_queue.hpp"

namespace bounce {

Result<std::size_t> PackedQueue::collect(std::span<bounce_completion> completions) noexcept {
    if (state_ != State::kRunning) [[unlikely]]
        return refuse();
    std::size_t n = 0;
    while (n < completions.size()) {
        std::uint32_t id = 0;
        std::uint32_t len = 0;
        if (confirmed_ != 0) {
            id = next_in_order(len);
        } else if (!is_used(ring_.flags(used_.at()))) {
            break;
        } else if (!next_used(id, len)) [[unlikely]] {
            if (n == 0) return refuse();
            break;
        }
        const Chain chain = release(id);
        used_.move(chain.descriptors(), queue_size_);
        free_descriptors(id, chain);
        complete(chain, len, completions[n++]);
    }
    return collected(completions, n);
}

bool PackedQueue::next_used(std::uint32_t& id, std::uint32_t& len) noexcept {
    if (order_platform_) dma_read_barrier();
    PackedDesc& desc = ring_.desc(used_.at());
    const std::uint32_t reported = desc.id.load();
    // Of its flags only whose it is counts: devices leave WRITE out, which should say whether the length means
    // anything.
    len = desc.len.load();
    // The mask is for speculation past the branch: chains_ is as long as it reaches.
    id = BOUNCE_MUTATED(kIndexMask) ? (reported < queue_size_ ? reported : 0) : reported & index_mask_;
    if ((reported >= queue_size_ || !is_shown(id)) && !unchecked_) [[unlikely]] {
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_ID, reported, queue_size_));
        return false;
    }
    if (BOUNCE_MUTATED(kReadOnce)) id = desc.id.load() & index_mask_;
    if (too_long(id, len)) [[unlikely]] {
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_LENGTH, len, chains_[id].writable));
        return false;
    }
    if (in_order_) {
        confirm(batch_of(id), len);
        id = next_in_order(len);
    }
    return true;
}

void PackedQueue::free_descriptors(std::uint32_t id, const Chain& chain) noexcept {
    n_free_ += chain.descriptors();
    chains_[id].link = free_head_;
    free_head_ = static_cast<std::uint16_t>(id);
}

}  // namespace bounce
