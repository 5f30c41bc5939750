// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/split_device_queue.hpp"

#include <cerrno>
#include <new>

#include "allocator/base/mutation.hpp"
#include "api/virtio/device_chain.hpp"

namespace bounce {
namespace {

/// The second word of a descriptor, read once.
struct Rest {
    explicit Rest(std::uint64_t word) noexcept
        : len(static_cast<std::uint32_t>(word)),
          flags(static_cast<std::uint16_t>(word >> 32)),
          next(static_cast<std::uint16_t>(word >> 48)) {}
    std::uint32_t len;
    std::uint16_t flags;
    std::uint16_t next;
};

}  // namespace

Result<std::unique_ptr<SplitDeviceQueue>> SplitDeviceQueue::create(GuestMemory& memory,
                                                                   const DeviceQueueConfig& config) noexcept {
    if (auto good = check(config); !good) return good.error();
    std::unique_ptr<SplitDeviceQueue> queue(new (std::nothrow) SplitDeviceQueue(memory, config));
    if (queue == nullptr) return fail(ENOMEM, "no memory for a virtqueue");
    if (auto done = queue->init(); !done) return done.error();
    return queue;
}

void SplitDeviceQueue::restart() noexcept {
    mask_ = static_cast<std::uint16_t>(config_.queue_size - 1);
    next_avail_ = seen_avail_ = config_.avail_index;
    next_used_ = flushed_ = asked_ = config_.used_index;
    kicks_ = true;
}

/// Is there more than what was seen before?
Result<bool> SplitDeviceQueue::look() noexcept {
    const std::uint16_t index = avail()->idx.load(std::memory_order_acquire);  // V1: pairs with P1
    const auto ahead = static_cast<std::uint16_t>(index - next_avail_);
    if (ahead == 0) return false;
    // What is taken and not shown as used still has its descriptors.
    const auto taken = static_cast<std::uint16_t>(next_avail_ - flushed_);
    const std::uint32_t most = config_.queue_size - taken;
    if (ahead > most) [[unlikely]]
        return violate(BOUNCE_DRIVER_AVAIL_INDEX, ahead, most);
    seen_avail_ = index;
    return true;
}

Result<void> SplitDeviceQueue::walk_table(DeviceChain& chain, std::uint64_t addr, std::uint32_t len) noexcept {
    auto n = chain.copy_table(addr, len);
    if (!n) return n.error();
    const auto* const table = reinterpret_cast<const SplitDesc*>(chain.table());
    std::uint32_t at = 0;
    for (std::uint32_t seen = 0;; ++seen) {
        if (seen == *n) return violate(BOUNCE_DRIVER_CHAIN, seen + 1, *n);
        const std::uint64_t address = table[at].addr.load();
        const Rest rest(table[at].len_flags_next.load());
        if ((rest.flags & kDescIndirect) != 0) return violate(BOUNCE_DRIVER_INDIRECT, rest.flags, kDescWrite);
        if (auto added = chain.add(address, rest.len, (rest.flags & kDescWrite) != 0); !added) return added;
        if ((rest.flags & kDescNext) == 0) return {};
        if (rest.next >= *n) return violate(BOUNCE_DRIVER_NEXT, rest.next, *n);
        at = rest.next;
    }
}

/// The chain that begins at a head; how many descriptors of the ring it has.
Result<std::uint32_t> SplitDeviceQueue::walk(std::uint32_t head, bounce_element& element) noexcept {
    DeviceChain chain(*this, element);
    std::uint32_t at = head;
    std::uint32_t n = 1;
    for (;; ++n) {
        SplitDesc& descriptor = desc()[at & mask_];  // the mask is for speculation past the comparison
        const std::uint64_t address = descriptor.addr.load();
        const Rest rest(descriptor.len_flags_next.load());
        if ((rest.flags & kDescIndirect) != 0) {
            // Section 2.7.5.3: not with NEXT; it may stand behind direct ones, and its WRITE means nothing.
            if (!config_.indirect || (rest.flags & kDescNext) != 0)
                return violate(BOUNCE_DRIVER_INDIRECT, rest.flags, config_.indirect ? kDescIndirect | kDescWrite : 0);
            if (auto done = walk_table(chain, address, rest.len); !done) return done.error();
            break;
        }
        if (auto added = chain.add(address, rest.len, (rest.flags & kDescWrite) != 0); !added) return added.error();
        if ((rest.flags & kDescNext) == 0) break;
        if (rest.next >= config_.queue_size) [[unlikely]]
            return violate(BOUNCE_DRIVER_NEXT, rest.next, config_.queue_size);
        if (n == config_.queue_size) [[unlikely]]
            return violate(BOUNCE_DRIVER_CHAIN, n + 1, n);
        at = rest.next;
    }
    if (auto fits = chain.finish(); !fits) return fits.error();
    return n;
}

Result<bool> SplitDeviceQueue::pop_one(bounce_element& element) noexcept {
    if (next_avail_ == seen_avail_) {
        auto more = look();
        if (!more || !*more) return more;
    }
    const std::uint32_t head = avail_ring(next_avail_ & mask_).load();
    if (head >= config_.queue_size) [[unlikely]]
        return violate(BOUNCE_DRIVER_HEAD, head, config_.queue_size);
    if (!held_[head].free() && !BOUNCE_MUTATED(kElementInUse)) [[unlikely]]
        return violate(BOUNCE_DRIVER_IN_USE, head, outstanding());
    auto n = walk(head, element);
    if (!n) return n.error();
    element.id = head;
    take(element, *n);
    ++next_avail_;
    return true;
}

/// The next used element; the driver sees it with the index.
void SplitDeviceQueue::use(std::uint32_t id, std::uint32_t written) noexcept {
    const std::uint32_t at = next_used_ & mask_;
    SplitUsedElem& element = used_ring(at);
    element.id.store(id);
    element.len.store(written);
    dirty(device_.gpa + sizeof(SplitUsed) + at * sizeof(SplitUsedElem), sizeof(SplitUsedElem));
    ++next_used_;
}

/// One used element stands for all that were pushed in a row: the driver takes those before the last for filled
/// (section 2.7.9), so a shorter one ends its batch.
void SplitDeviceQueue::use_in_order() noexcept {
    std::uint16_t id = 0;
    while (const Held* held = oldest_done(id)) {
        std::uint32_t batch = 1;
        while (held->written == held->writable) {
            const Held* const behind = oldest_done(id);
            if (behind == nullptr) break;
            held = behind;
            ++batch;
        }
        use(id, held->written);
        next_used_ = static_cast<std::uint16_t>(next_used_ + batch - 1);
    }
}

/// Shows what was used; false: there is nothing new.
bool SplitDeviceQueue::show(std::memory_order order) noexcept {
    if (config_.in_order) use_in_order();
    if (flushed_ == next_used_) return false;
    flushed_ = next_used_;
    used()->idx.store(flushed_, order);  // V2, or V3: pairs with P2 and P5
    dirty(device_.gpa + 2, 2);
    return true;
}

Result<bool> SplitDeviceQueue::needs_call() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    const bool shown = show(std::memory_order_seq_cst);  // V3: pairs with P5
    if (asked_ == flushed_) return false;
    const std::uint16_t before = asked_;
    asked_ = flushed_;
    // What was flushed before, once more, to stand before V4 in the single order.
    if (!shown) used()->idx.store(flushed_, std::memory_order_seq_cst);  // V3: pairs with P5
    if (config_.event_idx)
        return passed_event(used_event().load(std::memory_order_seq_cst), flushed_, before);  // V4: pairs with P4
    return (avail()->flags.load(std::memory_order_seq_cst) & kAvailNoInterrupt) == 0;         // V4: pairs with P4
}

Result<bool> SplitDeviceQueue::enable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready.error();
    kicks_ = true;
    if (config_.event_idx) {
        avail_event().store(next_avail_, std::memory_order_seq_cst);  // V5: pairs with P3
        dirty(device_.gpa + 4 + std::uint64_t{8} * config_.queue_size, 2);
    } else {
        used()->flags.store(0, std::memory_order_seq_cst);  // V5: pairs with P3
        dirty(device_.gpa, 2);
    }
    return avail()->idx.load(std::memory_order_seq_cst) != next_avail_;  // V6: pairs with P1
}

Result<void> SplitDeviceQueue::disable_kicks() noexcept {
    Operation operation(*this);
    if (auto ready = operation.begin(); !ready) return ready;
    if (!kicks_) return {};
    kicks_ = false;
    // With event idx there is no "never": the index that comes last asks for one kick in 65536 (section 2.7.10).
    if (config_.event_idx) {
        avail_event().store(static_cast<std::uint16_t>(next_avail_ - 1));
        dirty(device_.gpa + 4 + std::uint64_t{8} * config_.queue_size, 2);
    } else {
        used()->flags.store(kUsedNoNotify);
        dirty(device_.gpa, 2);
    }
    return {};
}

Result<std::uint32_t> SplitDeviceQueue::notified(std::uint32_t offset) const noexcept {
    const auto ahead = static_cast<std::uint16_t>(offset - next_avail_);
    if (ahead <= config_.queue_size) return std::uint32_t{ahead};
    return fail(EINVAL, "a kick says that %llu elements are available, queue %llu has %llu descriptors", ahead,
                config_.index, config_.queue_size);
}

}  // namespace bounce
