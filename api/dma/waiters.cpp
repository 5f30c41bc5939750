// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/waiters.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>

#include "allocator/base/clock.hpp"
#include "allocator/base/probes.hpp"
#include "api/dma/futex.hpp"

namespace bounce {
namespace {

constexpr int kYields = 64;                       // for somebody who is in the middle of something, and then
constexpr int kNaps = 1000;                       // of a millisecond
constexpr std::uint64_t kRecheckNs = 10'000'000;  // a blocked one looks again so often while contexts may not be empty

void nap() noexcept {
    const timespec millisecond{0, 1'000'000};
    ::nanosleep(&millisecond, nullptr);
}

}  // namespace

void WaiterList::push(Waiter& waiter) noexcept {
    waiter.next = nullptr;
    waiter.before = last;
    (last != nullptr ? last->next : first) = &waiter;
    last = &waiter;
}

void WaiterList::remove(Waiter& waiter) noexcept {
    (waiter.before != nullptr ? waiter.before->next : first) = waiter.next;
    (waiter.next != nullptr ? waiter.next->before : last) = waiter.before;
}

Waiters* Waiters::of(Pool& pool) noexcept {
    return static_cast<Waiters*>(pool.watch([](Pool& of_pool) noexcept -> std::unique_ptr<HomeWatch> {
        return std::unique_ptr<HomeWatch>(new (std::nothrow) Waiters(of_pool));
    }));
}

void Waiters::enter() noexcept {
    gate_.enter([] { ::sched_yield(); });
}

// Looks first when somebody wanted that meanwhile.
void Waiters::leave() noexcept {
    while (!gate_.leave()) {
        gate_.looking();
        serve();
    }
}

void Waiters::look() noexcept {
    for (;;) {
        if (!gate_.want()) return;
        gate_.looking();
        serve();
        leave();
        deliver();
        // Contexts that were not empty may be by now; what was in them is home then.
        if (settled_.load(std::memory_order_relaxed) || !settle_once()) return;
    }
}

// In the gate. Each line in turn, as long as one of them gets something. A line that was served goes behind all others;
// one that was passed over keeps its place before them.
void Waiters::serve() noexcept {
    bool any = true;
    while (any && turn_ != nullptr) {
        any = false;
        WaitLine* const last = turn_->before;
        for (WaitLine* line = turn_; !any; line = line->next) {
            any = serve_first(*line);
            if (line == last) break;
        }
    }
}

// True: somebody has left the line.
bool Waiters::serve_first(WaitLine& line) noexcept {
    Waiter& waiter = *line.waiters.first;
    const int code = pool_.try_for_waiter(line.group, waiter.wish, waiter.slot);
    if (code == ENOSPC) return false;
    if (code == EDQUOT && !Pool::beyond_ceiling(line.group, waiter.wish)) return false;
    take_out(waiter);
    if (line.waiters.first != nullptr) {
        unlist(line);
        list(line);
    }
    if (code == 0) {
        waiter.turn = ++line.served;
        const std::uint64_t ns = clock_ns() - waiter.since_ns;
        line.worst_ns = std::max(line.worst_ns, ns);
        line.waited.add(ns);
        probes::wait(line.device, waiter.wish.bytes, ns);
    }
    make_ready(waiter, code);
    return true;
}

// Behind all others.
void Waiters::list(WaitLine& line) noexcept {
    if (turn_ == nullptr) {
        turn_ = line.next = line.before = &line;
        return;
    }
    line.next = turn_;
    line.before = turn_->before;
    line.before->next = line.next->before = &line;
}

void Waiters::unlist(WaitLine& line) noexcept {
    if (line.next == &line) {
        turn_ = nullptr;
        return;
    }
    if (turn_ == &line) turn_ = line.next;
    line.before->next = line.next;
    line.next->before = line.before;
}

void Waiters::take_out(Waiter& waiter) noexcept {
    WaitLine& line = *waiter.line;
    line.waiters.remove(waiter);
    waiter.in_line = false;
    line.group.waiting.fetch_sub(1, std::memory_order_relaxed);
    if (line.waiters.first != nullptr) return;
    unlist(line);
    if (turn_ == nullptr) pool_.end_waiting();
}

// The last that is done with a blocking one: its memory may be gone as soon as it sees the state.
void Waiters::make_ready(Waiter& waiter, int code) noexcept {
    waiter.code = code;
    const bool blocking = waiter.blocking;
    if (!blocking && (waiter.ready != nullptr || waiter.fd >= 0)) {
        waiter.due = true;
        due_.push(waiter);
        due_count_.fetch_add(1, std::memory_order_relaxed);
    }
    std::atomic<std::uint32_t>* const word = &waiter.state;
    waiter.state.store(Waiter::kReady, std::memory_order_release);  // W1
    // By address: nobody reads what is there. Where it is another's by now, that one looks once more than it had to.
    if (blocking) futex_wake(word);
}

bool Waiters::add(WaitLine& line, Waiter& waiter) noexcept {
    enter();
    waiter.line = &line;
    waiter.ticket = ++line.tickets;
    waiter.since_ns = clock_ns();
    waiter.in_line = true;
    if (turn_ == nullptr) {
        ++round_;
        settled_.store(pool_.begin_waiting(), std::memory_order_relaxed);
    }
    if (line.waiters.first == nullptr) list(line);
    line.waiters.push(waiter);
    line.group.waiting.fetch_add(1, std::memory_order_relaxed);
    if (!settled_.load(std::memory_order_relaxed)) {
        leave();
        settle();
        enter();
    }
    serve();
    const bool ready = waiter.is_ready() && (waiter.due || (waiter.ready == nullptr && waiter.fd < 0));
    if (waiter.due) {
        waiter.due = false;
        due_.remove(waiter);
        due_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    leave();
    deliver();
    return ready;
}

// Contexts are emptied; what was in them is home then. True: that was all.
bool Waiters::settle_once() noexcept {
    enter();
    const std::uint64_t round = round_;
    const bool waiting = turn_ != nullptr;
    leave();
    if (!waiting || !pool_.empty_for_waiters()) return false;
    enter();
    if (round == round_) settled_.store(true, std::memory_order_relaxed);
    leave();
    return true;
}

void Waiters::settle() noexcept {
    for (int i = 0; i < kYields + kNaps && !settle_once() && !settled_.load(std::memory_order_relaxed); ++i) {
        i < kYields ? static_cast<void>(::sched_yield()) : nap();
    }
}

bool Waiters::wait(Waiter& waiter, std::uint64_t until_ns) noexcept {
    while (!waiter.is_ready()) {
        std::uint64_t until = until_ns;
        if (!settled_.load(std::memory_order_relaxed)) until = std::min(until, clock_ns() + kRecheckNs);
        if (futex_wait(&waiter.state, Waiter::kQueued, until)) continue;
        if (until == until_ns) break;
        look();
    }
    end(waiter);
    return waiter.is_ready();
}

void Waiters::end(Waiter& waiter) noexcept {
    enter();
    if (waiter.in_line) {
        take_out(waiter);
        // It may have held up those behind it.
        serve();
    }
    if (waiter.due) {
        waiter.due = false;
        due_.remove(waiter);
        due_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    for (int i = 0; called_by_other(waiter); ++i) {
        leave();
        i < kYields ? static_cast<void>(::sched_yield()) : nap();
        enter();
    }
    leave();
    deliver();
}

std::uint64_t Waiters::cancel_all(WaitLine& line) noexcept {
    std::uint64_t count = 0;
    enter();
    for (; line.waiters.first != nullptr; ++count) {
        Waiter& waiter = *line.waiters.first;
        take_out(waiter);
        make_ready(waiter, ECANCELED);
    }
    leave();
    deliver();
    return count;
}

bool Waiters::calling() const noexcept {
    const auto me = std::this_thread::get_id();
    for (const Call* call = calls_; call != nullptr; call = call->next) {
        if (call->thread == me) return true;
    }
    return false;
}

bool Waiters::called_by_other(const Waiter& waiter) const noexcept {
    const auto me = std::this_thread::get_id();
    for (const Call* call = calls_; call != nullptr; call = call->next) {
        if (call->waiter == &waiter && call->thread != me) return true;
    }
    return false;
}

// Outside of the gate. What it finds may be another thread's, which then finds nothing.
void Waiters::deliver() noexcept {
    if (due_count_.load(std::memory_order_relaxed) == 0) return;
    enter();
    while (due_.first != nullptr && !calling()) {
        Waiter& waiter = *due_.first;
        due_.remove(waiter);
        waiter.due = false;
        due_count_.fetch_sub(1, std::memory_order_relaxed);
        const int fd = waiter.fd;
        const bounce_wait_fn ready = waiter.ready;
        void* const user = waiter.user;
        bounce_wait* const handle = waiter.handle;
        Call call{&waiter, std::this_thread::get_id(), calls_};
        calls_ = &call;
        leave();
        const std::uint64_t one = 1;
        if (fd >= 0) (void)!::write(fd, &one, sizeof one);
        if (ready != nullptr) ready(user, handle);  // which may end it
        enter();
        Call** at = &calls_;
        while (*at != &call) at = &(*at)->next;
        *at = call.next;
    }
    leave();
}

bounce_wait_stats Waiters::stats(const WaitLine& line) noexcept {
    bounce_wait_stats stats{};
    enter();
    stats.waiting = line.group.waiting.load(std::memory_order_relaxed);
    stats.open = line.open.load(std::memory_order_relaxed);
    stats.begun = line.tickets;
    stats.served = line.served;
    stats.worst_ns = line.worst_ns;
    leave();
    return stats;
}

}  // namespace bounce
