// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_core.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

SlabCore::SlabCore(Gpa base, std::uint64_t bytes, std::byte* memory, Usage& usage, bool checked) noexcept
    : tables_(base, bytes, memory),
      phase_(std::uint64_t{tables_.first} * kPageBytes),
      origin_(base.value - phase_),
      region_bytes_(bytes),
      usage_(usage),
      view_(tables_, checked),
      home_(tables_.home, tables_.chunks()),
      pages_(tables_.first, tables_.end, tables_.pages) {}

bool SlabCore::alive() const noexcept {
    const volatile std::byte* alive = tables_.alive;
    return *alive != std::byte{0};
}

int SlabCore::alloc(const Request& request, Placement& placement) noexcept {
    const std::uint64_t rounded =
        request.align <= kNaturalAlign ? request.bytes : (request.bytes + request.align - 1) & ~(request.align - 1);
    // What the current slab may not be able to serve: runs, limits, boundaries, alignments above a page.
    if (rounded <= kMaxSlotBytes && request.align <= kPageBytes && request.end == region_bytes_ &&
        request.boundary == 0) [[likely]] {
        const std::uint32_t size_class = class_of(rounded);
        if (claim_current(size_class, request.kind, placement)) [[likely]]
            return 0;
        return alloc_slot(size_class, request, placement);
    }
    return alloc_special(rounded, request, placement);
}

// Why a slot with this state cannot be freed with such a token; 0 when it can.
int SlabCore::diagnose(const FoundSlot& found, std::uint8_t seen, unsigned kind,
                       std::uint8_t generation) const noexcept {
    // The tail of a slab is no slot.
    if (!found.run() && found.slot >= tables_.shape(found.head).slots()) return EFAULT;
    const unsigned frees = (state_generation(seen) - generation) % kGenerations;  // since the token was made
    if (found.stale || frees > 1) return ESTALE;
    if (frees == 1) return state_kind(seen) == 0 ? EALREADY : ESTALE;
    return seen != make_state(kind, generation) ? EPERM : 0;
}

std::uint32_t SlabCore::claim(std::uint32_t size_class, std::uint32_t want, Colour colour, RegionId region,
                              CachedSlot* slots) noexcept {
    std::uint32_t next = 0;
    return claim_from(size_class, 0, want, colour, region, slots, next);
}

std::uint32_t SlabCore::claim_in_turn(std::uint32_t size_class, std::uint32_t want, std::uint64_t window,
                                      RegionId region, CachedSlot* slots) noexcept {
    ClassInfo& info = tables_.classes[size_class];
    for (int tries = 0; tries < 2; ++tries) {
        // Relaxed: hints; two threads at once may take from the same word.
        const std::uint32_t current = info.current.load(std::memory_order_relaxed);
        std::uint32_t next = info.turn.load(std::memory_order_relaxed);
        if (const std::uint32_t n = claim_from(size_class, next, want, {}, region, slots, next); n != 0) {
            info.turn.store(next, std::memory_order_relaxed);
            return n;
        }
        if (!alive()) return 0;
        next_in_turn(size_class, window, current);
    }
    return 0;
}

// `next`: the slot behind them.
std::uint32_t SlabCore::claim_from(std::uint32_t size_class, std::uint32_t from, std::uint32_t want, Colour colour,
                                   RegionId region, CachedSlot* slots, std::uint32_t& next) noexcept {
    // C1: acquire, as in claim_current().
    const std::uint32_t current = tables_.classes[size_class].current.load(std::memory_order_acquire);
    if (current == 0) return 0;
    const std::uint32_t head = current - 1;
    std::uint32_t index = 0;
    std::uint64_t bits = 0;
    const Shape shape = tables_.shape(head);
    if (!shape.is_slab()) return 0;
    const Ops::Bits all = tables_.bits(head, shape);
    // For writing: else the load of a word that another processor wrote, and the exchange of it, wait one after the
    // other.
    __builtin_prefetch(&all.words[(all.first + from) / 64], 1);
    const auto favoured = favoured_by(colour, all);
    if (!Ops::claim_from(all, from, want, favoured, true, index, bits)) return 0;
    // As in claim_in(): the slab may have died between the two loads.
    if (shape.size_class() != size_class || tables_.shape(head) != shape) [[unlikely]] {
        put_back(all, index, shape.size_class(), bits);
        note_free();
        forget_current(size_class, current);
        return 0;
    }
    next = index * 64 + 64 - static_cast<std::uint32_t>(std::countl_zero(bits)) - all.first;
    const std::uint64_t slot_bytes = kSizeClasses[size_class].bytes;
    std::uint32_t count = 0;
    do {
        std::uint32_t more = 0;
        // The lowest is handed out first, so it comes last.
        while (bits != 0) {
            const std::uint64_t highest = std::bit_floor(bits);
            bits &= ~highest;
            const std::uint32_t slot = all.slot(index, highest);
            const PageEntry entry = tables_.entry(head + static_cast<std::uint32_t>(slot * slot_bytes / kPageBytes));
            const unsigned generation = Ops::generation(tables_.state(head, slot, size_class));
            slots[count + more++] =
                CachedSlot(region, head, slot_index(size_class, slot), token_generation(generation, entry.birth));
        }
        std::rotate(slots, slots + count, slots + count + more);
        count += more;
        // Of many colours a word has few of each, and what moves from one processor to another is the line of it. The
        // slab stays: these are out.
    } while (count < want && colour.among > 1 &&
             Ops::claim_from(all, from, want - count, favoured, false, index, bits));
    usage_.add(count * slot_bytes);
    return count;
}

// Bits that were taken for some of a slab of this class. They may be of others, which live as long as they are out.
void SlabCore::put_back(const Ops::Bits& taken_for, std::uint32_t index, std::uint32_t size_class,
                        std::uint64_t bits) noexcept {
    const auto word = static_cast<std::uint64_t>(taken_for.words - tables_.words) + index;
    while (bits != 0) {
        const std::uint64_t lowest = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        const std::uint32_t page = tables_.page_of(lowest, size_class);
        const PageEntry entry = tables_.entry(page);
        const std::uint32_t head = page - entry.distance;
        // Those of the same slab go home together.
        std::uint64_t mine = bits & (0 - bits);
        for (std::uint64_t rest = bits & ~mine; rest != 0; rest &= rest - 1) {
            const std::uint64_t next = word * 64 + static_cast<std::uint32_t>(std::countr_zero(rest));
            const std::uint32_t its = tables_.page_of(next, size_class);
            if (its - tables_.entry(its).distance != head) break;
            mine |= rest & (0 - rest);
        }
        bits &= ~mine;
        bring_home(head, entry.size_class, word, mine);
    }
}

void SlabCore::give_home(std::uint32_t size_class, const CachedSlot* slots, std::uint32_t count) noexcept {
    if (size_class == kRunClass) {
        for (std::uint32_t i = 0; i < count; ++i) free_run(slots[i].head());
    } else {
        usage_.subtract(std::uint64_t{count} * kSizeClasses[size_class].bytes);
        for (std::uint32_t i = 0; i < count;) {
            // Neighbours in a word go home together.
            const std::uint32_t head = slots[i].head();
            const std::uint64_t first = tables_.bit(head, 0, size_class);
            const std::uint64_t word = (first + slots[i].slot()) / 64;
            std::uint64_t bits = 0;
            for (; i < count && slots[i].head() == head && (first + slots[i].slot()) / 64 == word; ++i)
                bits |= std::uint64_t{1} << ((first + slots[i].slot()) % 64);
            bring_home(head, size_class, word, bits);
        }
    }
    note_free();
}

int SlabCore::free(const Placement& placement, unsigned kind) noexcept {
    FoundSlot found;
    if (const int code = begin_free(placement, kind, 0, found); code != 0) return code;
    finish_free(found);
    return 0;
}

// EFAULT: no slot or run begins at this address. EALREADY: what did has gone with its slab or run.
int SlabCore::find(const Placement& placement, FoundSlot& found) const noexcept {
    const std::uint64_t position = placement.offset + phase_;
    const auto page = static_cast<std::uint32_t>(position / kPageBytes);
    const PageEntry entry = tables_.entry(page);
    // Another life of this page: the token is of an earlier one.
    found.stale = entry.birth != placement.generation / kGenerations;
    found.size_class = entry.size_class;
    if (entry.kind == PageEntry::kNone) return alive() ? EFAULT : EOWNERDEAD;
    if (entry.size_class < kClasses) {
        const SizeClass& size_class = kSizeClasses[entry.size_class];
        found.head = page - entry.distance;
        found.bytes = size_class.bytes;
        const std::uint64_t inside = position - std::uint64_t{found.head} * kPageBytes;
        found.slot = size_class.slot_of(inside);
        if (std::uint64_t{found.slot} * size_class.bytes != inside) return EFAULT;
    } else {
        if (entry.kind == PageEntry::kRunBody || position % kPageBytes != 0) return EFAULT;
        found.head = page;
        found.slot = 0;
        found.bytes = std::uint64_t{tables_.run_pages(page)} * kPageBytes;
    }
    if (entry.kind == PageEntry::kDead) return EALREADY;
    // The state of a slot that is free may look as this token says: it must not be led to another by its address alone.
    return found.stale || placement.index == slot_index(found.size_class, found.slot) ? 0 : EFAULT;
}

int SlabCore::begin_free(const Placement& placement, unsigned kind, std::uint64_t bytes, FoundSlot& found) noexcept {
    if (const int code = find(placement, found); code != 0) return code;
    const SlotHandle handle(RegionId{}, 0, placement.generation);
    if (!found.stale && bytes <= found.bytes && view_.drop(state_of(found), handle, kind)) {
        // It is the caller's now and stays as it is. Before that it may have become another's, of the same generation.
        FoundSlot now;
        if (find(placement, now) == 0 && !now.stale && now.head == found.head && now.size_class == found.size_class)
            return 0;
        hand_back(found, kind, placement.generation);
        return ESTALE;
    }
    const int code = check(placement, kind, bytes);
    return code != 0 ? code : EALREADY;  // it was let go meanwhile
}

void SlabCore::finish_free(const FoundSlot& found) noexcept {
    const CachedSlot slot(RegionId{}, found.head, slot_index(found.size_class, found.slot), 0);
    give_home(found.size_class, &slot, 1);
}

void SlabCore::hand_back(const FoundSlot& found, unsigned kind, unsigned generation) noexcept {
    Ops::take_back(state_of(found), kind, generation);
}

int SlabCore::check(const Placement& placement, unsigned kind, std::uint64_t bytes) const noexcept {
    FoundSlot found;
    if (const int code = find(placement, found); code != 0) return code;
    const std::uint8_t seen = state_of(found).load(std::memory_order_relaxed);
    const int code = view_.unchecked(kind) ? 0 : diagnose(found, seen, kind, placement.generation);
    if (code != 0) return code;
    return bytes > found.bytes ? EFAULT : found.stale ? ESTALE : 0;
}

int SlabCore::find_inside(std::uint64_t offset, std::uint64_t bytes, unsigned kind) const noexcept {
    const std::uint64_t position = offset + phase_;
    auto page = static_cast<std::uint32_t>(position / kPageBytes);
    PageEntry entry = tables_.entry(page);
    // The body of a long run points back in steps.
    while (entry.kind == PageEntry::kRunBody) {
        page -= entry.distance;
        entry = tables_.entry(page);
    }
    std::uint32_t slot = 0;
    std::uint64_t start = std::uint64_t{page} * kPageBytes;
    std::uint64_t room = 0;
    if (entry.kind == PageEntry::kRun) {
        room = std::uint64_t{tables_.run_pages(page)} * kPageBytes;
    } else if (entry.kind == PageEntry::kSlab) {
        const SizeClass& size_class = kSizeClasses[entry.size_class];
        page -= entry.distance;
        start = std::uint64_t{page} * kPageBytes;
        slot = size_class.slot_of(position - start);
        start += std::uint64_t{slot} * size_class.bytes;
        room = slot < tables_.shape(page).slots() ? size_class.bytes : 0;
    }
    if (!fits(position - start, bytes, room)) return EFAULT;
    // Those of kind 1 look like free ones, and may be kept by a context; at home they have their bit.
    unsigned seen = state_kind(tables_.state(page, slot, entry.size_class).load(std::memory_order_relaxed));
    if (seen == 0) {
        if (entry.kind == PageEntry::kSlab && at_home(page, slot, entry.size_class)) return EFAULT;
        seen = 1;
    }
    return seen == kind ? 0 : EPERM;
}

bool SlabCore::at_home(std::uint32_t head, std::uint32_t slot, std::uint32_t size_class) const noexcept {
    const std::uint64_t bit = tables_.bit(head, slot, size_class);
    return (tables_.words[bit / 64].load(std::memory_order_relaxed) >> bit % 64 & 1) != 0;
}

bool SlabCore::could_hold(const Request& request) const noexcept {
    const std::uint64_t end = phase_ + (request.end < region_bytes_ ? request.end : region_bytes_);
    std::uint64_t start = round_up(phase_, request.align);
    if (request.boundary != 0) {
        const std::uint64_t inside = (origin_ + start) & (request.boundary - 1);
        if (inside + request.bytes > request.boundary) start += request.boundary - inside;
    }
    return fits(start, request.bytes, end);
}

}  // namespace bounce
