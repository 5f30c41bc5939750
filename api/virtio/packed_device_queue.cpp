// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/packed_device_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#include "api/virtio/device_chain.hpp"

namespace bounce {
namespace {

constexpr std::uint16_t kNext = 1;
constexpr std::uint16_t kWrite = 2;
constexpr std::uint16_t kIndirect = 4;
constexpr std::uint16_t kAvail = 1U << 7;
constexpr std::uint16_t kUsed = 1U << 15;
// Flags of an event structure (section 2.8.10).
constexpr std::uint16_t kEventsOn = 0;
constexpr std::uint16_t kEventsOff = 1;
constexpr std::uint16_t kEventAtDescriptor = 2;

}  // namespace

Result<std::unique_ptr<PackedDeviceQueue>> PackedDeviceQueue::create(GuestMemory& memory,
                                                                     const DeviceQueueConfig& config) noexcept {
    if (auto good = check(config); !good) return good.error();
    std::unique_ptr<PackedDeviceQueue> queue(new (std::nothrow) PackedDeviceQueue(memory, config));
    if (queue == nullptr) return fail(ENOMEM, "no memory for a virtqueue");
    if (auto done = queue->init(); !done) return done.error();
    return queue;
}

void PackedDeviceQueue::restart() noexcept {
    next_avail_ = Position::from(config_.avail_index);
    next_used_ = flushed_ = Position::from(config_.used_index);
    in_flight_ = in_flight(config_);
    unflushed_ = since_asked_ = 0;
    pending_ = false;
    kicks_ = true;
}

bool PackedDeviceQueue::available(std::uint16_t flags, bool wrap) noexcept {
    return ((flags & kAvail) != 0) == wrap && ((flags & kUsed) != 0) != wrap;
}

/// Of a descriptor at next_used_. WRITE says that its length means something.
std::uint16_t PackedDeviceQueue::used_flags(std::uint32_t written) const noexcept {
    return static_cast<std::uint16_t>((next_used_.wrap ? kAvail | kUsed : 0) | (written != 0 ? kWrite : 0));
}

/// Tables have no links: their descriptors follow each other, and no flag but WRITE means anything (section 2.8.7).
Result<void> PackedDeviceQueue::walk_table(DeviceChain& chain, std::uint64_t addr, std::uint32_t len) noexcept {
    auto n = chain.copy_table(addr, len);
    if (!n) return n.error();
    const auto* const table = reinterpret_cast<const Desc*>(chain.table());
    for (std::uint32_t i = 0; i < *n; ++i) {
        const std::uint16_t flags = table[i].flags.load();
        if ((flags & kIndirect) != 0) return violate(BOUNCE_DRIVER_INDIRECT, flags, kWrite);
        if (auto added = chain.add(table[i].addr.load(), table[i].len.load(), (flags & kWrite) != 0); !added)
            return added;
    }
    return {};
}

Result<bool> PackedDeviceQueue::pop_one(bounce_element& element) noexcept {
    std::uint16_t flags = desc()[next_avail_.at].flags.load(std::memory_order_acquire);  // V1: pairs with P1
    if (!available(flags, next_avail_.wrap)) return false;
    DeviceChain chain(*this, element);
    Position at = next_avail_;
    std::uint32_t n = 0;
    std::uint16_t id = 0;
    for (;;) {
        // What is taken and not shown as used is not the driver's to make available again.
        if (in_flight_ + n == config_.queue_size) [[unlikely]]
            return violate(BOUNCE_DRIVER_AVAIL_INDEX, n + 1, n);
        Desc& descriptor = desc()[at.at];
        const std::uint64_t address = descriptor.addr.load();
        const std::uint32_t len = descriptor.len.load();
        id = descriptor.id.load();  // that of the last one counts
        ++n;
        at.advance(1, config_.queue_size);
        if ((flags & kIndirect) != 0) {
            if (!config_.indirect || (flags & kNext) != 0)
                return violate(BOUNCE_DRIVER_INDIRECT, flags, config_.indirect ? kIndirect | kWrite : 0);
            if (auto done = walk_table(chain, address, len); !done) return done.error();
            break;
        }
        if (auto added = chain.add(address, len, (flags & kWrite) != 0); !added) return added.error();
        if ((flags & kNext) == 0) break;
        flags = desc()[at.at].flags.load();
    }
    if (auto fits = chain.finish(); !fits) return fits.error();
    if (!held_[id].free()) [[unlikely]]
        return violate(BOUNCE_DRIVER_IN_USE, id, outstanding());
    element.id = id;
    take(element, n);
    in_flight_ += n;
    next_avail_ = at;
    return true;
}

Result<std::size_t> PackedDeviceQueue::pop(std::span<bounce_element> elements) noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    std::size_t n = 0;
    for (; n < elements.size(); ++n) {
        auto popped = pop_one(elements[n]);
        if (!popped && n == 0) return popped.error();
        if (!popped || !*popped) break;
    }
    return n;
}

/// The next used descriptor. The first one since a flush is not used before show(): the driver looks at it first.
void PackedDeviceQueue::use(std::uint32_t id, std::uint32_t written, std::uint32_t descriptors) noexcept {
    Desc& descriptor = desc()[next_used_.at];
    descriptor.id.store(static_cast<std::uint16_t>(id));
    descriptor.len.store(written);
    const std::uint16_t flags = used_flags(written);
    if (pending_) {
        descriptor.flags.store(flags);
        dirty(desc_.gpa + std::uint64_t{next_used_.at} * sizeof(Desc) + 8, 8);
    } else {
        pending_ = true;
        pending_flags_ = flags;
    }
    unflushed_ += descriptors;
    next_used_.advance(descriptors, config_.queue_size);
}

Result<void> PackedDeviceQueue::push(const bounce_element& element, std::uint32_t written) noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready && ready.code() != EPROTO) return ready;
    auto held = give(element, written);
    if (!held) return held.error();
    if (!config_.in_order) use(element.id, written, (*held)->descriptors);
    return {};
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
    desc()[flushed_.at].flags.store(pending_flags_, order);  // V2, or V3: pairs with P2 and P5
    dirty(desc_.gpa + std::uint64_t{flushed_.at} * sizeof(Desc) + 8, 8);
    flushed_ = next_used_;
    in_flight_ -= unflushed_;
    since_asked_ = std::min(since_asked_ + unflushed_, 2 * config_.queue_size);
    unflushed_ = 0;
    return true;
}

Result<void> PackedDeviceQueue::flush() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready;
    (void)show(std::memory_order_release);
    return {};
}

/// Is the driver's event among the last `since` descriptors before flushed_?
bool PackedDeviceQueue::call_wanted(std::uint32_t since) noexcept {
    const std::uint16_t flags = driver_event()->flags.load(std::memory_order_seq_cst);  // V4: pairs with P4
    if (flags == kEventsOff) return false;
    if (flags != kEventAtDescriptor || !config_.event_idx) return true;
    const std::uint16_t off_wrap = driver_event()->off_wrap.load();
    const std::uint32_t event = off_wrap & 0x7fffU;
    if (event >= config_.queue_size) return true;  // nowhere: a call too many is the safe answer
    // How far it is behind flushed_: in this round, or in the one before.
    const std::uint32_t round = ((off_wrap & 0x8000) != 0) == flushed_.wrap ? 0 : config_.queue_size;
    if (event >= flushed_.at + round) return false;
    return flushed_.at + round - event <= since;
}

Result<bool> PackedDeviceQueue::needs_call() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    const bool shown = show(std::memory_order_seq_cst);
    if (since_asked_ == 0) return false;
    const std::uint32_t since = since_asked_;
    since_asked_ = 0;
    // V3: what was flushed before was a release store to a descriptor that may be the driver's again. A seq_cst store
    // keeps it before V4 on every processor: its barrier stands behind it, or (arm64) a load-acquire behind a
    // store-release waits for it.
    if (!shown) turn_.store(0, std::memory_order_seq_cst);
    return call_wanted(since);
}

std::uint16_t PackedDeviceQueue::event_flags() const noexcept {
    return !kicks_ ? kEventsOff : config_.event_idx ? kEventAtDescriptor : kEventsOn;
}

Result<bool> PackedDeviceQueue::enable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    kicks_ = true;
    if (config_.event_idx) device_event()->off_wrap.store(next_avail_.saved());
    device_event()->flags.store(event_flags(), std::memory_order_seq_cst);  // V5: pairs with P3
    dirty(device_.gpa, sizeof(Event));
    const std::uint16_t flags = desc()[next_avail_.at].flags.load(std::memory_order_seq_cst);  // V6: pairs with P1
    return available(flags, next_avail_.wrap);
}

Result<void> PackedDeviceQueue::disable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready;
    if (!kicks_) return {};
    kicks_ = false;
    device_event()->flags.store(event_flags());
    dirty(device_.gpa, sizeof(Event));
    return {};
}

Result<std::uint32_t> PackedDeviceQueue::notified(std::uint32_t offset) const noexcept {
    const Position to = Position::from(static_cast<std::uint16_t>(offset));
    const std::uint32_t round = to.wrap == next_avail_.wrap ? 0 : config_.queue_size;
    const std::uint32_t ahead = to.at + round - next_avail_.at;
    if (to.at < config_.queue_size && ahead <= config_.queue_size) return ahead;
    return fail(EINVAL, "a kick says that the driver is at %llu, queue %llu has %llu descriptors and is at %llu", to.at,
                config_.index, config_.queue_size, next_avail_.at);
}

}  // namespace bounce
