// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Contexts under Relacy: owners pop and push while others want the contexts empty. MarkOps is the code that ships; the
// lines around it follow pool_fast.hpp, pool_alloc.cpp, pool_contexts.cpp and contexts.hpp call by call, with stacks of
// plain variables. The heavy barrier and the light one are both a seq_cst fence here: that of an owner costs nothing
// because membarrier(2) runs it on the owner's processor, between two of its instructions.
//
// Shown for all schedules tried: a slot has one holder, who sees what the one before wrote; an owner and who empties
// its context never touch the stack at the same time; who is told that all contexts are empty and finds nothing at home
// can rely on it; and what is freed after that is found by whoever looks next.
//
// Broken on purpose, each step in turn, it must fail; so it does look.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/model/relacy_policy.hpp"

#include "allocator/slab/context.hpp"

namespace bounce {
namespace {

enum class Broken {
    kNothing,
    kNoLightBarrier,
    kNoHeavyBarrier,
    kLooksFirst,      // at attention, then marks
    kNeverLooks,      // at attention
    kNotReleased,     // the mark
    kNotExclusive,    // taken by several at once
    kFullAfterwards,  // set when attention has ended
    kFullForEver,     // not cleared by a free
};
Broken g_broken = Broken::kNothing;

struct Policy : RelacyAtomics {
    static void light_barrier() {
        if (g_broken != Broken::kNoLightBarrier) rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO);
    }
    static void heavy_barrier() {
        if (g_broken != Broken::kNoHeavyBarrier) rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO);
    }
};

struct Ops : MarkOps<Policy> {
    static bool enter(Word& mark, const Word& attention) {
        const bool looks_first = g_broken == Broken::kLooksFirst;
        if (!looks_first && g_broken != Broken::kNeverLooks) return MarkOps::enter(mark, attention);
        if (looks_first && attention.load(std::memory_order_acquire) != 0) return false;
        mark.store(1, std::memory_order_relaxed);
        Policy::light_barrier();
        return true;
    }
    static void leave(Word& mark) {
        if (g_broken != Broken::kNotReleased) return MarkOps::leave(mark);
        mark.store(0, std::memory_order_relaxed);
    }
    static bool take(Word& taken) { return g_broken == Broken::kNotExclusive || MarkOps::take(taken); }
};

constexpr std::uint32_t kFull = std::uint32_t{1} << 31;

/// One slot, in the first owner's context. kReclaimers of the threads use no context: they look for it at home, and
/// then want the contexts empty; the others are owners.
template <unsigned kOwners, unsigned kReclaimers>
class ContextModel
    : public rl::test_suite<ContextModel<kOwners, kReclaimers>, static_cast<int>(kOwners + kReclaimers)> {
    struct Kept {
        typename Ops::Word mark;
        typename Ops::Word taken;
        rl::var<int> count;
    };

public:
    void before() {
        for (auto& context : contexts_) {
            context.mark.store(0, std::memory_order_relaxed);
            context.taken.store(0, std::memory_order_relaxed);
            context.count(RL_INFO) = 0;
        }
        attention_.store(0, std::memory_order_relaxed);
        home_.store(0, std::memory_order_relaxed);
        data_(RL_INFO) = 0;
        contexts_[0].count(RL_INFO) = 1;
        kept_ = 1;
        held_ = 0;
    }

    void thread(unsigned index) {
        if (index < kOwners) {
            for (int round = 0; round < 2; ++round) use(&contexts_[index]);
        } else {
            use(nullptr);
        }
    }

    void after() {
        // Whoever waited for a slot looks again: nothing is stranded.
        RL_ASSERT(take_last());
        RL_ASSERT(kept_ == 0);
        // Now the pool is full, until somebody frees.
        RL_ASSERT(!take_last() && attention_.load(std::memory_order_relaxed) == kFull);
        give_home();
        RL_ASSERT(attention_.load(std::memory_order_relaxed) == 0);
        RL_ASSERT(take_last());
    }

private:
    void use(Kept* own) {
        if (!alloc(own)) return;
        // Relacy runs one thread at a time.
        RL_ASSERT(held_++ == 0);
        // It reports a race when somebody else has the slot, or had it and is not known to be done.
        data_(RL_INFO) = data_(RL_INFO) + 1;
        --held_;
        free(own);
    }

    bool alloc(Kept* own) {
        if (own == nullptr) return take_last();
        if (Ops::enter(own->mark, attention_)) {
            const bool any = own->count(RL_INFO) != 0;
            if (any) {
                own->count(RL_INFO) = 0;
                --kept_;
            }
            Ops::leave(own->mark);
            if (any) return true;
        } else {
            heed_attention(*own);
        }
        return take_home();
    }

    void free(Kept* own) {
        if (own != nullptr && Ops::enter(own->mark, attention_)) {
            RL_ASSERT(own->count(RL_INFO) == 0);
            own->count(RL_INFO) = 1;
            ++kept_;
            Ops::leave(own->mark);
            return;
        }
        if (own != nullptr) heed_attention(*own);
        give_home();
    }

    bool take_home() {
        std::uint32_t one = 1;
        return home_.load(std::memory_order_seq_cst) == 1 &&
               home_.compare_exchange_strong(one, 0, std::memory_order_acquire, std::memory_order_relaxed);
    }

    void give_home() {
        RL_ASSERT(home_.fetch_add(1, std::memory_order_seq_cst) == 0);
        if (g_broken == Broken::kFullForEver) return;
        if ((attention_.load(std::memory_order_acquire) & kFull) != 0) {
            attention_.fetch_and(~kFull, std::memory_order_acq_rel);
        }
    }

    void empty(Kept& context) {
        if (context.count(RL_INFO) == 0) return;
        context.count(RL_INFO) = 0;
        --kept_;
        give_home();
    }

    void heed_attention(Kept& own) {
        if (!Ops::take(own.taken)) return;
        if (Ops::idle(own.mark)) empty(own);
        Ops::give_up(own.taken);
    }

    bool take_last() {
        bool taken = take_home();
        for (int tries = 0; tries < 2 && !taken && (attention_.load(std::memory_order_acquire) & kFull) == 0; ++tries) {
            taken = take_after_visit();
        }
        return taken;
    }

    bool take_after_visit() {
        Ops::begin_attention(attention_);
        Policy::heavy_barrier();
        bool all_of_them = true;
        for (auto& context : contexts_) {
            if (!Ops::idle(context.mark) || !Ops::take(context.taken)) {
                all_of_them = false;
                continue;
            }
            empty(context);
            Ops::give_up(context.taken);
        }
        const bool taken = take_home();
        const bool full = !taken && all_of_them;
        if (full) {
            // Nothing was in a context, and nobody could put anything in.
            RL_ASSERT(kept_ == 0);
            if (g_broken != Broken::kFullAfterwards) attention_.fetch_or(kFull, std::memory_order_release);
        }
        Ops::end_attention(attention_);
        if (full && g_broken == Broken::kFullAfterwards) attention_.fetch_or(kFull, std::memory_order_release);
        return taken;
    }

    Kept contexts_[kOwners];
    typename Ops::Word attention_;
    RelacyAtomics::Atomic<std::uint32_t> home_;
    rl::var<int> data_;
    int kept_ = 0;  // in contexts
    int held_ = 0;
};

bool all(rl::iteration_t iterations) {
    const bool quiet = g_broken != Broken::kNothing || g_weakened != Weakened::kNothing;
    return holds_in_all<ContextModel<1, 1>>(3, quiet) && holds_in_random<ContextModel<1, 2>>(iterations, quiet) &&
           holds_in_random<ContextModel<2, 1>>(iterations, quiet) &&
           holds_in_random<ContextModel<2, 2>>(iterations, quiet) && holds_in_all<ContextModel<1, 2>>(1, quiet);
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    using namespace bounce;
    const auto iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000ULL;
    bool good = all(iterations);
    std::printf("context_model: %s\n", good ? "ok" : "FAILED");
    const auto must_fail = [&](const char* name) {
        const bool missed = all(iterations);
        std::printf("context_model, %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
        good = good && !missed;
    };
    for (const auto& [broken, name] : {std::pair{Broken::kNoLightBarrier, "no barrier of the owner"},
                                       {Broken::kNoHeavyBarrier, "no heavy barrier"},
                                       {Broken::kLooksFirst, "attention looked at before the mark"},
                                       {Broken::kNeverLooks, "attention not looked at"},
                                       {Broken::kNotReleased, "mark not released"},
                                       {Broken::kNotExclusive, "taken not exclusive"},
                                       {Broken::kFullAfterwards, "full set after attention ended"},
                                       {Broken::kFullForEver, "full not cleared by a free"}}) {
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
