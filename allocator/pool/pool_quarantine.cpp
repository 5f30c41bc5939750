// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device that was not reset may still write: slots that are held back, and regions that are retired.
//
// A group in quarantine has nothing in its contexts and no room there, so whatever it asks for or gives back comes by
// the slow paths, and these look at ContextGroup::quarantine. The hot path knows nothing of it.
#include <sched.h>

#include <bit>
#include <cerrno>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {
namespace {

// So often those that are inside a context are asked to be done.
constexpr int kHoldTries = 1000;
// Room for what is handed out while a quarantine begins.
constexpr std::uint64_t kSlack = 64;

}  // namespace

Error Pool::in_quarantine(const ContextGroup& group) noexcept {
    const Quarantine* const held = group.quarantine.load(std::memory_order_acquire);
    return fail(EPROTO, "the device is in quarantine (%llu slots, %llu bytes are held back): it must be reset first",
                held != nullptr ? held->slots() : 0, held != nullptr ? held->bytes() : 0);
}

/// That of the group, or one that nobody needs, or a new one; nullptr: no memory. Under the lock.
Quarantine* Pool::find_quarantine(const ContextGroup& group, const char* name) noexcept {
    Quarantine* unused = nullptr;
    std::unique_ptr<Quarantine>* end = &quarantines_;
    for (; *end != nullptr; end = &(*end)->next) {
        Quarantine& each = **end;
        if (each.owner == group.id) return &each;
        if (unused == nullptr && each.owner == 0 && each.slots() == 0) unused = &each;
    }
    if (unused == nullptr) {
        end->reset(new (std::nothrow) Quarantine(held_total_));
        unused = end->get();
    }
    if (unused != nullptr) unused->begin(group.id, name);
    return unused;
}

Result<void> Pool::quarantine(ContextGroup& group, const char* name, std::uint64_t blocks) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (BOUNCE_MUTATED(kQuarantine)) return {};
    const LookAfter look_after{*this};  // those of it that wait have waited in vain
    const std::lock_guard lock(lock_);
    Quarantine* const held = find_quarantine(group, name);
    const GroupCounts counts = count(group);
    const std::uint64_t out = counts.allocs > counts.frees ? counts.allocs - counts.frees : 0;
    if (held == nullptr || !held->reserve(out + blocks + kSlack)) {
        return fail(ENOMEM, "no memory to hold %llu slots in quarantine: it is not in force", out + blocks);
    }
    // Seq_cst, before the barriers of the visits: who is let into a context after those sees it.
    group.quarantine.store(held, std::memory_order_seq_cst);
    for (int tries = 0; tries < kHoldTries; ++tries) {
        std::uint32_t visited = 0;
        std::uint32_t open = 0;
        contexts_.visit_idle(
            nullptr,
            [&](Context& context) {
                if (context.group_id.load(std::memory_order_relaxed) != group.id) return;
                empty(context);
                ++visited;
            },
            [&](bool) {
                for (const Context& context : contexts_.all()) {
                    if (context.group_id.load(std::memory_order_relaxed) == group.id) ++open;
                }
            });
        if (visited == open) return {};
        sched_yield();
    }
    return fail(EBUSY,
                "a thread has stopped in the middle of a mapping or unmapping of the device: what it keeps for itself "
                "is not in quarantine");
}

std::uint64_t Pool::release(ContextGroup& group) noexcept {
    if (!alive()) return 0;
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    // Q6: seq_cst, the store before the places are looked at (Q5); pairs with Q7 in hold_back().
    Quarantine* const held = group.quarantine.exchange(nullptr, std::memory_order_seq_cst);
    std::uint64_t count = 0;
    if (held == nullptr) return count;
    held->take([](const HeldSlot&) { return true; },
               [&](const HeldSlot& slot) {
                   give_held(slot);
                   ++count;
               });
    return count;
}

void Pool::leave_quarantine(ContextGroup& group) noexcept {
    if (!alive()) return;
    const std::lock_guard lock(lock_);
    for (Quarantine* each = quarantines_.get(); each != nullptr; each = each->next.get()) {
        if (each->owner == group.id) each->owner = 0;
    }
}

void Pool::give_held(const HeldSlot& held) noexcept {
    give_home(held.slot.handle.size_class(), &held.slot, 1);
}

void Pool::hold_back(ContextGroup& group, const Ending& ending) noexcept {
    counts_.frees[static_cast<unsigned>(ending.kind)].fetch_add(1, std::memory_order_relaxed);
    if (ending.kind == SlotKind::kStreaming) group.frees.fetch_add(1, std::memory_order_relaxed);
    // The group pays no more for what nobody can have: check_promises() leaves it out.
    refund(group, bytes_of(ending));
    const HeldSlot held{ending.slot, bytes_of(ending)};
    // Acquire, pairs with the store in quarantine(): its places are there.
    Quarantine* const into = group.quarantine.load(std::memory_order_acquire);
    if (into == nullptr) {
        give_held(held);
        return look();
    }
    if (!into->put(held)) return;
    // Q7: seq_cst, the looks after Q3; pairs with Q6 and Q8, whose places were looked at too early for this slot.
    const bool over = group.quarantine.load(std::memory_order_seq_cst) != into;
    const auto gone = [&](const HeldSlot& each) {
        return over || parts_[each.slot.handle.region().value]->retired.load(std::memory_order_seq_cst);
    };
    if (!gone(held)) return;
    into->take(gone, [this](const HeldSlot& each) { give_held(each); });
    look();
}

Result<Pool::QuarantineInfo> Pool::quarantine_info(std::uint32_t index) const noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const Quarantine* each = quarantines_.get();
    for (std::uint32_t i = 0; i < index && each != nullptr; ++i) each = each->next.get();
    if (each == nullptr) return fail(EINVAL, "quarantine %llu: there was none of that number", index);
    QuarantineInfo info{{}, each->slots(), each->bytes(), each->owner != 0};
    std::snprintf(info.name, sizeof info.name, "%s", each->name());
    return info;
}

Result<std::uint64_t> Pool::release_quarantine(std::uint32_t index) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    Quarantine* each = quarantines_.get();
    for (std::uint32_t i = 0; i < index && each != nullptr; ++i) each = each->next.get();
    if (each == nullptr) return fail(EINVAL, "quarantine %llu: there was none of that number", index);
    if (each->owner != 0) return fail(EBUSY, "quarantine %llu: its device exists, and is to be released itself", index);
    std::uint64_t count = 0;
    each->take([](const HeldSlot&) { return true; },
               [&](const HeldSlot& slot) {
                   give_held(slot);
                   ++count;
               });
    return count;
}

Result<void> Pool::retire_region(RegionId id) noexcept {
    if (auto good = check_region(id); !good) return good;
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    Part& part = *parts_[id.value];
    if (part.stage.load(std::memory_order_relaxed) >= RegionStage::kRetiring)
        return fail(EINVAL, "region %llu is removed", id.value);
    retire_locked(part);
    return {};
}

void Pool::retire_locked(Part& part) noexcept {
    // Nothing is handed out of it before what was held back comes home there.
    if (part.stage.load(std::memory_order_relaxed) == RegionStage::kActive)
        start_drain(part, false);
    else
        part.by_service = false;
    // Q8: seq_cst, the store before the places are looked at (Q5); pairs with Q7.
    part.retired.store(true, std::memory_order_seq_cst);
    update();
    const RegionMask bit = bit_of(part);
    for (Quarantine* each = quarantines_.get(); each != nullptr; each = each->next.get()) {
        each->take([bit](const HeldSlot& held) { return (bit >> held.slot.handle.region().value & 1) != 0; },
                   [this](const HeldSlot& held) { give_held(held); });
    }
}

void Pool::write_off() noexcept {
    const std::lock_guard lock(lock_);
    for (RegionMask rest = held_ & present(); rest != 0; rest &= rest - 1) {
        Part& part = *parts_[static_cast<std::size_t>(std::countr_zero(rest))];
        if (!part.region.renewable() || !part.region.renew()) retire_locked(part);
    }
}

}  // namespace bounce
