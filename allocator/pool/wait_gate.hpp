// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The lock around a queue of waiters that nobody who frees ever waits for. States of its word: held or not, wanted or
// not. Who frees says that a look is wanted; when somebody holds it already, that is all: the holder cannot leave it
// before it has looked. Who adds or takes away a waiter waits until it is not held.
//
// No lost wake-up. Everything is in one word, so "wanted" is either seen by the holder's leave(), which then fails, or
// comes after it, and finds the gate open. Linearization points: want() and leave().
// A holder that stops delays the wake-ups of others, and those who want to wait or to cancel; nobody who maps or frees.
// A template over the atomics, so that a model runs the same code (tests/model/wait_model.cpp).
#pragma once

#include <atomic>
#include <cstdint>

namespace bounce {

template <class Policy>
class WaitGate {
public:
    WaitGate() noexcept { word_.store(0, std::memory_order_relaxed); }

    /// Once; pause() is called in between.
    template <class Pause>
    void enter(Pause&& pause) noexcept {
        for (;;) {
            std::uint32_t open = word_.load(std::memory_order_relaxed) & ~kHeld;
            // G1: acquire, pairs with G3 in leave(): what the last holder did with the queue.
            if (word_.compare_exchange_strong(open, open | kHeld, std::memory_order_acquire, std::memory_order_relaxed))
                return;
            pause();
        }
    }
    /// True: the caller holds it now, and has to look. False: somebody else will.
    bool want() noexcept {
        // G2: seq_cst, the last step of who brought something home (W2 in slot_ops.hpp comes before it); acquire, pairs
        // with G3; release, pairs with G4: the holder finds what came home.
        return (word_.fetch_or(kHeld | kWanted, std::memory_order_seq_cst) & kHeld) == 0;
    }
    /// The holder is about to look.
    void looking() noexcept {
        // G4: acquire, pairs with G2 in want().
        word_.fetch_and(~kWanted, std::memory_order_acq_rel);
    }
    /// False: a look is wanted since looking(); it is still held.
    bool leave() noexcept {
        std::uint32_t held = kHeld;
        // G3: release, pairs with G1 and G2.
        return word_.compare_exchange_strong(held, 0, std::memory_order_acq_rel, std::memory_order_acquire);
    }

private:
    static constexpr std::uint32_t kHeld = 1;
    static constexpr std::uint32_t kWanted = 2;

    typename Policy::template Atomic<std::uint32_t> word_;
};

}  // namespace bounce
