// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Straight from home and to home, and between home and the contexts.
#include <sched.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <optional>

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

// So often a request that finds nothing asks those that are inside a context to be done.
constexpr int kAttentionTries = 8;

}  // namespace

SlabCore::Request Pool::request_of(const AllocRequest& request, const Region& region) noexcept {
    std::uint64_t end = region.bytes();
    const std::uint64_t base = region.address().value;
    if (request.max_address - base < end - 1) end = request.max_address - base + 1;
    if (request.max_address < base) end = 0;
    return {request.bytes, request.align, end, static_cast<unsigned>(request.kind), request.boundary, request.colour};
}

Result<Slot> Pool::alloc(const AllocRequest& request, ContextGroup* payer) noexcept {
    const auto kind = static_cast<unsigned>(request.kind);
    if (request.bytes == 0 || !is_power_of_two(request.align) || request.align > kChunkBytes || kind - 1 > 2)
        [[unlikely]] {
        return fail(EINVAL, "%llu bytes aligned to %llu of kind %llu, expected > 0, a power of two up to 2 MiB, 1 to 3",
                    request.bytes, request.align, kind);
    }
    if (request.boundary != 0 && (!is_power_of_two(request.boundary) || request.boundary < request.bytes)) {
        return fail(EINVAL, "%llu bytes within a boundary of %llu, expected 0 or a power of two that is not less",
                    request.bytes, request.boundary);
    }
    const auto taken = [](const Result<void>& result, const Slot& slot) {
        return result ? Result<Slot>(slot) : Result<Slot>(result.error());
    };
    Slot slot;
    const bool plain = payer == nullptr && !request.priority && request.align <= SlabCore::kNaturalAlign &&
                       request.max_address == ~std::uint64_t{0} && request.domain == 0 && request.boundary == 0 &&
                       request.kind == SlotKind::kStreaming &&
                       (!nodes_.matter(request.rule) || request.rule == direct_.rule());
    if (plain) [[likely]]
        return taken(alloc(direct_, context(direct_), request.bytes, slot), slot);
    auto home = alloc_paid(payer != nullptr ? *payer : direct_, request, nullptr, slot);
    if (home && request.kind == SlotKind::kStreaming) direct_.allocs.fetch_add(1, std::memory_order_relaxed);
    look();  // what a failure had taken for a moment may have been missed
    return taken(home, slot);
}

Result<void> Pool::alloc_slow(ContextGroup& group, Context* context, std::uint64_t bytes, Slot& slot,
                              bool priority) noexcept {
    if (bytes == 0) return fail(EINVAL, "an allocation of 0 bytes");
    if (group.quarantine.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        return in_quarantine(group);
    if (context != nullptr && take_kept(group, *context, bytes, slot)) return {};
    // Relaxed: who comes at the same time as the first to wait may be before or behind.
    if (group.waiting.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return behind_waiters(group, bytes);
    const auto home = alloc_paid(group,
                                 {.bytes = bytes,
                                  .max_address = group.max_address,
                                  .rule = group.rule(),
                                  .domain = group.domain,
                                  .priority = priority,
                                  .colour = context != nullptr ? contexts_.colour(*context) : Colour{}},
                                 context, slot);
    if (home) group.allocs.fetch_add(1, std::memory_order_relaxed);
    look();  // as in alloc()
    return home;
}

// Out of the context, which is refilled when it has none.
bool Pool::take_kept(ContextGroup& group, Context& context, std::uint64_t bytes, Slot& slot) noexcept {
    // What is kept is handed out as slots are: without a look at where the thread runs.
    const bool run = bytes > kMaxSlotBytes;
    if (run && take_run(context, bytes, slot)) return true;
    if (contexts_.attention()) [[unlikely]] {
        heed_attention(context);
        return false;
    }
    return follow_thread(group, context) && !run && refill(group, context, bytes, slot);
}

// Straight from the home of region `index`: 0, ENOSPC when it has none to give, or EOWNERDEAD.
inline int Pool::take_from(std::uint32_t index, const AllocRequest& request, Slot& slot) noexcept {
    Part& part = *parts_[index];
    const SlabCore::Request wanted = request_of(request, part.region);
    if (wanted.end < wanted.bytes) return ENOSPC;
    Placement placement;
    const int code = request.from_slabs ? part.core.alloc_from_slabs(wanted, request.marked, placement)
                                        : part.core.alloc(wanted, placement);
    if (code != 0) return code;
    if (request.spare_only && !pay_pages(part.core, part.core.head_of(placement), request.priority)) [[unlikely]] {
        static_cast<void>(part.core.free(placement, wanted.kind));
        return ENOSPC;
    }
    slot = Slot{part.region.address() + placement.offset, part.region.hva() + placement.offset, part.region.epoch(),
                SlotHandle(RegionId{index}, placement.index, placement.generation)};
    counts_.allocs[static_cast<unsigned>(request.kind)].fetch_add(1, std::memory_order_relaxed);
    return 0;
}

// From any region of the domain that is accepted, without the contexts.
bool Pool::take_home(const AllocRequest& request, Slot& slot, Tried& tried) noexcept {
    if (nodes_.matter(request.rule)) [[unlikely]]
        return take_by_node(request, slot, tried);
    tried = {};
    tried.regions = domains_.regions_of(request.domain);
    for (RegionMask rest = accepted() & tried.regions; rest != 0; rest &= rest - 1) {
        tried.code = take_from(static_cast<std::uint32_t>(std::countr_zero(rest)), request, slot);
        if (tried.code == 0) return true;
        if (tried.code == EOWNERDEAD) return false;
    }
    return false;
}

// The same, in the order of the request's rule.
bool Pool::take_by_node(const AllocRequest& request, Slot& slot, Tried& tried) noexcept {
    const NumaRule& rule = request.rule;
    const NodeId thread = nodes_.of_thread();
    const RegionMask accepts = accepted();  // before regions(): its regions are among those
    const RegionOrder order = nodes_.order(regions(), rule, thread, domains_.regions_of(request.domain));
    tried = {ENOSPC, order.allowed(), true, home_node(rule, thread)};
    const bool turns = rule.policy == NumaPolicy::kInterleave;
    for (const std::uint8_t i : order.sequence(turns ? turn_.fetch_add(1, std::memory_order_relaxed) : 0)) {
        if ((accepts >> i & 1) == 0) continue;
        tried.code = take_from(i, request, slot);
        if (tried.code == 0) return true;
        if (tried.code == EOWNERDEAD) return false;
    }
    return false;
}

// What contexts keep comes home before anybody is told that the pool is full. They have nothing, and get nothing, from
// the time that is found out until something comes home. Who is inside a context is waited for a little.
bool Pool::take_last(const AllocRequest& request, const Context* own, Slot& slot, Tried& tried) noexcept {
    if (request.spare_only) [[unlikely]]
        return take_spare(request, slot, tried);
    bool taken = take_home(request, slot, tried);
    for (int tries = 0; tries < kAttentionTries && !taken && tried.code == ENOSPC && !contexts_.full(); ++tries) {
        if (tries == 0 ? contexts_.granted() == 0 || !could_hold(request, tried.regions) : sched_yield() != 0) break;
        contexts_.visit_idle(
            own, [this](Context& context) { empty(context); },
            [&](bool all_of_them) {
                taken = take_home(request, slot, tried);
                if (!taken && all_of_them) contexts_.set_full();
            });
    }
    return taken;
}

bool Pool::could_hold(const AllocRequest& request, RegionMask regions) const noexcept {
    for (RegionMask rest = accepted() & regions; rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        if (part.core.could_hold(request_of(request, part.region))) return true;
    }
    return false;
}

Result<void> Pool::alloc_home(const AllocRequest& request, const Context* own, Slot& slot) noexcept {
    Tried tried;
    if (take_last(request, own, slot, tried)) {
        note_pressure();
        return {};
    }
    if (tried.code == EOWNERDEAD) return fail(EOWNERDEAD, kForked);
    return grow_or_fail(request, own, tried, slot);
}

void Pool::hand_out(const KeptSlot& kept, Slot& slot) const noexcept {
    slot = Slot{kept.gpa, kept.hva, epoch_of(kept.handle), kept.handle};
}

// Several slots come from home at once: one for the caller, the others for the next ones. All the while inside: who
// wants the contexts empty must not miss those that are on their way.
bool Pool::refill(ContextGroup& group, Context& context, std::uint64_t bytes, Slot& slot) noexcept {
    const std::uint32_t size_class = class_of(bytes);
    SlotStack& stack = context.stacks[size_class];
    if (!contexts_.enter(context)) return false;
    usage_.prefetch();
    raise_limit(context, size_class);
    const bool starved = context.refusals >= Contexts::kPatience;
    if (starved) context.refusals = 0;
    CachedSlot got[SlotStack::kRoom];
    const std::uint64_t slot_bytes = kSizeClasses[size_class].bytes;
    // Relaxed, here and in make_room(): the owner of the context alone writes it, and that is who is here.
    const std::uint64_t frees = context.frees.load(std::memory_order_relaxed);
    const bool only_takes = frees == context.frees_at_refill;
    context.frees_at_refill = frees;
    const std::uint32_t room = only_takes ? stack.limit() : (stack.limit() + 1) / 2;
    const std::uint32_t want = group.credit.affordable(slot_bytes, std::max<std::uint32_t>(room, 1));
    Credit::Step step;
    std::uint32_t n = 0;
    if (want != 0 && group.credit.take(want * slot_bytes, step)) [[likely]] {
        n = fetch(group, context, size_class, want,
                  limited(group, step, group.priority.load(std::memory_order_relaxed)), got);
        settle(step);
        if (n < want) refund(group, (want - n) * slot_bytes);
    }
    const bool taken = n != 0;
    if (taken) {
        const View& view = views_[got[0].region().value];
        hand_out(view.kept(got[--n]), slot);
        std::uint32_t at = stack.count();
        std::uint32_t kept = 0;
        while (kept < n && at < stack.limit()) stack.slots[at++] = view.kept(got[kept++]);
        stack.set_count(at);
        // With the one that is handed out.
        context.fetched.store(context.fetched.load(std::memory_order_relaxed) + kept + 1, std::memory_order_relaxed);
        if (kept < n) {
            refund(group, (n - kept) * slot_bytes);
            parts_[got[0].region().value]->core.give_home(size_class, got + kept, n - kept);
            contexts_.clear_full();
        }
    }
    Contexts::Ops::leave(context.mark);
    if (starved) [[unlikely]]
        empty_contexts();
    if (taken) note_pressure();
    return taken;
}

// Up to `want` slots of one region; one only where it is not a region whose slots the context may keep.
std::uint32_t Pool::fetch(const ContextGroup& group, const Context& context, std::uint32_t size_class,
                          std::uint32_t want, bool limited, CachedSlot* slots) noexcept {
    const RegionMask accepts = accepted() & domains_.regions_of(group.domain);  // first, as in take_by_node()
    // To take slots in turn may take pages.
    const std::uint64_t window = limited ? 0 : group.window.load(std::memory_order_relaxed);
    const auto from = [&](std::uint32_t i) -> std::uint32_t {
        Part& part = *parts_[i];
        if (part.region.address().value + (part.region.bytes() - 1) > group.max_address) return 0;
        const std::uint32_t most = (context.accepts >> i & 1) != 0 ? want : 1;
        const std::uint32_t got = window == 0
                                      ? part.core.claim(size_class, most, contexts_.colour(context), RegionId{i}, slots)
                                      : part.core.claim_in_turn(size_class, most, window, RegionId{i}, slots);
        if (got == 0 || !limited ||
            pay_pages(part.core, slots[0].head(), group.priority.load(std::memory_order_relaxed)))
            return got;
        part.core.give_home(size_class, slots, got);
        return 0;
    };
    std::uint32_t n = 0;
    if (nodes_.matter(group.rule())) [[unlikely]] {
        const RegionOrder order = nodes_.order(regions(), group.rule(), context.node, accepts);
        std::optional<NodeId> node;
        for (const std::uint8_t i : order.sequence()) {
            if ((accepts >> i & 1) == 0) continue;
            // A region that has nothing at hand may still have room: only alloc_home() goes on to another node.
            if (node.value_or(nodes_.node(i)) != nodes_.node(i)) break;
            node = nodes_.node(i);
            if ((n = from(i)) != 0) break;
        }
        return n;
    }
    for (RegionMask rest = accepts; rest != 0 && n == 0; rest &= rest - 1) {
        n = from(static_cast<std::uint32_t>(std::countr_zero(rest)));
    }
    return n;
}

void Pool::finish_free_slow(ContextGroup& group, Context* context, const Ending& ending) noexcept {
    if (group.quarantine.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
        return hold_back(group, ending);
    if (context != nullptr && ending.kind == SlotKind::kStreaming) {
        if (contexts_.attention()) [[unlikely]] {
            heed_attention(*context);
        } else if (follow_thread(group, *context) && (context->accepts >> ending.slot.handle.region().value & 1) != 0 &&
                   (ending.pages != 0 ? keep_run(*context, ending)
                                      : make_room(*context, ending.slot.handle.size_class() + group.push_first()) &&
                                            push(group, *context, ending.slot))) {
            return;
        }
    }
    if (ending.kind == SlotKind::kStreaming) group.frees.fetch_add(1, std::memory_order_relaxed);
    refund(group, bytes_of(ending));
    put_home(ending);
    look();
}

void Pool::put_home(const Ending& ending) noexcept {
    counts_.frees[static_cast<unsigned>(ending.kind)].fetch_add(1, std::memory_order_relaxed);
    give_home(ending.slot.handle.size_class(), &ending.slot, 1);
}

void Pool::give_home(std::uint32_t size_class, const KeptSlot* slots, std::uint32_t count) noexcept {
    CachedSlot home[SlotStack::kRoom];
    for (std::uint32_t i = 0; i < count;) {
        const RegionId region = slots[i].handle.region();
        std::uint32_t n = 0;
        for (; i < count && slots[i].handle.region() == region; ++i) home[n++] = views_[region.value].cached(slots[i]);
        parts_[region.value]->core.give_home(size_class, home, n);
    }
    contexts_.clear_full();
}

// The stack is full: it is given more room, or the older half goes home; all of it where slots are reused in turn.
bool Pool::make_room(Context& context, std::uint32_t index) noexcept {
    SlotStack& stack = context.stacks[index];
    const bool in_turn = index >= kClasses;
    KeptSlot old[SlotStack::kRoom];
    std::uint32_t n = 0;
    if (!contexts_.enter(context)) return false;
    usage_.prefetch();
    raise_limit(context, index);
    const std::uint32_t count = stack.count();
    const bool room = stack.limit() != 0;
    if (count >= stack.limit() && room) {
        const std::uint64_t frees = context.frees.load(std::memory_order_relaxed);
        n = in_turn || frees == context.frees_when_full ? count : (count + 1) / 2;
        context.frees_when_full = frees + stack.limit() - (count - n);
        std::copy_n(stack.slots.begin(), n, old);
        std::copy(stack.slots.begin() + n, stack.slots.begin() + count, stack.slots.begin());
        stack.set_count(count - n);
        context.fetched.store(context.fetched.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
    }
    if (n != 0) {
        refund(*context.group.load(std::memory_order_relaxed), std::uint64_t{n} * kSizeClasses[index % kClasses].bytes);
        give_home(index % kClasses, old, n);
    }
    Contexts::Ops::leave(context.mark);
    return room;
}

Error Pool::why_not(const AllocRequest& request, const Tried& tried) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    bool below_mask = growth_helps(request, tried.home);
    bool ever = below_mask;
    const bool strict = request.rule.policy == NumaPolicy::kStrict && tried.by_node;
    const RegionMask regions = usable() & tried.regions;
    for (RegionMask rest = regions; rest != 0; rest &= rest - 1) {
        const Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        SlabCore::Request wanted = request_of(request, part.region);
        below_mask = below_mask || part.core.could_hold(wanted);
        wanted.end = part.region.bytes();
        ever = ever || part.core.could_hold(wanted);
    }
    if (!ever && strict && regions == 0) {
        return fail(E2BIG, "%llu bytes at NUMA node %lld: the pool has no region there, and its policy is strict",
                    request.bytes, static_cast<std::uint64_t>(tried.home.value));
    }
    if (!ever) {
        return fail(E2BIG, "%llu bytes aligned to %llu: no region of the pool is large enough, even if empty",
                    request.bytes, request.align);
    }
    if (!below_mask) {
        return fail(ERANGE, "%llu bytes below 0x%llx: the pool has none there", request.bytes, request.max_address);
    }
    if (!request.attempt) full_.fetch_add(1, std::memory_order_relaxed);
    if (request.spare_only) {
        return fail(ENOSPC,
                    "%llu bytes aligned to %llu: what is left of the pool is promised to other devices (%llu bytes) or "
                    "reserved for requests with priority (%llu bytes)",
                    request.bytes, request.align,
                    static_cast<std::uint64_t>(std::max<std::int64_t>(promised_.load(std::memory_order_relaxed), 0)),
                    reserve_.load(std::memory_order_relaxed));
    }
    const std::uint64_t refused = refused_gpa_.load(std::memory_order_relaxed);
    if (refused != kNoGpa) {
        return fail(ENOSPC,
                    strict ? "%llu bytes aligned to %llu: the pool is full at the node that it is strict about (%llu "
                             "bytes are in use at all nodes), not all of it can be used: the first chunk that could "
                             "not be had is that at GPA 0x%llx"
                           : "%llu bytes aligned to %llu: the pool is full (%llu bytes are in use), not all of it can "
                             "be used: the first chunk that could not be had is that at GPA 0x%llx",
                    request.bytes, request.align, usage_.bytes() + restricted_usage_.bytes(), refused);
    }
    return fail(ENOSPC,
                strict ? "%llu bytes aligned to %llu: the pool is full at the node that it is strict about (%llu bytes "
                         "are in use at all nodes)"
                       : "%llu bytes aligned to %llu: the pool is full (%llu bytes are in use)",
                request.bytes, request.align, usage_.bytes() + restricted_usage_.bytes());
}

// The part that a token names, nullptr when the token cannot be asked about. In a forked child the part finds nothing
// but zeroes and says so itself.
Pool::Part* Pool::part_of(const Slot& slot, SlotKind kind) const noexcept {
    if (slot.region().value >= regions() || static_cast<unsigned>(kind) - 1 > 2) return nullptr;
    Part* const part = parts_[slot.region().value].get();
    return slot.gpa - part->region.address() < part->region.bytes() ? part : nullptr;
}

Placement Pool::placement_of(const Part& part, const Slot& slot) noexcept {
    return {slot.gpa - part.region.address(), slot.handle.generation(), slot.handle.index()};
}

// What begin() and begin_run() did not like.
Result<void> Pool::begin_by_address(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva, Begun why,
                                    Ending& ending) noexcept {
    if (why == Begun::kMoved) [[unlikely]]
        take_back(slot, kind);
    Part* const part = part_of(slot, kind);
    if (part == nullptr) return no_part(slot, kind);
    const Placement placement = placement_of(*part, slot);
    if (with_hva && slot.hva != part->region.hva() + placement.offset) return misplaced(slot);
    FoundSlot found;
    if (const int code = part->core.begin_free(placement, static_cast<unsigned>(kind), bytes, found); code != 0)
        return refuse(code, slot);
    const SlotHandle handle(slot.region(), slot_index(found.size_class, found.slot), slot.handle.generation());
    ending.slot = views_[slot.region().value].kept(CachedSlot(found.head, handle.next()));
    ending.pages = found.run() ? static_cast<std::uint32_t>(found.bytes / kPageBytes) : 0;
    ending.kind = kind;
    return {};
}

Result<void> Pool::begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes, Ending& ending) noexcept {
    const Begun begun = begin(nullptr, slot, kind, bytes, true, ending.slot);
    if (begun != Begun::kYes) return begin_slow(slot, kind, bytes, true, begun, ending);
    ending.pages = 0;
    ending.kind = kind;
    return {};
}

// Between the look and the drop the entry of the slot's page changed. Either its slab died, another was born there, and
// the generation is the same: what was let go has a holder, and is given back to that one. Or somebody beyond its floor
// got something of the slab (PageEntry::kBeyond): the slot is the caller's, and is let go again. By address that is
// told apart.
void Pool::take_back(const Slot& slot, SlotKind kind) noexcept {
    const View& view = view_of(slot.handle);
    SlotView::Place place;
    // V1: relaxed, as begin() has seen it.
    view.place_of(slot.gpa - view.first_gpa, view.end.load(std::memory_order_relaxed), slot.handle, place);
    View::Ops::take_back(view.states[place.state], static_cast<unsigned>(kind), slot.handle.generation());
}

// Why part_of() found none.
Error Pool::no_part(const Slot& slot, SlotKind kind) const noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (static_cast<unsigned>(kind) - 1 > 2) {
        return fail(EINVAL, "a slot of kind %llu, expected 1 to 3", static_cast<unsigned>(kind));
    }
    if (slot.region().value >= regions()) {
        return fail(EFAULT, "region %llu, but the pool has %llu", slot.region().value, regions());
    }
    return fail(EFAULT, "GPA 0x%llx is not in region %llu", slot.gpa.value, slot.region().value);
}

Error Pool::refuse(int code, const Slot& slot) noexcept {
    switch (code) {
        case EALREADY: return fail(code, "the slot at GPA 0x%llx is free already", slot.gpa.value);
        case ESTALE: return fail(code, "the slot at GPA 0x%llx is another by now, the token is stale", slot.gpa.value);
        case EPERM: return fail(code, "the slot at GPA 0x%llx is of another kind", slot.gpa.value);
        case EOWNERDEAD: return fail(code, kForked);
        default:
            return fail(code, "no slot begins at GPA 0x%llx, or it is shorter than the token says", slot.gpa.value);
    }
}

Error Pool::misplaced(const Slot& slot) noexcept {
    return fail(EFAULT, "a slot at address 0x%llx, which is not where GPA 0x%llx is",
                reinterpret_cast<std::uintptr_t>(slot.hva), slot.gpa.value);
}

Result<void> Pool::free(const Slot& slot, SlotKind kind, ContextGroup* payer) noexcept {
    if (static_cast<unsigned>(kind) - 1 > 2) return no_part(slot, kind);
    if (kind == SlotKind::kStreaming) return free(direct_, context(direct_), slot);
    Ending ending;
    const Begun begun = begin(nullptr, slot, kind, 0, false, ending.slot);
    if (begun != Begun::kYes) {
        if (auto slow = begin_slow(slot, kind, 0, false, begun, ending); !slow) return slow;
    }
    ending.kind = kind;
    refund(payer != nullptr ? *payer : direct_, bytes_of(ending));
    put_home(ending);
    look();
    return {};
}

void Pool::finish_free(const Ending& ending) noexcept {
    finish_free(direct_, context(direct_), ending);
}

}  // namespace bounce
