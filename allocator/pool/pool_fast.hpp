// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The hot part of the pool, inlined into the few places that use it: a slot comes from a context and goes back to one.
#pragma once

#include <cerrno>

#include "allocator/pool/pool.hpp"
#include "allocator/pool/thread_record.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

[[gnu::always_inline]] inline Context* Pool::context(ContextGroup& group) noexcept {
    if (ThreadRecord* const record = t_record; record != nullptr) [[likely]] {
        const ThreadRecord::Entry& entry = record->entry_of(group.id);
        if (entry.group_id == group.id) [[likely]]
            return entry.context;
    }
    return find_context(group);
}

// Field by field, and straight to where it is wanted: a copy of what was just written in parts is slow.
[[gnu::always_inline]] inline void Pool::fill(Slot& slot, const CachedSlot& kept, std::uint64_t slot_bytes) noexcept {
    Part& part = *parts_[kept.region().value];
    const std::uint64_t position = part.core.hand_out(kept, slot_bytes, static_cast<unsigned>(SlotKind::kStreaming));
    slot.gpa = part.first_gpa + position;
    slot.hva = reinterpret_cast<std::byte*>(part.first_hva + position);
    slot.epoch = part.region.epoch();
    slot.region = kept.region();
    slot.generation = kept.generation();
}

[[gnu::always_inline]] inline bool Pool::pop(Context& context, std::uint32_t size_class, Slot& slot) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    SlotStack& stack = context.stacks[size_class];
    const std::uint32_t count = stack.count.load(std::memory_order_relaxed);
    if (count != 0) [[likely]] {
        fill(slot, stack.slots[count - 1], kSizeClasses[size_class].bytes);
        stack.count.store(static_cast<std::uint16_t>(count - 1), std::memory_order_relaxed);
        bump(context.allocs);
    }
    Contexts::Ops::leave(context.mark);
    return count != 0;
}

[[gnu::always_inline]] inline bool Pool::push(Context& context, const Ending& ending) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    SlotStack& stack = context.stacks[ending.found_.size_class];
    const std::uint32_t count = stack.count.load(std::memory_order_relaxed);
    const bool room = count < stack.limit && (context.accepts >> ending.region_.value & 1) != 0;
    if (room) [[likely]] {
        stack.slots[count] = SlabCore::kept(ending.found_, ending.region_, ending.generation_);
        stack.count.store(static_cast<std::uint16_t>(count + 1), std::memory_order_relaxed);
        bump(context.frees);
    }
    Contexts::Ops::leave(context.mark);
    return room;
}

[[gnu::always_inline]] inline Result<void> Pool::alloc(ContextGroup& group, Context* context, std::uint64_t bytes,
                                                       Slot& slot) noexcept {
    if (context != nullptr && bytes - 1 < kMaxSlotBytes && pop(*context, class_of(bytes), slot)) [[likely]]
        return {};
    return alloc_slow(group, context, bytes, slot);
}

// The part that a token names, nullptr when the token cannot be asked about. In a forked child the part finds nothing
// but zeroes and says so itself.
[[gnu::always_inline]] inline Pool::Part* Pool::part_of(const Slot& slot, SlotKind kind) const noexcept {
    if (slot.region.value >= regions() || static_cast<unsigned>(kind) - 1 > 2) [[unlikely]]
        return nullptr;
    Part* const part = parts_[slot.region.value].get();
    return slot.gpa - part->region.base() < part->region.bytes() ? part : nullptr;
}

[[gnu::always_inline]] inline Placement Pool::placement_of(const Part& part, const Slot& slot) noexcept {
    return {slot.gpa - part.region.base(), slot.generation};
}

[[gnu::always_inline]] inline Result<void> Pool::begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes,
                                                            Ending& ending) noexcept {
    Part* const part = part_of(slot, kind);
    if (part == nullptr) [[unlikely]]
        return no_part(slot, kind);
    if (slot.hva != part->region.hva() + (slot.gpa - part->region.base())) [[unlikely]]
        return misplaced(slot);
    return begin_at(slot, kind, bytes, *part, ending);
}

[[gnu::always_inline]] inline Result<void> Pool::begin_at(const Slot& slot, SlotKind kind, std::uint64_t bytes,
                                                          Part& part, Ending& ending) noexcept {
    const int code = part.core.begin_free(placement_of(part, slot), static_cast<unsigned>(kind), bytes, ending.found_);
    if (code != 0) [[unlikely]]
        return refuse(code, slot);
    ending.kind_ = kind;
    ending.generation_ = slot.generation;
    ending.region_ = slot.region;
    return {};
}

[[gnu::always_inline]] inline Result<void> Pool::free(ContextGroup& group, Context* context,
                                                      const Slot& slot) noexcept {
    Part* const part = part_of(slot, SlotKind::kStreaming);
    if (part == nullptr) [[unlikely]]
        return no_part(slot, SlotKind::kStreaming);
    Ending ending;
    if (const auto begun = begin_at(slot, SlotKind::kStreaming, 0, *part, ending); !begun) [[unlikely]]
        return begun;
    finish_free(group, context, ending);
    return {};
}

[[gnu::always_inline]] inline void Pool::finish_free(ContextGroup& group, Context* context,
                                                     const Ending& ending) noexcept {
    if (context != nullptr && ending.kind_ == SlotKind::kStreaming && !ending.found_.run() && push(*context, ending))
        [[likely]]
        return;
    finish_free_slow(group, context, ending);
}

}  // namespace bounce
