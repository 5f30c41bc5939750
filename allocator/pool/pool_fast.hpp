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
[[gnu::always_inline]] inline void Pool::fill(Slot& slot, CachedSlot kept) noexcept {
    const View& view = views_[kept.region().value];
    const std::uint64_t position = view.hand_out(kept, static_cast<unsigned>(SlotKind::kStreaming));
    slot.gpa = view.first_gpa + position;
    slot.hva = reinterpret_cast<std::byte*>(view.first_hva + position);
    slot.epoch = view.region->epoch();
    slot.region_number = static_cast<std::uint8_t>(kept.region().value);
    slot.generation = kept.generation();
    slot.index = kept.index();
}

[[gnu::always_inline]] inline bool Pool::pop(Context& context, std::uint32_t size_class, Slot& slot) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    SlotStack& stack = context.stacks[size_class];
    const std::uint32_t count = stack.count.load(std::memory_order_relaxed);
    if (count != 0) [[likely]] {
        fill(slot, stack.slots[count - 1]);
        stack.count.store(static_cast<std::uint16_t>(count - 1), std::memory_order_relaxed);
    }
    Contexts::Ops::leave(context.mark);
    return count != 0;
}

[[gnu::always_inline]] inline bool Pool::push(ContextGroup& group, Context& context, Ending ending) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    SlotStack& stack =
        context.stacks[class_of_index(ending.slot.index()) + group.push_base.load(std::memory_order_relaxed)];
    const std::uint32_t count = stack.count.load(std::memory_order_relaxed);
    // Relaxed: whoever takes a region out of it empties the contexts after that.
    const RegionMask accepted = context.accepts & accepted_.load(std::memory_order_relaxed);
    const bool room = count < stack.limit && (accepted >> ending.slot.region().value & 1) != 0;
    if (room) [[likely]] {
        stack.slots[count] = ending.slot;
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

[[gnu::always_inline]] inline Pool::Ending Pool::begin(const Slot& slot, SlotKind kind, std::uint64_t bytes,
                                                       bool with_hva) noexcept {
    if (slot.region_number >= regions()) [[unlikely]]
        return begin_slow(slot, kind, bytes, with_hva);
    const View& view = views_[slot.region_number];
    const std::uint64_t position = slot.gpa - view.first_gpa;
    std::uint32_t head = 0;
    const bool good = position - view.begin < view.bytes &&
                      (!with_hva || reinterpret_cast<std::uintptr_t>(slot.hva) - view.first_hva == position) &&
                      bytes <= kSlotBytes[class_of_index(slot.index)] &&
                      view.is_at(position, slot.index, slot.generation, head) &&
                      view.drop(head, slot_of_index(slot.index), static_cast<unsigned>(kind), slot.generation);
    // A run, or an error.
    if (!good) [[unlikely]]
        return begin_slow(slot, kind, bytes, with_hva);
    if (!view.still_at(position, head, slot.index, slot.generation)) [[unlikely]]
        return begin_moved(slot, kind);
    return {CachedSlot(slot.region(), head, slot.index, next_generation(slot.generation)), 0, kind};
}

[[gnu::always_inline]] inline Result<void> Pool::begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes,
                                                            Ending& ending) noexcept {
    const Ending begun = begin(slot, kind, bytes, true);
    if (begun.refused()) [[unlikely]]
        return Error(static_cast<int>(begun.pages));
    ending = begun;
    return {};
}

[[gnu::always_inline]] inline Result<void> Pool::free(ContextGroup& group, Context* context,
                                                      const Slot& slot) noexcept {
    const Ending begun = begin(slot, SlotKind::kStreaming, 0, false);
    if (begun.refused()) [[unlikely]]
        return Error(static_cast<int>(begun.pages));
    finish_free(group, context, begun);
    return {};
}

[[gnu::always_inline]] inline void Pool::finish_free(ContextGroup& group, Context* context, Ending ending) noexcept {
    if (context != nullptr && ending.kind == SlotKind::kStreaming && ending.pages == 0 && push(group, *context, ending))
        [[likely]]
        return;
    finish_free_slow(group, context, ending);
}

}  // namespace bounce
