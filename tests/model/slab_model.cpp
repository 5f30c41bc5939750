// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Slabs and runs under Relacy, which runs every interleaving that its scheduler picks and every value that the memory
// model allows a load to return. Two size classes and a run fight for two pages: a small slab has one of them, a large
// one both. Their bits are in a word for each page, or all in one word. SlotOps and HomeIndex are the code that ships;
// the lines around them follow slab_fast.hpp, slab_life.cpp and slab_slow.cpp call by call. The page map has a model of
// its own (page_map_model.cpp); here it is one word.
//
// Shown for all schedules tried: a slot or page has one holder at a time, who sees what the one before wrote; when all
// is home, every slab is found and can be killed, also after a thread has stopped for ever in the middle of a doubt;
// and nobody goes on remembering a failure after something has come home.
//
// Broken on purpose, in each of several ways, it must fail; so it does look.
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "tests/model/relacy_policy.hpp"

#include "allocator/slab/home_index.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {
namespace {

enum class Broken {
    kNothing,
    kNoSecondLook,    // at a slab that was put in doubt
    kNoDoubt,         // taken away, then looked at again
    kNoSecondChunk,   // look at a chunk that was put in doubt
    kNoChunkDoubt,    // as kNoDoubt
    kBirthQuiet,      // a page that is still listed is not listed again
    kClaimTrusted,    // no look at the shape afterwards
    kKillTrusted,     // the same
    kBackUnlisted,    // what a killer did not need
    kBackToSeen,      // what was taken of another slab is listed as if it were of the one that was seen
    kBackToOne,       // what was taken of two slabs is listed as if it were of one
    kBirthStored,     // over the bits of a neighbour
    kKillWhole,       // words, with the bits of a neighbour
    kBackUnnoted,     // nobody is told of it
    kPublishUnnoted,  // of a slab that was born
    kFreedUnnoted,    // of slots that came home
};
Broken g_broken = Broken::kNothing;
// Somebody stops in a doubt, which is never ended.
bool g_stops = false;

using Ops = SlotOps<RelacyAtomics>;

struct Geometry {
    static constexpr std::uint32_t kPages = 2;
    static constexpr std::uint32_t kPagesPerWord = 2;
    struct SetShape {
        static constexpr std::uint32_t kLeafBits = 2;
        static constexpr std::uint32_t kFan = 2;
        static constexpr std::uint32_t kTopWords = 1;
    };
};

class Home : public HomeIndex<RelacyAtomics, Geometry> {
    using Base = HomeIndex<RelacyAtomics, Geometry>;

public:
    using HomeIndex::HomeIndex;

    void list_born(std::uint32_t head, std::uint32_t size_class) {
        if (g_broken == Broken::kBirthQuiet) return list(head, size_class);
        Base::list_born(head, size_class);
    }

    template <class Look>
    void doubt(std::uint32_t head, Look&& look) {
        const bool known = g_broken == Broken::kNoSecondLook || g_broken == Broken::kNoDoubt;
        const bool stop = stops();
        if (!known && !stop) return Base::doubt(head, look);
        Word& word = word_of(head);
        const std::uint64_t doubt = g_broken == Broken::kNoDoubt ? 0 : doubted(head);
        std::uint64_t seen = word.load(std::memory_order_seq_cst);
        do {
            if ((seen & listed(head)) == 0 || (seen & doubted(head)) != 0) return;
        } while (!word.compare_exchange_weak(seen, (seen & ~listed(head)) | doubt, std::memory_order_seq_cst,
                                             std::memory_order_seq_cst));
        if (stop) {
            stopped = true;
            return;
        }
        const std::uint32_t size_class = g_broken == Broken::kNoSecondLook ? kNoClass : look(head);
        if (size_class != kNoClass) list(head, size_class);
        word.fetch_and(~doubted(head), std::memory_order_release);
    }

    template <class Belongs>
    void doubt_chunk(Set set, Belongs&& belongs) {
        const bool known = g_broken == Broken::kNoSecondChunk || g_broken == Broken::kNoChunkDoubt;
        const bool stop = stops();
        if (!known && !stop) return Base::doubt_chunk(set, 0, belongs);
        if (g_broken == Broken::kNoChunkDoubt) {
            if (!set.contains(listed_chunk(0))) return;
            set.erase(listed_chunk(0));
        } else if (!set.replace(listed_chunk(0), doubted_chunk(0))) {
            return;
        }
        if (stop) {
            stopped = true;
            return;
        }
        if (g_broken != Broken::kNoSecondChunk && visit_chunk(0, 0, belongs)) set.insert(listed_chunk(0));
        set.erase(doubted_chunk(0));
    }

    // The one chunk there is, as HomeIndex::visit() does it.
    template <class ClassAt, class Look, class Visitor>
    bool visit(std::uint32_t size_class, ClassAt&& class_at, Look&& look, Visitor&& visitor) {
        if (next_chunk(set_of(size_class), 0) != 0) return false;
        bool kept = false;
        const bool stopped_there = visit_chunk(0, 0, [&](std::uint32_t page) {
            const std::uint32_t is = class_at(page);
            if (is == kNoClass) doubt(page, look);
            if (is != size_class) return false;
            const Visit verdict = visitor(page);
            if (verdict == Visit::kEmpty) {
                doubt(page, look);
            } else {
                kept = true;
            }
            return verdict == Visit::kStop;
        });
        if (!kept) {
            doubt_chunk(set_of(size_class), [&](std::uint32_t page) { return class_at(page) == size_class; });
        }
        return stopped_there;
    }
    // The same, as visit_all() does it.
    template <class Visitor>
    void visit_all(Visitor&& visitor) {
        if (next_chunk(set_of_all(), 0) != 0) return;
        bool any = false;
        visit_chunk(0, 0, [&](std::uint32_t page) {
            any = true;
            visitor(page);
            return false;
        });
        if (!any) doubt_chunk(set_of_all(), [](std::uint32_t) { return true; });
    }

    bool stopped = false;

private:
    [[nodiscard]] bool stops() const { return g_stops && !stopped && rl::rand(2) != 0; }
};

constexpr std::uint32_t kSmall = 0;
constexpr std::uint32_t kLarge = 1;
constexpr std::uint32_t kClasses = 2;
constexpr std::uint32_t kPages = 2;

enum class Scene {
    kMixed,  // all of it
    kLeft,   // one page only, which is still listed from a slab that has died, as its chunk is; a slot is kept
    kHeld,   // a large slab is there, and somebody keeps a slot of one
};

/// kSmallSlots 1: a small slab is soon without a bit at home. 2: it has bits at home right after its birth, and shows
/// them to claimers that should not see it yet. 64: its word cannot be told from the first one of a large slab.
/// kDensity: how many bits there are for each page. A large slab of 65 slots has two words; with fewer, all slabs share
/// one.
template <std::uint32_t kSmallSlots, Scene kScene, std::uint32_t kDensity = 64, std::uint32_t kLargeSlots = 65>
class SlabModel : public rl::test_suite<SlabModel<kSmallSlots, kScene, kDensity, kLargeSlots>, 3> {
    static_assert(kSmallSlots <= kDensity && kLargeSlots <= 2 * kDensity);
    static constexpr std::uint32_t slots_of(std::uint32_t size_class) {
        return size_class == kSmall ? kSmallSlots : kLargeSlots;
    }
    static constexpr std::uint32_t pages_of(std::uint32_t size_class) { return size_class == kSmall ? 1 : 2; }

public:
    void before() {
        for (std::uint32_t page = 0; page < kPages; ++page) {
            words_[page].store(0, std::memory_order_relaxed);
            entries_[page].store(0, std::memory_order_relaxed);
            for (auto& state : states_[page]) state.store(0, std::memory_order_relaxed);
            for (auto& data : data_[page]) data(RL_INFO) = 0;
        }
        for (auto& word : home_words_) word.store(0, std::memory_order_relaxed);
        home_.emplace(home_words_, 1U);
        for (auto& current : current_) current.store(0, std::memory_order_relaxed);
        for (auto& exhausted : exhausted_) exhausted.store(0, std::memory_order_relaxed);
        pages_.store(0, std::memory_order_relaxed);
        epoch_.store(2, std::memory_order_relaxed);
        held_ = {};
        if (kScene == Scene::kHeld) use(kLarge);
        if (kScene != Scene::kLeft) return;
        use(kSmall);
        reap();
        home_->list(0, kSmall);
        RL_ASSERT(take_pages(1) == 0 && take_pages(1) == 1);
        free_pages(0, 1);
    }

    void thread(unsigned index) {
        if (kScene == Scene::kLeft) {
            if (index == 0) alloc(kSmall, held_);
            if (index == 1) use(kSmall);
            if (index == 2) {
                reap();
                use(kSmall);
            }
        } else if (kScene == Scene::kHeld) {
            if (index == 0) alloc(kLarge, held_);
            if (index == 1) use(kLarge);
            if (index == 2) half_kill();
        } else if (index == 0) {
            use(kSmall);
            use(kLarge);
        } else if (index == 1) {
            use(kLarge);
            use(kSmall);
        } else {
            reap();
            use_run();
            use(kSmall);
        }
    }

    void after() {
        if (held_.slot != kNoSlot) {
            // There are more at home; they are found, and nobody may be sure that there are none.
            const std::uint32_t size_class = kScene == Scene::kLeft ? kSmall : kLarge;
            if (slots_of(size_class) > 1) {
                Claimed other;
                RL_ASSERT(exhausted_[size_class].load(std::memory_order_relaxed) !=
                          epoch_.load(std::memory_order_relaxed));
                RL_ASSERT(search_slot(size_class, other) && other.head == held_.head);
                bring_home(other, size_class);
            }
            bring_home(held_, size_class);
            note_free();
        }
        for (auto& exhausted : exhausted_) {
            RL_ASSERT(exhausted.load(std::memory_order_relaxed) != epoch_.load(std::memory_order_relaxed));
        }
        if (rl::rand(2) != 0) reap();
        for (std::uint32_t size_class = 0; size_class < kClasses; ++size_class) kill_listed(size_class);
        RL_ASSERT(pages_.load(std::memory_order_relaxed) == (kScene == Scene::kLeft ? 2 : 0));
    }

private:
    struct Claimed {
        std::uint32_t head = 0;
        std::uint32_t slot = kNoSlot;
    };

    void use(std::uint32_t size_class) {
        Claimed got;
        if (!alloc(size_class, got)) return;
        // Who holds a slot keeps the slab as it is.
        RL_ASSERT(entries_[got.head].load(std::memory_order_relaxed) == entry_of(size_class, 0));
        RL_ASSERT(got.slot < slots_of(size_class));
        const std::uint32_t cell = got.slot == 64 ? 3 : got.slot;
        RL_ASSERT(cell < 4);
        const unsigned generation = Ops::take(states_[got.head][cell], 1);
        // Relacy reports a race when somebody else has the slot, or had it and is not known to be done.
        data_[got.head][cell](RL_INFO) = 1;
        RL_ASSERT(data_[got.head][cell](RL_INFO) == 1);
        data_[got.head][cell](RL_INFO) = 0;
        std::uint8_t seen = 0;
        RL_ASSERT(Ops::drop(states_[got.head][cell], 1, generation, seen));
        RL_ASSERT(!Ops::drop(states_[got.head][cell], 1, generation, seen));
        bring_home(got, size_class);
        if (g_broken != Broken::kFreedUnnoted) note_free();
    }
    void use_run() {
        const std::uint32_t head = take_pages(2);
        if (head == kNoPage) return;
        for (auto& page : data_) {
            for (auto& data : page) {
                RL_ASSERT(data(RL_INFO) == 0);
                data(RL_INFO) = 1;
                data(RL_INFO) = 0;
            }
        }
        free_pages(head, 2);
        note_free();
    }

    // slab_fast.hpp
    Visit claim_in(std::uint32_t head, std::uint32_t size_class, Claimed& got) {
        const std::uint32_t entry = entries_[head].load(std::memory_order_relaxed);
        if (!is_slab(entry)) return Visit::kEmpty;
        const typename Ops::Bits bits = bits_of(head, class_of(entry));
        std::uint32_t slot = kNoSlot;
        // Whoever asks for certain slots begins where he likes.
        const std::uint32_t last = bits.end - 1;
        if (class_of(entry) == kLarge && rl::rand(2) != 0 &&
            Ops::claim_bit(bits.words[last / 64], std::uint64_t{1} << last % 64)) {
            slot = kLargeSlots - 1;
        }
        if (slot == kNoSlot) slot = Ops::claim(bits);
        if (slot == kNoSlot) return Visit::kEmpty;
        const bool same = entries_[head].load(std::memory_order_relaxed) == entry;
        if (g_broken == Broken::kClaimTrusted || (class_of(entry) == size_class && same)) {
            got = {head, slot};
            return Visit::kStop;
        }
        const std::uint32_t at = bits.first + slot;
        put_back(head, bits, at / 64, std::uint64_t{1} << at % 64);
        note_free();
        return Visit::kKeep;
    }
    bool claim_current(std::uint32_t size_class, Claimed& got) {
        for (;;) {
            std::uint32_t current = current_[size_class].load(std::memory_order_acquire);
            if (current == 0) return false;
            const Visit verdict = claim_in(current - 1, size_class, got);
            if (verdict != Visit::kKeep) return verdict == Visit::kStop;
            forget_current(size_class, current);
        }
    }
    void forget_current(std::uint32_t size_class, std::uint32_t current) {
        current_[size_class].compare_exchange_strong(current, 0, std::memory_order_relaxed, std::memory_order_relaxed);
    }
    void bring_home(const Claimed& held, std::uint32_t size_class) {
        const std::uint32_t bit = held.head * kDensity + held.slot;
        Ops::give(words_[bit / 64], std::uint64_t{1} << bit % 64);
        home_->list(held.head, size_class);
    }
    // slab_core.cpp. `seen`: where they were thought to be of.
    void put_back(std::uint32_t seen, const typename Ops::Bits& taken_for, std::uint32_t index, std::uint64_t bits) {
        const auto word = static_cast<std::uint32_t>(taken_for.words - words_) + index;
        const auto page_of = [&](std::uint64_t of) {
            return (word * 64 + static_cast<std::uint32_t>(std::countr_zero(of))) / kDensity;
        };
        while (bits != 0) {
            const std::uint32_t page = page_of(bits);
            const std::uint32_t entry = entries_[page].load(std::memory_order_relaxed);
            const std::uint32_t head = g_broken == Broken::kBackToSeen ? seen : page - (entry & 1);
            std::uint64_t mine = bits & (0 - bits);
            for (std::uint64_t rest = bits & ~mine; rest != 0; rest &= rest - 1) {
                const std::uint32_t its = page_of(rest);
                const bool other = its - (entries_[its].load(std::memory_order_relaxed) & 1) != head;
                if (other && g_broken != Broken::kBackToSeen && g_broken != Broken::kBackToOne) break;
                mine |= rest & (0 - rest);
            }
            bits &= ~mine;
            Ops::give(words_[word], mine);
            if (g_broken != Broken::kBackUnlisted) home_->list(head, class_of(entry));
        }
    }
    void note_free() {
        std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
        if ((epoch & 1) == 0) return;
        epoch_.compare_exchange_strong(epoch, epoch + 1, std::memory_order_seq_cst, std::memory_order_relaxed);
    }
    // An entry: distance, class, and whether it is alive.
    static constexpr std::uint32_t entry_of(std::uint32_t size_class, std::uint32_t distance) {
        return 4 | size_class << 1 | distance;
    }
    static constexpr bool is_slab(std::uint32_t entry) { return (entry & 5) == 4; }
    static constexpr std::uint32_t class_of(std::uint32_t entry) { return entry >> 1 & 1; }
    typename Ops::Bits bits_of(std::uint32_t head, std::uint32_t size_class) {
        const std::uint32_t start = head * kDensity;
        return {&words_[start / 64], start % 64, start % 64 + slots_of(size_class)};
    }
    std::uint32_t class_at(std::uint32_t page) {
        const std::uint32_t entry = entries_[page].load(std::memory_order_relaxed);
        return is_slab(entry) ? class_of(entry) : Home::kNoClass;
    }
    std::uint32_t class_at_home(std::uint32_t page) {
        const std::uint32_t entry = entries_[page].load(std::memory_order_seq_cst);
        if (!is_slab(entry)) return Home::kNoClass;
        return Ops::any(bits_of(page, class_of(entry))) ? class_of(entry) : Home::kNoClass;
    }
    template <class Visitor>
    bool visit(std::uint32_t size_class, Visitor&& visitor) {
        return home_->visit(
            size_class, [this](std::uint32_t page) { return class_at(page); },
            [this](std::uint32_t page) { return class_at_home(page); }, visitor);
    }

    // slab_slow.cpp
    bool alloc(std::uint32_t size_class, Claimed& got) {
        if (claim_current(size_class, got)) return true;
        auto& exhausted = exhausted_[size_class];
        if (exhausted.load(std::memory_order_relaxed) == epoch_.load(std::memory_order_seq_cst)) return false;
        if (search_slot(size_class, got)) return true;
        const std::uint64_t epoch = epoch_.fetch_or(1, std::memory_order_seq_cst) | 1;
        if (search_slot(size_class, got)) return true;
        exhausted.store(epoch, std::memory_order_relaxed);
        return false;
    }
    bool search_slot(std::uint32_t size_class, Claimed& got) {
        const bool claimed = visit(size_class, [&](std::uint32_t head) {
            const Visit verdict = claim_in(head, size_class, got);
            if (verdict == Visit::kStop) current_[size_class].store(head + 1, std::memory_order_release);
            return verdict;
        });
        if (claimed) return true;
        std::uint32_t head = found_slab(size_class);
        if (head == kNoPage && reap()) head = found_slab(size_class);
        if (head == kNoPage) return false;
        got = {head, 0};
        current_[size_class].store(head + 1, std::memory_order_release);
        home_->list_born(head, size_class);
        if (g_broken != Broken::kPublishUnnoted) note_free();
        return true;
    }

    // Of a large slab, by somebody who takes his time and then misses the last bit: as the rare case of Ops::kill().
    void half_kill() {
        const typename Ops::Bits bits = bits_of(0, kLarge);
        const std::uint64_t most = bits.mask(0) & ~(std::uint64_t{1} << (kLargeSlots - 1) % 64);
        const std::uint64_t mask = kLargeSlots > 64 ? bits.mask(0) : most;
        const std::uint64_t got = words_[0].fetch_and(~mask, std::memory_order_acquire) & mask;
        for (int i = 0; i < 30; ++i) static_cast<void>(epoch_.load(std::memory_order_relaxed));
        if (got == 0) return;
        put_back(0, bits, 0, got);
        if (g_broken != Broken::kBackUnnoted) note_free();
    }

    // slab_life.cpp
    std::uint32_t found_slab(std::uint32_t size_class) {
        const std::uint32_t head = take_pages(pages_of(size_class));
        if (head == kNoPage) return head;
        for (std::uint32_t i = 0; i < pages_of(size_class); ++i) {
            entries_[head + i].store(entry_of(size_class, i), std::memory_order_relaxed);
        }
        const typename Ops::Bits bits = bits_of(head, size_class);
        if (g_broken != Broken::kBirthStored) {
            Ops::birth(bits);
            return head;
        }
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            const std::uint64_t mine = bits.mask(i);
            bits.words[i].store(i == 0 ? mine & (mine - 1) : mine, std::memory_order_release);
        }
        return head;
    }
    bool kill(std::uint32_t head) {
        const std::uint32_t entry = entries_[head].load(std::memory_order_relaxed);
        if (!is_slab(entry)) return false;
        const typename Ops::Bits bits = bits_of(head, class_of(entry));
        bool taken = false;
        const auto back = [&](std::uint32_t index, std::uint64_t got) {
            taken = true;
            put_back(head, bits, index, got);
        };
        const bool dead = Ops::kill(bits, back);
        if (dead && g_broken == Broken::kKillWhole) bits.words[0].store(0, std::memory_order_relaxed);
        const bool same =
            dead && (g_broken == Broken::kKillTrusted || entries_[head].load(std::memory_order_relaxed) == entry);
        if (dead && !same) {
            for (std::uint32_t i = 0; i < bits.count(); ++i) back(i, bits.mask(i));
        }
        if (!same) {
            if (taken && g_broken != Broken::kBackUnnoted) note_free();
            return false;
        }
        const std::uint32_t size_class = class_of(entry);
        forget_current(size_class, head + 1);
        home_->unlist_dead(head);
        for (std::uint32_t i = 0; i < pages_of(size_class); ++i) {
            entries_[head + i].store(entries_[head + i].load(std::memory_order_relaxed) & 3, std::memory_order_relaxed);
        }
        free_pages(head, pages_of(size_class));
        note_free();
        return true;
    }
    bool reap() {
        bool killed = false;
        home_->visit_all([&](std::uint32_t head) { killed = kill(head) || killed; });
        return killed;
    }
    // By way of the sets.
    void kill_listed(std::uint32_t size_class) {
        visit(size_class, [&](std::uint32_t head) {
            kill(head);
            return Visit::kKeep;
        });
    }

    // The page map: what it promises, and no more.
    std::uint32_t take_pages(std::uint32_t count) {
        std::uint64_t seen = pages_.load(std::memory_order_seq_cst);
        for (;;) {
            const std::uint64_t mask = count == 2 ? 3 : (seen & 1) == 0 ? 1 : 2;
            if ((seen & mask) != 0) return kNoPage;
            if (pages_.compare_exchange_strong(seen, seen | mask, std::memory_order_seq_cst,
                                               std::memory_order_seq_cst)) {
                return mask == 2 ? 1 : 0;
            }
        }
    }
    void free_pages(std::uint32_t start, std::uint32_t count) {
        pages_.fetch_and(~((count == 2 ? std::uint64_t{3} : std::uint64_t{1}) << start), std::memory_order_seq_cst);
    }

    Ops::Word words_[kPages];
    RelacyAtomics::Atomic<std::uint32_t> entries_[kPages];
    Ops::State states_[kPages][4];
    rl::var<int> data_[kPages][4];
    Home::Word home_words_[Home::words_needed(1, kClasses)];
    std::optional<Home> home_;
    RelacyAtomics::Atomic<std::uint32_t> current_[kClasses];
    RelacyAtomics::Atomic<std::uint64_t> exhausted_[kClasses];
    RelacyAtomics::Atomic<std::uint64_t> pages_;
    RelacyAtomics::Atomic<std::uint64_t> epoch_;
    Claimed held_;
};

/// Random schedules: there are too many steps for all of them.
bool all_hold(rl::iteration_t iterations, bool quiet) {
    for (const bool stops : {false, true}) {
        g_stops = stops;
        if (!holds_in_random<SlabModel<1, Scene::kMixed>>(iterations, quiet) ||
            !holds_in_random<SlabModel<2, Scene::kMixed>>(iterations, quiet) ||
            !holds_in_random<SlabModel<64, Scene::kMixed>>(iterations, quiet) ||
            !holds_in_random<SlabModel<1, Scene::kLeft>>(iterations, quiet) ||
            !holds_in_random<SlabModel<2, Scene::kLeft>>(iterations, quiet) ||
            !holds_in_random<SlabModel<1, Scene::kHeld>>(iterations, quiet) ||
            !holds_in_random<SlabModel<1, Scene::kMixed, 1, 2>>(iterations, quiet) ||
            !holds_in_random<SlabModel<2, Scene::kMixed, 2, 3>>(iterations, quiet) ||
            !holds_in_random<SlabModel<2, Scene::kHeld, 2, 3>>(iterations, quiet)) {
            return false;
        }
    }
    return true;
}

}  // namespace
}  // namespace bounce

int main(int argc, char** argv) {
    using namespace bounce;
    const auto iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000ULL;
    bool good = all_hold(iterations, false);
    std::printf("slab_model: %s\n", good ? "ok" : "FAILED");
    const auto must_fail = [&](const char* name) {
        const bool missed = all_hold(iterations, true);
        std::printf("slab_model, %s: %s\n", name, missed ? "NOT NOTICED" : "fails, as it must");
        good = good && !missed;
    };
    for (const auto& [weakened, name] : {std::pair{Weakened::kRelease, "without release"},
                                         {Weakened::kAcquire, "without acquire"},
                                         {Weakened::kSeqCst, "without seq_cst"}}) {
        g_weakened = weakened;
        must_fail(name);
    }
    g_weakened = Weakened::kNothing;
    for (const auto& [broken, name] : {std::pair{Broken::kNoSecondLook, "no second look at a slab in doubt"},
                                       {Broken::kNoDoubt, "unlisted without a doubt"},
                                       {Broken::kNoSecondChunk, "no second look at a chunk in doubt"},
                                       {Broken::kNoChunkDoubt, "chunk unlisted without a doubt"},
                                       {Broken::kBirthQuiet, "a birth that writes no list"},
                                       {Broken::kClaimTrusted, "no look at the shape after a claim"},
                                       {Broken::kKillTrusted, "no look at the shape after a kill"},
                                       {Broken::kBackUnlisted, "what is given back is not listed"},
                                       {Broken::kBackToSeen, "or as of the slab that was seen"},
                                       {Broken::kBackToOne, "or as of one slab, when it is of two"},
                                       {Broken::kBirthStored, "a birth stores over its neighbours"},
                                       {Broken::kKillWhole, "a kill takes its neighbours' bits"},
                                       {Broken::kBackUnnoted, "nor told of"},
                                       {Broken::kPublishUnnoted, "a birth is not told of"},
                                       {Broken::kFreedUnnoted, "a free is not told of"}}) {
        g_broken = broken;
        must_fail(name);
    }
    return good ? 0 : 1;
}
