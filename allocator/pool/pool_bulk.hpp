// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The hot part of the pool for many slots at once: a context is entered once for all that it can serve.
#pragma once

#include <algorithm>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {

// The stack of the item before is at hand: its count is written when another one's turn comes. What is read of it
// between two items would be read from where it was just written, which takes longer than all the rest.
template <class BytesOf, class Sink>
inline std::uint32_t Pool::pop_many(Context& context, std::uint32_t from, std::uint32_t n, BytesOf&& bytes_of,
                                    Sink&& sink) noexcept {
    if (!contexts_.enter(context)) [[unlikely]]
        return from;
    while (from < n) {
        const std::uint64_t first_bytes = bytes_of(from);
        if (first_bytes - 1 >= kMaxSlotBytes) break;
        const std::uint32_t size_class = fast_class_of(first_bytes);
        SlotStack& stack = context.stacks[size_class];
        std::uint32_t filled = stack.filled.load(std::memory_order_relaxed);
        if (filled == 0) break;
        std::uint64_t bytes = first_bytes;
        do {
            filled -= SlotStack::kEntry;
            const KeptSlot& kept = stack.at(filled);
            sink(from++, kept, epoch_of(kept.handle));
        } while (filled != 0 && from < n && (bytes = bytes_of(from)) - 1 < kMaxSlotBytes &&
                 fast_class_of(bytes) == size_class);
        stack.filled.store(filled, std::memory_order_relaxed);
    }
    Contexts::Ops::leave(context.mark);
    return from;
}

template <class BytesOf, class Sink>
inline Result<void> Pool::alloc_many(ContextGroup& group, Context* context, std::uint32_t n, BytesOf&& bytes_of,
                                     Sink&& sink, std::uint32_t& done) noexcept {
    done = 0;
    while (done < n) {
        if (context != nullptr) [[likely]]
            done = pop_many(*context, done, n, bytes_of, sink);
        if (done == n) break;
        Slot slot;
        if (auto taken = alloc_slow(group, context, bytes_of(done), slot); !taken) return taken;
        sink(done++, KeptSlot{slot.gpa, slot.hva, slot.handle}, slot.epoch);
    }
    return {};
}

// As pop_many(). What the context has no room for makes some, or goes home.
inline void Pool::finish_many(ContextGroup& group, Context* context, const KeptSlot* ended, std::uint32_t n) noexcept {
    for (std::uint32_t i = 0; i < n; ++i) {
        if (context != nullptr && contexts_.enter(*context)) [[likely]] {
            i = push_many(group, *context, ended, i, n);
            Contexts::Ops::leave(context->mark);
        }
        if (i < n) finish_free_slow(group, context, {ended[i], 0, SlotKind::kStreaming});
    }
}

// Inside.
inline std::uint32_t Pool::push_many(ContextGroup& group, Context& context, const KeptSlot* ended, std::uint32_t from,
                                     std::uint32_t n) noexcept {
    const RegionMask accepted = context.accepts & accepted_.load(std::memory_order_relaxed);  // as in push_inside()
    const std::uint32_t base = group.push_base.load(std::memory_order_relaxed);
    const std::uint32_t first = from;
    while (from < n) {
        const SlotHandle like = ended[from].handle;
        if ((accepted >> like.region().value & 1) == 0) break;
        SlotStack& stack = context.stack_at(like, base);
        const std::uint32_t begin = stack.filled.load(std::memory_order_relaxed);
        std::uint32_t filled = begin;
        for (; from < n && filled < stack.room && ended[from].handle.same_place(like);
             ++from, filled += SlotStack::kEntry) {
            const KeptSlot& slot = ended[from];
            KeptSlot& kept = stack.at(filled);
            kept.gpa = slot.gpa;
            kept.hva = slot.hva;
            kept.handle = slot.handle;
        }
        if (filled == begin) break;
        stack.filled.store(filled, std::memory_order_relaxed);
    }
    bump(context.frees, from - first);
    return from;
}

}  // namespace bounce
