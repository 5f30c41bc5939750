// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/packed_device_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#include "allocator/base/mutation.hpp"
#include "api/virtio/device_chain.hpp"

namespace bounce {

Result<std::unique_ptr<PackedDeviceQueue>> PackedDeviceQueue::create(GuestMemory& memory,
                                                                     const DeviceQueueConfig& config) noexcept {
    if (auto good = check(config); !good) return good.error();
    std::unique_ptr<PackedDeviceQueue> queue(new (std::nothrow) PackedDeviceQueue(memory, config));
    if (queue == nullptr) return fail(ENOMEM, "no memory for a virtqueue");
    if (auto done = queue->init(); !done) return done.error();
    return queue;
}

void PackedDeviceQueue::restart() noexcept {
    next_avail_ = PackedPosition::decoded(config_.avail_index);
    next_used_ = flushed_ = PackedPosition::decoded(config_.used_index);
    in_flight_ = in_flight(config_);
    unflushed_ = since_asked_ = 0;
    pending_ = false;
    kicks_ = true;
}

bool PackedDeviceQueue::available(std::uint16_t flags, PackedPosition at) noexcept {
    return (flags & kPackedBoth) == at.avail_flags();
}

/// Of a descriptor at next_used_. WRITE says that its length means something.
std::uint16_t PackedDeviceQueue::used_flags(std::uint32_t written) const noexcept {
    return static_cast<std::uint16_t>(next_used_.used_flags() | (written != 0 ? kDescWrite : 0));
}

/// Tables have no links: their descriptors follow each other, and no flag but WRITE means anything (section 2.8.7).
Result<void> PackedDeviceQueue::walk_table(DeviceChain& chain, std::uint64_t addr, std::uint32_t len) noexcept {
    auto n = chain.copy_table(addr, len);
    if (!n) return n.error();
    const auto* const table = reinterpret_cast<const PackedDesc*>(chain.table());
    for (std::uint32_t i = 0; i < *n; ++i) {
        const std::uint16_t flags = table[i].flags.load();
        if ((flags & kDescIndirect) != 0) return violate(BOUNCE_DRIVER_INDIRECT, flags, kDescWrite);
        if (auto added = chain.add(table[i].addr.load(), table[i].len.load(), (flags & kDescWrite) != 0); !added)
            return added;
    }
    return {};
}

Result<bool> PackedDeviceQueue::pop_one(bounce_element& element) noexcept {
    std::uint16_t flags = desc()[next_avail_.at()].flags.load(std::memory_order_acquire);  // V1: pairs with P1
    if (!available(flags, next_avail_)) return false;
    DeviceChain chain(*this, element);
    PackedPosition at = next_avail_;
    std::uint32_t n = 0;
    std::uint16_t id = 0;
    for (;;) {
        // What is taken and not shown as used is not the driver's to make available again.
        if (in_flight_ + n == config_.queue_size) [[unlikely]]
            return violate(BOUNCE_DRIVER_AVAIL_INDEX, n + 1, n);
        PackedDesc& descriptor = desc()[at.at()];
        const std::uint64_t address = descriptor.addr.load();
        const std::uint32_t len = descriptor.len.load();
        id = descriptor.id.load();  // that of the last one counts
        ++n;
        at.move(1, config_.queue_size);
        if ((flags & kDescIndirect) != 0) {
            if (!config_.indirect || (flags & kDescNext) != 0)
                return violate(BOUNCE_DRIVER_INDIRECT, flags, config_.indirect ? kDescIndirect | kDescWrite : 0);
            if (auto done = walk_table(chain, address, len); !done) return done.error();
            break;
        }
        if (auto added = chain.add(address, len, (flags & kDescWrite) != 0); !added) return added.error();
        if ((flags & kDescNext) == 0) break;
        flags = desc()[at.at()].flags.load();
    }
    if (auto fits = chain.finish(); !fits) return fits.error();
    if (!held_[id].free() && !BOUNCE_MUTATED(kElementInUse)) [[unlikely]]
        return violate(BOUNCE_DRIVER_IN_USE, id, outstanding());
    element.id = id;
    take(element, n);
    in_flight_ += n;
    next_avail_ = at;
    return true;
}

/// The next used descriptor. The first one since a flush is not used before show(): the driver looks at it first.
void PackedDeviceQueue::use(std::uint32_t id, std::uint32_t written, std::uint32_t descriptors) noexcept {
    PackedDesc& descriptor = desc()[next_used_.at()];
    descriptor.id.store(static_cast<std::uint16_t>(id));
    descriptor.len.store(written);
    const std::uint16_t flags = used_flags(written);
    if (pending_) {
        descriptor.flags.store(flags);
        dirty(desc_.gpa + std::uint64_t{next_used_.at()} * sizeof(PackedDesc) + 8, 8);
    } else {
        pending_ = true;
        pending_flags_ = flags;
    }
    unflushed_ += descriptors;
    next_used_.move(descriptors, config_.queue_size);
}

/// As of the split ring; section 2.8.6.
void PackedDeviceQueue::use_in_order() noexcept {
    std::uint16_t id = 0;
    while (const Held* held = oldest_done(id)) {
        std::uint32_t descriptors = held->descriptors;
        while (held->written == held->writable) {
            const Held* const behind = oldest_done(id);
            if (behind == nullptr) break;
            held = behind;
            descriptors += held->descriptors;
        }
        use(id, held->written, descriptors);
    }
}

/// Shows what was used; false: there is nothing new.
bool PackedDeviceQueue::show(std::memory_order order) noexcept {
    if (config_.in_order) use_in_order();
    if (!pending_) return false;
    pending_ = false;
    desc()[flushed_.at()].flags.store(pending_flags_, order);  // V2, or V3: pairs with P2 and P5
    dirty(desc_.gpa + std::uint64_t{flushed_.at()} * sizeof(PackedDesc) + 8, 8);
    flushed_ = next_used_;
    in_flight_ -= unflushed_;
    since_asked_ = std::min(since_asked_ + unflushed_, 2 * config_.queue_size);
    unflushed_ = 0;
    return true;
}

/// Is the driver's event among the last `since` descriptors before flushed_?
bool PackedDeviceQueue::call_wanted(std::uint32_t since) noexcept {
    const PackedEvent event(driver_event().load(std::memory_order_seq_cst));  // V4: pairs with P4
    if (event.flags() == PackedEvent::kDisable) return false;
    if (event.flags() != PackedEvent::kDesc || !config_.event_idx) return true;
    const std::uint32_t offset = event.offset();
    if (offset >= config_.queue_size) return true;  // nowhere: a call too many is the safe answer
    // How far it is behind flushed_: in this round, or in the one before.
    const std::uint32_t round = event.wrap() == flushed_.wrap() ? 0 : config_.queue_size;
    if (offset >= flushed_.at() + round) return false;
    return flushed_.at() + round - offset <= since;
}

Result<bool> PackedDeviceQueue::needs_call() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    const bool shown = show(std::memory_order_seq_cst);  // V3: pairs with P5
    if (since_asked_ == 0) return false;
    const std::uint32_t since = since_asked_;
    since_asked_ = 0;
    // V3: what was flushed before was a release store to a descriptor that may be the driver's again. A seq_cst store
    // keeps it before V4 on every processor: its barrier stands behind it, or (arm64) a load-acquire behind a
    // store-release waits for it.
    if (!shown) turn_.store(0, std::memory_order_seq_cst);
    return call_wanted(since);
}

/// Says what kicks are wanted.
void PackedDeviceQueue::ask(std::memory_order order) noexcept {
    const PackedEvent event(config_.event_idx && kicks_ ? next_avail_.encoded() : std::uint16_t{0},
                            !kicks_             ? PackedEvent::kDisable
                            : config_.event_idx ? PackedEvent::kDesc
                                                : PackedEvent::kEnable);
    device_event().store(event.raw(), order);
    dirty(device_.gpa, sizeof(PackedEvent));
}

Result<bool> PackedDeviceQueue::enable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    kicks_ = true;
    ask(std::memory_order_seq_cst);                                                              // V5: pairs with P3
    const std::uint16_t flags = desc()[next_avail_.at()].flags.load(std::memory_order_seq_cst);  // V6: pairs with P1
    return available(flags, next_avail_);
}

Result<void> PackedDeviceQueue::disable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready;
    if (!kicks_) return {};
    kicks_ = false;
    ask(std::memory_order_relaxed);
    return {};
}

Result<std::uint32_t> PackedDeviceQueue::notified(std::uint32_t offset) const noexcept {
    const PackedPosition to = PackedPosition::decoded(static_cast<std::uint16_t>(offset));
    const std::uint32_t round = to.wrap() == next_avail_.wrap() ? 0 : config_.queue_size;
    const std::uint32_t ahead = to.at() + round - next_avail_.at();
    if (to.at() < config_.queue_size && ahead <= config_.queue_size) return ahead;
    return fail(EINVAL, "a kick says that the driver is at %llu, queue %llu has %llu descriptors and is at %llu",
                to.at(), config_.index, config_.queue_size, next_avail_.at());
}

}  // namespace bounce
