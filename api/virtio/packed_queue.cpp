// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Packed virtqueue, driver side: making and resetting one, kicks and calls. Requests are in packed_add.cpp, completions
// in packed_collect.cpp.
#include "api/virtio/packed_queue.hpp"

#include <cerrno>

#include "allocator/base/mutation.hpp"
#include "api/virtio/dma_barrier.hpp"

namespace bounce {

Result<void> PackedQueue::check(const QueueConfig& config) noexcept {
    const std::uint32_t n = config.queue_size;
    if (n < kPackedMinQueue || n > kPackedMaxQueue) {
        return fail(EINVAL, "a packed queue of %llu descriptors, expected %llu to %llu", n, kPackedMinQueue,
                    kPackedMaxQueue);
    }
    return check_chain(config);
}

Result<void> PackedQueue::init() noexcept {
    if (auto done = init_memory(PackedOffsets(queue_size_).bytes); !done) return done;
    ring_ = PackedRing(static_cast<std::byte*>(block_.ptr), queue_size_);
    restart();
    return {};
}

void PackedQueue::restart_ring() noexcept {
    // There are as many ids as descriptors, so one is free whenever a descriptor is.
    for (std::uint32_t id = 0; id < queue_size_; ++id) chains_[id].link = static_cast<std::uint16_t>(id + 1);
    avail_ = used_ = published_ = PackedPosition();
    unpublished_ = 0;
}

/// Is the device's event within the `added` descriptors that end before avail_? What it says is a hint: any value costs
/// a kick too many or too few, nothing else.
bool PackedQueue::wants_kick(std::uint32_t added) const noexcept {
    const PackedEvent event = ring_.device_event();
    if (event.flags() == PackedEvent::kDisable) return false;
    if (event.flags() != PackedEvent::kDesc || !event_idx_) return true;
    // Of the lap before: behind the beginning of this one.
    const std::uint32_t lap = event.wrap() == avail_.wrap() ? 0 : queue_size_;
    return passed_event(static_cast<std::uint16_t>(event.offset() - lap), avail_.at(),
                        static_cast<std::uint16_t>(avail_.at() - added));
}

bool PackedQueue::publish() noexcept {
    if (state_ != State::kRunning || unpublished_ == 0) return false;
    const std::uint32_t added = unpublished_;
    unpublished_ = 0;
    published_ = avail_;
    published_sequence_ = added_;
    fence();  // one for the batch
    if (order_platform_) dma_write_barrier();
    if (no_kicks_) {
        ring_.publish_only(held_at_, held_flags_);
        return false;
    }
    ring_.publish(held_at_, held_flags_);
    if (order_platform_) dma_full_barrier();
    if (BOUNCE_MUTATED(kEventHint) && ring_.device_event().flags() == 3)
        static_cast<void>(violate(BOUNCE_VIOLATION_USED_INDEX, 3, 2));
    const bool wanted = wants_kick(added);
    if (wanted) bump(counters_.kicks);
    return wanted;
}

bool PackedQueue::arm() noexcept {
    if (state_ != State::kRunning || confirmed_ != 0) return true;  // collect() says why
    ring_.set_driver_event(event_idx_ ? PackedEvent(used_.encoded(), PackedEvent::kDesc)
                                      : PackedEvent(0, PackedEvent::kEnable));
    if (order_platform_) dma_full_barrier();
    return is_used(ring_.flags_after_arm(used_.at()));
}

void PackedQueue::disarm() noexcept {
    ring_.set_driver_event(PackedEvent(0, PackedEvent::kDisable));
}

bounce_ring_layout PackedQueue::layout() const noexcept {
    const PackedOffsets offsets(queue_size_);
    bounce_ring_layout layout{};
    layout.desc_addr = block_.addr;
    layout.avail_addr = block_.addr + offsets.driver_event;
    layout.used_addr = block_.addr + offsets.device_event;
    layout.queue_size = queue_size_;
    layout.avail_index = layout.used_index = used_.encoded();
    return layout;
}

std::uint32_t PackedQueue::notification_data() const noexcept {
    return (config().index & 0xffff) | std::uint32_t{published_.encoded()} << 16;
}

}  // namespace bounce
