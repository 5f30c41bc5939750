// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The page map under Relacy, which runs every interleaving that its scheduler picks and every value that the memory
// model allows a load to return. It is the code that ships, with chunks of two words of two pages and without its last
// resort (PageMap::recover()), which would put right what the protocol is to keep right.
//
// Shown for all schedules tried: a page has one holder at a time, who sees what the one before wrote; when all is free
// again it is found, chunk by chunk and in one run; and a caller that remembers a failure does not remember it wrongly
// for good.
//
// Broken on purpose, in each of several ways, it must fail; so it does look.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "allocator/slab/page_map.hpp"
#include "tests/model/relacy_policy.hpp"

namespace bounce {
namespace {

/// What the code does wrong.
enum class Broken {
    kNothing,
    kRollbackTooMuch,  // clears bits that it did not set
    kRollbackNothing,
    kUnsettledIgnored,  // nobody is told that what was missed is there
    kHintStored,        // not compared
    kWithdrawnBlindly,  // without the second look
};
Broken g_broken = Broken::kNothing;

struct Geometry {
    static constexpr std::uint32_t kWordBits = 2;
    static constexpr std::uint32_t kWords = 2;
    static constexpr std::uint32_t kFillBuckets = 1;
    static constexpr std::uint32_t kCandidates = 1;
    static constexpr std::uint32_t kCandidatesAcross = 1;
    static constexpr std::int32_t kLooks = 100;
    static constexpr std::int32_t kLeastLooks = 100;
    static constexpr std::int32_t kLooksForBits = 0;
    static constexpr std::uint32_t kRecovered = 0;
    struct SetShape {
        static constexpr std::uint32_t kLeafBits = 1;
        static constexpr std::uint32_t kFan = 2;
        static constexpr std::uint32_t kTopWords = 1;
    };
};

class Bits : public PageBits<RelacyAtomics, Geometry> {
public:
    using PageBits::PageBits;

    Claim claim(std::uint32_t start, std::uint32_t pages) noexcept {
        if (g_broken != Broken::kRollbackTooMuch && g_broken != Broken::kRollbackNothing) {
            return PageBits::claim(start, pages);
        }
        const std::uint32_t end = start + pages;
        for (std::uint32_t at = start; at < end;) {
            const Piece piece(at, end);
            if (!take(words_[piece.word], piece.mask)) {
                if (g_broken == Broken::kRollbackTooMuch) release(start, at + piece.pages - start);
                return {false, at};
            }
            at += piece.pages;
        }
        return {true, end};
    }
};

class Index : public PageIndex<RelacyAtomics, Geometry, Bits> {
public:
    using PageIndex::PageIndex;

    void refresh(std::uint32_t chunk, const Bits& bits, bool& unsettled) noexcept {
        if (g_broken != Broken::kHintStored && g_broken != Broken::kWithdrawnBlindly) {
            return PageIndex::refresh(chunk, bits, unsettled);
        }
        std::uint64_t seen = hints_[chunk].load(std::memory_order_acquire);
        PageHint next;
        do {
            next = make_hint(bits.view(chunk).summary(), PageHint::unpack(seen).next_sequence());
            if (g_broken == Broken::kHintStored) {
                hints_[chunk].store(next.pack(), std::memory_order_seq_cst);
                break;
            }
        } while (!hints_[chunk].compare_exchange_weak(seen, next.pack(), std::memory_order_seq_cst,
                                                      std::memory_order_acquire));
        const std::uint32_t was_in = set_of(PageHint::unpack(seen));
        list(chunk, next);
        if (was_in == kNoSet || was_in == set_of(next)) return;
        if (g_broken == Broken::kWithdrawnBlindly) {
            set_at(was_in).erase(chunk);
        } else {
            withdraw(chunk, was_in, unsettled);
        }
    }
};

using Map = PageMap<RelacyAtomics, Geometry, Bits, Index>;
constexpr std::uint32_t kChunk = Map::kPages;

/// A region of kChunks chunks, and what a caller does with it.
template <std::uint32_t kChunks>
class Region {
protected:
    static constexpr std::uint32_t kPages = kChunks * kChunk;

    void set_up() {
        for (auto& word : words_) word.store(0, std::memory_order_relaxed);
        for (auto& data : data_) data(RL_INFO) = 0;
        epoch_.store(2, std::memory_order_relaxed);
        map_.emplace(0U, kPages, words_);
    }

    std::uint32_t take(const PageWish& wish) {
        bool unsettled = false;
        const std::uint32_t start = map_->alloc(wish, unsettled);
        if (unsettled && g_broken != Broken::kUnsettledIgnored) note_free();
        if (start == kNoPage) return start;
        for (std::uint32_t i = start; i < start + wish.pages; ++i) {
            // Relacy reports a race when somebody else has the page, or had it and is not known to be done.
            RL_ASSERT(data_[i](RL_INFO) == 0);
            data_[i](RL_INFO) = 1;
        }
        return start;
    }
    void give(std::uint32_t start, std::uint32_t pages) {
        for (std::uint32_t i = start; i < start + pages; ++i) data_[i](RL_INFO) = 0;
        map_->free(start, pages);
        note_free();
    }
    void use(const PageWish& wish) {
        const std::uint32_t start = take(wish);
        if (start != kNoPage) give(start, wish.pages);
    }

    // slab_core.hpp and slab_slow.cpp: a failure is remembered until something is freed. The epoch in which it was, or
    // 0.
    std::uint64_t fail(const PageWish& wish) {
        std::uint32_t start = take(wish);
        std::uint64_t epoch = 0;
        if (start == kNoPage) {
            epoch = epoch_.fetch_or(1, std::memory_order_seq_cst) | 1;
            start = take(wish);
        }
        if (start == kNoPage) return epoch;
        give(start, wish.pages);
        return 0;
    }
    void note_free() {
        std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
        if ((epoch & 1) == 0) return;
        epoch_.compare_exchange_strong(epoch, epoch + 1, std::memory_order_seq_cst, std::memory_order_relaxed);
    }
    [[nodiscard]] bool still_failed(std::uint64_t epoch) const {
        return epoch != 0 && epoch == epoch_.load(std::memory_order_seq_cst);
    }

    void all_is_free_and_found() {
        RL_ASSERT(map_->free_pages() == kPages);
        std::uint32_t starts[kChunks];
        for (auto& start : starts) RL_ASSERT((start = take({.pages = kChunk})) != kNoPage);
        for (const auto start : starts) give(start, kChunk);
        RL_ASSERT(take({.pages = kPages}) == 0);
    }

    Map::Word words_[Map::words_needed(kPages)];
    rl::var<int> data_[kPages];
    RelacyAtomics::Atomic<std::uint64_t> epoch_;
    std::optional<Map> map_;
};

/// Runs over words and over the border of the two chunks, in each other's way.
class Runs : public rl::test_suite<Runs, 3>, Region<2> {
public:
    void before() { set_up(); }
    void thread(unsigned index) {
        if (index == 0) {
            use({.pages = 3});
            use({.pages = 6});
        } else if (index == 1) {
            use({.pages = 5});
            use({.pages = 1});
        } else {
            use({.pages = 2});
            use({.pages = 3});
        }
    }
    void after() { all_is_free_and_found(); }
};

/// One chunk: its hint and its sets are all that is fought for.
class Hints : public rl::test_suite<Hints, 3>, Region<1> {
public:
    void before() { set_up(); }
    void thread(unsigned index) {
        if (index == 0) {
            use({.pages = 1});
            use({.pages = 2});
        } else if (index == 1) {
            use({.pages = 2, .align = 2});
            use({.pages = 1});
        } else {
            use({.pages = 1});
        }
    }
    void after() { all_is_free_and_found(); }
};

/// A claim that fails half way is what makes another caller fail, and that one must come to know.
class Rollback : public rl::test_suite<Rollback, 3>, Region<1> {
public:
    void before() {
        set_up();
        RL_ASSERT(take({.pages = 1}) == 0);
        failed_(RL_INFO) = 0;
    }
    void thread(unsigned index) {
        if (index == 0) {
            failed_(RL_INFO) = fail(kFirstTwo);
        } else if (index == 1) {
            use({.pages = 3});
        } else {
            held_(RL_INFO) = take({.pages = 2, .align = 2});
        }
    }
    void after() {
        if (still_failed(failed_(RL_INFO))) RL_ASSERT(take(kFirstTwo) == kNoPage);
        if (held_(RL_INFO) != kNoPage) give(held_(RL_INFO), 2);
        give(0, 1);
        all_is_free_and_found();
    }

private:
    static constexpr PageWish kFirstTwo{.pages = 1, .last = 1};
    rl::var<std::uint64_t> failed_;
    rl::var<std::uint32_t> held_;
};

/// What is freed while somebody looks for the last time is found, or ends the epoch.
class LastLook : public rl::test_suite<LastLook, 2>, Region<1> {
public:
    void before() {
        set_up();
        RL_ASSERT(take({.pages = kChunk}) == 0);
        failed_(RL_INFO) = 0;
    }
    void thread(unsigned index) {
        if (index == 0) {
            failed_(RL_INFO) = fail({.pages = 2});
        } else {
            give(0, 1);
            give(1, 3);
        }
    }
    void after() {
        RL_ASSERT(!still_failed(failed_(RL_INFO)));
        all_is_free_and_found();
    }

private:
    rl::var<std::uint64_t> failed_;
};

/// Somebody fails while others take a part of what he looks for, and leave the rest.
class Taken : public rl::test_suite<Taken, 3>, Region<2> {
public:
    void before() {
        set_up();
        const std::uint32_t start = take({.pages = 2 * kChunk});
        RL_ASSERT(start == 0);
        give(1, 3);
        give(kChunk, 3);
        failed_(RL_INFO) = 0;
    }
    void thread(unsigned index) {
        if (index == 0) {
            failed_(RL_INFO) = fail({.pages = 1});
        } else {
            held_[index - 1](RL_INFO) = take({.pages = 4 - index});
        }
    }
    void after() {
        if (still_failed(failed_(RL_INFO))) RL_ASSERT(take({.pages = 1}) == kNoPage);
        for (std::uint32_t i = 0; i < 2; ++i) {
            if (held_[i](RL_INFO) != kNoPage) give(held_[i](RL_INFO), 3 - i);
        }
        give(0, 1);
        give(2 * kChunk - 1, 1);
        all_is_free_and_found();
    }

private:
    rl::var<std::uint64_t> failed_;
    rl::var<std::uint32_t> held_[2];
};

/// The same, where nothing was ever used.
class Birth : public rl::test_suite<Birth, 2>, Region<1> {
public:
    void before() {
        set_up();
        failed_(RL_INFO) = 0;
    }
    void thread(unsigned index) {
        if (index == 0) {
            failed_(RL_INFO) = fail({.pages = 1});
        } else {
            held_(RL_INFO) = take({.pages = 1});
        }
    }
    void after() {
        if (still_failed(failed_(RL_INFO))) RL_ASSERT(take({.pages = 1}) == kNoPage);
        if (held_(RL_INFO) != kNoPage) give(held_(RL_INFO), 1);
        all_is_free_and_found();
    }

private:
    rl::var<std::uint64_t> failed_;
    rl::var<std::uint32_t> held_;
};

bool all_hold(rl::iteration_t iterations, bool quiet) {
    // What makes others fail needs many threads at their places at once: more schedules.
    return holds_in_all<LastLook>(2, quiet) && holds_in_all<Birth>(1, quiet) &&
           holds_in_random<Hints>(iterations, quiet) && holds_in_random<Runs>(iterations, quiet) &&
           holds_in_random<Taken>(iterations, quiet) && holds_in_random<Rollback>(10 * iterations, quiet);
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    using namespace bounce;
    const auto iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000ULL;
    bool good = all_hold(iterations, false);
    std::printf("page_map_model: %s\n", good ? "ok" : "FAILED");
    const auto must_fail = [&](const char* name) {
        const bool missed = all_hold(iterations, true);
        std::printf("page_map_model, %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
        good = good && !missed;
    };
    for (const auto& [weakened, name] : {std::pair{Weakened::kRelease, "without release"},
                                         {Weakened::kAcquire, "without acquire"},
                                         {Weakened::kSeqCst, "without seq_cst"}}) {
        g_weakened = weakened;
        must_fail(name);
    }
    g_weakened = Weakened::kNothing;
    for (const auto& [broken, name] : {std::pair{Broken::kRollbackTooMuch, "rollback of what was not claimed"},
                                       {Broken::kRollbackNothing, "no rollback"},
                                       {Broken::kUnsettledIgnored, "unsettled ignored"},
                                       {Broken::kHintStored, "hint stored, not compared"},
                                       {Broken::kWithdrawnBlindly, "no second look at the hint"}}) {
        g_broken = broken;
        must_fail(name);
    }
    return good ? 0 : 1;
}
