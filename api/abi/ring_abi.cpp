// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A ring lives in shared memory that a forked child does not have: every function asks first.
#include <algorithm>
#include <climits>
#include <span>

#include "api/abi/handles.hpp"
#include "api/abi/options.hpp"
#include "api/dma/call_site.hpp"
#include "api/vhost/frontend.hpp"

using namespace bounce;
using namespace bounce::abi;

namespace {

/// CallSiteScope, for rings of devices that are watched.
class RingCall {
public:
    RingCall(const bounce_ring& ring, const void* at, const char* function) noexcept {
        if (ring.queue->device().watched()) [[unlikely]]
            site_.emplace(at, function);
    }

private:
    std::optional<CallSiteScope> site_;
};

constexpr std::size_t kFirstRingOptions = offsetof(bounce_ring_options, max_chain) + sizeof(std::uint32_t);
constexpr std::uint32_t kRingFlags = BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX | BOUNCE_RING_PACKED |
                                     BOUNCE_RING_IN_ORDER | BOUNCE_RING_ORDER_PLATFORM | BOUNCE_RING_NO_KICKS |
                                     BOUNCE_RING_UNCHECKED | BOUNCE_RING_USED_LENGTH_IGNORE |
                                     BOUNCE_RING_USED_LENGTH_FAIL;
constexpr std::uint32_t kLengthFlags = BOUNCE_RING_USED_LENGTH_IGNORE | BOUNCE_RING_USED_LENGTH_FAIL;

Result<QueueConfig> read_ring_options(const bounce_ring_options* given) noexcept {
    bounce_ring_options options{};
    if (const auto read = read_options(given, kFirstRingOptions, "options", options); !read) return read.error();
    if (const auto good = known_flags(options.flags, kRingFlags, "options.flags"); !good) return good.error();
    if ((options.flags & kLengthFlags) == kLengthFlags)
        return fail(EINVAL, "options.flags: used lengths cannot both be ignored (0x%llx) and break the ring (0x%llx)",
                    BOUNCE_RING_USED_LENGTH_IGNORE, BOUNCE_RING_USED_LENGTH_FAIL);
    const auto has = [&](std::uint32_t flag) { return (options.flags & flag) != 0; };
    QueueConfig config;
    config.queue_size = options.queue_size;
    config.indirect = has(BOUNCE_RING_INDIRECT);
    config.event_idx = has(BOUNCE_RING_EVENT_IDX);
    config.index = options.index;
    config.max_chain = options.max_chain;
    config.packed = has(BOUNCE_RING_PACKED);
    config.in_order = has(BOUNCE_RING_IN_ORDER);
    config.order_platform = has(BOUNCE_RING_ORDER_PLATFORM);
    config.no_kicks = has(BOUNCE_RING_NO_KICKS);
    config.unchecked = has(BOUNCE_RING_UNCHECKED);
    if (has(BOUNCE_RING_USED_LENGTH_IGNORE)) config.used_length = UsedLength::kIgnore;
    if (has(BOUNCE_RING_USED_LENGTH_FAIL)) config.used_length = UsedLength::kFail;
    config.poll_after = options.poll_after;
    config.poll_idle = options.poll_idle;
    return config;
}

Result<void> usable(const bounce_ring* ring) noexcept {
    if (ring == nullptr) return null_argument("ring");
    return in_owner(ring->queue->device().pool());
}

/// What the back-end may still see or write is neither recycled nor zeroed.
Result<void> out_of_reach(const bounce_ring* ring) noexcept {
    if (ring->frontend == nullptr || ring->frontend->out_of_reach(*ring->queue)) return {};
    return fail(EBUSY,
                "the ring's back-end may still use its memory: bounce_frontend_disconnect() comes first, and must have "
                "succeeded");
}

/// A count is returned as an int: the completions beyond are collected by the next call.
std::span<bounce_completion> room(bounce_completion* completions, size_t max) noexcept {
    return {completions, std::min<size_t>(max, INT_MAX)};
}

}  // namespace

int bounce_ring_create(bounce_device* device, const bounce_ring_options* options, bounce_ring** ring) {
    if (ring == nullptr) return negative(null_argument("ring"));
    *ring = nullptr;
    if (device == nullptr) return negative(null_argument("device"));
    if (const auto owner = in_owner(device->device->pool()); !owner) return status(owner);
    const auto config = read_ring_options(options);
    if (!config) return negative(config.error());
    auto inner = Virtqueue::create(*device->device, *config);
    if (!inner) return negative(inner.error());
    *ring = new (std::nothrow) bounce_ring(std::move(*inner));
    return *ring != nullptr ? 0 : negative(fail(ENOMEM, "no memory for a ring's handle"));
}

int bounce_ring_destroy(bounce_ring* ring) {
    if (ring == nullptr) return 0;
    if (const auto good = usable(ring); !good) return status(good);
    if (ring->owned == nullptr)
        return negative(fail(EBUSY, "the ring belongs to a front-end; bounce_frontend_close() ends it"));
    if (const std::uint32_t outstanding = ring->queue->outstanding(); outstanding != 0)
        return negative(
            fail(EBUSY, "%llu requests are outstanding, expected none: collect or abort them", outstanding));
    delete ring;
    return 0;
}

int bounce_ring_get_layout(bounce_ring* ring, bounce_ring_layout* layout) {
    if (const auto good = usable(ring); !good) return status(good);
    if (layout == nullptr) return negative(null_argument("layout"));
    *layout = ring->queue->layout();
    return 0;
}

int bounce_ring_add(bounce_ring* ring, const bounce_sg* sg, size_t n_out, size_t n_in, void* cookie) {
    if (const auto good = usable(ring); !good) return status(good);
    if (sg == nullptr) return negative(null_argument("sg"));
    size_t n = 0;
    if (__builtin_add_overflow(n_out, n_in, &n))
        return negative(fail(EINVAL, "n_out %llu and n_in %llu do not add up", n_out, n_in));
    const RingCall call(*ring, __builtin_return_address(0), "bounce_ring_add");
    return status(ring->queue->add(std::span(sg, n), n_out, cookie));
}

int bounce_ring_add_many(bounce_ring* ring, const bounce_ring_request* requests, size_t n) {
    if (const auto good = usable(ring); !good) return status(good);
    if (requests == nullptr) return negative(null_argument("requests"));
    const RingCall call(*ring, __builtin_return_address(0), "bounce_ring_add_many");
    const auto added = ring->queue->add_many({requests, std::min<size_t>(n, INT_MAX)});
    return added ? static_cast<int>(*added) : negative(added.error());
}

int bounce_ring_get_notification_data(bounce_ring* ring, uint32_t* data) {
    if (const auto good = usable(ring); !good) return status(good);
    if (data == nullptr) return negative(null_argument("data"));
    *data = ring->queue->notification_data();
    return 0;
}

int bounce_ring_publish(bounce_ring* ring) {
    if (const auto good = usable(ring); !good) return status(good);
    return ring->queue->publish() ? 1 : 0;
}

int bounce_ring_collect(bounce_ring* ring, bounce_completion* completions, size_t max) {
    if (const auto good = usable(ring); !good) return status(good);
    if (completions == nullptr) return negative(null_argument("completions"));
    const RingCall call(*ring, __builtin_return_address(0), "bounce_ring_collect");
    const auto count = ring->queue->collect(room(completions, max));
    return count ? static_cast<int>(*count) : negative(count.error());
}

int bounce_ring_poll(bounce_ring* ring, bounce_completion* completions, size_t max, int* wait) {
    if (const auto good = usable(ring); !good) return status(good);
    if (completions == nullptr) return negative(null_argument("completions"));
    if (wait == nullptr) return negative(null_argument("wait"));
    const RingCall call(*ring, __builtin_return_address(0), "bounce_ring_poll");
    bool idle = false;
    const auto count = ring->queue->poll(room(completions, max), idle);
    *wait = idle ? 1 : 0;
    return count ? static_cast<int>(*count) : negative(count.error());
}

int bounce_ring_arm(bounce_ring* ring) {
    if (const auto good = usable(ring); !good) return status(good);
    return ring->queue->arm() ? 1 : 0;
}

int bounce_ring_disarm(bounce_ring* ring) {
    if (const auto good = usable(ring); !good) return status(good);
    ring->queue->disarm();
    return 0;
}

int bounce_ring_abort(bounce_ring* ring, bounce_completion* completions, size_t max) {
    if (const auto good = usable(ring); !good) return status(good);
    if (completions == nullptr) return negative(null_argument("completions"));
    if (const auto safe = out_of_reach(ring); !safe) return status(safe);
    const RingCall call(*ring, __builtin_return_address(0), "bounce_ring_abort");
    return static_cast<int>(ring->queue->abort(room(completions, max)));
}

int bounce_ring_reset(bounce_ring* ring) {
    if (const auto good = usable(ring); !good) return status(good);
    if (const auto safe = out_of_reach(ring); !safe) return status(safe);
    return status(ring->queue->reset());
}

int bounce_ring_get_stats(bounce_ring* ring, bounce_ring_stats* stats) {
    if (const auto good = usable(ring); !good) return status(good);
    if (stats == nullptr) return negative(null_argument("stats"));
    *stats = ring->queue->stats();
    return 0;
}
