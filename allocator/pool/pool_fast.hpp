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

template <class Sink>
[[gnu::always_inline]] inline bool Pool::pop_inside(SlotStack& stack, Sink&& sink) noexcept {
    const std::uint32_t filled = stack.filled.load(std::memory_order_relaxed);
    if (filled == 0) [[unlikely]]
        return false;
    const KeptSlot& kept = stack.at(filled - SlotStack::kEntry);
    sink(kept, epoch_of(kept.handle));
    stack.filled.store(filled - SlotStack::kEntry, std::memory_order_relaxed);
    return true;
}

template <class Sink>
[[gnu::always_inline]] inline bool Pool::pop(Context& context, std::uint32_t size_class, Sink&& sink) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    const bool popped = pop_inside(context.stacks[size_class], sink);
    Contexts::Ops::leave(context.mark);
    return popped;
}

// Field by field, here and below: a copy of what was just written in parts is slow.
[[gnu::always_inline]] inline bool Pool::push_inside(ContextGroup& group, Context& context,
                                                     const KeptSlot& slot) noexcept {
    SlotStack& stack = context.stack_at(slot.handle, group.push_base.load(std::memory_order_relaxed));
    const std::uint32_t filled = stack.filled.load(std::memory_order_relaxed);
    // Relaxed: whoever takes a region out of it empties the contexts after that.
    const RegionMask accepted = context.accepts & accepted_.load(std::memory_order_relaxed);
    if (filled >= stack.room || (accepted >> slot.handle.region().value & 1) == 0) [[unlikely]]
        return false;
    KeptSlot& kept = stack.at(filled);
    kept.gpa = slot.gpa;
    kept.hva = slot.hva;
    kept.handle = slot.handle;
    stack.filled.store(filled + SlotStack::kEntry, std::memory_order_relaxed);
    bump(context.frees);
    return true;
}

[[gnu::always_inline]] inline bool Pool::push(ContextGroup& group, Context& context, const KeptSlot& slot) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return false;
    const bool pushed = push_inside(group, context, slot);
    Contexts::Ops::leave(context.mark);
    return pushed;
}

template <class Sink>
[[gnu::always_inline]] inline bool Pool::alloc_at_hand(Context* context, std::uint64_t bytes, Sink&& sink) noexcept {
    if (context == nullptr || bytes - 1 >= kMaxSlotBytes) [[unlikely]]
        return false;
    return pop(*context, fast_class_of(bytes), sink);
}

[[gnu::always_inline]] inline Result<void> Pool::alloc(ContextGroup& group, Context* context, std::uint64_t bytes,
                                                       Slot& slot) noexcept {
    const auto sink = [&slot](const KeptSlot& kept, std::uint32_t epoch) {
        slot.gpa = kept.gpa;
        slot.hva = kept.hva;
        slot.epoch = epoch;
        slot.handle = kept.handle;
    };
    if (alloc_at_hand(context, bytes, sink)) [[likely]]
        return {};
    return alloc_slow(group, context, bytes, slot);
}

[[gnu::always_inline]] inline Pool::Begun Pool::begin(Context* context, const Slot& slot, SlotKind kind,
                                                      std::uint64_t bytes, bool with_hva, KeptSlot& ended) noexcept {
    const SlotHandle handle = slot.handle;
    const SlotHandle like = context != nullptr ? context->last.of(handle) : handle;
    const View& view = view_of(like);
    const SlotSize& size = kSlotSizes[like.size_class()];
    // V1: acquire, pairs with the release in View::open().
    const std::uint64_t end = view.end.load(std::memory_order_acquire);
    const std::uint64_t position = slot.gpa - view.first_gpa;
    SlotView::Place place;
    if (position >= end || (with_hva && reinterpret_cast<std::uintptr_t>(slot.hva) - view.first_hva != position) ||
        bytes > size.bytes || !view.place_of(position, end, handle, size, place) || !SlotView::holds(place))
        [[unlikely]]
        return Begun::kNotHere;
    if (!view.drop(view.states[place.state], handle, static_cast<unsigned>(kind))) [[unlikely]]
        return Begun::kNotHere;
    // Is it still in the slab that was seen? (Then it stays there, for it is held.)
    if (!SlotView::still_holds(place)) [[unlikely]]
        return Begun::kMoved;
    ended.gpa = slot.gpa;
    ended.hva = reinterpret_cast<std::byte*>(view.first_hva + position);
    ended.handle = handle.next();
    return Begun::kYes;
}

[[gnu::always_inline]] inline bool Pool::is_live(const Slot& slot, SlotKind kind, std::uint64_t bytes) const noexcept {
    const SlotHandle handle = slot.handle;
    const View& view = view_of(handle);
    // V1: acquire, pairs with the release in View::open().
    const std::uint64_t end = view.end.load(std::memory_order_acquire);
    const std::uint64_t position = slot.gpa - view.first_gpa;
    SlotView::Place place;
    return position < end && reinterpret_cast<std::uintptr_t>(slot.hva) - view.first_hva == position &&
           bytes <= kSlotSizes[handle.size_class()].bytes && view.place_of(position, end, handle, place) &&
           SlotView::holds(place) &&
           view.states[place.state].load(std::memory_order_relaxed) == handle.state(static_cast<unsigned>(kind));
}

[[gnu::always_inline]] inline bool Pool::find_block_near(RegionId region, const void* hva, std::uint64_t bytes,
                                                         RegionMask domain, Gpa& address) const noexcept {
    const View& view = views_[region.value];
    // V1: acquire, pairs with the release in View::open().
    const std::uint64_t end = view.end.load(std::memory_order_acquire);
    const std::uint64_t position = reinterpret_cast<std::uintptr_t>(hva) - view.first_hva;
    if (position >= end || (domains_.regions_of(domain) >> region.value & 1) == 0) [[unlikely]]
        return false;
    SlotView::Place place;
    if (!view.find_inside(position, bytes, end, place)) [[unlikely]]
        return false;
    address = view.first_gpa + position;
    return state_kind(view.states[place.state].load(std::memory_order_relaxed)) >=
           static_cast<unsigned>(SlotKind::kCoherent);
}

[[gnu::always_inline]] inline void Pool::finish(ContextGroup& group, Context* context, const KeptSlot& ended) noexcept {
    if (context == nullptr || !push(group, *context, ended)) [[unlikely]]
        finish_free_slow(group, context, {ended, 0, SlotKind::kStreaming});
}

[[gnu::always_inline]] inline Result<void> Pool::free(ContextGroup& group, Context* context,
                                                      const Slot& slot) noexcept {
    KeptSlot ended;
    const Begun begun = begin(context, slot, SlotKind::kStreaming, 0, false, ended);
    if (begun != Begun::kYes) [[unlikely]]
        return free_slow(group, context, slot, begun);
    finish(group, context, ended);
    return {};
}

}  // namespace bounce
