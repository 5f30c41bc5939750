// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/device.hpp"

#include <cerrno>
#include <cstdio>

#include "allocator/base/bits.hpp"
#include "allocator/base/mutation.hpp"
#include "allocator/slab/slot_ops.hpp"
#include "api/dma/device_fast.hpp"

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
      max_segment_bytes_(config.max_segment_bytes),
      max_fast_bytes_(config.direct.translate != nullptr ? 0 : config.max_segment_bytes),
      group_(dma_mask_, {config.numa_policy.value_or(pool.numa_policy()), config.node}) {
    std::snprintf(name_, sizeof name_, "%s", config.name);
    init_policy(config);
    pool_.add_user();
}

Result<std::unique_ptr<Device>> Device::create(Pool& pool, Callbacks& callbacks, const DeviceConfig& config) noexcept {
    if (auto known = pool.check_node(config.node); !known) return known.error();
    std::unique_ptr<Device> device(new (std::nothrow) Device(pool, callbacks, config));
    if (device == nullptr) return fail(ENOMEM, "no memory for a device of %llu bytes", sizeof(Device));
    if (config.direct.translate != nullptr) {
        device->direct_.reset(new (std::nothrow) DirectPath(config.direct));
        if (device->direct_ == nullptr) return fail(ENOMEM, "no memory for a device's translation");
    }
    return device;
}

Device::~Device() {
    pool_.close_group(group_);
    pool_.drop_user();
}

Error Device::why_not_map(const void* buf, std::size_t bytes, std::uint32_t flags) const noexcept {
    if (buf == nullptr) return fail(EINVAL, "the buffer to map is NULL");
    if (bytes == 0) return fail(EINVAL, "mapping of 0 bytes, expected at least 1");
    if (reinterpret_cast<std::uintptr_t>(buf) > UINTPTR_MAX - bytes)
        return fail(EINVAL, "a buffer of %llu bytes at 0x%llx wraps around the address space", bytes,
                    reinterpret_cast<std::uintptr_t>(buf));
    if ((flags & ~kMapFlags) != 0)
        return fail(EINVAL, "map flags have unknown bits 0x%llx, known are 0x%llx", flags & ~kMapFlags, kMapFlags);
    if (flags == kMapFlags)
        return fail(EINVAL, "PRESERVE asks for a copy at map and SKIP_SYNC for none, expected at most one of them");
    return fail(E2BIG, "mapping of %llu bytes, but the device's max_segment_bytes is %llu", bytes, max_segment_bytes_);
}

Context* Device::context() noexcept {
    return pool_.context(group_);
}

[[gnu::always_inline]] inline Result<void> Device::map_one(Context* context, void* buf, std::size_t bytes,
                                                           Direction direction, std::uint32_t flags,
                                                           bounce_mapping& mapping, bool& streamed) noexcept {
    if (!good_map(buf, bytes, flags)) [[unlikely]]
        return map_other(context, buf, bytes, direction, flags, mapping);
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
            return result;
        }
        sink({taken.gpa, taken.hva, taken.handle}, taken.epoch);
    }
    mapping.addr = gpa.value;
    mapping.slot = slot;
    mapping.handle = handle.bits();
    streamed |= fill(mapping, slot, buf, bytes, direction, flags);
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
    if (load_state(mapping) != kLiveMapping)
        return fail(EALREADY, "the token (address 0x%llx) is not live: never mapped, or unmapped before", mapping.addr);
    return check_owner(mapping);
}

Result<void> Device::check_owner(const bounce_mapping& mapping) const noexcept {
    if (mapping.device != id_)
        return fail(EXDEV, "the token belongs to device %llu, not to this one (%llu)", mapping.device, id_);
    if (mapping.direction > BOUNCE_FROM_DEVICE || mapping.orig == nullptr)
        return fail(EINVAL, "the token is damaged: direction %llu, private buffer 0x%llx", mapping.direction,
                    reinterpret_cast<std::uintptr_t>(mapping.orig));
    return {};
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
        return end_other(mapping);
    KeptSlot ended;
    const auto begun = pool_.begin(slot_of(mapping), SlotKind::kStreaming, mapping.bytes, true, ended);
    if (begun != Pool::Begun::kYes) [[unlikely]]
        return unmap_slow(context, mapping, nullptr, begun);
    store_ended(mapping);
    pool_.finish(group_, context, ended);
    return {};
}

Result<void> Device::check_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                Direction direction) const noexcept {
    if (const auto good = check_token(mapping); !good) [[unlikely]]
        return good;
    if (const auto good = check_sync_range(mapping, offset, bytes, direction); !good) [[unlikely]]
        return good;
    const Slot slot = slot_of(mapping);
    if (const auto live = pool_.check(slot, SlotKind::kStreaming, mapping.bytes); !live) [[unlikely]]
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
    if (const auto good = check_sync(mapping, offset, bytes, direction); !good) [[unlikely]]
        return sync_other(mapping, offset, bytes, direction, good);
    if (!copies_back(direction)) return {};
    copy_from_slot(static_cast<std::byte*>(mapping.orig) + offset, static_cast<std::byte*>(mapping.slot) + offset,
                   bytes);
    return check_fresh(slot_of(mapping));  // it may have been renewed under the copy
}

Result<void> Device::sync_for_device(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                                     Direction direction) noexcept {
    if (const auto good = check_sync(mapping, offset, bytes, direction); !good) [[unlikely]]
        return sync_other(mapping, offset, bytes, direction, good);
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
    return (counts.allocs > counts.frees ? counts.allocs - counts.frees : 0) +
           (direct_ != nullptr ? direct_->live() : 0);
}

std::uint64_t Device::outstanding_blocks() const noexcept {
    return blocks_.load(std::memory_order_relaxed);
}

std::uint64_t Device::outstanding() const noexcept {
    return outstanding_mappings() + outstanding_blocks();
}

}  // namespace bounce
