// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The device side. Both kinds of queue have the same functions, which are called by their type and not through a table.
#include <algorithm>
#include <climits>
#include <cstdio>
#include <span>

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/virtio/packed_device_queue.hpp"
#include "api/virtio/split_device_queue.hpp"
#include "bounce/virtio_device.h"

using namespace bounce;
using namespace bounce::abi;

struct bounce_guest_memory {
    std::unique_ptr<GuestMemory> inner;
};

struct bounce_virtqueue {
    std::unique_ptr<DeviceQueue> queue;
};

namespace {

constexpr std::size_t kFirstVirtioDeviceOptions = offsetof(bounce_virtqueue_options, violation_user) + sizeof(void*);
constexpr std::uint32_t kVirtioDeviceFlags =
    BOUNCE_VIRTQUEUE_PACKED | BOUNCE_VIRTQUEUE_INDIRECT | BOUNCE_VIRTQUEUE_EVENT_IDX | BOUNCE_VIRTQUEUE_IN_ORDER;

Result<DeviceQueueConfig> read_virtqueue_options(const bounce_virtqueue_options* given) noexcept {
    bounce_virtqueue_options options{};
    if (const auto read = read_options(given, kFirstVirtioDeviceOptions, "options", options); !read)
        return read.error();
    if (const auto good = known_flags(options.flags, kVirtioDeviceFlags, "options.flags"); !good) return good.error();
    if (const auto good = must_be_zero(options.reserved, "options.reserved"); !good) return good.error();
    const auto name = read_name(options.name, "device", "options.name");
    if (!name) return name.error();
    DeviceQueueConfig config;
    config.queue_size = options.queue_size;
    config.packed = (options.flags & BOUNCE_VIRTQUEUE_PACKED) != 0;
    config.indirect = (options.flags & BOUNCE_VIRTQUEUE_INDIRECT) != 0;
    config.event_idx = (options.flags & BOUNCE_VIRTQUEUE_EVENT_IDX) != 0;
    config.in_order = (options.flags & BOUNCE_VIRTQUEUE_IN_ORDER) != 0;
    config.index = options.index;
    config.max_chain = options.max_chain != 0 ? options.max_chain : options.queue_size;
    config.desc = options.desc_addr;
    config.driver = options.driver_addr;
    config.device = options.device_addr;
    config.avail_index = options.avail_index;
    config.used_index = options.used_index;
    config.translate = options.translate;
    config.translate_user = options.translate_user;
    config.violation = options.violation;
    config.violation_user = options.violation_user;
    std::snprintf(config.name, sizeof config.name, "%s", *name);
    return config;
}

/// Calls what(queue) with the queue as what it is.
template <class What>
int with(bounce_virtqueue* queue, What&& what) noexcept {
    if (queue == nullptr) [[unlikely]]
        return negative(null_argument("queue"));
    if (queue->queue->packed()) return what(static_cast<PackedDeviceQueue&>(*queue->queue));
    return what(static_cast<SplitDeviceQueue&>(*queue->queue));
}
template <class What>
int with(bounce_virtqueue* queue, const bounce_element* element, What&& what) noexcept {
    if (element == nullptr) [[unlikely]]
        return negative(null_argument("element"));
    return with(queue, what);
}

int answer(const Result<bool>& result) noexcept {
    return result ? static_cast<int>(*result) : negative(result.error());
}

int with_ticket(const Result<std::uint64_t>& changed, uint64_t* ticket) noexcept {
    if (!changed) return negative(changed.error());
    if (ticket != nullptr) *ticket = *changed;
    return 0;
}

}  // namespace

int bounce_guest_memory_create(bounce_guest_memory** memory) {
    if (memory == nullptr) return negative(null_argument("memory"));
    *memory = nullptr;
    auto inner = GuestMemory::create();
    if (!inner) return negative(inner.error());
    *memory = new (std::nothrow) bounce_guest_memory{std::move(*inner)};
    return *memory != nullptr ? 0 : negative(fail(ENOMEM, "no memory for the handle of guest memory"));
}

int bounce_guest_memory_destroy(bounce_guest_memory* memory) {
    if (memory == nullptr) return 0;
    if (memory->inner->used()) return negative(fail(EBUSY, "virtqueues use this guest memory: destroy them first"));
    delete memory;
    return 0;
}

int bounce_guest_memory_add(bounce_guest_memory* memory, const bounce_guest_region* regions, size_t n) {
    if (memory == nullptr) return negative(null_argument("memory"));
    if (regions == nullptr) return negative(null_argument("regions"));
    return status(memory->inner->add(std::span(regions, n)));
}

int bounce_guest_memory_remove(bounce_guest_memory* memory, uint64_t gpa, uint64_t bytes, uint64_t* ticket) {
    if (memory == nullptr) return negative(null_argument("memory"));
    return with_ticket(memory->inner->remove(gpa, bytes), ticket);
}

int bounce_guest_memory_set(bounce_guest_memory* memory, const bounce_guest_region* regions, size_t n,
                            uint64_t* ticket) {
    if (memory == nullptr) return negative(null_argument("memory"));
    if (regions == nullptr && n != 0) return negative(null_argument("regions"));
    return with_ticket(memory->inner->set(std::span(regions, n)), ticket);
}

int bounce_guest_memory_log_dirty(bounce_guest_memory* memory, bounce_dirty_fn dirty, void* user, uint64_t* ticket) {
    if (memory == nullptr) return negative(null_argument("memory"));
    return with_ticket(memory->inner->log_dirty(dirty, user), ticket);
}

int bounce_guest_memory_wait(bounce_guest_memory* memory, uint64_t ticket, uint32_t timeout_ms) {
    if (memory == nullptr) return negative(null_argument("memory"));
    return status(memory->inner->wait(ticket, timeout_ms));
}

int bounce_virtqueue_create(bounce_guest_memory* memory, const bounce_virtqueue_options* options,
                            bounce_virtqueue** queue) {
    if (queue == nullptr) return negative(null_argument("queue"));
    *queue = nullptr;
    if (memory == nullptr) return negative(null_argument("memory"));
    const auto config = read_virtqueue_options(options);
    if (!config) return negative(config.error());
    std::unique_ptr<bounce_virtqueue> handle(new (std::nothrow) bounce_virtqueue);
    if (handle == nullptr) return negative(fail(ENOMEM, "no memory for the handle of a virtqueue"));
    if (config->packed) {
        auto inner = PackedDeviceQueue::create(*memory->inner, *config);
        if (!inner) return negative(inner.error());
        handle->queue = std::move(*inner);
    } else {
        auto inner = SplitDeviceQueue::create(*memory->inner, *config);
        if (!inner) return negative(inner.error());
        handle->queue = std::move(*inner);
    }
    *queue = handle.release();
    return 0;
}

int bounce_virtqueue_destroy(bounce_virtqueue* queue) {
    if (queue == nullptr) return 0;
    if (const std::uint32_t out = queue->queue->outstanding(); out != 0)
        return negative(fail(EBUSY, "%llu elements are out, expected none: push or drop them", out));
    delete queue;
    return 0;
}

int bounce_virtqueue_reset(bounce_virtqueue* queue, const bounce_virtqueue_options* options) {
    if (queue == nullptr) return negative(null_argument("queue"));
    if (options == nullptr) return status(queue->queue->reset(nullptr));
    const auto config = read_virtqueue_options(options);
    if (!config) return negative(config.error());
    return status(queue->queue->reset(&*config));
}

int bounce_virtqueue_pop(bounce_virtqueue* queue, bounce_element* element) {
    return bounce_virtqueue_pop_many(queue, element, 1);
}

int bounce_virtqueue_pop_many(bounce_virtqueue* queue, bounce_element* elements, size_t n) {
    return with(queue, elements, [&](auto& inner) {
        const auto popped = inner.pop(std::span(elements, std::min<size_t>(n, INT_MAX)));
        return popped ? static_cast<int>(*popped) : negative(popped.error());
    });
}

int bounce_virtqueue_push(bounce_virtqueue* queue, const bounce_element* element, uint32_t written) {
    return with(queue, element, [&](auto& inner) {
        const auto pushed = inner.push(std::span(element, 1), &written);
        return pushed ? 0 : negative(pushed.error());
    });
}

int bounce_virtqueue_push_many(bounce_virtqueue* queue, const bounce_element* elements, const uint32_t* written,
                               size_t n) {
    if (written == nullptr) return negative(null_argument("written"));
    return with(queue, elements, [&](auto& inner) {
        const auto pushed = inner.push(std::span(elements, std::min<size_t>(n, INT_MAX)), written);
        return pushed ? static_cast<int>(*pushed) : negative(pushed.error());
    });
}

int bounce_virtqueue_complete(bounce_virtqueue* queue, const bounce_element* element, uint32_t written) {
    return with(queue, element, [&](auto& inner) { return status(inner.complete(*element, written)); });
}

int bounce_virtqueue_drop(bounce_virtqueue* queue, const bounce_element* element) {
    return with(queue, element, [&](auto& inner) { return status(inner.drop(*element)); });
}

int bounce_virtqueue_flush(bounce_virtqueue* queue) {
    return with(queue, [](auto& inner) { return status(inner.flush()); });
}

int bounce_virtqueue_needs_call(bounce_virtqueue* queue) {
    return with(queue, [](auto& inner) { return answer(inner.needs_call()); });
}

int bounce_virtqueue_enable_kicks(bounce_virtqueue* queue) {
    return with(queue, [](auto& inner) { return answer(inner.enable_kicks()); });
}

int bounce_virtqueue_disable_kicks(bounce_virtqueue* queue) {
    return with(queue, [](auto& inner) { return status(inner.disable_kicks()); });
}

int bounce_virtqueue_notified(bounce_virtqueue* queue, uint32_t data) {
    return with(queue, [&](auto& inner) {
        if ((data & 0xffff) != inner.config().index)
            return negative(
                fail(EINVAL, "a kick for queue %llu came to queue %llu", data & 0xffff, inner.config().index));
        const auto ahead = inner.notified(data >> 16);
        return ahead ? static_cast<int>(*ahead) : negative(ahead.error());
    });
}

int bounce_virtqueue_retranslate(bounce_virtqueue* queue) {
    return with(queue, [](auto& inner) {
        inner.retranslate();
        return 0;
    });
}

int bounce_virtqueue_read(bounce_virtqueue* queue, const bounce_element* element, uint64_t offset, void* to,
                          size_t bytes) {
    if (to == nullptr && bytes != 0) return negative(null_argument("to"));
    return with(queue, element, [&](auto& inner) { return status(inner.read(*element, offset, to, bytes)); });
}

int bounce_virtqueue_write(bounce_virtqueue* queue, const bounce_element* element, uint64_t offset, const void* from,
                           size_t bytes) {
    if (from == nullptr && bytes != 0) return negative(null_argument("from"));
    return with(queue, element, [&](auto& inner) { return status(inner.write(*element, offset, from, bytes)); });
}

int bounce_virtqueue_mark_dirty(bounce_virtqueue* queue, const bounce_element* element, uint64_t offset,
                                uint64_t bytes) {
    return with(queue, element, [&](auto& inner) { return status(inner.mark_dirty(*element, offset, bytes)); });
}

int bounce_virtqueue_get_info(bounce_virtqueue* queue, bounce_virtqueue_info* info) {
    if (info == nullptr) return negative(null_argument("info"));
    return with(queue, [&](auto& inner) {
        *info = inner.info();
        return 0;
    });
}
