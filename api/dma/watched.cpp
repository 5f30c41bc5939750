// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The long way: devices that are watched, with records, with debugging, or both; and by way of here devices with limits
// (device_special.cpp), mappings of born-shared buffers (device_shared.cpp), and errors of all devices.
//
// The short ways (device_fast.hpp, scatter.cpp) have not one instruction for it. They refuse whatever such a device
// does, by comparisons that they make anyway: its limit for a mapping is 0, its tokens are in a state of their own.
// What is refused comes here, where it is an error or goes the long way. Without a turn of `sample` the tokens of a
// device without records are those of one that is not watched, and end as those do.
//
// A device may be watched and have limits: what is watched is made by map_special() in any case, and whether a mapping
// begins behind the start of its slot is seen from its address.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "api/dma/debug.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/records.hpp"
#include "bounce/records.h"

namespace bounce {

Result<void> Device::init_watch(const DeviceConfig& config) noexcept {
    if (config.debug != nullptr) {
        auto debug = Debug::create(callbacks_, name_, *config.debug);
        if (!debug) return debug.error();
        debug_ = std::move(*debug);
    }
    if (config.records != nullptr) {
        const auto enrolled = config.records->enroll(name_);
        if (!enrolled) return enrolled.error();
        enrolled_ = *enrolled;
        records_ = config.records;
    }
    return {};
}

Result<void> Device::map_long(Context* context, void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                              std::uint64_t align, bounce_mapping& mapping, bool& streamed) noexcept {
    // Before any lock: a child may have inherited it locked.
    if (watched() && !pool_.alive()) {
        mapping = bounce_mapping{};
        return fail(EOWNERDEAD, kForked);
    }
    if (asks_for_shared(flags)) {
        if (align == 1) return map_shared(buf, bytes, direction, flags, mapping);
        mapping = bounce_mapping{};
        return fail(EINVAL, "alignment %llu of a shared mapping, which lies where its buffer does: expected 0 or 1",
                    align);
    }
    if (direct_ != nullptr) return map_direct(context, buf, bytes, direction, flags, align, mapping, streamed);
    if (!watched()) return map_special(context, buf, bytes, direction, flags, align, mapping, streamed);
    auto mapped = map_recorded(context, buf, bytes, direction, flags, align, mapping, streamed);
    if (mapped) {
        watch_mapping(mapping, debug_ != nullptr && debug_->take_turn(), 0, 0);
    } else if (debug_ != nullptr) {
        Debug::mark_failed(mapping, id_);
    } else {
        mapping = bounce_mapping{};
    }
    return mapped;
}

Result<void> Device::map_watching(void* buf, std::size_t bytes, Direction direction, std::uint32_t flags,
                                  bounce_mapping& mapping) noexcept {
    bool streamed = false;
    auto mapped = map_long(context(), buf, bytes, direction, flags, 1, mapping, streamed);
    if (streamed) fence_streams();
    return mapped;
}

/// A mapping, and its record if there are any. On failure the token is undefined.
Result<void> Device::map_recorded(Context* context, void* buf, std::size_t bytes, Direction direction,
                                  std::uint32_t flags, std::uint64_t align, bounce_mapping& mapping,
                                  bool& streamed) noexcept {
    auto mapped = map_special(context, buf, bytes, direction, flags, align, mapping, streamed);
    if (!mapped || records_ == nullptr) return mapped;
    if (auto room = records_->prepare(whole_slot(mapping)); !room) {
        if (streamed) fence_streams();
        // It was handed out just above, so this cannot fail. The error stays this thread's last one.
        static_cast<void>(end_special(context, mapping, nullptr));
        return room;
    }
    note_record(mapping);
    return {};
}

void Device::note_record(const bounce_mapping& mapping) noexcept {
    records_->note({.slot = whole_slot(mapping),
                    .orig = mapping.orig,
                    .bytes = mapping.bytes,
                    .direction = mapping.direction,
                    .flags = static_cast<std::uint8_t>(mapping.flags & kMapFlags),
                    .kind = SlotKind::kStreaming,
                    .align_bits = static_cast<std::uint8_t>(std::bit_width(limits_.min_align_mask)),
                    .device = enrolled_});
}

void Device::watch_mapping(bounce_mapping& mapping, bool turn, std::uint64_t list, std::uint64_t members) noexcept {
    const bool seen = turn && debug_->mapped(mapping, list, members);
    if (seen || records_ != nullptr) mapping.state = kWatchedMapping;
}

Result<void> Device::record_block(const Slot& slot, const bounce_block& block) noexcept {
    if (auto room = records_->prepare(slot); !room) return room;
    records_->note(
        {.slot = slot, .bytes = block.bytes, .kind = static_cast<SlotKind>(block.kind), .device = enrolled_});
    return {};
}

void Device::watch_block(const bounce_block& block) noexcept {
    if (debug_->take_turn()) debug_->allocated(block);
}

Result<void> Device::end_long(Context* context, bounce_mapping& mapping, const std::size_t* written) noexcept {
    const std::uint8_t state = load_state(mapping);
    if (state == kLiveShared) return end_shared(mapping);
    if (state == kLiveDirect && direct_ != nullptr) return end_direct(mapping);
    // One that is live and special is not watched, whatever the device is.
    if (watched() && state != kLiveSpecial) return end_watched(context, mapping, written, DebugApi::kSingle);
    return end_special(context, mapping, written);
}

Result<void> Device::end_watched(Context* context, bounce_mapping& mapping, const std::size_t* written,
                                 DebugApi api) noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (debug_ != nullptr) debug_->check_end(mapping, api);
    Pool::Ending ending;
    const std::uint64_t padding = limits_.padding(mapping.addr);
    auto begun = check_token(mapping);
    if (begun && mapping.bytes > UINT64_MAX - padding)
        begun = fail(EFAULT, "the token is damaged: %llu bytes", mapping.bytes);
    if (begun) begun = pool_.begin_free(whole_slot(mapping), SlotKind::kStreaming, mapping.bytes + padding, ending);
    if (!begun) {
        if (debug_ != nullptr) debug_->refused(mapping, begun.code());
        return begun;
    }
    store_ended(mapping);
    // All before the slot is in reach of others.
    if (debug_ != nullptr) debug_->ended(mapping);
    if (records_ != nullptr) records_->forget(whole_slot(mapping));
    if (written == nullptr) trace_dropped(mapping);
    const bool renewed = written != nullptr && copy_back(mapping, *written);
    scrub_ended(ending, padding, mapping.bytes);
    pool_.finish_free(group_, context, ending);
    return renewed ? lost(mapping) : Result<void>();
}

Result<void> Device::map_list_long(std::span<const bounce_sg> sg, Direction direction, std::uint32_t flags,
                                   bounce_mapping* mappings) noexcept {
    const auto failed = [&](Error error) {
        for (std::size_t i = 0; i < sg.size(); ++i) {
            if (debug_ != nullptr) {
                Debug::mark_failed(mappings[i], id_);
            } else {
                mappings[i] = bounce_mapping{};
            }
        }
        return error;
    };
    if (!pool_.alive()) return failed(fail(EOWNERDEAD, kForked));
    if (sg.empty()) return fail(EINVAL, "a scatter list of 0 segments, expected at least 1");
    if (sg.size() > UINT32_MAX) return fail(E2BIG, "a scatter list of %llu segments", sg.size());
    if (asks_for_shared(flags)) return map_sg_shared(sg, direction, flags, mappings);
    if (auto good = check_sg(sg, flags); !good) return failed(good.error());
    Context* const mine = context();
    bool streamed = false;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        const bounce_sg& piece = sg[i];
        auto mapped = direct_ != nullptr
                          ? map_direct(mine, piece.base, piece.bytes, direction, flags, 1, mappings[i], streamed)
                          : map_recorded(mine, piece.base, piece.bytes, direction, flags, 1, mappings[i], streamed);
        if (mapped) continue;
        if (streamed) fence_streams();
        // Each was handed out just above, so this cannot fail. The error stays this thread's last one.
        for (std::size_t j = 0; j < i; ++j) {
            if (records_ != nullptr) records_->forget(whole_slot(mappings[j]));
            static_cast<void>(direct_ != nullptr ? end_long(mine, mappings[j], nullptr)
                                                 : end_special(mine, mappings[j], nullptr));
        }
        return failed(mapped.error());
    }
    if (streamed) fence_streams();
    if (!watched()) return {};
    const bool turn = debug_ != nullptr && debug_->take_turn();
    const std::uint64_t list = turn ? debug_->begin_list() : 0;
    for (std::size_t i = 0; i < sg.size(); ++i) watch_mapping(mappings[i], turn, list, sg.size());
    return {};
}

Result<void> Device::unmap_list_watched(std::span<bounce_mapping> mappings, std::size_t written) noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (debug_ != nullptr) debug_->check_list(mappings);
    Context* const mine = context();
    Result<void> first;
    for (bounce_mapping& mapping : mappings) {
        const std::size_t part = std::min<std::size_t>(written, mapping.bytes);
        written -= part;
        const std::uint8_t state = load_state(mapping);
        const auto one = state == kLiveShared || state == kLiveSpecial
                             ? end_long(mine, mapping, &part)
                             : end_watched(mine, mapping, &part, DebugApi::kList);
        if (first && !one) first = one;
    }
    return first;
}

Result<void> Device::sync_long(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes,
                               Direction direction, bool for_cpu) noexcept {
    if (watched() && !pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (load_state(mapping) == kLiveShared) return check_shared_sync(mapping, offset, bytes, direction);
    if (load_state(mapping) == kLiveDirect && direct_ != nullptr)
        return check_direct_sync(mapping, offset, bytes, direction);
    Debug* const debug = load_state(mapping) == kLiveSpecial ? nullptr : debug_.get();  // as in end_long()
    if (debug != nullptr) debug->check_sync(mapping, offset, bytes, static_cast<int>(direction), for_cpu);
    if (const auto good = check_token(mapping); !good) {
        if (debug != nullptr) debug->refused(mapping, good.code());
        return good;
    }
    const auto synced =
        for_cpu ? sync_out(mapping, offset, bytes, direction) : sync_in(mapping, offset, bytes, direction);
    if (debug == nullptr) return synced;
    if (synced) {
        debug->synced(mapping, offset, bytes, for_cpu);
    } else if (synced.code() != EINVAL && synced.code() != EPERM) {
        debug->refused(mapping, synced.code());  // those two check_sync() has told
    }
    return synced;
}

Result<void> Device::lookup(Gpa addr, bounce_record& record, bounce_mapping& mapping) noexcept {
    record = bounce_record{};
    mapping = bounce_mapping{};
    if (records_ == nullptr) return fail(ENOTSUP, "the device was created without BOUNCE_DEVICE_RECORDS");
    const auto found = records_->find(addr);
    if (!found) return found.error();
    record.addr = found->slot.gpa.value + found->padding();
    record.bytes = found->bytes;
    record.orig = found->orig;
    record.age_ms = found->age_ms;
    record.kind = static_cast<std::uint32_t>(found->kind);
    record.flags = found->flags;
    record.direction = found->direction;
    records_->name_of(found->device, record.device);
    if (found->kind != SlotKind::kStreaming || found->device != enrolled_) return {};
    mapping.addr = record.addr;
    mapping.bytes = found->bytes;
    mapping.orig = found->orig;
    mapping.slot = found->slot.hva + found->padding();
    mapping.device = id_;
    mapping.epoch = found->slot.epoch;
    mapping.handle = found->slot.handle.bits();
    mapping.flags = found->flags;
    mapping.direction = found->direction;
    mapping.state = kWatchedMapping;
    return {};
}

Result<void> Device::unmap_addr(Gpa addr, std::size_t bytes, std::optional<Direction> direction,
                                std::size_t written) noexcept {
    bounce_record record;
    bounce_mapping token;
    const auto refuse = [&](Error error) {
        if (debug_ != nullptr) debug_->refused(addr.value, error.code());
        return error;
    };
    if (auto found = lookup(addr, record, token); !found) {
        return records_ == nullptr ? found.error() : refuse(found.error());
    }
    if (record.addr != addr.value)
        return refuse(fail(EFAULT, "GPA 0x%llx is inside what begins at 0x%llx, expected its first byte", addr.value,
                           record.addr));
    if (record.kind != static_cast<std::uint32_t>(SlotKind::kStreaming))
        return refuse(fail(EPERM, "at GPA 0x%llx is a block of kind %llu, not a mapping", addr.value, record.kind));
    if (token.state == 0) return refuse(fail(EXDEV, "the mapping at GPA 0x%llx is another device's", addr.value));
    if (bytes != 0 && bytes != record.bytes) {
        if (debug_ != nullptr) debug_->misstated(BOUNCE_DEBUG_WRONG_SIZE, addr.value, record.bytes, bytes);
        return fail(EINVAL, "unmapping %llu bytes at GPA 0x%llx, but %llu are mapped there", bytes, addr.value,
                    record.bytes);
    }
    if (direction && static_cast<int>(*direction) != record.direction) {
        const auto got = static_cast<std::uint64_t>(*direction);
        const auto mapped = static_cast<std::uint64_t>(record.direction);
        if (debug_ != nullptr) debug_->misstated(BOUNCE_DEBUG_WRONG_DIRECTION, addr.value, mapped, got);
        return fail(EPERM, "unmapping GPA 0x%llx with direction %llu, but it is mapped with %llu", addr.value, got,
                    mapped);
    }
    return end_watched(context(), token, &written, DebugApi::kSingle);
}

Result<void> Device::adopt(bounce_mapping& mapping, void* buf, std::size_t bytes, Direction direction,
                           std::uint32_t flags) noexcept {
    // It lies where the device before wanted it.
    const std::uint64_t mask = limits_.min_align_mask;
    if (((mapping.addr | reinterpret_cast<std::uintptr_t>(buf)) & mask) != 0)
        return fail(EDOM,
                    "address 0x%llx and buffer 0x%llx, expected multiples of the device's min_align_mask 0x%llx + 1",
                    mapping.addr, reinterpret_cast<std::uintptr_t>(buf), mask);
    if (records_ != nullptr) {
        if (auto room = records_->prepare(slot_of(mapping)); !room) return room;
    }
    mapping.bytes = bytes;
    mapping.orig = buf;
    mapping.device = id_;
    mapping.flags = static_cast<std::uint16_t>(flags);
    mapping.direction = static_cast<std::uint8_t>(direction);
    mapping.state = scrub_at_unmap() != Scrub::kNone ? kLiveSpecial : kLiveMapping;
    pool_.adopt_slot(group_, slot_of(mapping), bytes, SlotKind::kStreaming);
    if (records_ != nullptr) note_record(mapping);
    if (watched()) watch_mapping(mapping, debug_ != nullptr && debug_->take_turn(), 0, 0);
    return {};
}

Result<void> Device::adopt(SlotKind kind, std::size_t bytes, bounce_block& block) noexcept {
    block.bytes = bytes;
    block.device = id_;
    block.kind = static_cast<std::uint8_t>(kind);
    block.state = kLiveBlock;
    if (records_ != nullptr) {
        if (auto recorded = record_block(slot_of(block), block); !recorded) return recorded;
    }
    pool_.adopt_slot(group_, slot_of(block), bytes, kind);
    blocks_.fetch_add(1, std::memory_order_relaxed);
    if (debug_ != nullptr) watch_block(block);
    return {};
}

Result<const std::byte*> Device::peek(Gpa addr, std::size_t bytes) noexcept {
    if (bytes == 0) return fail(EINVAL, "a view of 0 bytes, expected at least 1");
    const auto gpa = pool_.from_address(addr, bytes);
    if (!gpa) return gpa.error();
    const auto hva = pool_.to_hva(*gpa, bytes);
    if (!hva) return hva.error();
    if (debug_ != nullptr && debug_->peeked(addr.value, bytes))
        return fail(EPERM, "GPA 0x%llx is mapped: the CPU looks at the private buffer, after a sync", addr.value);
    if (pool_.find_in_slot(*hva, bytes, SlotKind::kCoherent)) return *hva;
    if (auto buffer = pool_.find_in_slot(*hva, bytes, SlotKind::kBuffer); !buffer) return buffer.error();
    return *hva;
}

}  // namespace bounce
