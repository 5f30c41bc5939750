// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/device.hpp"

#include <cerrno>
#include <cstdio>

#include "allocator/base/bits.hpp"
#include "allocator/base/mutation.hpp"
#include "allocator/slab/slot_ops.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/debug.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/records.hpp"
#include "api/dma/sampler.hpp"

namespace bounce {
namespace {

/// Never 0, and not used again before 2^32 devices later.
std::uint32_t next_device_id() noexcept {
    static std::atomic<std::uint32_t> last{0};
    std::uint32_t id = 0;
    while (id == 0) id = last.fetch_add(1, std::memory_order_relaxed) + 1;
    return id;
}

}  // namespace

Device::Device(Pool& pool, Callbacks& callbacks, const DeviceConfig& config) noexcept
    : pool_(pool),
      callbacks_(callbacks),
      id_(next_device_id()),
      dma_mask_(BOUNCE_MUTATED(kMaskCheck) ? ~std::uint64_t{0} : config.dma_mask),
      coherent_dma_mask_(BOUNCE_MUTATED(kMaskCheck) ? ~std::uint64_t{0} : config.coherent_dma_mask),
      limits_(limits_of(config)),
      watched_(config.records != nullptr || config.debug != nullptr),
      scrub_at_map_(limits_.scrub_at_map),
      scrub_at_unmap_(limits_.scrub_at_unmap),
      group_(dma_mask_, {config.numa_policy.value_or(pool.numa_policy()), config.node}, config.regions) {
    std::snprintf(name_, sizeof name_, "%s", config.name);
    set_short_ways(config.direct.translate != nullptr);
    init_policy(config);
    pool_.add_user();
    number_ = callbacks_.telemetry().join(*this);
}

DeviceLimits Device::limits_of(const DeviceConfig& config) noexcept {
    DeviceLimits limits = config.limits;
    limits.max_segment_bytes = config.max_segment_bytes;
    return limits;
}

Result<std::unique_ptr<Device>> Device::create(Pool& pool, Callbacks& callbacks, const DeviceConfig& config) noexcept {
    if (auto known = pool.check_node(config.node); !known) return known.error();
    if (auto joined = pool.join_domain(config.regions); !joined) return joined.error();
    std::unique_ptr<Device> device(new (std::nothrow) Device(pool, callbacks, config));
    if (device == nullptr) {
        pool.leave_domain(config.regions);
        return fail(ENOMEM, "no memory for a device of %llu bytes", sizeof(Device));
    }
    if (auto watch = device->init_watch(config); !watch) return watch.error();
    if (config.direct.translate != nullptr) {
        if (device->watched())
            return fail(ENOTSUP, "a device whose buffers go as they are cannot have records or debugging");
        device->direct_.reset(new (std::nothrow) DirectPath(config.direct));
        if (device->direct_ == nullptr) return fail(ENOMEM, "no memory for a device's translation");
    }
    // Without memory for histograms there are none.
    const Telemetry& telemetry = callbacks.telemetry();
    if (telemetry.wants_tags() || telemetry.wanted_sample() != 0)
        static_cast<void>(device->set_observed(telemetry.wants_tags(), telemetry.wanted_sample()));
    if (Trace* const trace = telemetry.wanted_trace(); trace != nullptr) device->set_trace(trace);
    return device;
}

Device::~Device() {
    callbacks_.telemetry().leave(*this);
    delete sampler_.load(std::memory_order_relaxed);
    if (records_ != nullptr) records_->leave(enrolled_);
    // Nothing can fail that promises less. In a forked child there is nothing to give back.
    static_cast<void>(pool_.set_quota(group_, 0, 0));
    pool_.close_group(group_);
    pool_.leave_quarantine(group_);
    pool_.leave_domain(group_.domain);
    pool_.drop_user();
}

Context* Device::context() noexcept {
    return context_here();
}

[[gnu::always_inline]] inline Result<void> Device::map_one(Context* context, void* buf, std::size_t bytes,
                                                           Direction direction, std::uint32_t flags,
                                                           bounce_mapping& mapping, bool& streamed) noexcept {
    if (!good_map(buf, bytes, flags, map_limit_.load(std::memory_order_relaxed))) [[unlikely]] {
        bool late = false;  // as below: the address of `streamed` stays unknown
        auto mapped = map_long(context, buf, bytes, direction, flags, 1, mapping, late);
        streamed |= late;
        return mapped;
    }
    // By value all along: a local whose address is known to others would be written and read back.
    std::byte* slot = nullptr;
    Gpa gpa;
    SlotHandle handle;
    const auto sink = [&](const KeptSlot& kept, std::uint32_t epoch) {
        slot = kept.hva;
        gpa = kept.gpa;
        handle = kept.handle;
        mapping.epoch = epoch;
    };
    if (!pool_.alloc_at_hand(context, bytes, sink)) [[unlikely]] {
        Slot taken;
        if (const auto result = pool_.alloc_slow(group_, context, bytes, taken); !result) {
            mapping = bounce_mapping{};
            return no_slot(result.error(), buf, bytes, flags);
        }
        sink({taken.gpa, taken.hva, taken.handle}, taken.epoch);
    }
    mapping.addr = gpa.value;
    mapping.slot = slot;
    mapping.handle = handle.bits();
    streamed |= fill(mapping, slot, buf, bytes, direction, flags);
    // (Read back from the token: it need not be kept in between.)
    handle = SlotHandle(mapping.handle);
    // Of the generations of a slot one in kGenerations is noted, whichever slots are used; and slots that are used in
    // turn do not come to theirs all at once.
    if ((handle.state(0) ^ handle.slot()) % kGenerations == 0) [[unlikely]]
        note_maps(kGenerations);
    return {};
}

Result<void> Device::map(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                         bounce_mapping& mapping) noexcept {
    bool streamed = false;
    const auto mapped = map_one(context, buf, bytes, direction, flags, mapping, streamed);
    if (streamed) fence_streams();
    return mapped;
}

Result<void> Device::map_unfenced(Context* context, void* buf, std::size_t bytes, Direction direction,
                                  std::uint32_t flags, bounce_mapping& mapping, bool& streamed) noexcept {
    return map_one(context, buf, bytes, direction, flags, mapping, streamed);
}

Result<void> Device::check_token(const bounce_mapping& mapping) const noexcept {
    const std::uint8_t state = load_state(mapping);
    if (state == kLiveListHead || state == kLiveListPart)
        return fail(EPERM, "the token (address 0x%llx) is part of a list, which is unmapped and synced as a whole",
                    mapping.addr);
    if (state != kLiveMapping && state != kLiveSpecial && (state != kWatchedMapping || !watched()))
        return not_live(mapping);
    return check_live(mapping);
}

Error Device::not_live(const bounce_mapping& mapping) noexcept {
    return fail(EALREADY, "the token (address 0x%llx) is not live: never mapped, or unmapped before", mapping.addr);
}

/// Of a token whose state is good.
Result<void> Device::check_live(const bounce_mapping& mapping) const noexcept {
    if (mapping.device != id_) return not_mine(mapping);
    if (mapping.direction > BOUNCE_FROM_DEVICE || mapping.orig == nullptr)
        return fail(EINVAL, "the token is damaged: direction %llu, private buffer 0x%llx", mapping.direction,
                    reinterpret_cast<std::uintptr_t>(mapping.orig));
    return {};
}

Error Device::not_mine(const bounce_mapping& mapping) const noexcept {
    return fail(EXDEV, "the token belongs to device %llu, not to this one (%llu)", mapping.device, id_);
}

Result<void> Device::unmap(Context* context, bounce_mapping& mapping, std::size_t written) noexcept {
    return end(context, mapping, written);
}

/// Of a run, and of what begin() refused. written == nullptr: nothing is copied.
Result<void> Device::unmap_slow(Context* context, bounce_mapping& mapping, const std::size_t* written,
                                Pool::Begun why) noexcept {
    Pool::Ending ending;
    const auto begun = pool_.begin_slow(slot_of(mapping), SlotKind::kStreaming, mapping.bytes, true, why, ending);
    if (!begun) return begun;
    store_ended(mapping);
    if (written == nullptr) trace_dropped(mapping);
    const bool renewed = written != nullptr && copy_back(mapping, *written);
    pool_.finish_free(group_, context, ending);
    return renewed ? lost(mapping) : Result<void>();
}

Error Device::lost(const bounce_mapping& mapping) noexcept {
    return fail(ESTALE, "the memory behind the mapping (address 0x%llx) was renewed; what the device wrote is gone",
                mapping.addr);
}

Result<void> Device::discard(Context* context, bounce_mapping& mapping) noexcept {
    if (!good_token(mapping)) [[unlikely]]
        return end_long(context, mapping, nullptr);
    KeptSlot ended;
    const auto begun = pool_.begin(context, slot_of(mapping), SlotKind::kStreaming, mapping.bytes, true, ended);
    if (begun != Pool::Begun::kYes) [[unlikely]]
        return unmap_slow(context, mapping, nullptr, begun);
    store_ended(mapping);
    trace_dropped(mapping);
    pool_.finish(group_, context, ended);
    return {};
}

Result<void> Device::check_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                Direction direction) const noexcept {
    if (const auto good = check_sync_range(mapping, offset, bytes, direction); !good) [[unlikely]]
        return good;
    const Slot slot = whole_slot(mapping);
    const std::uint64_t bytes_of_slot = mapping.bytes + limits_.padding(mapping.addr);
    if (const auto live = pool_.check(slot, SlotKind::kStreaming, bytes_of_slot); !live) [[unlikely]]
        return live;
    return check_fresh(slot);
}

Result<void> Device::check_sync_range(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                      Direction direction) noexcept {
    if (bytes == 0) return fail(EINVAL, "sync of 0 bytes, expected at least 1");
    if (!fits(offset, bytes, mapping.bytes))
        return fail(EINVAL, "sync of %llu bytes at offset %llu, but the mapping has %llu bytes", bytes, offset,
                    mapping.bytes);
    // As dma-debug has it: a bidirectional mapping is synced either way, the others only their own.
    const Direction mapped = Direction{mapping.direction};
    if (mapped != Direction::kBidirectional && mapped != direction)
        return fail(EPERM, "sync in direction %llu of a mapping with direction %llu",
                    static_cast<std::uint64_t>(direction), mapping.direction);
    return {};
}

Result<void> Device::check_fresh(const Slot& slot) const noexcept {
    if (pool_.region(slot.region()).renewed_under_copy(slot.epoch)) [[unlikely]]
        return fail(ESTALE, "the memory behind the mapping (address 0x%llx) was renewed", slot.gpa.value);
    return {};
}

Result<void> Device::sync_for_cpu(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                  Direction direction) noexcept {
    if (!good_token(mapping)) [[unlikely]]
        return sync_long(mapping, offset, bytes, direction, true);
    return sync_out(mapping, offset, bytes, direction);
}

Result<void> Device::sync_out(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                              Direction direction) noexcept {
    if (const auto good = check_sync(mapping, offset, bytes, direction); !good) [[unlikely]]
        return good;
    probes::sync(id_, mapping.addr + offset, bytes, 1);
    if (!copies_back(direction)) return {};
    copy_from_slot(static_cast<std::byte*>(mapping.orig) + offset, static_cast<std::byte*>(mapping.slot) + offset,
                   bytes);
    return check_fresh(slot_of(mapping));  // it may have been renewed under the copy
}

Result<void> Device::sync_for_device(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                     Direction direction) noexcept {
    if (!good_token(mapping)) [[unlikely]]
        return sync_long(mapping, offset, bytes, direction, false);
    return sync_in(mapping, offset, bytes, direction);
}

Result<void> Device::sync_in(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                             Direction direction) noexcept {
    if (const auto good = check_sync(mapping, offset, bytes, direction); !good) [[unlikely]]
        return good;
    probes::sync(id_, mapping.addr + offset, bytes, 0);
    if (!copies_in(direction)) return {};
    const std::uint32_t mode = mode_.load(std::memory_order_relaxed);  // M1
    if (copy_in(mode, static_cast<std::byte*>(mapping.slot) + offset, static_cast<std::byte*>(mapping.orig) + offset,
                bytes))
        fence_streams();
    return {};
}

std::uint64_t Device::outstanding_mappings() const noexcept {
    // Exact when nothing maps or unmaps at the moment, which is when it decides anything; otherwise a snapshot.
    const Pool::GroupCounts counts = pool_.count(group_);
    return (counts.allocs > counts.frees ? counts.allocs - counts.frees : 0) + shared_maps_.count() +
           (direct_ != nullptr ? direct_->live() : 0);
}

std::uint64_t Device::outstanding_blocks() const noexcept {
    return blocks_.load(std::memory_order_relaxed);
}

std::uint64_t Device::outstanding() const noexcept {
    return outstanding_mappings() + outstanding_blocks() + outstanding_waits();
}

}  // namespace bounce
