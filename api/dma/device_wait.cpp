// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Maps that wait: a try as in map(), then a place in the device's line.
#include <cerrno>

#include "allocator/base/clock.hpp"
#include "api/dma/debug.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/direct.hpp"
#include "api/dma/futex.hpp"
#include "api/dma/records.hpp"

namespace bounce {
namespace {

bool may_wait_for(int code) noexcept {
    return code == ENOSPC || code == EDQUOT;
}

Error no_watch() noexcept {
    return fail(ENOMEM, "no memory for the queue of those who wait (%llu bytes)", sizeof(Waiters));
}

Error why_refused(int code, std::uint64_t bytes) noexcept {
    switch (code) {
        case ECANCELED: return fail(code, "the wait for %llu bytes was cancelled, as all of its device", bytes);
        case EDQUOT: return fail(code, "a wait for %llu bytes, but the device's ceiling is lower by now", bytes);
        case EPROTO: return fail(code, "a wait for %llu bytes, but the device is in quarantine by now", bytes);
        case EOWNERDEAD: return fail(code, kForked);
        default: return fail(code, "the wait for %llu bytes has failed", bytes);
    }
}

}  // namespace

/// What to ask the pool for.
Result<Wish> Device::wish_of(const MapRequest& request) const noexcept {
    const std::uint32_t flags = request.flags & ~std::uint32_t{BOUNCE_WAIT_PRIORITY};
    if (!can_map(request.buf, request.bytes, flags)) return why_not_map(request.buf, request.bytes, flags);
    Wish wish{.bytes = request.bytes};
    if (special()) {
        auto placed = wish_for(limits_.padding(reinterpret_cast<std::uintptr_t>(request.buf)), request.bytes, 1);
        if (!placed) return placed;
        wish = *placed;
    }
    wish.priority = (request.flags & BOUNCE_WAIT_PRIORITY) != 0;
    return wish;
}

// As map() does; behind those that wait, which is to get in line.
Result<void> Device::take_now(const Wish& wish, Slot& slot) noexcept {
    Context* const mine = context();
    if (special()) return pool_.alloc_placed(group_, mine, wish, slot);
    const auto sink = [&slot](const KeptSlot& kept, std::uint32_t epoch) {
        slot = Slot{kept.gpa, kept.hva, epoch, kept.handle};
    };
    if (pool_.alloc_at_hand(mine, wish.bytes, sink)) return {};
    return pool_.alloc_slow(group_, mine, wish.bytes, slot, wish.priority);
}

Result<void> Device::map_taken(const MapRequest& request, const Wish& wish, const Slot& slot,
                               bounce_mapping& mapping) noexcept {
    if (records_ != nullptr) {
        if (auto room = records_->prepare(slot); !room) {
            static_cast<void>(pool_.free(group_, context(), slot));
            return room;
        }
    }
    const MapRequest plain{request.buf, request.bytes, request.direction,
                           request.flags & ~std::uint32_t{BOUNCE_WAIT_PRIORITY}};
    // Of now, not of when it was taken: nothing has been copied before.
    Slot now = slot;
    now.epoch = pool_.region(slot.region()).epoch();
    if (fill_special(now, wish.bytes, plain, mapping)) fence_streams();
    note_maps(1);
    if (records_ != nullptr) note_record(mapping);
    if (watched()) watch_mapping(mapping, debug_ != nullptr && debug_->take_turn(), 0, 0);
    return {};
}

Result<void> Device::map_wait(const MapRequest& request, std::uint32_t timeout_ms, bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if (direct_ != nullptr) {
        auto address = take_direct(request);
        if (address) {
            fill_direct(*address, request, mapping);
            return {};
        }
        if (address.code() != EAGAIN) return address.error();
    }
    const auto wish = wish_of(request);
    if (!wish) return wish.error();
    Slot slot;
    auto taken = take_now(*wish, slot);
    if (taken) return map_taken(request, *wish, slot, mapping);
    if (timeout_ms == 0 || !may_wait_for(taken.code()) || Pool::beyond_ceiling(group_, *wish)) {
        trace_no_slot(taken.code(), request.buf, request.bytes);
        return taken;
    }
    Waiters* const waiters = Waiters::of(pool_);
    if (waiters == nullptr) return no_watch();
    const std::uint64_t until =
        timeout_ms == UINT32_MAX ? kNoDeadline : clock_ns() + std::uint64_t{timeout_ms} * 1'000'000;
    Waiter waiter;
    waiter.wish = *wish;
    waiter.blocking = true;
    line_.open.fetch_add(1, std::memory_order_relaxed);
    trace_wait(request.buf, request.bytes, true);
    const bool ready = waiters->add(line_, waiter) || waiters->wait(waiter, until);
    line_.open.fetch_sub(1, std::memory_order_relaxed);
    if (!ready || waiter.code != 0) trace_wait(request.buf, request.bytes, false);
    if (!ready)
        return fail(ETIMEDOUT, "no memory for a mapping of %llu bytes within %llu ms", request.bytes, timeout_ms);
    if (waiter.code != 0) return why_refused(waiter.code, request.bytes);
    return map_taken(request, *wish, waiter.slot, mapping);
}

Result<bool> Device::begin_wait(Wait& wait) noexcept {
    const auto at_once = [&] {
        wait.waiter.state.store(Waiter::kReady, std::memory_order_release);  // W1
        line_.open.fetch_add(1, std::memory_order_relaxed);
        return true;
    };
    if (direct_ != nullptr) {
        const auto address = take_direct(wait.request);
        if (address) {
            wait.direct = true;
            wait.address = *address;
            return at_once();
        }
        if (address.code() != EAGAIN) return address.error();
    }
    const auto wish = wish_of(wait.request);
    if (!wish) return wish.error();
    wait.waiter.wish = *wish;
    auto taken = take_now(*wish, wait.waiter.slot);
    if (taken) return at_once();
    if (!may_wait_for(taken.code()) || Pool::beyond_ceiling(group_, *wish)) {
        trace_no_slot(taken.code(), wait.request.buf, wait.request.bytes);
        return taken.error();
    }
    Waiters* const waiters = Waiters::of(pool_);
    if (waiters == nullptr) return no_watch();
    line_.open.fetch_add(1, std::memory_order_relaxed);
    trace_wait(wait.request.buf, wait.request.bytes, true);
    return waiters->add(line_, wait.waiter);
}

Result<void> Device::finish_wait(Wait& wait, bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    if (!wait.waiter.is_ready()) return fail(EAGAIN, "no memory yet for a mapping of %llu bytes", wait.request.bytes);
    // Was it ever in line?
    if (wait.waiter.line != nullptr) Waiters::of(pool_)->end(wait.waiter);
    line_.open.fetch_sub(1, std::memory_order_relaxed);
    if (wait.waiter.code != 0) trace_wait(wait.request.buf, wait.request.bytes, false);
    if (wait.waiter.code != 0) return why_refused(wait.waiter.code, wait.request.bytes);
    if (wait.direct) {
        fill_direct(wait.address, wait.request, mapping);
        return {};
    }
    return map_taken(wait.request, wait.waiter.wish, wait.waiter.slot, mapping);
}

void Device::cancel_wait(Wait& wait) noexcept {
    if (!pool_.alive()) return;
    if (wait.waiter.line != nullptr) Waiters::of(pool_)->end(wait.waiter);
    if (!wait.direct) trace_wait(wait.request.buf, wait.request.bytes, false);
    // It was handed out to nobody else, so this cannot fail.
    if (wait.direct)
        direct_->give(wait.address, wait.request.bytes);
    else if (wait.waiter.is_ready() && wait.waiter.code == 0)
        static_cast<void>(pool_.free(group_, context(), wait.waiter.slot));
    line_.open.fetch_sub(1, std::memory_order_relaxed);
}

std::uint64_t Device::cancel_waits() noexcept {
    Waiters* const waiters = pool_.alive() ? Waiters::of(pool_) : nullptr;
    return waiters != nullptr ? waiters->cancel_all(line_) : 0;
}

bounce_wait_stats Device::waits() noexcept {
    Waiters* const waiters = Waiters::of(pool_);
    return waiters != nullptr ? waiters->stats(line_) : bounce_wait_stats{};
}

}  // namespace bounce
