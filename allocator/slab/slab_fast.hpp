// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The hot part of the core, inlined into the few places that use it.
#pragma once

#include "allocator/slab/slab_core.hpp"

namespace bounce {

// From the slab of this class that begins on this page, if there is one. kKeep: it is another.
[[gnu::always_inline]] inline Visit SlabCore::claim_in(std::uint32_t head, std::uint32_t size_class, unsigned kind,
                                                       Placement& placement) noexcept {
    const Shape shape = tables_.shape(head);
    if (!shape.is_slab()) return Visit::kEmpty;
    const Ops::Bits bits = tables_.bits(head, shape);
    const std::uint32_t slot = Ops::claim(bits);
    if (slot == kNoSlot) return Visit::kEmpty;
    // The slab may have died between the two loads; what was claimed keeps its successor as it is.
    if (shape.size_class() == size_class && tables_.shape(head) == shape) [[likely]] {
        hand_out(head, slot, size_class, kind, placement);
        return Visit::kStop;
    }
    const std::uint32_t at = bits.first + slot;
    put_back(bits, at / 64, shape.size_class(), std::uint64_t{1} << (at % 64));
    note_free();  // somebody may have looked in vain meanwhile
    return Visit::kKeep;
}

[[gnu::always_inline]] inline bool SlabCore::claim_current(std::uint32_t size_class, unsigned kind,
                                                           Placement& placement) noexcept {
    for (;;) {
        // C1: acquire, pairs with C2 in make_current(): the shape of the slab is there.
        const std::uint32_t current = tables_.classes[size_class].current.load(std::memory_order_acquire);
        if (current == 0) return false;
        const Visit verdict = claim_in(current - 1, size_class, kind, placement);
        if (verdict != Visit::kKeep) [[likely]]
            return verdict == Visit::kStop;
        forget_current(size_class, current);
    }
}

// It died, and was made the current one by somebody who had seen it before.
inline void SlabCore::forget_current(std::uint32_t size_class, std::uint32_t current) noexcept {
    tables_.classes[size_class].current.compare_exchange_strong(current, 0, std::memory_order_relaxed);
}

[[gnu::always_inline]] inline void SlabCore::hand_out(std::uint32_t head, std::uint32_t slot, std::uint32_t size_class,
                                                      unsigned kind, Placement& placement) noexcept {
    const std::uint32_t bytes = kSizeClasses[size_class].bytes;
    const unsigned generation = Ops::take(tables_.state(head, slot, size_class), kind);
    const std::uint64_t position = std::uint64_t{head} * kPageBytes + std::uint64_t{slot} * bytes;
    const PageEntry entry = tables_.entry(static_cast<std::uint32_t>(position / kPageBytes));
    placement = {position - phase_, token_generation(generation, entry.birth), slot_index(size_class, slot)};
    usage_.add(bytes);
}

// Bits of the slab that begins there, all of one word. It lives as long as they are out; that it is listed when it has
// died since does no harm.
[[gnu::always_inline]] inline void SlabCore::bring_home(std::uint32_t head, std::uint32_t size_class,
                                                        std::uint64_t word, std::uint64_t bits) noexcept {
    Ops::give(tables_.words[word], bits);
    home_.list(head, size_class);
}

[[gnu::always_inline]] inline void SlabCore::note_free() noexcept {
    // E1: seq_cst, the load after the bit came home (W2), the slab was listed (I2), or the pages came back (H3); pairs
    // with E2 in slab_slow.cpp.
    std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
    if ((epoch & 1) == 0) [[likely]]
        return;
    // E3: seq_cst, as E1. When it fails, another free began the new epoch.
    epoch_.compare_exchange_strong(epoch, epoch + 1, std::memory_order_seq_cst, std::memory_order_relaxed);
}

// The class of the slab that begins on this page.
inline std::uint32_t SlabCore::class_at(std::uint32_t page) const noexcept {
    const PageEntry entry = tables_.entry(page);
    return entry.kind == PageEntry::kSlab && entry.distance == 0 ? entry.size_class : Home::kNoClass;
}

// The same when something is at home there.
inline std::uint32_t SlabCore::class_at_home(std::uint32_t page) const noexcept {
    // Seq_cst, after I3, as the look at the words is: a slab that was born here since must not be missed (I2).
    const Shape shape(tables_.entries[page].load(std::memory_order_seq_cst));
    if (!shape.is_slab()) return Home::kNoClass;
    return Ops::any(tables_.bits(page, shape)) ? shape.size_class() : Home::kNoClass;
}

template <class Visitor>
bool SlabCore::visit(std::uint32_t size_class, std::uint32_t from, Visitor&& visitor) noexcept {
    return home_.visit(
        size_class, from, [this](std::uint32_t page) { return class_at(page); },
        [this](std::uint32_t page) { return class_at_home(page); }, visitor);
}

}  // namespace bounce
