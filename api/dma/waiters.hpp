// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Requests that wait for memory of a pool: a line for each device, first come, first served, and the lines take turns.
// One of these for a pool.
//
// Hand-over. Memory is taken for the first of a line under the gate (WaitGate), by whoever brought something home: the
// waiter finds it taken. So nobody overtakes by being faster, and who wakes up has not woken up in vain.
//
// A request: in line -> ready (served, refused or cancelled). Blocking ones sleep on their state. The others are due,
// then called in the thread that made them ready, after it has left the gate; each call is on a list meanwhile, so that
// who ends a wait can wait for the call. What becomes due inside a call is called by the same thread after it returns,
// not inside of it: so calls do not nest, however many waits are resumed by each other.
//
// The first that waits has to know that nothing is left in contexts, or on its way there: settle(). Until that is done
// (somebody is stopped in the middle of an operation), each look tries it once more.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "allocator/pool/pool.hpp"
#include "allocator/pool/wait_gate.hpp"
#include "allocator/stats/histogram.hpp"
#include "bounce/waiting.h"

namespace bounce {

struct WaitLine;

/// A request. In memory of the caller's, which stays until it has ended.
struct Waiter {
    enum State : std::uint32_t { kQueued, kReady };

    Wish wish;
    bool blocking = false;
    // Not blocking: what to do when it is ready, each may be none.
    bounce_wait_fn ready = nullptr;
    void* user = nullptr;
    bounce_wait* handle = nullptr;
    int fd = -1;

    // W1: release in make_ready(), pairs with the acquire of who sees kReady: code and slot are there. A futex, too.
    std::atomic<std::uint32_t> state{kQueued};
    int code = 0;  // 0: the slot is taken for it
    Slot slot;

    // Under the gate.
    WaitLine* line = nullptr;
    Waiter* next = nullptr;  // in line, or due
    Waiter* before = nullptr;
    bool in_line = false;
    bool due = false;
    std::uint64_t since_ns = 0;
    std::uint64_t ticket = 0;  // in which order they came to their line, and were served; from 1
    std::uint64_t turn = 0;

    [[nodiscard]] bool is_ready() const noexcept { return state.load(std::memory_order_acquire) == kReady; }  // W1
};

/// Requests in a row.
struct WaiterList {
    Waiter* first = nullptr;
    Waiter* last = nullptr;

    void push(Waiter& waiter) noexcept;
    void remove(Waiter& waiter) noexcept;
};

/// Of a device.
struct WaitLine {
    explicit WaitLine(ContextGroup& of, std::uint32_t id = 0) noexcept : group(of), device(id) {}

    ContextGroup& group;
    const std::uint32_t device;  // Device::id()
    WaiterList waiters;          // under the gate, as all that follows
    WaitLine* next = nullptr;    // in the ring of those in which somebody waits
    WaitLine* before = nullptr;
    std::uint64_t tickets = 0;
    std::uint64_t served = 0;
    std::uint64_t worst_ns = 0;
    std::atomic<std::uint64_t> open{0};  // waits that have not ended
    Log2Histogram waited;                // ns, of those that were served; read by anybody
};

class Waiters final : public HomeWatch {
public:
    /// Of this pool, which owns it; nullptr: no memory.
    static Waiters* of(Pool& pool) noexcept;
    explicit Waiters(Pool& pool) noexcept : pool_(pool) {}

    /// Gets in line. True: it is ready already, and there will be no call.
    bool add(WaitLine& line, Waiter& waiter) noexcept;
    /// Blocks until it is ready or the time (CLOCK_MONOTONIC; ~0: none) has come; then it has ended, and is ready or
    /// not.
    bool wait(Waiter& waiter, std::uint64_t until_ns) noexcept;
    /// Takes it out of the line, if it is there, and waits for its call, if another thread is in it.
    void end(Waiter& waiter) noexcept;
    std::uint64_t cancel_all(WaitLine& line) noexcept;
    [[nodiscard]] bounce_wait_stats stats(const WaitLine& line) noexcept;

    void look() noexcept override;

private:
    /// A callback that a thread is in, or a write to an eventfd.
    struct Call {
        const Waiter* waiter;
        std::thread::id thread;
        Call* next;
    };

    void enter() noexcept;
    void leave() noexcept;
    void serve() noexcept;
    bool serve_first(WaitLine& line) noexcept;
    void make_ready(Waiter& waiter, int code) noexcept;
    void take_out(Waiter& waiter) noexcept;
    void list(WaitLine& line) noexcept;
    void unlist(WaitLine& line) noexcept;
    void deliver() noexcept;
    [[nodiscard]] bool called_by_other(const Waiter& waiter) const noexcept;
    [[nodiscard]] bool calling() const noexcept;
    bool settle_once() noexcept;
    void settle() noexcept;

    Pool& pool_;
    WaitGate<StdAtomics> gate_;
    // Under the gate.
    WaitLine* turn_ = nullptr;  // whose turn it is; nullptr: nobody waits
    std::uint64_t round_ = 0;   // times that somebody began to wait while nobody did
    WaiterList due_;
    Call* calls_ = nullptr;
    // Relaxed: hints for who is not in the gate; looked at again there.
    std::atomic<std::uint32_t> due_count_{0};
    std::atomic<bool> settled_{true};
};

}  // namespace bounce
