// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the pool does for those who wait for memory of it. While somebody does, the attention word says so: nothing goes
// to contexts, everything goes straight home, and whatever may have brought something home ends with look(): a free, a
// context that was emptied, a region that came, a quota that was raised, and also an allocation, since what it had in
// its hands for a moment may have been missed by somebody who looked just then.
#include <cerrno>

#include "allocator/pool/pool_fast.hpp"

namespace bounce {

HomeWatch* Pool::watch(std::unique_ptr<HomeWatch> (*make)(Pool&) noexcept) noexcept {
    // Acquire, pairs with the release below.
    if (HomeWatch* const made = watch_.load(std::memory_order_acquire); made != nullptr) return made;
    const std::lock_guard lock(lock_);
    if (own_watch_ == nullptr) own_watch_ = make(*this);
    watch_.store(own_watch_.get(), std::memory_order_release);
    return own_watch_.get();
}

void Pool::wake() noexcept {
    if (!alive()) return;
    // Acquire, pairs with watch(): who set the attention word has made it.
    if (HomeWatch* const made = watch_.load(std::memory_order_acquire); made != nullptr) made->look();
}

bool Pool::empty_for_waiters() noexcept {
    bool all = true;
    contexts_.visit_idle(
        nullptr, [this](Context& context) { empty(context); }, [&](bool all_of_them) { all = all_of_them; });
    return all;
}

int Pool::try_for_waiter(ContextGroup& group, const Wish& wish, Slot& slot) noexcept {
    if (!alive()) return EOWNERDEAD;
    if (group.quarantine.load(std::memory_order_relaxed) != nullptr) return EPROTO;
    const AllocRequest request{.bytes = wish.bytes,
                               .align = wish.align,
                               .max_address = group.max_address,
                               .boundary = wish.boundary,
                               .rule = group.rule(),
                               .domain = group.domain,
                               .priority = wish.priority};
    int code = 0;
    if (take_paid(group, request, slot, code)) {
        group.allocs.fetch_add(1, std::memory_order_relaxed);
        note_pressure();
        return 0;
    }
    // Those who wait behind the first have not asked for it yet.
    if (code == ENOSPC && growth_helps(request, nodes_.matter(group.rule()) ? nodes_.of_thread() : kAnyNode)) {
        want_growth(wish.bytes);
    }
    return code;
}

Error Pool::behind_waiters(const ContextGroup& group, std::uint64_t bytes) noexcept {
    return fail(ENOSPC, "%llu bytes: %llu requests of the device wait for memory before this one", bytes,
                group.waiting.load(std::memory_order_relaxed));
}

}  // namespace bounce
