// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Growing and draining under Relacy. SlotOps and ServiceSignal are the code that ships; the lines around them follow
// slab_core.cpp, slab_drain.cpp, pool_regions.cpp and pool_service.cpp call by call.
//
// DrainModel: two threads allocate, use and free, while a third drains the region, takes its memory away and brings
// other memory in its place. Shown for all schedules tried: nobody has a slot of memory that is not there, and the
// memory goes only after whoever used it is done.
//
// SignalModel: two threads want service while a third serves. Shown: what it did not see is told by the event, which is
// written to at most once between two services.
//
// Broken on purpose, each step in turn, they must fail; so they do look.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/model/relacy_policy.hpp"

#include "allocator/pool/service_signal.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Ops = SlotOps<RelacyAtomics>;

enum class Broken { kNothing, kNotClosed, kNotTakenApart, kEmptiedLast, kLooksFirst };
Broken g_broken = Broken::kNothing;

constexpr std::uint32_t kSlots = 2;

/// A region of one page, of which one class makes slabs. (How slabs are listed is slab_model.cpp's business.)
class DrainModel : public rl::test_suite<DrainModel, 3> {
public:
    void before() {
        word_.store(0, std::memory_order_relaxed);
        shape_.store(0, std::memory_order_relaxed);
        current_.store(0, std::memory_order_relaxed);
        accepted_.store(1, std::memory_order_relaxed);
        for (auto& state : states_) state.store(0, std::memory_order_relaxed);
        memory_(RL_INFO) = 1;
        page_free_(RL_INFO) = 1;
        closed_(RL_INFO) = 0;
    }

    void thread(unsigned index) {
        if (index < 2) {
            use();
            use();
        } else {
            drain();
        }
    }

    void after() {
        lock_.lock(RL_INFO);
        RL_ASSERT(sweep());
        lock_.unlock(RL_INFO);
    }

private:
    void use() {
        if (accepted_.load(std::memory_order_acquire) == 0) return;
        const std::uint32_t slot = alloc();
        if (slot == kNoSlot) return;
        const unsigned generation = Ops::take(states_[slot], 1);
        // Relacy reports a race when the memory goes, or comes, and this thread is not known to be done, or to come
        // after.
        RL_ASSERT(memory_(RL_INFO) == 1);
        std::uint8_t seen = 0;
        RL_ASSERT(Ops::drop(states_[slot], 1, generation, seen));
        Ops::give(word_, std::uint64_t{1} << slot);
    }

    // slab_fast.hpp and slab_slow.cpp
    std::uint32_t claim_current() {
        if (current_.load(std::memory_order_acquire) == 0) return kNoSlot;
        const std::uint32_t slots = shape_.load(std::memory_order_relaxed);
        return Ops::claim(&word_, Ops::words_of(slots));
    }
    std::uint32_t alloc() {
        const std::uint32_t fast = claim_current();
        if (fast != kNoSlot) return fast;
        lock_.lock(RL_INFO);
        std::uint32_t slot = claim_current();
        if (slot == kNoSlot && page_free_(RL_INFO) == 1 && closed_(RL_INFO) == 0) {
            page_free_(RL_INFO) = 0;
            shape_.store(kSlots, std::memory_order_relaxed);
            Ops::birth(&word_, kSlots, 1);
            current_.store(1, std::memory_order_release);
            slot = 0;
        }
        lock_.unlock(RL_INFO);
        return slot;
    }

    // slab_drain.cpp
    bool sweep() {
        if (page_free_(RL_INFO) == 1) return true;
        if (g_broken == Broken::kNotTakenApart) {
            return word_.load(std::memory_order_acquire) == Ops::full_word(kSlots, 0);
        }
        if (!Ops::kill(&word_, kSlots)) return false;
        current_.store(0, std::memory_order_relaxed);
        shape_.store(0, std::memory_order_relaxed);
        page_free_(RL_INFO) = 1;
        return true;
    }
    void close(int closed) {
        lock_.lock(RL_INFO);
        closed_(RL_INFO) = closed;
        lock_.unlock(RL_INFO);
    }

    // pool_regions.cpp
    void drain() {
        accepted_.store(0, std::memory_order_release);
        if (g_broken != Broken::kNotClosed) close(1);
        bool empty = false;
        for (int tries = 0; tries < 2 && !empty; ++tries) {
            lock_.lock(RL_INFO);
            empty = sweep();
            lock_.unlock(RL_INFO);
        }
        if (empty) {
            memory_(RL_INFO) = 0;
            memory_(RL_INFO) = 1;
        }
        close(0);
        accepted_.store(1, std::memory_order_release);
    }

    Ops::Word word_;
    RelacyAtomics::Atomic<std::uint32_t> shape_;
    RelacyAtomics::Atomic<std::uint32_t> current_;
    RelacyAtomics::Atomic<std::uint32_t> accepted_;
    Ops::State states_[kSlots];
    rl::var<int> memory_;
    // Under the page lock:
    rl::mutex lock_;
    rl::var<int> page_free_;
    rl::var<int> closed_;
};

class SignalModel : public rl::test_suite<SignalModel, 3> {
public:
    void before() {
        used_.store(0, std::memory_order_relaxed);
        hint_.store(0, std::memory_order_relaxed);
        event_.store(0, std::memory_order_relaxed);
        seen_ = 0;
        unread_ = 0;
    }

    void thread(unsigned index) {
        if (index < 2) {
            want();
        } else {
            serve();
            serve();
        }
    }

    void after() {
        // Nobody waits for ever.
        RL_ASSERT(seen_ == used_.load(std::memory_order_relaxed) || event_.load(std::memory_order_relaxed) == 1);
    }

private:
    void want() {
        used_.fetch_add(1, std::memory_order_relaxed);
        if (g_broken == Broken::kLooksFirst) {
            if (hint_.load(std::memory_order_relaxed) == 1) return;
            hint_.store(1, std::memory_order_relaxed);
        }
        if (!signal_.raise()) return;
        // At most one write between two services.
        RL_ASSERT(unread_++ == 0);
        event_.store(1, std::memory_order_seq_cst);  // the kernel's
    }

    void serve() {
        if (g_broken != Broken::kEmptiedLast) event_.exchange(0, std::memory_order_seq_cst);
        hint_.store(0, std::memory_order_relaxed);
        signal_.lower();
        unread_ = 0;
        if (g_broken == Broken::kEmptiedLast) event_.exchange(0, std::memory_order_seq_cst);
        seen_ = used_.load(std::memory_order_relaxed);
    }

    RelacyAtomics::Atomic<std::uint32_t> used_;
    RelacyAtomics::Atomic<std::uint32_t> hint_;
    RelacyAtomics::Atomic<std::uint32_t> event_;
    ServiceSignal<RelacyAtomics> signal_;
    std::uint32_t seen_ = 0;
    int unread_ = 0;  // Relacy runs one thread at a time
};

template <class Model>
bool all(rl::iteration_t iterations) {
    const bool quiet = g_broken != Broken::kNothing || g_weakened != Weakened::kNothing;
    return holds_in_random<Model>(iterations, quiet) && holds_in_all<Model>(2, quiet);
}

template <class Model>
bool noticed(const char* name, Broken broken, Weakened weakened, rl::iteration_t iterations) {
    g_broken = broken;
    g_weakened = weakened;
    const bool missed = all<Model>(iterations);
    std::printf("grow_model %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
    g_broken = Broken::kNothing;
    g_weakened = Weakened::kNothing;
    return !missed;
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    using namespace bounce;
    const auto n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000ULL;
    bool good = all<DrainModel>(n);
    std::printf("grow_model, drain: %s\n", good ? "ok" : "FAILED");
    const bool told = all<SignalModel>(n);
    std::printf("grow_model, signal: %s\n", told ? "ok" : "FAILED");
    good = good && told;
    good = noticed<DrainModel>("that is not closed", Broken::kNotClosed, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("that is not taken apart", Broken::kNotTakenApart, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("without acquire", Broken::kNothing, Weakened::kAcquire, n) && good;
    good = noticed<SignalModel>("that empties the event last", Broken::kEmptiedLast, Weakened::kNothing, n) && good;
    good = noticed<SignalModel>("that looks before it raises", Broken::kLooksFirst, Weakened::kNothing, n) && good;
    return good ? 0 : 1;
}
