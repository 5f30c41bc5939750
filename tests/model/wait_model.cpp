// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Who waits and who frees, under Relacy. WaitGate and MarkOps are the code that ships; the lines around them follow
// waiters.cpp, contexts.hpp, pool_alloc.cpp and pool_waiting.cpp call by call, with one slot and a queue of two. The
// heavy barrier and the light one are both a seq_cst fence here, as in context_model.cpp.
//
// Shown for all schedules tried: whoever waits has been given the slot when all others are done, wherever the slot was:
// at home, in the context of somebody who does nothing more, on its way between the two, or in the hands of somebody
// who freed it just then; and the gate keeps the queue to one at a time.
//
// Broken on purpose, each step in turn, it must fail; so it does look.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/model/relacy_policy.hpp"

#include "allocator/pool/wait_gate.hpp"
#include "allocator/slab/context.hpp"

namespace bounce {
namespace {

enum class Broken {
    kNothing,
    kLooksFirst,       // at home, then says that it waits
    kNoHeavyBarrier,   // before contexts are emptied
    kNotEmptied,       // contexts
    kNoLook,           // after a free
    kLooksBefore,      // at attention before the slot is home
    kWantedForgotten,  // who holds the gate does not look again
    kGateOpen,         // anybody may look
};
Broken g_broken = Broken::kNothing;

struct Policy : RelacyAtomics {
    static void light_barrier() { rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO); }
    static void heavy_barrier() {
        if (g_broken != Broken::kNoHeavyBarrier) rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO);
    }
};
using Ops = MarkOps<Policy>;

constexpr std::uint32_t kWaiting = std::uint32_t{1} << 30;

/// The slot is in the hands of the last thread, which frees it; the others wait for it.
template <unsigned kWaiters>
class WaitModel : public rl::test_suite<WaitModel<kWaiters>, static_cast<int>(kWaiters + 1)> {
public:
    void before() {
        mark_.store(0, std::memory_order_relaxed);
        taken_.store(0, std::memory_order_relaxed);
        attention_.store(0, std::memory_order_relaxed);
        home_.store(0, std::memory_order_relaxed);
        kept_(RL_INFO) = 0;
        first_(RL_INFO) = 0;
        length_(RL_INFO) = 0;
        for (auto& given : given_) given = false;
    }

    void thread(unsigned index) {
        if (index == kWaiters) {
            free(true);
        } else {
            wait(index);
        }
    }

    void after() {
        // Nobody does anything more: each of them has been given it, one after the other, or will be when the one
        // before gives it back. So one has it, and at rest nothing is at home.
        int has = 0;
        for (const bool given : given_) has += given ? 1 : 0;
        RL_ASSERT(has == 1);
        RL_ASSERT(home_.load(std::memory_order_relaxed) == 0);
    }

private:
    void wait(unsigned index) {
        if (g_broken == Broken::kLooksFirst && take_home()) {
            given_[index] = true;
            return;
        }
        enter();
        queue_[(first_(RL_INFO) + length_(RL_INFO)) % kWaiters](RL_INFO) = static_cast<int>(index);
        const bool first = length_(RL_INFO) == 0;
        length_(RL_INFO) = length_(RL_INFO) + 1;
        if (first) attention_.fetch_or(kWaiting, std::memory_order_seq_cst);
        leave();
        if (first) {
            // settle()
            while (!empty_contexts()) rl::yield(1, RL_INFO);
        }
        if (g_broken == Broken::kLooksFirst) return;
        enter();
        serve();
        leave();
    }

    void free(bool with_context) {
        if (with_context && Ops::enter(mark_, attention_)) {
            kept_(RL_INFO) = 1;
            Ops::leave(mark_);
            return;
        }
        if (g_broken == Broken::kLooksBefore) {
            look();
            give_home();
            return;
        }
        give_home();
        if (g_broken != Broken::kNoLook) look();
    }

    void give_home() { home_.fetch_or(1, std::memory_order_seq_cst); }
    bool take_home() {
        return home_.load(std::memory_order_seq_cst) != 0 && home_.fetch_and(0, std::memory_order_acquire) != 0;
    }

    bool empty_contexts() {
        if (g_broken == Broken::kNotEmptied) return true;
        Ops::begin_attention(attention_);
        Policy::heavy_barrier();
        const bool idle = Ops::idle(mark_) && Ops::take(taken_);
        if (idle) {
            if (kept_(RL_INFO) != 0) {
                kept_(RL_INFO) = 0;
                give_home();
            }
            Ops::give_up(taken_);
        }
        Ops::end_attention(attention_);
        return idle;
    }

    void look() {
        if ((attention_.load(std::memory_order_seq_cst) & kWaiting) == 0) return;
        if (!gate_.want() && g_broken != Broken::kGateOpen) return;
        gate_.looking();
        serve();
        leave();
    }

    void enter() {
        gate_.enter([] { rl::yield(1, RL_INFO); });
    }
    void leave() {
        while (!gate_.leave()) {
            gate_.looking();
            if (g_broken != Broken::kWantedForgotten) serve();
        }
    }

    void serve() {
        if (length_(RL_INFO) == 0 || !take_home()) return;
        given_[queue_[first_(RL_INFO) % kWaiters](RL_INFO)] = true;
        first_(RL_INFO) = first_(RL_INFO) + 1;
        length_(RL_INFO) = length_(RL_INFO) - 1;
        if (length_(RL_INFO) == 0) attention_.fetch_and(~kWaiting, std::memory_order_acq_rel);
    }

    Ops::Word mark_;
    Ops::Word taken_;
    Ops::Word attention_;
    RelacyAtomics::Atomic<std::uint32_t> home_;
    rl::var<int> kept_;
    WaitGate<RelacyAtomics> gate_;
    rl::var<unsigned> first_;
    rl::var<unsigned> length_;
    rl::var<int> queue_[kWaiters];
    bool given_[kWaiters];
};

bool all(rl::iteration_t iterations) {
    const bool quiet = g_broken != Broken::kNothing || g_weakened != Weakened::kNothing;
    return holds_in_all<WaitModel<1>>(3, quiet) && holds_in_random<WaitModel<2>>(iterations, quiet) &&
           holds_in_all<WaitModel<2>>(2, quiet);
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    using namespace bounce;
    const auto iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 50000ULL;
    bool good = all(iterations);
    std::printf("wait_model: %s\n", good ? "ok" : "FAILED");
    const auto must_fail = [&](const char* name) {
        const bool missed = all(iterations);
        std::printf("wait_model, %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
        good = good && !missed;
    };
    for (const auto& [broken, name] : {std::pair{Broken::kLooksFirst, "memory looked for before it is said who waits"},
                                       {Broken::kNoHeavyBarrier, "no heavy barrier"},
                                       {Broken::kNotEmptied, "contexts not emptied"},
                                       {Broken::kNoLook, "no look after a free"},
                                       {Broken::kLooksBefore, "the look before the free"},
                                       {Broken::kWantedForgotten, "a look that was wanted is forgotten"},
                                       {Broken::kGateOpen, "a gate that keeps nobody out"}}) {
        g_broken = broken;
        must_fail(name);
    }
    g_broken = Broken::kNothing;
    g_weakened = Weakened::kRelease;
    must_fail("without release");
    g_weakened = Weakened::kAcquire;
    must_fail("without acquire");
    return good ? 0 : 1;
}
