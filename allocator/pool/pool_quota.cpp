// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Floors, ceilings, and a reserve for requests with priority. Quotas are of slots and pages that are away from home, so
// what a context keeps is paid for, and the hot path pays nothing.
//
// Floors are kept by pages, not by slots: a page of which somebody else has one slot is of no use for another size.
// While there are floors, or a reserve, a slab or run of which somebody beyond its floor (or without one) takes
// something is marked, and all that is marked together is at most what the pool has beyond the floors, an eighth more
// for the tails of slabs, and the reserve. So at any time the rest, with nothing in it but what others have within
// their floors, is enough for all of them. Who takes within its floor asks nobody. What was there before the first
// floor is marked when that comes; besides, new pages are only taken as long as those that stay free are enough for
// what is promised still.
//   Usage      counts what is marked (add_beyond); a slab that dies takes its part back.
//   promised_  the sum of what groups have not taken of their floors. Lowered after the memory was taken (Q1), raised
//              before it comes home (Q2), so that who sees less promised sees the pages gone, and who sees the pages
//              back sees them promised.
//   intents_   pages that somebody beyond its floor is about to take: two at once do not both get the last.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kTailPart = 8;
// What a new slab may take more than its first slot needs: the largest of the smallest ones has so many.
constexpr std::uint64_t kSlabBytes = 64 << 10;

std::uint64_t with_tails(std::uint64_t promised) noexcept {
    return promised + promised / kTailPart;
}

/// Of the slot or run that such a request is given, if it is of its own class.
std::uint64_t footprint(const AllocRequest& request) noexcept {
    const std::uint64_t rounded = std::max(request.bytes, request.align);
    if (rounded <= kMaxSlotBytes && request.align <= kPageBytes) return kSlotBytes[class_of(rounded)];
    return round_up(request.bytes, kPageBytes);
}

}  // namespace

// What is promised is of the regions that are not restricted.
bool Pool::limited(const ContextGroup& group, const Credit::Step& step, bool priority) const noexcept {
    if (step.within_floor() || group.domain != 0) return false;
    return floors_.load(std::memory_order_relaxed) != 0 || (!priority && reserve_.load(std::memory_order_relaxed) != 0);
}

void Pool::settle(const Credit::Step& step) noexcept {
    // Q1: release, pairs with the acquire in spare().
    if (const std::int64_t kept = step.kept_promise(); kept != 0) promised_.fetch_sub(kept, std::memory_order_release);
}

void Pool::refund(ContextGroup& group, std::uint64_t bytes) noexcept {
    // Q2: relaxed here; what comes home after it is released (W2 in slot_ops.hpp, F1 in page_map.hpp).
    const Credit::Step step = group.credit.move(static_cast<std::int64_t>(bytes));
    if (const std::int64_t kept = step.kept_promise(); kept != 0) promised_.fetch_sub(kept, std::memory_order_relaxed);
    const std::uint64_t tight = group.tight_below.load(std::memory_order_relaxed);
    if (tight != 0 && group.credit.used() < tight) [[unlikely]]
        group.tight_below.store(0, std::memory_order_relaxed);
}

// The slot may be of another class than was paid for.
void Pool::settle_size(ContextGroup& group, std::uint64_t paid, const Slot& slot, std::uint64_t bytes) noexcept {
    const std::uint32_t slot_bytes = kSlotBytes[slot.handle.size_class()];
    const std::uint64_t actual = slot_bytes != 0 ? slot_bytes : round_up(bytes, kPageBytes);
    if (actual > paid) settle(group.credit.move(-static_cast<std::int64_t>(actual - paid)));
    if (actual < paid) refund(group, paid - actual);
}

// What threads of the group keep counts as used; so before it is told that it has too much, they give that up, once
// until it has clearly less, and no more than its ceiling. False: they have nothing.
bool Pool::give_up_kept(ContextGroup& group) noexcept {
    if (group.tight_below.load(std::memory_order_relaxed) != 0) return false;
    const std::uint64_t used = group.credit.used();
    const std::uint64_t ceiling = group.credit.ceiling();
    const std::uint64_t less = std::min(used - used / 4, ceiling != 0 ? ceiling : used);
    group.tight_below.store(std::max<std::uint64_t>(less, 1), std::memory_order_relaxed);
    if (contexts_.granted() == 0) return false;
    contexts_.visit_idle(
        nullptr, [this](Context& context) { empty(context); },
        [&](bool all_of_them) {
            // One is in the middle of something: the next refusal comes here again.
            if (!all_of_them) group.tight_below.store(0, std::memory_order_relaxed);
        },
        &group);
    return true;
}

Result<void> Pool::alloc_paid(ContextGroup& group, AllocRequest request, const Context* own, Slot& slot) noexcept {
    if (!alive()) [[unlikely]]
        return fail(EOWNERDEAD, kForked);
    const std::uint64_t bytes = footprint(request);
    request.priority = request.priority || group.priority.load(std::memory_order_relaxed);
    for (bool again = true;; again = false) {
        Credit::Step step;
        if (!group.credit.take(bytes, step)) {
            if (again && !beyond_ceiling(group, {.bytes = request.bytes, .align = request.align}) &&
                give_up_kept(group))
                continue;
            return over_quota(group, bytes);
        }
        request.spare_only = limited(group, step, request.priority);
        auto home = alloc_home(request, own, slot);
        settle(step);
        if (home) {
            settle_size(group, bytes, slot, request.bytes);
            return home;
        }
        refund(group, bytes);
        if (!again || !request.spare_only || home.code() != ENOSPC || !give_up_kept(group)) return home;
        // It is one request, that is counted when it fails for good.
        if (!request.attempt) full_.fetch_sub(1, std::memory_order_relaxed);
    }
}

// alloc_paid() without a visit, growth, or a sentence.
bool Pool::take_paid(ContextGroup& group, AllocRequest request, Slot& slot, int& code) noexcept {
    const std::uint64_t bytes = footprint(request);
    request.priority = request.priority || group.priority.load(std::memory_order_relaxed);
    Credit::Step step;
    code = EDQUOT;
    if (!group.credit.take(bytes, step)) return false;
    request.spare_only = limited(group, step, request.priority);
    Tried tried;
    const bool taken = request.spare_only ? take_spare(request, slot, tried) : take_home(request, slot, tried);
    settle(step);
    if (taken) {
        settle_size(group, bytes, slot, request.bytes);
    } else {
        refund(group, bytes);
    }
    code = taken ? 0 : tried.code;
    return taken;
}

/// The caller holds something of the slab, or run, that begins there. False: it may not.
bool Pool::pay_pages(SlabCore& core, std::uint32_t head, bool priority) noexcept {
    const std::int64_t bytes = core.mark_beyond(head);
    if (bytes == 0) return true;
    const std::uint64_t kept =
        with_tails(floors_.load(std::memory_order_relaxed)) + (priority ? 0 : reserve_.load(std::memory_order_relaxed));
    const std::int64_t beyond = usage_.add_beyond(bytes);
    const std::uint64_t ready = ready_.load(std::memory_order_relaxed);
    if (beyond <= 0 || static_cast<std::uint64_t>(beyond) + kept <= ready) return true;
    core.unmark_beyond(head);
    usage_.add_beyond(-bytes);
    return false;
}

bool Pool::take_spare(AllocRequest request, Slot& slot, Tried& tried) noexcept {
    // Of slabs that are there; the second time of those that cost nothing.
    request.from_slabs = true;
    for (const bool marked : {false, true}) {
        request.marked = marked;
        if (take_home(request, slot, tried) || tried.code == EOWNERDEAD) return tried.code == 0;
    }
    request.from_slabs = false;
    const std::uint64_t pages = round_up(std::max(request.bytes, request.align), kPageBytes) + kSlabBytes;
    // Q3: seq_cst, the store before the look in spare(): of two at once one sees the other.
    const std::uint64_t needed = intents_.fetch_add(pages, std::memory_order_seq_cst) + pages;
    bool taken = false;
    tried.code = ENOSPC;
    if (spare(needed, request.priority) || (free_slabs() && spare(needed, request.priority)))
        taken = take_home(request, slot, tried);
    // Q4: seq_cst, after the pages were taken; pairs with Q3.
    intents_.fetch_sub(pages, std::memory_order_seq_cst);
    return taken;
}

// Looked at on both sides of the free pages, as Q1 and Q2 demand: acquire, pairs with Q1.
bool Pool::spare(std::uint64_t needed, bool priority) const noexcept {
    const std::int64_t before = promised_.load(std::memory_order_acquire);
    std::uint64_t free = 0;
    for (RegionMask rest = accepted() & domains_.regions_of(0); rest != 0; rest &= rest - 1)
        free += parts_[static_cast<std::size_t>(std::countr_zero(rest))]->core.free_bytes();
    const std::int64_t promised = std::max({before, promised_.load(std::memory_order_acquire), std::int64_t{0}});
    const std::uint64_t reserve = priority ? 0 : reserve_.load(std::memory_order_relaxed);
    return free >= needed + with_tails(static_cast<std::uint64_t>(promised)) + reserve;
}

bool Pool::free_slabs() noexcept {
    bool any = false;
    for (RegionMask rest = accepted() & domains_.regions_of(0); rest != 0; rest &= rest - 1)
        any = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->core.free_slabs() || any;
    return any;
}

bool Pool::beyond_ceiling(const ContextGroup& group, const Wish& wish) noexcept {
    const std::uint64_t ceiling = group.credit.ceiling();
    return ceiling != 0 && footprint({.bytes = wish.bytes, .align = wish.align}) > ceiling;
}

Error Pool::over_quota(const ContextGroup& group, std::uint64_t bytes) noexcept {
    return fail(EDQUOT, "%llu bytes: the device has %llu bytes of the pool, and its ceiling is %llu", bytes,
                group.credit.used(), group.credit.ceiling());
}

// Under the lock.
std::uint64_t Pool::ready_bytes() const noexcept {
    std::uint64_t bytes = 0;
    for_parts([&](const Part& part) {
        if (part.stage.load(std::memory_order_relaxed) == RegionStage::kActive &&
            (bit_of(part) & domains_.restricted()) == 0)
            bytes += part.ready_bytes;
    });
    return bytes;
}

Result<void> Pool::check_promises(std::uint64_t floors, std::uint64_t reserve) const noexcept {
    const std::uint64_t held = held_total_.bytes.load(std::memory_order_relaxed);
    const std::uint64_t bytes = ready_bytes() - std::min(ready_bytes(), held);
    if (floors <= bytes && reserve <= bytes && with_tails(floors) + reserve <= bytes) return {};
    return fail(ENOSPC,
                "floors of %llu bytes in all, an eighth more for the tails of slabs, and a reserve of %llu bytes: the "
                "pool has %llu bytes",
                floors, reserve, bytes);
}

/// Under the lock: would what is promised fit without it?
bool Pool::can_spare_region(std::uint64_t bytes) const noexcept {
    return with_tails(floors_.load(std::memory_order_relaxed)) + reserve_.load(std::memory_order_relaxed) <=
           ready_bytes() - bytes;
}

/// Under the lock, before the first floor or reserve: until now nothing was marked.
void Pool::begin_promises(bool wanted) noexcept {
    if (!wanted || floors_.load(std::memory_order_relaxed) + reserve_.load(std::memory_order_relaxed) != 0) return;
    for_parts([](Part& part) { part.core.mark_all(); });
}

Result<void> Pool::set_quota(ContextGroup& group, std::uint64_t floor, std::uint64_t ceiling) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (BOUNCE_MUTATED(kQuota)) return {};
    if (ceiling != 0 && floor > ceiling)
        return fail(EINVAL, "a floor of %llu bytes above the ceiling of %llu bytes", floor, ceiling);
    if (floor != 0 && group.domain != 0)
        return fail(ENOTSUP,
                    "a floor of %llu bytes for a device with regions of its own, which others do not take from", floor);
    const LookAfter look_after{*this};
    {
        const std::lock_guard lock(lock_);
        const std::uint64_t others = floors_.load(std::memory_order_relaxed) - group.credit.floor();
        if (ceiling > static_cast<std::uint64_t>(INT64_MAX) / 2)
            return fail(EINVAL, "a ceiling of %llu bytes, expected at most 2^62, or 0 for none", ceiling);
        if (floor > group.credit.floor()) {
            if (floor > ready_bytes()) return check_promises(floor, 0);
            if (auto kept = check_promises(others + floor, reserve_.load(std::memory_order_relaxed)); !kept)
                return kept;
        }
        begin_promises(floor != 0);
        floors_.store(others + floor, std::memory_order_relaxed);
        settle(group.credit.set(floor, ceiling));
        group.tight_below.store(0, std::memory_order_relaxed);
    }
    // Who has too much gets nothing, also not of what its threads keep.
    if (ceiling != 0 && group.credit.used() > ceiling) static_cast<void>(give_up_kept(group));
    return {};
}

QuotaState Pool::quota(const ContextGroup& group) const noexcept {
    return {group.credit.floor(), group.credit.ceiling(), group.credit.used(),
            group.priority.load(std::memory_order_relaxed)};
}

Result<void> Pool::set_reserve(std::uint64_t bytes) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    if (bytes > reserve_.load(std::memory_order_relaxed)) {
        if (auto kept = check_promises(floors_.load(std::memory_order_relaxed), bytes); !kept) return kept;
    }
    begin_promises(bytes != 0);
    reserve_.store(bytes, std::memory_order_relaxed);
    return {};
}

ReserveState Pool::reserve() const noexcept {
    const std::lock_guard lock(lock_);
    const std::int64_t promised = promised_.load(std::memory_order_relaxed);
    return {reserve_.load(std::memory_order_relaxed), floors_.load(std::memory_order_relaxed),
            promised > 0 ? static_cast<std::uint64_t>(promised) : 0};
}

}  // namespace bounce
