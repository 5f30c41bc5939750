// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Split virtqueue, driver side: making and resetting one, kicks and calls. Requests are in split_add.cpp, completions
// in split_collect.cpp.
#include "api/virtio/split_queue.hpp"

#include <bit>
#include <cerrno>
#include <new>

#include "api/virtio/dma_barrier.hpp"

namespace bounce {

Result<void> SplitQueue::check(const QueueConfig& config) noexcept {
    const std::uint32_t n = config.queue_size;
    if (n < kSplitMinQueue || n > kSplitMaxQueue || !std::has_single_bit(n)) {
        return fail(EINVAL, "a queue of %llu descriptors, expected a power of two from %llu to %llu", n, kSplitMinQueue,
                    kSplitMaxQueue);
    }
    return check_chain(config);
}

Result<void> SplitQueue::init() noexcept {
    next_.reset(new (std::nothrow) std::uint16_t[queue_size_]);
    if (next_ == nullptr) return fail(ENOMEM, "no memory for the private state of %llu descriptors", queue_size_);
    if (auto done = init_memory(SplitOffsets(queue_size_).bytes); !done) return done;
    ring_ = SplitRing(static_cast<std::byte*>(block_.ptr), queue_size_);
    restart();
    return {};
}

void SplitQueue::restart_ring() noexcept {
    for (std::uint32_t i = 0; i < queue_size_; ++i) next_[i] = static_cast<std::uint16_t>((i + 1) & index_mask_);
    avail_index_ = published_ = last_used_ = seen_used_ = 0;
}

bool SplitQueue::publish() noexcept {
    if (state_ != State::kRunning || avail_index_ == published_) return false;
    const std::uint16_t before = published_;
    published_ = avail_index_;
    published_sequence_ = added_;
    fence();  // one for the batch
    if (order_platform_) dma_write_barrier();
    if (no_kicks_) {
        ring_.publish_only(avail_index_);
        return false;
    }
    ring_.publish(avail_index_);
    if (order_platform_) dma_full_barrier();
    // What the device says of kicks is a hint: any value costs a kick too many or too few, nothing else.
    const bool wanted = event_idx_ ? passed_event(ring_.avail_event(), avail_index_, before)
                                   : (ring_.used_flags() & kUsedNoNotify) == 0;
    if (wanted) bump(counters_.kicks);
    return wanted;
}

bool SplitQueue::arm() noexcept {
    if (state_ != State::kRunning || confirmed_ != 0) return true;  // collect() says why
    if (event_idx_) {
        ring_.ask_call_at(last_used_);
    } else {
        ring_.set_avail_flags(0);
    }
    if (order_platform_) dma_full_barrier();
    return ring_.used_index_after_arm() != last_used_;
}

void SplitQueue::disarm() noexcept {
    // With event idx there is no "never": the index that comes last asks for one call in 65536 completions. The flags
    // then stay 0 (section 2.7.7.1).
    if (event_idx_) {
        ring_.ask_call_at(static_cast<std::uint16_t>(last_used_ - 1));
    } else {
        ring_.set_avail_flags(kAvailNoInterrupt);
    }
}

bounce_ring_layout SplitQueue::layout() const noexcept {
    const SplitOffsets offsets(queue_size_);
    bounce_ring_layout layout{};
    layout.desc_addr = block_.addr;
    layout.avail_addr = block_.addr + offsets.avail;
    layout.used_addr = block_.addr + offsets.used;
    layout.queue_size = queue_size_;
    layout.avail_index = last_used_;
    return layout;
}

std::uint32_t SplitQueue::notification_data() const noexcept {
    return (config().index & 0xffff) | std::uint32_t{published_} << 16;
}

}  // namespace bounce
