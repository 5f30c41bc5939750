// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The lock-free part of a slab: a bit and a state byte per slot.
//
// Bits. 1: the slot is at home, free for whoever clears the bit. 0: handed out, on its way home, or no slot at all.
//   claim()  anyone, lock-free: compare-exchange 1 -> 0. The bit cleared is the linearization point of an allocation.
//   give()   the holder, wait-free: fetch_or of bits that are 0. The bit set is the linearization point of a free.
//   kill()   anyone, wait-free: takes word by word all bits of a slab; if one was missing, gives the others back. The
//            last word taken whole is the linearization point of the slab's death. Of several killers the one that has
//            the first word goes on, the others get nothing and stop. While it holds bits, claimers miss them.
//   birth()  the holder of the pages: fetch_or of the bits of a new slab.
// Who holds one bit keeps the slab as it is; who holds all of them owns it. The words stay words for ever, whatever
// slabs they belong to; slabs that are neighbours may share one. Who read which slab to use before that slab died may
// therefore take bits of another one, or (kill) of several: it must look at the slab's shape again after its claim, or
// kill, and give the bits back when it is another.
//
// State. One byte {kind, generation}, written by who holds the bit. drop() is a compare-exchange that moves the
// generation on, so of two frees with one token the first wins and the second changes nothing. A slot of kind 1 is
// handed out without a write: its state says what that of a free slot does, and only who was handed it has a token of
// that generation. (Two threads that hand slots to each other would else fight for the line that has 64 of them.) The
// generation outlives the slab. A stale token is taken for the current one when the slot was reused an exact multiple
// of 64 times since, or by chance when other slabs were born over its address meanwhile (a token has 6 bits of the
// slot's generation and 2 of the page's births).
//
// How a slab that has bits at home is found is home_index.hpp's business.
//
// A thread that stops between claim() and take(), or drop() and give(), leaves one slot handed out, in kill() those
// that it has taken, and nothing blocked.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace bounce {

struct StdAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    /// Keeps the compiler from moving memory accesses over it. (Not an atomic_thread_fence, no instruction.)
    static void light_barrier() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }
};

inline constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};
inline constexpr std::uint32_t kGenerations = 64;

/// The state byte of a slot. One of kind 1 looks like one that is free: to hand it out nothing has to be written.
constexpr std::uint8_t make_state(unsigned kind, unsigned generation) {
    return static_cast<std::uint8_t>((kind == 1 ? 0 : kind) << 6 | (generation & (kGenerations - 1)));
}
/// In the state of what looks like the last slot of a slab and is its tail: no token is like that.
inline constexpr std::uint8_t kTailMark = 1 << 6;
/// 0: kind 1, or free.
constexpr unsigned state_kind(std::uint8_t state) {
    return state >> 6;
}
constexpr unsigned state_generation(std::uint8_t state) {
    return state & (kGenerations - 1);
}

template <class Policy>
struct SlotOps {
    using Word = typename Policy::template Atomic<std::uint64_t>;
    using State = typename Policy::template Atomic<std::uint8_t>;

    /// The bits of one slab: from bit `first` of the first word on, one for each slot. The words at both ends may have
    /// bits of other slabs too.
    struct Bits {
        Word* words = nullptr;
        std::uint32_t first = 0;
        std::uint32_t end = 0;  // behind the last one, counted from where the first word begins

        [[nodiscard]] constexpr std::uint32_t count() const noexcept { return (end + 63) / 64; }  // of words
        /// Those that word `index` has.
        [[nodiscard]] constexpr std::uint64_t mask(std::uint32_t index) const noexcept {
            const std::uint64_t from = ~std::uint64_t{0} << (index == 0 ? first : 0);
            const std::uint32_t rest = end - index * 64;
            return rest >= 64 ? from : from & ((std::uint64_t{1} << rest) - 1);
        }
        [[nodiscard]] constexpr std::uint32_t slot(std::uint32_t index, std::uint64_t bit) const noexcept {
            return index * 64 + static_cast<std::uint32_t>(std::countr_zero(bit)) - first;
        }
    };

    [[nodiscard]] static constexpr std::uint64_t lowest(std::uint64_t bits) noexcept { return bits & (0 - bits); }

    /// Takes the lowest bit that is at home: the slots used last come back first. kNoSlot when there is none.
    static std::uint32_t claim(const Bits& bits) noexcept {
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            const std::uint64_t mask = bits.mask(i);
            // W5: seq_cst, for those who look a second time, after E2 in slab_slow.cpp; pairs with W2 and E1.
            std::uint64_t word = bits.words[i].load(std::memory_order_seq_cst);
            while ((word & mask) != 0) {
                const std::uint64_t lowest = word & mask & (0 - (word & mask));
                // W1: acquire, pairs with W2 in give() (the last holder is done with the slot and its state) and with
                // W3 in birth() (what the slab is is there to be looked at).
                if (bits.words[i].compare_exchange_weak(word, word & ~lowest, std::memory_order_acquire,
                                                        std::memory_order_relaxed)) {
                    return bits.slot(i, lowest);
                }
            }
        }
        return kNoSlot;
    }

    /// Takes up to `want` bits at home of one word, the lowest from slot `from` on: the word's index, and which bits.
    /// As long as there are some of those that favoured(index) has, only of these; `others`: else any. False when there
    /// are none. Who goes on where he stopped takes the slots of a slab in turn.
    template <class Favoured>
    static bool claim_from(const Bits& bits, std::uint32_t from, std::uint32_t want, Favoured&& favoured, bool others,
                           std::uint32_t& index, std::uint64_t& got) noexcept {
        const std::uint32_t start = bits.first + from;
        for (const bool any : {false, true}) {
            if (any && !others) break;
            std::uint64_t mask = ~std::uint64_t{0} << (start % 64);
            for (index = start / 64; index < bits.count(); ++index, mask = ~std::uint64_t{0}) {
                const std::uint64_t these = mask & bits.mask(index) & (any ? ~std::uint64_t{0} : favoured(index));
                std::uint64_t word = bits.words[index].load(std::memory_order_relaxed);
                while ((word & these) != 0) {
                    std::uint64_t rest = word & these;
                    for (std::uint32_t i = 0; i < want && rest != 0; ++i) rest &= rest - 1;
                    const std::uint64_t left = rest | (word & ~these);
                    // W1: acquire, as in claim().
                    if (bits.words[index].compare_exchange_weak(word, left, std::memory_order_acquire,
                                                                std::memory_order_relaxed)) {
                        got = word & ~left;
                        return true;
                    }
                }
            }
        }
        return false;
    }

    /// Takes one certain bit; false when it is not at home.
    static bool claim_bit(Word& word, std::uint64_t bit) noexcept {
        // W1: acquire, as in claim().
        return (word.fetch_and(~bit, std::memory_order_acquire) & bit) != 0;
    }

    /// Brings bits home that the caller holds. Then the slab must be listed (HomeIndex::list()).
    static void give(Word& word, std::uint64_t bits) noexcept {
        // W2: release, pairs with W1 in claim() and W4 in kill(); seq_cst, the store before I1 in HomeIndex::list().
        // Or, not add: should a bit be there already, by a token that was wrong in every way that can be seen, its
        // neighbours stay as they are.
        word.fetch_or(bits, std::memory_order_seq_cst);
    }

    /// After the slab was put in doubt (I3): is anything at home?
    static bool any(const Bits& bits) noexcept {
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            // W6: seq_cst, the load after I3; pairs with W2.
            if ((bits.words[i].load(std::memory_order_seq_cst) & bits.mask(i)) != 0) return true;
        }
        return false;
    }

    /// The first bits of a slab, without that of the slot which the caller keeps: the first of those that
    /// favoured(index) has in the first word, or slot 0.
    template <class Favoured>
    static std::uint32_t birth(const Bits& bits, Favoured&& favoured) noexcept {
        const std::uint64_t first = bits.mask(0);
        const std::uint64_t kept = lowest((first & favoured(std::uint32_t{0})) != 0 ? first & favoured(0) : first);
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            // W3: release, pairs with W1 in claim(). Or: the rest of the word is of others.
            bits.words[i].fetch_or(i == 0 ? first & ~kept : bits.mask(i), std::memory_order_release);
        }
        return bits.slot(0, kept);
    }
    static std::uint32_t birth(const Bits& bits) noexcept {
        return birth(bits, [](std::uint32_t) { return ~std::uint64_t{0}; });
    }

    /// A slab of which some slots are handed out from the beginning: those that held(slot) says.
    template <class Held>
    static void adopt(const Bits& bits, Held&& held) noexcept {
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            std::uint64_t mine = bits.mask(i);
            for (std::uint64_t rest = mine; rest != 0; rest &= rest - 1) {
                const std::uint64_t lowest = rest & (0 - rest);
                if (held(bits.slot(i, lowest))) mine &= ~lowest;
            }
            // W3: release, as in birth().
            bits.words[i].fetch_or(mine, std::memory_order_release);
        }
    }

    /// True when every bit was at home: they are all gone now, and the caller owns the slab. Otherwise back(index,
    /// bits) is called for what was taken of each word, and has to give it home.
    template <class Back>
    static bool kill(const Bits& bits, Back&& back) noexcept {
        for (std::uint32_t i = 0; i < bits.count(); ++i) {
            // W5: seq_cst, as in claim().
            if ((~bits.words[i].load(std::memory_order_seq_cst) & bits.mask(i)) != 0) return false;
        }
        std::uint64_t got = 0;
        std::uint32_t taken = 0;
        for (; taken < bits.count(); ++taken) {
            const std::uint64_t mine = bits.mask(taken);
            // W4: acquire, pairs with W2 in give(): who had the slots is done with them.
            got = bits.words[taken].fetch_and(~mine, std::memory_order_acquire) & mine;
            if (got != mine) break;
        }
        if (taken == bits.count()) return true;
        if (got != 0) back(taken, got);
        while (taken-- != 0) back(taken, bits.mask(taken));
        return false;
    }

    /// The generation that a claimed slot will have.
    static unsigned generation(const State& state) noexcept {
        return state_generation(state.load(std::memory_order_relaxed));
    }
    /// Takes drop() back, unless somebody has gone on from there.
    static void take_back(State& state, unsigned kind, unsigned generation) noexcept {
        std::uint8_t dropped = make_state(0, generation + 1);
        state.compare_exchange_strong(dropped, make_state(kind, generation), std::memory_order_relaxed,
                                      std::memory_order_relaxed);
    }

    /// Marks a claimed slot as handed out; its generation.
    static unsigned take(State& state, unsigned kind) noexcept {
        const unsigned generation = state_generation(state.load(std::memory_order_relaxed));
        if (kind != 1) state.store(make_state(kind, generation), std::memory_order_relaxed);
        return generation;
    }

    /// Marks a slot as free again; false when it was not handed out with this kind and generation (`seen` has what it
    /// was).
    static bool drop(State& state, unsigned kind, unsigned generation, std::uint8_t& seen) noexcept {
        seen = make_state(kind, generation);
        return drop(state, seen, make_state(0, generation + 1));
    }
    /// The same by states.
    [[gnu::always_inline]] static bool drop(State& state, std::uint8_t& seen, std::uint8_t next) noexcept {
        // Relaxed: the bit that follows (W2) publishes it.
        return state.compare_exchange_strong(seen, next, std::memory_order_relaxed, std::memory_order_relaxed);
    }
};

}  // namespace bounce
