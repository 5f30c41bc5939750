// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Growing and draining under Relacy. SlotOps, PageMap and ServiceSignal are the code that ships; the lines around them
// follow slab_core.cpp, slab_drain.cpp, pool_regions.cpp and pool_service.cpp call by call.
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
#include <optional>

#include "tests/model/relacy_policy.hpp"

#include "allocator/pool/service_signal.hpp"
#include "allocator/slab/page_map.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

using Ops = SlotOps<RelacyAtomics>;

enum class Broken {
    kNothing,
    kNotClosed,
    kNotTakenApart,
    kAdmitsAll,  // no look at the gate after a claim
    kNotHeld,    // what the gate does not admit is kept for ever
    kEmptiedLast,
    kLooksFirst
};
Broken g_broken = Broken::kNothing;

/// A chunk of one word of two pages.
struct Geometry {
    static constexpr std::uint32_t kWordBits = 2;
    static constexpr std::uint32_t kWords = 1;
    static constexpr std::uint32_t kFillBuckets = 1;
    static constexpr std::uint32_t kCandidates = 1;
    static constexpr std::uint32_t kCandidatesAcross = 1;
    static constexpr std::int32_t kLooks = 100;
    static constexpr std::int32_t kLeastLooks = 100;
    static constexpr std::int32_t kLooksForBits = 0;
    static constexpr std::uint32_t kRecovered = 1;
    struct SetShape {
        static constexpr std::uint32_t kLeafBits = 1;
        static constexpr std::uint32_t kFan = 2;
        static constexpr std::uint32_t kTopWords = 1;
    };
};
class Gate : public PageGate<RelacyAtomics, Geometry> {
public:
    using PageGate::PageGate;

    [[nodiscard]] bool admits(std::uint32_t ticket_before, std::uint32_t start, std::uint32_t pages) const noexcept {
        return g_broken == Broken::kAdmitsAll || PageGate::admits(ticket_before, start, pages);
    }
    void hold(std::size_t word, std::uint64_t mask) noexcept {
        if (g_broken != Broken::kNotHeld) PageGate::hold(word, mask);
    }
};
using Bits = PageBits<RelacyAtomics, Geometry>;
using Map = PageMap<RelacyAtomics, Geometry, Bits, PageIndex<RelacyAtomics, Geometry, Bits>, Gate>;

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
        for (auto& word : map_words_) word.store(0, std::memory_order_relaxed);
        map_.emplace(0U, 1U, map_words_);
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
        // Nothing was lost: once more it is emptied, and comes back.
        map_->close();
        RL_ASSERT(sweep());
        map_->reopen();
        bool unsettled = false;
        RL_ASSERT(map_->alloc({.pages = 1}, unsettled) == 0);
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
        return Ops::claim({&word_, 0, slots});
    }
    std::uint32_t alloc() {
        const std::uint32_t fast = claim_current();
        if (fast != kNoSlot) return fast;
        bool unsettled = false;
        if (map_->alloc({.pages = 1}, unsettled) == kNoPage) return kNoSlot;
        shape_.store(kSlots, std::memory_order_relaxed);
        Ops::birth({&word_, 0, kSlots});
        current_.store(1, std::memory_order_release);
        return 0;
    }

    // slab_drain.cpp
    bool sweep() {
        const bool is_slab = shape_.load(std::memory_order_relaxed) != 0;
        const auto back = [this](std::uint32_t, std::uint64_t bits) { Ops::give(word_, bits); };
        if (g_broken == Broken::kNotTakenApart) {
            return is_slab ? word_.load(std::memory_order_acquire) == (1U << kSlots) - 1 : map_->drain() == 0;
        }
        if (is_slab && Ops::kill({&word_, 0, kSlots}, back)) {
            current_.store(0, std::memory_order_relaxed);
            shape_.store(0, std::memory_order_relaxed);
            map_->free(0, 1);
        }
        return map_->drain() == 0;
    }

    // pool_regions.cpp
    void drain() {
        accepted_.store(0, std::memory_order_release);
        if (g_broken != Broken::kNotClosed) map_->close();
        bool empty = false;
        for (int tries = 0; tries < 2 && !empty; ++tries) empty = sweep();
        if (empty) {
            memory_(RL_INFO) = 0;
            memory_(RL_INFO) = 1;
            map_->restart();
            map_->reopen();
            map_->extend(1, true);
        } else {
            map_->reopen();
        }
        accepted_.store(1, std::memory_order_release);
    }

    Ops::Word word_;
    RelacyAtomics::Atomic<std::uint32_t> shape_;
    RelacyAtomics::Atomic<std::uint32_t> current_;
    RelacyAtomics::Atomic<std::uint32_t> accepted_;
    Ops::State states_[kSlots];
    rl::var<int> memory_;
    Map::Word map_words_[Map::words_needed(1)];
    std::optional<Map> map_;
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
    return holds_in_random<Model>(iterations, quiet) && holds_in_all<Model>(1, quiet);
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
    const auto n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4000ULL;
    bool good = all<DrainModel>(n);
    std::printf("grow_model, drain: %s\n", good ? "ok" : "FAILED");
    const bool told = all<SignalModel>(n);
    std::printf("grow_model, signal: %s\n", told ? "ok" : "FAILED");
    good = good && told;
    good = noticed<DrainModel>("that is not closed", Broken::kNotClosed, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("that is not taken apart", Broken::kNotTakenApart, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("that does not ask the gate", Broken::kAdmitsAll, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("that keeps what is not admitted", Broken::kNotHeld, Weakened::kNothing, n) && good;
    good = noticed<DrainModel>("without seq_cst", Broken::kNothing, Weakened::kSeqCst, n) && good;
    good = noticed<DrainModel>("without acquire", Broken::kNothing, Weakened::kAcquire, n) && good;
    good = noticed<SignalModel>("that empties the event last", Broken::kEmptiedLast, Weakened::kNothing, n) && good;
    good = noticed<SignalModel>("that looks before it raises", Broken::kLooksFirst, Weakened::kNothing, n) && good;
    return good ? 0 : 1;
}
