// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Streaming slots that have to lie somewhere: aligned, or within a boundary.
//
// The slots of a class that is a multiple of the alignment are all aligned, up to a page; and one whose size is a power
// of two crosses no boundary that is not smaller. So most of these come from the context as any other, and what the
// context gives is looked at. What it cannot give comes from home, where the search knows what is wanted.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

/// What to ask a context for.
std::uint64_t kept_bytes(const Wish& wish) noexcept {
    const std::uint64_t bytes = round_up(wish.bytes, wish.align);
    // In a larger boundary few slots of a class lie across it: no reason for more than is needed.
    return wish.boundary == 0 || wish.boundary > kPageBytes ? bytes : std::max(std::bit_ceil(bytes), kPageBytes / 64);
}

bool lies_well(const Slot& slot, const Wish& wish) noexcept {
    const std::uint64_t first = slot.gpa.value;
    return is_multiple(first, wish.align) &&
           (wish.boundary == 0 ||
            round_down(first, wish.boundary) == round_down(first + wish.bytes - 1, wish.boundary));
}

}  // namespace

Result<void> Pool::alloc_placed(ContextGroup& group, Context* context, const Wish& wish, Slot& slot) noexcept {
    if (wish.bytes == 0 || !is_power_of_two(wish.align) || wish.align > kChunkBytes) {
        return fail(EINVAL, "%llu bytes aligned to %llu, expected > 0 and a power of two up to 2 MiB", wish.bytes,
                    wish.align);
    }
    if (wish.boundary != 0 && (!is_power_of_two(wish.boundary) || wish.boundary < wish.bytes)) {
        return fail(EINVAL, "%llu bytes within a boundary of %llu, expected 0 or a power of two that is not less",
                    wish.bytes, wish.boundary);
    }
    if (group.quarantine.load(std::memory_order_relaxed) != nullptr) return in_quarantine(group);
    // Rounding up must not make it larger than it can be.
    if (context != nullptr && wish.align <= kPageBytes && wish.bytes <= SIZE_MAX - kPageBytes) {
        const std::uint64_t bytes = kept_bytes(wish);
        const auto sink = [&slot](const KeptSlot& kept, std::uint32_t epoch) {
            slot = Slot{kept.gpa, kept.hva, epoch, kept.handle};
        };
        if (alloc_at_hand(context, bytes, sink) || take_kept(group, *context, bytes, slot)) {
            if (lies_well(slot, wish)) return {};
            unget(group, context, slot);
        }
    }
    if (group.waiting.load(std::memory_order_relaxed) != 0) return behind_waiters(group, wish.bytes);
    const auto home = alloc_paid(group,
                                 {.bytes = wish.bytes,
                                  .align = wish.align,
                                  .max_address = group.max_address,
                                  .boundary = wish.boundary,
                                  .rule = group.rule(),
                                  .domain = group.domain,
                                  .attempt = wish.attempt,
                                  .priority = wish.priority},
                                 context, slot);
    if (home) group.allocs.fetch_add(1, std::memory_order_relaxed);
    look();  // as in alloc()
    return home;
}

// As if it had not been handed out. Frees are corrected first, so that what is handed out never seems to be too little.
void Pool::unget(ContextGroup& group, Context* context, const Slot& slot) noexcept {
    static_cast<void>(free(group, context, slot));  // it was handed out just now
    group.frees.fetch_sub(1, std::memory_order_relaxed);
    group.allocs.fetch_sub(1, std::memory_order_relaxed);
    counts_.frees[static_cast<unsigned>(SlotKind::kStreaming)].fetch_sub(1, std::memory_order_relaxed);
    counts_.allocs[static_cast<unsigned>(SlotKind::kStreaming)].fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace bounce
