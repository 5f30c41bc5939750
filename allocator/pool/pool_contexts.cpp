// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Contexts are opened, given room, emptied and closed.
#include <sched.h>

#include <algorithm>
#include <bit>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
constexpr int kVisitTries = 1000;
constexpr std::uint32_t kPlaces = Context::kStacks + Context::kRuns;  // that slots and runs are kept in

std::uint32_t cap_of(std::uint32_t size_class) noexcept {
    const std::uint64_t slots = Contexts::kMostBytesOfClass / kSizeClasses[size_class].bytes;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, SlotStack::kRoom));
}

struct Kept {
    std::uint64_t bytes = 0;
    std::uint64_t handed_out = 0;  // of what it fetched; when nothing moves, exact
};

Kept kept_by(const Context& context) noexcept {
    Kept kept;
    const std::uint64_t fetched = context.fetched.load(kRelaxed);
    std::uint64_t count = 0;
    for (std::uint32_t i = 0; i < Context::kStacks; ++i) {
        const std::uint64_t slots = context.stacks[i].count();
        count += slots;
        kept.bytes += slots * kSlotBytes[i % kClasses];
    }
    for (const KeptRun& run : context.runs) {
        const std::uint64_t pages = run.pages.load(kRelaxed);
        count += pages != 0 ? 1 : 0;
        kept.bytes += pages * kPageBytes;
    }
    // Slots that another context fetched are freed here as well as there: modulo 2^64 the sum over contexts is right.
    kept.handed_out = fetched - count;
    return kept;
}

/// Waits for a context of which nobody else is in the middle of emptying it.
void take(Context& context) noexcept {
    while (!Contexts::Ops::take(context.taken)) sched_yield();
}
/// Waits for it, but not for one who has stopped there.
bool try_take(Context& context) noexcept {
    for (int tries = 0; tries < kVisitTries; ++tries) {
        if (Contexts::Ops::take(context.taken)) return true;
        sched_yield();
    }
    return false;
}

}  // namespace

// In a forked child there is none: the context would be made of wiped memory.
Context* Pool::find_context(ContextGroup& group) noexcept {
    ThreadRecord* const record = alive() ? own_record() : nullptr;
    if (record == nullptr) return nullptr;
    ThreadRecord::Entry& entry = record->entry_of(group.id);
    const std::uint32_t number = record->number.load(kRelaxed);
    Context* context = contexts_.find(group, number);
    if (context == nullptr) context = contexts_.open(group, number);
    if (context != nullptr) entry = {group.id, context};
    return context;
}

// Out of the slow paths: the context may keep what the next allocation of its thread would be given anyway, and what it
// has of other regions goes home. False: nothing at all, since the regions take turns or since the thread could move
// and then be given what its policy forbids. A thread that moves and always finds what it wants in the context goes on
// with it; the fast path asks for no node.
bool Pool::follow_thread(const ContextGroup& group, Context& context) noexcept {
    const NumaRule rule = group.rule();
    const std::uint32_t count = regions();  // first: who sees the region that makes nodes matter sees that they do
    const bool matter = nodes_.matter(rule);
    const NodeId node = matter ? nodes_.of_thread() : kAnyNode;
    const auto policy = static_cast<std::uint8_t>(rule.policy);
    if (context.known_regions == count && context.node == node && context.policy == policy) return context.accepts != 0;
    const RegionMask among = domains_.regions_of(group.domain);
    // Not those to come: they may be at another node, or restricted.
    RegionMask accepts = ~RegionMask{0} >> (kMaxRegions - count) & among;
    if (matter) {
        const bool at_thread = rule.policy == NumaPolicy::kStrict && rule.node == kAnyNode;
        const bool keeps = rule.policy != NumaPolicy::kInterleave && !at_thread;
        accepts = keeps ? nodes_.order(count, rule, node, among).local() : 0;
    }
    if (!contexts_.enter(context)) return false;
    if ((context.accepts & ~accepts) != 0) empty(context);
    context.accepts = accepts;
    context.known_regions = count;
    context.node = node;
    context.policy = policy;
    Contexts::Ops::leave(context.mark);
    return accepts != 0;
}

Context* Pool::open_context(ContextGroup& group) noexcept {
    return alive() ? contexts_.open(group, 0) : nullptr;
}

void Pool::close_context(Context* context) noexcept {
    if (context == nullptr || !alive()) return;
    take(*context);
    close_taken(*context);
    Contexts::Ops::give_up(context->taken);
    look();
}

void Pool::close_taken(Context& context) noexcept {
    empty(context);
    const std::uint64_t frees = context.frees.load(kRelaxed);
    const std::uint64_t allocs = frees + context.fetched.load(kRelaxed);
    ContextGroup& group = *context.group.load(kRelaxed);
    // Around what count() must see as one.
    group.moving.fetch_add(1, std::memory_order_seq_cst);
    group.allocs.fetch_add(allocs, kRelaxed);
    group.frees.fetch_add(frees, kRelaxed);
    counts_.allocs[1].fetch_add(allocs, kRelaxed);
    counts_.frees[1].fetch_add(frees, kRelaxed);
    contexts_.close(context);
    group.moves.fetch_add(1, std::memory_order_seq_cst);
    group.moving.fetch_sub(1, std::memory_order_seq_cst);
}

void Pool::close_group(ContextGroup& group) noexcept {
    if (!alive()) return;
    for (Context& context : contexts_.all()) {
        // Acquire, pairs with G2 in Contexts::close(): what an ending thread added to the group is there.
        if (context.group_id.load(std::memory_order_acquire) != group.id) continue;
        take(context);
        // The thread may have ended meanwhile.
        if (context.group_id.load(kRelaxed) == group.id) close_taken(context);
        Contexts::Ops::give_up(context.taken);
    }
    look();
}

void Pool::end_thread(std::uint32_t number) noexcept {
    for (Context& context : contexts_.all()) {
        if (context.thread.load(kRelaxed) != number) continue;
        // Somebody has stopped while he empties it: the next thread with this number has it.
        if (!try_take(context)) continue;
        if (context.group_id.load(kRelaxed) != 0 && context.thread.load(kRelaxed) == number) close_taken(context);
        Contexts::Ops::give_up(context.taken);
    }
    look();
}

// Again when a context came over to the group meanwhile; and none is emptied while it is looked at.
Pool::GroupCounts Pool::count(const ContextGroup& group) const noexcept {
    for (;;) {
        const std::uint32_t moves = group.moves.load(std::memory_order_seq_cst);
        GroupCounts counts{group.frees.load(kRelaxed), group.allocs.load(kRelaxed)};
        for (Context& context : contexts_.all()) {
            if (context.group_id.load(std::memory_order_acquire) != group.id) continue;
            // Without it, what is on its way home may count as handed out.
            const bool taken = try_take(context);
            if (context.group_id.load(kRelaxed) == group.id) {
                const std::uint64_t frees = context.frees.load(kRelaxed);
                counts.frees += frees;
                counts.allocs += frees + kept_by(context).handed_out;
            }
            if (taken) Contexts::Ops::give_up(context.taken);
        }
        if (group.moving.load(std::memory_order_seq_cst) == 0 && group.moves.load(std::memory_order_seq_cst) == moves) {
            return counts;
        }
        sched_yield();
    }
}

// Its group was refused something (give_up_kept()). nullptr: in a forked child, where the context was wiped.
bool Pool::keeps_nothing(const Context& context) noexcept {
    const ContextGroup* const group = context.group.load(kRelaxed);
    return group == nullptr || group->tight_below.load(kRelaxed) != 0;
}

// Inside. Doubles what the context may keep in a stack, within its share of the budget; when that is used up, another
// one gives its part back.
void Pool::raise_limit(Context& context, std::uint32_t index) noexcept {
    if (keeps_nothing(context)) return;
    SlotStack& stack = context.stacks[index];
    const std::uint32_t size_class = index % kClasses;
    const std::uint32_t more =
        std::min<std::uint32_t>(std::max<std::uint32_t>(stack.limit(), 1), cap_of(size_class) - stack.limit());
    const std::uint64_t bytes = std::uint64_t{more} * kSizeClasses[size_class].bytes;
    if (more == 0 || bytes > contexts_.share()) return;
    bool granted = contexts_.grant(context, bytes);
    for (std::uint32_t i = 0; i < kPlaces && !granted; ++i) {
        context.victim = (context.victim + 1) % kPlaces;
        if (context.victim == index || !gives_up(context, context.victim)) continue;
        granted = contexts_.grant(context, bytes);
        break;
    }
    if (granted) {
        stack.set_limit(stack.limit() + more);
        context.refusals = 0;
    }
}

// The caller has the context for itself. Stacks first, then runs; false: nothing has been granted for this one.
bool Pool::gives_up(Context& context, std::uint32_t place) noexcept {
    if (place >= Context::kStacks) {
        KeptRun& kept = context.runs[place - Context::kStacks];
        if (kept.granted == 0) return false;
        empty_run(context, kept);
        return true;
    }
    if (context.stacks[place].limit() == 0) return false;
    empty_stack(context, place);
    return true;
}

void Pool::empty_run(Context& context, KeptRun& kept) noexcept {
    if (const std::uint32_t pages = kept.pages.exchange(0, kRelaxed); pages != 0) {
        context.fetched.store(context.fetched.load(kRelaxed) - 1, kRelaxed);
        refund(*context.group.load(kRelaxed), bytes_of({kept.run, pages, SlotKind::kStreaming}));
        give_home(kRunClass, &kept.run, 1);
    }
    contexts_.give_back(context, std::uint64_t{kept.granted} * kPageBytes);
    kept.granted = 0;
}

void Pool::empty_stack(Context& context, std::uint32_t index) noexcept {
    SlotStack& stack = context.stacks[index];
    const std::uint32_t size_class = index % kClasses;
    const std::uint32_t count = stack.count();
    if (count != 0) {
        stack.set_count(0);
        context.fetched.store(context.fetched.load(kRelaxed) - count, kRelaxed);
        refund(*context.group.load(kRelaxed), std::uint64_t{count} * kSizeClasses[size_class].bytes);
        give_home(size_class, stack.slots.data(), count);
    }
    contexts_.give_back(context, std::uint64_t{stack.limit()} * kSizeClasses[size_class].bytes);
    stack.set_limit(0);
}

void Pool::set_reuse(ContextGroup& group, std::uint64_t window) noexcept {
    group.window.store(window, kRelaxed);
    group.push_base.store(window == 0 ? 0 : kClasses * sizeof(SlotStack), kRelaxed);
}

void Pool::empty(Context& context) noexcept {
    for (std::uint32_t place = 0; place < kPlaces; ++place) gives_up(context, place);
}

void Pool::empty_contexts() noexcept {
    contexts_.visit_idle(
        nullptr, [this](Context& context) { empty(context); }, [](bool) {});
}

// Somebody wants the contexts empty, and this one is the caller's.
void Pool::heed_attention(Context& context) noexcept {
    if (!Contexts::Ops::take(context.taken)) return;
    // A signal handler may be here in the middle of an operation of its thread.
    if (context.granted != 0 && Contexts::Ops::idle(context.mark)) empty(context);
    Contexts::Ops::give_up(context.taken);
}

std::uint64_t Pool::ever_allocated() const noexcept {
    std::uint64_t allocs = 0;
    for (const auto& of_kind : counts_.allocs) allocs += of_kind.load(kRelaxed);
    for (const Context& context : contexts_.all()) {
        if (context.group_id.load(kRelaxed) != 0) allocs += context.frees.load(kRelaxed) + kept_by(context).handed_out;
    }
    return allocs;
}

PoolStats Pool::stats() const noexcept {
    PoolStats stats{};
    if (!alive()) return stats;
    stats.regions = regions();
    for (RegionMask rest = present(); rest != 0; rest &= rest - 1)
        stats.bytes += parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region.bytes();
    stats.grows = grows_.load(kRelaxed);
    stats.shrinks = shrinks_.load(kRelaxed);
    std::uint64_t freed[4] = {};
    // Frees first: a slot is never counted as freed before it was allocated.
    for (unsigned kind = 1; kind <= 3; ++kind) freed[kind] = counts_.frees[kind].load(kRelaxed);
    for (unsigned kind = 1; kind <= 3; ++kind) stats.allocs_of_kind[kind] = counts_.allocs[kind].load(kRelaxed);
    std::uint64_t kept_bytes = 0;
    for (const Context& context : contexts_.all()) {
        if (context.group_id.load(kRelaxed) == 0) continue;
        const Kept kept = kept_by(context);
        const std::uint64_t frees = context.frees.load(kRelaxed);
        freed[1] += frees;
        stats.allocs_of_kind[1] += frees + kept.handed_out;
        kept_bytes += kept.bytes;
    }
    for (unsigned kind = 1; kind <= 3; ++kind) {
        const std::uint64_t allocs = stats.allocs_of_kind[kind];
        stats.slots_of_kind[kind] = allocs > freed[kind] ? allocs - freed[kind] : 0;
        stats.slots += stats.slots_of_kind[kind];
    }
    stats.quarantined = held_total_.slots.load(kRelaxed);
    stats.quarantined_bytes = held_total_.bytes.load(kRelaxed);
    const std::uint64_t away = usage_.bytes() + restricted_usage_.bytes();
    stats.kept_bytes = kept_bytes;
    const std::uint64_t unused = kept_bytes + stats.quarantined_bytes;
    stats.used_bytes = away > unused ? away - unused : 0;
    stats.used_bytes_hiwater = usage_.most_bytes() + restricted_usage_.most_bytes();
    stats.full = full_.load(kRelaxed);
    return stats;
}

}  // namespace bounce
