// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The hot part of the core, inlined into the few places that use it.
#pragma once

#include "allocator/slab/slab_core.hpp"

namespace bounce {

[[gnu::always_inline]] inline bool SlabCore::claim_current(std::uint32_t size_class, unsigned kind,
                                                           Placement& placement) noexcept {
    for (;;) {
        // C1: acquire, pairs with C2 in advance() and C3 in search_slot(): the shape of the slab is there.
        const std::uint32_t current = tables_.classes[size_class].current.load(std::memory_order_acquire);
        if (current == 0) return false;
        const std::uint32_t head = current - 1;
        const std::uint32_t slots = tables_.shape(head).slots;
        const std::uint32_t slot = Ops::claim(&tables_.words[head], Ops::words_of(slots));
        if (slot == kNoSlot) return false;
        // The slab may have died between the two loads; what was claimed keeps its successor as it is.
        const Shape shape = tables_.shape(head);
        if (shape.size_class == size_class && slot < shape.slots) [[likely]] {
            hand_out(head, slot, size_class, kind, placement);
            return true;
        }
        put_back(head + slot / 64, std::uint64_t{1} << (slot % 64));
        note_free();  // somebody may have looked in vain meanwhile
    }
}

[[gnu::always_inline]] inline void SlabCore::hand_out(std::uint32_t head, std::uint32_t slot, std::uint32_t size_class,
                                                      unsigned kind, Placement& placement) noexcept {
    const std::uint32_t bytes = kSizeClasses[size_class].bytes;
    const unsigned generation = Ops::take(tables_.state(head, slot), kind);
    const std::uint64_t position = std::uint64_t{head} * kPageBytes + std::uint64_t{slot} * bytes;
    const PageEntry entry = tables_.entry(static_cast<std::uint32_t>(position / kPageBytes));
    placement = {position - phase_, token_generation(generation, entry.birth), slot_index(size_class, slot)};
    usage_.add(bytes);
}

[[gnu::always_inline]] inline void SlabCore::put_back(std::uint32_t word, std::uint64_t bits) noexcept {
    if (!Ops::give(tables_.words[word], bits)) [[likely]]
        return;
    // The word's page belongs to the slab that the bits are of: it lives as long as they were out, and as it is listed
    // or returned after that, a look at a dead one does no harm.
    const std::uint32_t head = word - tables_.entry(word).distance;
    if (Ops::must_return(tables_.slabs[head].listing)) push_returned(head);
}

[[gnu::always_inline]] inline void SlabCore::note_free() noexcept {
    // E1: seq_cst, the load after the bit came home (W2) or the pages did (the page lock); pairs with E2 in
    // alloc_slot() and alloc_special().
    std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
    if ((epoch & 1) == 0) [[likely]]
        return;
    // E3: seq_cst, as E1. When it fails, another free began the new epoch.
    epoch_.compare_exchange_strong(epoch, epoch + 1, std::memory_order_seq_cst, std::memory_order_relaxed);
}

}  // namespace bounce
