// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What both kinds of virtqueue have in common on the device side: the guest's memory, the features, which elements are
// out, and the state of the queue. All of it is private; the driver is not trusted.
//
// States: running; broken by a violation of the driver, until reset(). Whatever the driver wrote is read once into a
// local, compared with its bound, and only the local is used.
//
// An element is out from pop to push or drop. Which are out is a table by the id that the driver gave; `life` is odd
// while it is out, so that a copy of an element that has ended is not taken for a later one with the same id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "allocator/base/error.hpp"
#include "api/virtio/guest_memory.hpp"
#include "bounce/virtio_device.h"

namespace bounce {

struct DeviceQueueConfig {
    std::uint32_t queue_size = 0;
    bool packed = false;
    bool indirect = false;
    bool event_idx = false;
    bool in_order = false;
    std::uint32_t index = 0;
    std::uint32_t max_chain = 0;  // 0: queue_size
    std::uint64_t desc = 0;       // descriptor area, driver area, device area
    std::uint64_t driver = 0;
    std::uint64_t device = 0;
    std::uint16_t avail_index = 0;
    std::uint16_t used_index = 0;
    bounce_iova_fn translate = nullptr;
    void* translate_user = nullptr;
    bounce_violation_fn violation = nullptr;
    void* violation_user = nullptr;
    char name[64] = "device";
};

class DeviceQueue {
public:
    static constexpr std::uint32_t kMaxQueue = 32768;

    virtual ~DeviceQueue() = default;
    DeviceQueue(const DeviceQueue&) = delete;
    DeviceQueue& operator=(const DeviceQueue&) = delete;

    Result<void> drop(const bounce_element& element) noexcept;
    Result<void> read(const bounce_element& element, std::uint64_t offset, void* to, std::size_t bytes) noexcept;
    Result<void> write(const bounce_element& element, std::uint64_t offset, const void* from,
                       std::size_t bytes) noexcept;
    Result<void> mark_dirty(const bounce_element& element, std::uint64_t offset, std::uint64_t bytes) noexcept;
    /// nullptr: as it was configured, with both indices at their beginning.
    Result<void> reset(const DeviceQueueConfig* config) noexcept;
    void retranslate() noexcept { located_ = false; }
    [[nodiscard]] bounce_virtqueue_info info() const noexcept;
    [[nodiscard]] bool packed() const noexcept { return config_.packed; }
    [[nodiscard]] const DeviceQueueConfig& config() const noexcept { return config_; }
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return user_.outstanding(); }

    /// EINVAL when it contradicts itself or the specification.
    static Result<void> check(const DeviceQueueConfig& config) noexcept;

protected:
    /// What is private of an element that is out, or was.
    struct Held {
        std::uint32_t writable = 0;     // bytes; of more than 2^32 - 1 that many can be reported
        std::uint32_t written = 0;      // as pushed, until it is used in order
        std::uint16_t descriptors = 0;  // of the ring
        std::uint16_t life = 0;         // odd: it is out
        std::uint8_t bin = 0;           // GuestMemoryUser::hold()
        bool waiting = false;           // pushed, and not used before what came before it is
        [[nodiscard]] bool out() const noexcept { return life % 2 != 0; }
        [[nodiscard]] bool free() const noexcept { return !out() && !waiting; }
    };
    static_assert(sizeof(Held) == 16);

    struct Free {
        void operator()(Held* held) const noexcept { std::free(held); }
    };
    struct Storage {
        std::unique_ptr<std::byte[]> table;      // an indirect table is copied here, once
        std::unique_ptr<std::uint16_t[]> order;  // ids in the order of the driver
    };

    /// A part of the ring.
    struct Area {
        std::byte* hva = nullptr;
        std::uint64_t gpa = 0;
    };

    /// An operation on guest memory: begun with begin(), ended by its destructor.
    class Operation {
    public:
        explicit Operation(DeviceQueue& queue) noexcept : queue_(queue) {
            if (queue.user_.enter()) [[unlikely]]
                queue.located_ = false;
        }
        ~Operation() { queue_.user_.leave(); }
        Operation(const Operation&) = delete;
        Operation& operator=(const Operation&) = delete;
        /// EPROTO when the queue is broken; EAGAIN, or a violation, when the ring is nowhere.
        Result<void> begin() noexcept {
            if (queue_.located_ && queue_.broken_ == 0) [[likely]]
                return {};
            return queue_.locate();
        }

    private:
        DeviceQueue& queue_;
    };

    DeviceQueue(GuestMemory& memory, const DeviceQueueConfig& config) noexcept : user_(memory), config_(config) {}
    Result<void> init() noexcept;

    /// How many bytes each part has.
    [[nodiscard]] virtual std::uint64_t desc_bytes() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t driver_bytes() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t device_bytes() const noexcept = 0;
    /// Everything private but what is out, as after creation.
    virtual void restart() noexcept = 0;
    [[nodiscard]] virtual std::uint16_t saved_avail() const noexcept = 0;
    [[nodiscard]] virtual std::uint16_t saved_used() const noexcept = 0;

    Error violate(int kind, std::uint64_t got, std::uint64_t expected) noexcept;
    Error translation_failed(std::uint64_t iova, std::uint64_t bytes, std::uint32_t permission, int status) noexcept;
    [[nodiscard]] Error broken_error() const noexcept;

    /// The element is out; its fields are filled but for `life`.
    void take(bounce_element& element, std::uint32_t descriptors) noexcept {
        Held& held = held_[element.id];
        held.writable = static_cast<std::uint32_t>(element.in_bytes < UINT32_MAX ? element.in_bytes : UINT32_MAX);
        held.descriptors = static_cast<std::uint16_t>(descriptors);
        held.bin = user_.hold();
        element.life = ++held.life;
        if (config_.in_order) storage_.order[order_end_++ & (kMaxQueue - 1)] = static_cast<std::uint16_t>(element.id);
        ++popped_;
    }
    /// nullptr: it is not out, and last_error() says so.
    [[nodiscard]] Held* find(const bounce_element& element) noexcept {
        if (element.id < n_held_) [[likely]] {
            Held& held = held_[element.id];
            if (held.out() && held.life == element.life) [[likely]]
                return &held;
        }
        return not_out(element);
    }
    /// Ends an element. EALREADY, EINVAL, or EPROTO when the queue is broken (it has ended all the same).
    Result<void> give(const bounce_element& element, std::uint32_t written, Held*& held) noexcept {
        held = find(element);
        if (held == nullptr) [[unlikely]]
            return Error(EALREADY);
        if (written > held->writable) [[unlikely]]
            return too_much(written, held->writable);
        held->written = written;
        ++held->life;
        user_.release(held->bin);
        if (broken_ != 0) [[unlikely]]
            return broken_error();
        ++pushed_;
        held->waiting = config_.in_order;
        if (user_.map().dirty != nullptr) [[unlikely]]
            report_written(element, 0, written);
        return {};
    }

    void dirty(std::uint64_t gpa, std::uint64_t bytes) const noexcept {
        const GuestMap& map = user_.map();
        if (map.dirty != nullptr) [[unlikely]]
            map.dirty(map.dirty_user, gpa, bytes);
    }
    /// In order: takes the oldest element that is not used, when it was pushed; nullptr: it is out, or there is none.
    [[nodiscard]] const Held* oldest_done(std::uint16_t& id) noexcept {
        if (order_at_ == order_end_ || order_lost_) return nullptr;
        const std::uint16_t oldest = storage_.order[order_at_ & (kMaxQueue - 1)];
        Held& held = held_[oldest];
        if (!held.waiting) return nullptr;
        held.waiting = false;
        ++order_at_;
        id = oldest;
        return &held;
    }
    static std::uint32_t in_flight(const DeviceQueueConfig& config) noexcept;

    // Hot: one thread drives a queue.
    GuestMemoryUser user_;
    std::unique_ptr<Held[], Free> held_;  // by id
    std::uint32_t n_held_ = 0;
    int broken_ = 0;  // enum bounce_driver_violation
    bool located_ = false;
    std::uint32_t last_region_ = 0;  // where an address was found before
    std::uint32_t order_at_ = 0;     // of what is not used, in the order of the driver; free-running
    std::uint32_t order_end_ = 0;
    bool order_lost_ = false;  // one was dropped: nothing behind it can be used
    std::uint64_t popped_ = 0;
    std::uint64_t pushed_ = 0;
    Area desc_;
    Area driver_;
    Area device_;
    DeviceQueueConfig config_;

private:
    friend class DeviceChain;
    struct Part {
        std::uint64_t address = 0;
        std::uint64_t bytes = 0;
        std::uint32_t permission = 0;
    };
    static Result<void> allocate(const DeviceQueueConfig& config, Storage& storage) noexcept;
    Result<void> apply(const DeviceQueueConfig& config) noexcept;
    Result<void> locate_parts(Part& failed) noexcept;
    Result<void> locate() noexcept;
    Result<Area> locate(std::uint64_t address, std::uint64_t bytes, std::uint32_t permission) noexcept;
    [[nodiscard]] Held* not_out(const bounce_element& element) const noexcept;
    static Error too_much(std::uint32_t written, std::uint32_t writable) noexcept;
    void report_written(const bounce_element& element, std::uint64_t offset, std::uint64_t bytes) const noexcept;

    // Cold.
    Storage storage_;
    std::uint64_t got_ = 0;
    std::uint64_t expected_ = 0;
    std::uint64_t miss_iova_ = 0;
    std::uint64_t miss_bytes_ = 0;
    std::uint32_t miss_permission_ = 0;
};

}  // namespace bounce
