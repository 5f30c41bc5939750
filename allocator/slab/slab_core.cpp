// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/slab_core.hpp"

#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

SlabCore::SlabCore(Gpa base, std::uint64_t bytes, std::byte* memory, Usage& usage) noexcept
    : tables_(base, bytes, memory),
      phase_(std::uint64_t{tables_.first} * kPageBytes),
      origin_(base.value - phase_),
      region_bytes_(bytes),
      usage_(usage),
      pages_(tables_.first, tables_.end, {tables_.chunk_bits, tables_.chunks()},
             {tables_.chunk_infos, tables_.chunks()}, {tables_.hole_nodes, HoleTree::nodes_needed(tables_.chunks())}) {}

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

void SlabCore::push_returned(std::uint32_t head) noexcept {
    std::uint32_t top = returned_.load(std::memory_order_relaxed);
    do {
        tables_.slabs[head].next_returned = top;
        // S1: release, pairs with S2 in drain_returned(): the link is there.
    } while (!returned_.compare_exchange_weak(top, head + 1, std::memory_order_release, std::memory_order_relaxed));
}

// EFAULT: no slot or run begins at this address. EALREADY: what did has gone with its slab or run.
[[gnu::always_inline]] inline int SlabCore::find(const Placement& placement, Found& found) const noexcept {
    const std::uint64_t position = placement.offset + phase_;
    const auto page = static_cast<std::uint32_t>(position / kPageBytes);
    const PageEntry entry = tables_.entry(page);
    // Another life of this page: the token is of an earlier one.
    found.stale = entry.birth != placement.generation / kGenerations;
    if (entry.size_class < kClasses && entry.kind != PageEntry::kNone) [[likely]] {
        const SizeClass& size_class = kSizeClasses[entry.size_class];
        found.head = page - entry.distance;
        found.bytes = size_class.bytes;
        const std::uint64_t inside = position - std::uint64_t{found.head} * kPageBytes;
        found.slot = size_class.slot_of(inside);
        if (std::uint64_t{found.slot} * size_class.bytes != inside) return EFAULT;
        return entry.kind == PageEntry::kDead ? EALREADY : 0;
    }
    if (entry.kind == PageEntry::kNone) return alive() ? EFAULT : EOWNERDEAD;
    if (entry.kind == PageEntry::kRunBody || position % kPageBytes != 0) return EFAULT;
    found.head = page;
    found.bytes = std::uint64_t{tables_.shape(page).pages} * kPageBytes;
    found.run = true;
    return entry.kind == PageEntry::kDead ? EALREADY : 0;
}

// Why a slot with this state cannot be freed with such a token; 0 when it can.
int SlabCore::diagnose(const Found& found, std::uint8_t seen, unsigned kind, std::uint8_t generation) const noexcept {
    // The tail of a slab is no slot.
    if (!found.run && found.slot >= tables_.shape(found.head).slots) return EFAULT;
    if (state_kind(seen) == 0) return EALREADY;
    if (found.stale || state_generation(seen) != generation % kGenerations) return ESTALE;
    return state_kind(seen) != kind ? EPERM : 0;
}

[[gnu::always_inline]] inline int SlabCore::begin(const Placement& placement, unsigned kind, std::uint64_t bytes,
                                                  Found& found) noexcept {
    if (const int code = find(placement, found); code != 0) [[unlikely]]
        return code;
    Ops::State& state = tables_.state(found.head, found.slot);
    if (found.stale || bytes > found.bytes) [[unlikely]] {
        const int code = diagnose(found, state.load(std::memory_order_relaxed), kind, placement.generation);
        return code != 0 ? code : EFAULT;
    }
    std::uint8_t seen = 0;
    if (Ops::drop(state, kind, placement.generation, seen)) [[likely]]
        return 0;
    return diagnose(found, seen, kind, placement.generation);
}

[[gnu::always_inline]] inline void SlabCore::finish(const Found& found) noexcept {
    if (!found.run) [[likely]] {
        usage_.subtract(found.bytes);
        give_home(found.head + found.slot / 64, std::uint64_t{1} << (found.slot % 64));
    } else {
        free_run(found.head);
    }
    note_free();
}

int SlabCore::free(const Placement& placement, unsigned kind) noexcept {
    Found found;
    if (const int code = begin(placement, kind, 0, found); code != 0) [[unlikely]]
        return code;
    finish(found);
    return 0;
}

int SlabCore::begin_free(const Placement& placement, unsigned kind, std::uint64_t bytes) noexcept {
    Found found;
    return begin(placement, kind, bytes, found);
}

void SlabCore::finish_free(const Placement& placement) noexcept {
    Found found;
    // The caller holds the slot, so this finds it. Whoever calls without having begun is not let in, as far as can be
    // seen. (In a child forked since begin_free() there is nothing to find.)
    if (find(placement, found) != 0) [[unlikely]]
        return;
    const std::uint8_t seen = tables_.state(found.head, found.slot).load(std::memory_order_relaxed);
    const std::uint64_t home = tables_.words[found.head + found.slot / 64].load(std::memory_order_relaxed);
    const bool begun = seen == make_state(0, placement.generation + 1U) && (home >> (found.slot % 64) & 1) == 0;
    if (begun) [[likely]]
        finish(found);
}

int SlabCore::check(const Placement& placement, unsigned kind, std::uint64_t bytes) const noexcept {
    Found found;
    if (const int code = find(placement, found); code != 0) return code;
    const std::uint8_t seen = tables_.state(found.head, found.slot).load(std::memory_order_relaxed);
    const int code = diagnose(found, seen, kind, placement.generation);
    return code == 0 && bytes > found.bytes ? EFAULT : code;
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
        room = std::uint64_t{tables_.shape(page).pages} * kPageBytes;
    } else if (entry.kind == PageEntry::kSlab) {
        const SizeClass& size_class = kSizeClasses[entry.size_class];
        page -= entry.distance;
        start = std::uint64_t{page} * kPageBytes;
        slot = size_class.slot_of(position - start);
        start += std::uint64_t{slot} * size_class.bytes;
        room = slot < tables_.shape(page).slots ? size_class.bytes : 0;
    }
    if (!fits(position - start, bytes, room)) return EFAULT;
    const unsigned seen = state_kind(tables_.state(page, slot).load(std::memory_order_relaxed));
    return seen == kind ? 0 : seen == 0 ? EFAULT : EPERM;
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
