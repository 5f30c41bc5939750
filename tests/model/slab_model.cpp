// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The lock-free part of the slab pool under Relacy, which runs every interleaving that its scheduler picks and every
// value that the memory model allows a load to return. Two size classes fight for one page: slabs of either are born
// there, are claimed from, and die. SlotOps is the code that ships; the few lines around it follow slab_core.cpp,
// slab_life.cpp and slab_slow.cpp call by call.
//
// Weakened on purpose, each kind of order in turn, it must fail; so it does look.
//
// Shown for all schedules tried: a slot has one holder at a time, who sees what the one before wrote; and when all is
// home, the slab can be killed, so nothing was stranded outside the lists.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/model/relacy_policy.hpp"

#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Ops = SlotOps<RelacyAtomics>;

constexpr std::uint32_t kNowhere = 0;
constexpr std::uint32_t kCurrent = 1;
constexpr std::uint32_t kPartial = 2;
// A class's number is the number of slots of its slabs; shape 0 is a dead slab.
constexpr std::uint32_t kClasses = 4;

/// kSmall 1: a slab is soon without a bit at home, and has to be found again. kSmall 2: a slab has bits at home right
/// after its birth, and shows them to claimers that should not see it yet.
template <std::uint32_t kSmall>
class SlabModel : public rl::test_suite<SlabModel<kSmall>, 3> {
    static constexpr std::uint32_t kLarge = kSmall + 1;

public:
    void before() {
        word_.store(0, std::memory_order_relaxed);
        shape_.store(0, std::memory_order_relaxed);
        listing_.store(0, std::memory_order_relaxed);
        returned_.store(0, std::memory_order_relaxed);
        for (auto& current : current_) current.store(0, std::memory_order_relaxed);
        for (auto& state : states_) state.store(0, std::memory_order_relaxed);
        for (auto& data : data_) data(RL_INFO) = 0;
        place_(RL_INFO) = kNowhere;
        page_free_(RL_INFO) = 1;
    }

    void thread(unsigned index) {
        if (index == 0) {
            use(kSmall);
            use(kLarge);
        } else if (index == 1) {
            use(kLarge);
            use(kSmall);
        } else {
            lock_.lock(RL_INFO);
            reap();
            lock_.unlock(RL_INFO);
            use(kLarge);
        }
    }

    void after() {
        lock_.lock(RL_INFO);
        reap();
        lock_.unlock(RL_INFO);
        RL_ASSERT(page_free_(RL_INFO) == 1);
    }

private:
    void use(std::uint32_t size_class) {
        const std::uint32_t slot = alloc(size_class);
        if (slot == kNoSlot) return;
        // Who holds a slot keeps the slab as it is.
        RL_ASSERT(shape_.load(std::memory_order_relaxed) == size_class);
        const unsigned generation = Ops::take(states_[slot], 1);
        // Relacy reports a race when somebody else has the slot, or had it and is not known to be done.
        data_[slot](RL_INFO) = 1;
        RL_ASSERT(data_[slot](RL_INFO) == 1);
        data_[slot](RL_INFO) = 0;
        std::uint8_t seen = 0;
        RL_ASSERT(Ops::drop(states_[slot], 1, generation, seen));
        RL_ASSERT(!Ops::drop(states_[slot], 1, generation, seen));
        give_home(std::uint64_t{1} << slot);
    }

    // slab_core.cpp
    std::uint32_t claim_current(std::uint32_t size_class) {
        for (;;) {
            if (current_[size_class].load(std::memory_order_acquire) == 0) return kNoSlot;
            const std::uint32_t slots = shape_.load(std::memory_order_relaxed);
            const std::uint32_t slot = Ops::claim(&word_, Ops::words_of(slots));
            if (slot == kNoSlot) return kNoSlot;
            const std::uint32_t shape = shape_.load(std::memory_order_relaxed);
            if (shape == size_class && slot < shape) return slot;
            give_home(std::uint64_t{1} << slot);
        }
    }

    void give_home(std::uint64_t bits) {
        if (!Ops::give(word_, bits)) return;
        if (Ops::must_return(listing_)) push_returned();
    }

    void push_returned() {
        std::uint32_t top = returned_.load(std::memory_order_relaxed);
        do {
            next_returned_(RL_INFO) = top;
        } while (!returned_.compare_exchange_weak(top, 1, std::memory_order_release, std::memory_order_relaxed));
    }

    // slab_slow.cpp
    std::uint32_t alloc(std::uint32_t size_class) {
        const std::uint32_t fast = claim_current(size_class);
        if (fast != kNoSlot) return fast;
        lock_.lock(RL_INFO);
        const std::uint32_t slot = search_slot(size_class);
        lock_.unlock(RL_INFO);
        return slot;
    }

    std::uint32_t search_slot(std::uint32_t size_class) {
        do {
            const std::uint32_t slot = claim_current(size_class);
            if (slot != kNoSlot) return slot;
        } while (advance(size_class));
        bool born = found_slab(size_class);
        if (!born && reap()) born = found_slab(size_class);
        if (!born) return kNoSlot;
        place_(RL_INFO) = kCurrent;
        current_[size_class].store(1, std::memory_order_release);
        return 0;
    }

    // slab_life.cpp
    bool found_slab(std::uint32_t size_class) {
        if (page_free_(RL_INFO) == 0) return false;
        page_free_(RL_INFO) = 0;
        shape_.store(size_class, std::memory_order_relaxed);
        place_(RL_INFO) = kNowhere;
        auto expected = static_cast<std::uint32_t>(Listing::kUnlisted);
        listing_.compare_exchange_strong(expected, static_cast<std::uint32_t>(Listing::kListed),
                                         std::memory_order_seq_cst, std::memory_order_seq_cst);
        Ops::birth(&word_, size_class, 1);
        return true;
    }

    void bury() {
        shape_.store(0, std::memory_order_relaxed);
        place_(RL_INFO) = kNowhere;
        auto expected = static_cast<std::uint32_t>(Listing::kListed);
        listing_.compare_exchange_strong(expected, static_cast<std::uint32_t>(Listing::kUnlisted),
                                         std::memory_order_seq_cst, std::memory_order_seq_cst);
        page_free_(RL_INFO) = 1;
    }

    bool reap() {
        drain_returned();
        const std::uint32_t shape = shape_.load(std::memory_order_relaxed);
        if (shape == 0 || place_(RL_INFO) == kNowhere || !Ops::kill(&word_, shape)) return false;
        if (place_(RL_INFO) == kCurrent) current_[shape].store(0, std::memory_order_relaxed);
        bury();
        return true;
    }

    bool advance(std::uint32_t size_class) {
        drain_returned();
        if (current_[size_class].load(std::memory_order_relaxed) != 0) {
            current_[size_class].store(0, std::memory_order_relaxed);
            place_(RL_INFO) = kNowhere;
            const std::uint32_t slots = shape_.load(std::memory_order_relaxed);
            if (!Ops::unlist(listing_, &word_, Ops::words_of(slots))) place_(RL_INFO) = kPartial;
        }
        if (place_(RL_INFO) != kPartial || shape_.load(std::memory_order_relaxed) != size_class) return false;
        place_(RL_INFO) = kCurrent;
        current_[size_class].store(1, std::memory_order_release);
        return true;
    }

    void drain_returned() {
        std::uint32_t at = returned_.exchange(0, std::memory_order_acquire);
        while (at != 0) {
            at = next_returned_(RL_INFO);
            const bool alive = shape_.load(std::memory_order_relaxed) != 0;
            listing_.store(static_cast<std::uint32_t>(alive ? Listing::kListed : Listing::kUnlisted),
                           std::memory_order_seq_cst);
            if (alive && place_(RL_INFO) == kNowhere) place_(RL_INFO) = kPartial;
        }
    }

    Ops::Word word_;
    RelacyAtomics::Atomic<std::uint32_t> shape_;
    Ops::ListingWord listing_;
    RelacyAtomics::Atomic<std::uint32_t> returned_;
    RelacyAtomics::Atomic<std::uint32_t> current_[kClasses];
    Ops::State states_[kClasses];
    rl::var<int> data_[kClasses];
    rl::var<std::uint32_t> next_returned_;
    // Under the page lock:
    rl::mutex lock_;
    rl::var<std::uint32_t> place_;
    rl::var<std::uint32_t> page_free_;
};

/// Random schedules as many as asked for, and all those with at most two preemptions.
bool all(rl::iteration_t iterations) {
    const bool quiet = g_weakened != Weakened::kNothing;
    return holds_in_random<SlabModel<1>>(iterations, quiet) && holds_in_random<SlabModel<2>>(iterations, quiet) &&
           holds_in_all<SlabModel<1>>(2, quiet) && holds_in_all<SlabModel<2>>(2, quiet);
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    const auto iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000ULL;
    bool good = bounce::all(iterations);
    std::printf("slab_model: %s\n", good ? "ok" : "FAILED");
    for (const auto& [weakened, name] : {std::pair{bounce::Weakened::kRelease, "release"},
                                         {bounce::Weakened::kAcquire, "acquire"},
                                         {bounce::Weakened::kSeqCst, "seq_cst"}}) {
        bounce::g_weakened = weakened;
        const bool missed = bounce::all(iterations);
        std::printf("slab_model without %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
        good = good && !missed;
    }
    return good ? 0 : 1;
}
