// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/publish.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "allocator/base/clock.hpp"
#include "allocator/pool/pool_tuning.hpp"
#include "api/dma/device.hpp"
#include "api/dma/sampler.hpp"

namespace bounce {
namespace {

/// Values of ticks as nanoseconds: whole buckets move, for they are powers of two.
void put_histogram(const Log2Histogram& from, double scale, bounce_stats_histogram& to) noexcept {
    for (std::size_t i = 0; i < Log2Histogram::kBuckets; ++i) {
        const std::uint64_t n = from.bucket(i);
        if (n == 0) continue;
        // By the middle of the bucket.
        const double middle = i == 0 ? 0 : std::ldexp(0.75, static_cast<int>(i)) * scale;
        const std::size_t at = scale == 1.0 ? i : Log2Histogram::bucket_of(static_cast<std::uint64_t>(middle));
        to.buckets[at] += n;
        to.count += n;
    }
    to.sum = static_cast<std::uint64_t>(static_cast<double>(from.sum()) * scale);
}

}  // namespace

void Publisher::add_pool(StatsSegment& segment) noexcept {
    const PoolStats stats = pool_.stats();
    const ReserveState reserve = pool_.reserve();
    const GrowthConfig growth = PoolTuning(pool_).growth();
    bounce_stats_pool pool{};
    std::memcpy(pool.name, names_.pool, sizeof pool.name);
    std::memcpy(pool.vm_name, names_.vm_name, sizeof pool.vm_name);
    std::memcpy(pool.vm_uuid, names_.vm_uuid, sizeof pool.vm_uuid);
    pool.bytes = stats.bytes;
    pool.used_bytes = stats.used_bytes;
    pool.used_bytes_hiwater = stats.used_bytes_hiwater;
    pool.kept_bytes = stats.kept_bytes;
    pool.slots = stats.slots;
    pool.mappings = stats.slots_of_kind[static_cast<std::size_t>(SlotKind::kStreaming)];
    pool.coherent = stats.slots_of_kind[static_cast<std::size_t>(SlotKind::kCoherent)];
    pool.buffers = stats.slots_of_kind[static_cast<std::size_t>(SlotKind::kBuffer)];
    pool.maps = stats.allocs_of_kind[static_cast<std::size_t>(SlotKind::kStreaming)];
    pool.full = stats.full;
    pool.violations = callbacks_.violations();
    pool.grows = stats.grows;
    pool.shrinks = stats.shrinks;
    pool.quarantined = stats.quarantined;
    pool.quarantined_bytes = stats.quarantined_bytes;
    pool.limit_bytes = growth.limit_bytes;
    pool.low_watermark = growth.low_watermark;
    pool.high_watermark = growth.high_watermark;
    pool.shrink_delay_ms = growth.shrink_delay_ms;
    pool.reserve_bytes = reserve.reserve;
    pool.floor_bytes = reserve.floors;
    pool.promised_bytes = reserve.promised;
    pool.regions = stats.regions;
    pool.devices = devices_;
    pool.waiting = waiting_;
    pool.events = callbacks_.telemetry().event_count();
    segment.add(pool);
}

void Publisher::add_regions(StatsSegment& segment) noexcept {
    for (std::uint32_t i = 0; i < pool_.regions(); ++i) {
        const Region& of = pool_.region(RegionId{i});
        const RegionStatus now = pool_.status(RegionId{i});
        bounce_stats_region region{};
        region.index = i;
        region.base_gpa = of.base().value;
        region.bytes = of.bytes();
        region.used_bytes = now.bytes_in_use;
        region.refused_bytes = now.refused_bytes;
        region.state = static_cast<std::uint64_t>(now.stage);
        region.usable = now.usable ? 1 : 0;
        region.node = of.node().value;
        region.page_bytes = of.page_bytes();
        region.generation = of.epoch();
        region.imported = of.imported() ? 1 : 0;
        region.restricted = now.restricted ? 1 : 0;
        segment.add(region);
    }
}

void Publisher::add_devices(StatsSegment& segment) noexcept {
    devices_ = waiting_ = 0;
    const std::uint64_t ns = clock_ns() - first_ns_;
    const std::uint64_t ticked = ticks() - first_ticks_;
    const double scale = ticked != 0 ? static_cast<double>(ns) / static_cast<double>(ticked) : 1;
    const std::uint64_t sample = callbacks_.telemetry().wanted_sample();
    callbacks_.telemetry().visit([&](Device& of) {
        const Pool::GroupCounts counts = of.counts();
        const QuotaState quota = of.quota();
        const bounce_wait_stats waits = of.waits();
        bounce_stats_device device{};
        device.id = of.id();
        std::snprintf(device.name, sizeof device.name, "%s", of.name());
        device.maps = counts.allocs;
        device.unmaps = counts.frees;
        device.mappings = counts.allocs > counts.frees ? counts.allocs - counts.frees : 0;
        device.blocks = of.outstanding_blocks();
        device.used_bytes = quota.used;
        device.floor_bytes = quota.floor;
        device.ceiling_bytes = quota.ceiling;
        device.priority = quota.priority ? 1 : 0;
        device.copy_policy = static_cast<std::uint64_t>(of.copy_policy());
        device.reuse_policy = static_cast<std::uint64_t>(of.reuse_policy());
        device.calibrating = of.calibrating() ? 1 : 0;
        device.watched = of.watched() ? 1 : 0;
        device.quarantined = of.quarantined() ? 1 : 0;
        device.waiting = waits.waiting;
        device.waits = waits.begun;
        device.waits_served = waits.served;
        device.worst_wait_ns = waits.worst_ns;
        device.dma_mask = of.dma_mask();
        device.regions = of.domain();
        segment.add(device);
        ++devices_;
        waiting_ += waits.waiting;
        const auto add = [&](std::uint64_t kind, const Log2Histogram& from, std::uint64_t every, double by) {
            bounce_stats_histogram histogram{};
            histogram.device = of.id();
            histogram.kind = kind;
            histogram.sample = every;
            put_histogram(from, by, histogram);
            segment.add(histogram);
        };
        if (waits.begun != 0) add(BOUNCE_STATS_WAIT, of.waited(), 1, 1);
        const Sampler* const sampler = of.sampler();
        if (sampler == nullptr) return;
        add(BOUNCE_STATS_SIZE, sampler->sizes, sample, 1);
        add(BOUNCE_STATS_COPY, sampler->copies, sample, scale);
        add(BOUNCE_STATS_HOLD, sampler->holds, sample, scale);
    });
    callbacks_.telemetry().visit_rings([&](const RingCounters& of) {
        bounce_stats_ring ring{};
        ring.device = of.device;
        ring.index = of.index;
        ring.size = of.size;
        // Completed first: never more than were added.
        ring.completed = of.completed.load(std::memory_order_relaxed);
        ring.bytes_out = of.bytes_out.load(std::memory_order_relaxed);
        ring.bytes_in = of.bytes_in.load(std::memory_order_relaxed);
        ring.added = of.added.load(std::memory_order_relaxed);
        ring.outstanding = ring.added > ring.completed ? ring.added - ring.completed : 0;
        ring.kicks = of.kicks.load(std::memory_order_relaxed);
        ring.violations = of.violations.load(std::memory_order_relaxed);
        segment.add(ring);
    });
}

void Publisher::publish(StatsSegment& segment) noexcept {
    if (first_ns_ == 0) {
        first_ns_ = clock_ns();
        first_ticks_ = ticks();
    }
    classes_.step(walk_);
    segment.begin();
    add_devices(segment);
    add_regions(segment);
    for (const bounce_stats_class& row : classes_.rows()) segment.add(row);
    add_pool(segment);
    segment.publish(clock_ns());
}

}  // namespace bounce
