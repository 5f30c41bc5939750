// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bench/subjects/swiotlb_model.hpp"

#include <bit>
#include <cstring>
#include <thread>

#include "bench/measure/clock.hpp"
#include "bench/measure/cores.hpp"

namespace bench {
namespace {

// The lock of an area. L1: acquire, pairs with L2: what the holder before wrote of the area is seen.
class Locked {
public:
    explicit Locked(std::atomic<std::uint32_t>& lock) : lock_(lock) {
        for (unsigned n = 1; lock_.exchange(1, std::memory_order_acquire) != 0; ++n) {
            while (lock_.load(std::memory_order_relaxed) != 0) {
                relax();
                if (++n % 4096 == 0) std::this_thread::yield();  // the holder of a kernel's lock is never preempted
            }
        }
    }
    ~Locked() { lock_.store(0, std::memory_order_release); }  // L2
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

private:
    std::atomic<std::uint32_t>& lock_;
};

std::uint32_t slots_of(std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + SwiotlbModel::kSlotBytes - 1) / SwiotlbModel::kSlotBytes);
}

}  // namespace

SwiotlbModel::Context::Context(SwiotlbModel& model)
    : area(model.contexts_.fetch_add(1, std::memory_order_relaxed) % model.area_count_) {}

SwiotlbModel::SwiotlbModel(const Shape& shape)
    : area_(shape.pool_bytes, 4096, shape.resident), meta_(shape.pool_bytes / kSlotBytes) {
    area_count_ = std::bit_ceil(usable_cpus());
    area_slots_ = static_cast<std::uint32_t>(meta_.size()) / area_count_;
    expect(area_slots_ % kSetSlots == 0, "the pool is too small for its areas");
    areas_ = std::make_unique<Area[]>(area_count_);
    for (std::uint32_t i = 0; i < meta_.size(); ++i) {
        meta_[i].free_run = static_cast<std::uint16_t>(kSetSlots - i % kSetSlots);
    }
}

bool SwiotlbModel::search(std::uint32_t index, std::uint32_t slots, std::uint64_t bytes, std::byte* original,
                          Handle& handle) {
    Area& area = areas_[index];
    Meta* const meta = meta_.data() + std::size_t{index} * area_slots_;
    const Locked locked(area.lock);
    if (slots > area_slots_ - area.used) return false;
    // From a page on, mappings begin at a page: every second slot.
    const std::uint32_t step = bytes >= 4096 ? 4096 / kSlotBytes : 1;
    std::uint32_t at = area.next;
    if (step > 1) at += at % step;
    for (std::uint32_t seen = 0; seen < area_slots_; seen += step, at += step) {
        if (at >= area_slots_) at = 0;
        if (meta[at].free_run < slots) continue;
        for (std::uint32_t i = 0; i < slots; ++i) {
            meta[at + i].free_run = 0;
            meta[at + i].bytes = bytes - i * kSlotBytes;
            meta[at + i].original = original + i * kSlotBytes;
        }
        // The free slots before it in its set have lost what they counted behind themselves.
        std::uint16_t run = 0;
        for (std::uint32_t i = at; i % kSetSlots != 0 && meta[i - 1].free_run != 0; --i) meta[i - 1].free_run = ++run;
        area.next = at + slots < area_slots_ ? at + slots : 0;
        area.used += slots;
        handle = index * area_slots_ + at;
        return true;
    }
    return false;
}

bool SwiotlbModel::alloc(Context& context, std::uint64_t bytes, Handle& handle) {
    return alloc_for(context, area_.data(), bytes, handle);
}

bool SwiotlbModel::alloc_for(Context& context, std::byte* original, std::uint64_t bytes, Handle& handle) {
    const std::uint32_t slots = slots_of(bytes);
    if (slots > kSetSlots) return false;
    for (std::uint32_t i = 0; i < area_count_; ++i) {
        if (!search((context.area + i) % area_count_, slots, bytes, original, handle)) continue;
        const std::uint64_t used = used_.fetch_add(slots, std::memory_order_relaxed) + slots;
        std::uint64_t most = used_hiwater_.load(std::memory_order_relaxed);
        while (most < used && !used_hiwater_.compare_exchange_weak(most, used, std::memory_order_relaxed)) {
        }
        return true;
    }
    return false;
}

void SwiotlbModel::free(Context&, Handle& handle, std::uint64_t) {
    Area& area = areas_[handle / area_slots_];
    Meta* const meta = meta_.data() + handle / area_slots_ * area_slots_;
    const std::uint32_t at = handle % area_slots_;
    const std::uint32_t slots = slots_of(meta[at].bytes);
    {
        const Locked locked(area.lock);
        const std::uint32_t end = at + slots;
        std::uint16_t run = end % kSetSlots != 0 ? meta[end].free_run : std::uint16_t{0};
        for (std::uint32_t i = end; i-- > at;) {
            meta[i].free_run = ++run;
            meta[i].original = nullptr;
            meta[i].bytes = 0;
        }
        for (std::uint32_t i = at; i % kSetSlots != 0 && meta[i - 1].free_run != 0; --i) meta[i - 1].free_run = ++run;
        area.used -= slots;
    }
    used_.fetch_sub(slots, std::memory_order_relaxed);
}

bool SwiotlbModel::map(Context& context, std::byte* buf, std::uint64_t bytes, Direction direction, Token& token) {
    token = {0, buf, bytes, direction};
    if (!alloc_for(context, buf, bytes, token.slot)) return false;
    std::memcpy(slot(token), buf, bytes);
    return true;
}

bool SwiotlbModel::unmap(Context& context, Token& token) {
    if (token.direction == Direction::kFromDevice) std::memcpy(token.buf, slot(token), token.bytes);
    free(context, token.slot, token.bytes);
    return true;
}

}  // namespace bench
