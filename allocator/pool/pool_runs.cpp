// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Runs that a context keeps: what a slot costs by pool_fast.hpp, a run of pages costs here.
#include "allocator/base/bits.hpp"
#include "allocator/pool/pool_fast.hpp"

namespace bounce {

bool Pool::take_run(Context& context, std::uint64_t bytes, Slot& slot) noexcept {
    const std::uint64_t pages = div_up(bytes, kPageBytes);
    KeptRun& kept = context.run_of(static_cast<std::uint32_t>(pages));
    if (!contexts_.enter(context)) return false;
    const bool mine = kept.pages.load(std::memory_order_relaxed) == pages;
    if (mine) {
        kept.pages.store(0, std::memory_order_relaxed);
        slot.gpa = kept.run.gpa;
        slot.hva = kept.run.hva;
        slot.epoch = epoch_of(kept.run.handle);
        slot.handle = kept.run.handle;
    }
    Contexts::Ops::leave(context.mark);
    return mine;
}

// What begin() does for slots. False: it is no run, or something is wrong with it, which begin_slow() finds out.
[[gnu::always_inline]] inline bool Pool::begin_run(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva,
                                                   Ending& ending) noexcept {
    const SlotHandle handle = slot.handle;
    if (handle.size_class() != kRunClass || handle.slot() != 0) return false;
    const View& view = view_of(handle);
    // V1: acquire, as in begin().
    const std::uint64_t end = view.end.load(std::memory_order_acquire);
    const std::uint64_t position = slot.gpa - view.first_gpa;
    if (position >= end || position % kPageBytes != 0 ||
        (with_hva && reinterpret_cast<std::uintptr_t>(slot.hva) - view.first_hva != position))
        return false;
    const auto head = static_cast<std::uint32_t>(position / kPageBytes);
    const std::uint32_t entry = view.entries[head].load(std::memory_order_relaxed);
    if (((entry ^ PageEntry::of_run(handle)) & PageEntry::kOfToken) != 0) return false;
    const std::uint32_t length = PageEntry::unpack(entry).length;
    const std::uint32_t pages =
        length != PageEntry::kLongRun ? length : parts_[handle.region().value]->core.run_pages(head);
    SlotView::Ops::State& state = view.state_of_run(position, end);
    if (bytes > std::uint64_t{pages} * kPageBytes || !view.drop(state, handle, static_cast<unsigned>(kind)))
        return false;
    // Is it still the run that was seen? (Then it stays, for it is held.)
    if (view.entries[head].load(std::memory_order_relaxed) != entry) {
        View::Ops::take_back(state, static_cast<unsigned>(kind), handle.generation());
        return false;
    }
    ending.slot.gpa = slot.gpa;
    ending.slot.hva = reinterpret_cast<std::byte*>(view.first_hva + position);
    ending.slot.handle = handle.next();
    ending.pages = pages;
    ending.kind = kind;
    return true;
}

// Where the last one of so many pages was, and has been granted its place.
[[gnu::always_inline]] inline bool Pool::keep_granted(Context& context, const Ending& ending) noexcept {
    KeptRun& kept = context.run_of(ending.pages);
    if (!contexts_.enter(context)) return false;
    const bool keeps = kept.pages.load(std::memory_order_relaxed) == 0 && kept.granted >= ending.pages &&
                       ((context.accepts & accepted()) >> ending.slot.handle.region().value & 1) != 0;
    if (keeps) {
        kept.run.gpa = ending.slot.gpa;
        kept.run.hva = ending.slot.hva;
        kept.run.handle = ending.slot.handle;
        kept.pages.store(ending.pages, std::memory_order_relaxed);
        bump(context.frees);
    }
    Contexts::Ops::leave(context.mark);
    return keeps;
}

bool Pool::keep_run(Context& context, const Ending& ending) noexcept {
    KeptRun& kept = context.run_of(ending.pages);
    if (!contexts_.enter(context)) return false;
    if (kept.pages.load(std::memory_order_relaxed) == 0 && kept.granted < ending.pages &&
        contexts_.grant(context, std::uint64_t{ending.pages - kept.granted} * kPageBytes))
        kept.granted = ending.pages;
    Contexts::Ops::leave(context.mark);
    return keep_granted(context, ending);
}

Result<void> Pool::begin_slow(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva, Begun why,
                              Ending& ending) noexcept {
    if (begin_run(slot, kind, bytes, with_hva, ending)) [[likely]]
        return {};
    return begin_by_address(slot, kind, bytes, with_hva, why, ending);
}

void Pool::finish_free(ContextGroup& group, Context* context, const Ending& ending) noexcept {
    const bool streaming = ending.kind == SlotKind::kStreaming;
    if (streaming && ending.pages == 0) return finish(group, context, ending.slot);
    if (!streaming || context == nullptr || !keep_granted(*context, ending)) finish_free_slow(group, context, ending);
}

Result<void> Pool::free_slow(ContextGroup& group, Context* context, const Slot& slot, Begun why) noexcept {
    Ending ending;
    if (begin_run(slot, SlotKind::kStreaming, 0, false, ending)) [[likely]] {
        if (context == nullptr || !keep_granted(*context, ending)) finish_free_slow(group, context, ending);
        return {};
    }
    const auto begun = begin_by_address(slot, SlotKind::kStreaming, 0, false, why, ending);
    if (begun) finish_free(group, context, ending);
    return begun;
}

}  // namespace bounce
