// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// ring_split, ring_packed: a request through a virtqueue between two threads on two processors, through the C functions
// of both sides: add and collect in one, pop and push in the other. Nothing is bounced: each request is one segment
// that is used in place. The size is how many requests are out at most; batchN: the driver publishes N at a time, the
// device flushes after up to N. Both poll, as ringtest does, and all checks of both sides are on (but see
// bounce_unchecked). The time is that of one request at the pace of the slower side.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/cases/threads.hpp"
#include "bench/subjects/subject.hpp"
#include "bounce/virtio_device.h"

namespace bench {

struct RingLoad {
    bool packed;
    std::uint32_t outstanding;
    std::uint32_t batch;
    bool checked;
    bool asks;  // whether the other side wants to be notified
};

/// Pool, ring, guest memory and virtqueue; what cannot be made throws.
class RingPair {
public:
    static constexpr std::uint32_t kQueueSize = 256;

    explicit RingPair(const RingLoad& load);
    ~RingPair();
    RingPair(const RingPair&) = delete;
    RingPair& operator=(const RingPair&) = delete;

    bounce_ring* ring = nullptr;
    bounce_virtqueue* queue = nullptr;
    bounce_block buffer{};

private:
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    bounce_guest_memory* memory_ = nullptr;
};

inline void good(int status) {
    if (status < 0) throw std::runtime_error(bounce_last_error());
}

inline RingPair::RingPair(const RingLoad& load) {
    bounce_pool_options pool{};
    pool.size = sizeof pool;
    if (!load.checked) pool.flags |= BOUNCE_POOL_UNCHECKED;
    pool.region.size = sizeof pool.region;
    pool.region.bytes = 16 * kMiB;
    pool.region.base_gpa = 4 * kTiB;
    pool.region.flags = BOUNCE_REGION_PREFAULT;
    good(bounce_pool_create(&pool, &pool_));
    bounce_device_options device{};
    device.size = sizeof device;
    good(bounce_device_create(pool_, &device, &device_));
    bounce_ring_options options{};
    options.size = sizeof options;
    options.queue_size = kQueueSize;
    if (load.packed) options.flags |= BOUNCE_RING_PACKED;
    if (!load.checked) options.flags |= BOUNCE_RING_UNCHECKED;
    if (!load.asks) options.flags |= BOUNCE_RING_NO_KICKS;
    good(bounce_ring_create(device_, &options, &ring));
    good(bounce_buffer_alloc(device_, 64 * kKiB, 0, &buffer));
    bounce_region_info region{};
    good(bounce_pool_region(pool_, 0, &region));
    good(bounce_guest_memory_create(&memory_));
    const bounce_guest_region guest{region.base_gpa, region.bytes, region.hva, 0, 0};
    good(bounce_guest_memory_add(memory_, &guest, 1));
    bounce_ring_layout layout{};
    good(bounce_ring_get_layout(ring, &layout));
    bounce_virtqueue_options other{};
    other.size = sizeof other;
    other.queue_size = kQueueSize;
    if (load.packed) other.flags |= BOUNCE_VIRTQUEUE_PACKED;
    other.avail_index = layout.avail_index;
    other.used_index = layout.used_index;
    other.desc_addr = layout.desc_addr;
    other.driver_addr = layout.avail_addr;
    other.device_addr = layout.used_addr;
    good(bounce_virtqueue_create(memory_, &other, &queue));
    good(bounce_virtqueue_disable_kicks(queue));
}

inline RingPair::~RingPair() {
    bounce_virtqueue_destroy(queue);
    bounce_guest_memory_destroy(memory_);
    if (buffer.ptr != nullptr) bounce_buffer_free(device_, &buffer);
    std::array<bounce_completion, 16> completions;
    while (bounce_ring_abort(ring, completions.data(), completions.size()) > 0) {
    }
    bounce_ring_destroy(ring);
    bounce_device_destroy(device_);
    bounce_pool_destroy(pool_);
}

/// The device: takes what is there, up to a batch at a time, and gives it back.
inline void serve_ring(RingPair& pair, const RingLoad& load, const std::atomic<bool>& done,
                       const std::atomic<bool>& failed) {
    const std::uint32_t batch = load.batch;
    std::vector<bounce_element> elements(batch);
    const std::vector<std::uint32_t> written(batch);
    std::vector<std::array<bounce_element_segment, 4>> segments(batch);
    for (std::uint32_t i = 0; i < batch; ++i) {
        elements[i].segments = segments[i].data();
        elements[i].max_segments = 4;
    }
    while (!done.load(std::memory_order_relaxed)) {
        if (failed.load(std::memory_order_relaxed)) throw std::runtime_error("the driver failed");
        const int n = bounce_virtqueue_pop_many(pair.queue, elements.data(), batch);
        good(n);
        if (n == 0) {
            relax();
            continue;
        }
        if (batch == 1 && !load.asks) {
            good(bounce_virtqueue_complete(pair.queue, elements.data(), 0));
            continue;
        }
        good(bounce_virtqueue_push_many(pair.queue, elements.data(), written.data(), static_cast<std::size_t>(n)));
        good(load.asks ? bounce_virtqueue_needs_call(pair.queue) : bounce_virtqueue_flush(pair.queue));
    }
}

/// The driver: `chunk` requests, a batch at a time, with at most as many out as the load says.
class RingDriver {
public:
    RingDriver(RingPair& pair, const RingLoad& load)
        : pair_(pair), load_(load), completions_(std::max(load.batch, load.outstanding)) {
        sg_ = {pair.buffer.ptr, 256, BOUNCE_SG_SHARED, 0};
    }
    void run(std::uint32_t chunk, const std::atomic<bool>& failed) {
        const std::uint32_t batch = std::min(load_.batch, load_.outstanding);
        for (std::uint32_t added = 0; added < chunk;) {
            spin_until(failed, [&] {
                collect();
                return out_ + batch <= load_.outstanding;
            });
            for (std::uint32_t i = 0; i < batch; ++i) good(bounce_ring_add(pair_.ring, &sg_, 1, 0, &pair_));
            good(bounce_ring_publish(pair_.ring));
            out_ += batch;
            added += batch;
        }
    }
    void finish(const std::atomic<bool>& failed) {
        spin_until(failed, [&] {
            collect();
            return out_ == 0;
        });
    }

private:
    void collect() {
        const int n = bounce_ring_collect(pair_.ring, completions_.data(), completions_.size());
        good(n);
        out_ -= static_cast<std::uint32_t>(n);
    }

    RingPair& pair_;
    RingLoad load_;
    bounce_sg sg_{};
    std::vector<bounce_completion> completions_;
    std::uint32_t out_ = 0;
};

inline Figures run_ring(const Settings& settings, const RingLoad& load) {
    if (usable_cpus() < 2) throw Skipped("needs a second processor");
    RingPair pair(load);
    std::atomic<bool> done{false};
    double ns = kNone;
    Distance distance;
    distance.before = ping_pong_ns();
    in_threads(2, [&](unsigned side, const std::atomic<bool>& failed) {
        if (side == 1) return serve_ring(pair, load, done, failed);
        RingDriver driver(pair, load);
        ns = pace(record_chunks(settings.seconds, [&] { driver.run(kChunk, failed); }), kChunk);
        driver.finish(failed);
        done.store(true, std::memory_order_relaxed);
    });
    distance.after = ping_pong_ns();
    return {.ns = ns,
            .value = distance.mean(),
            .unit = "ns ping-pong",
            .note = "batch=" + std::to_string(load.batch) + "; " + distance.text() +
                    "; both sides poll, nothing bounced; median of chunks of 256 requests in which both threads ran"};
}

inline void add_ring_case(const char* name, bool packed) {
    struct Way {
        std::uint32_t outstanding;
        std::uint32_t batch;
        bool asks;
        const char* variant;
    };
    for (const Way way : {Way{1, 1, false, "batch1"}, Way{256, 1, false, "batch1"}, Way{256, 16, false, "batch16"},
                          Way{256, 1, true, "batch1_asks"}}) {
        for (const bool checked : {true, false}) {
            if (way.asks && !checked) continue;
            add({name, checked ? "bounce" : "bounce_unchecked", way.outstanding, 2, way.variant},
                [=](const Settings& s) {
                    return run_ring(s, {packed, way.outstanding, way.batch, checked, way.asks});
                });
        }
    }
}

}  // namespace bench
