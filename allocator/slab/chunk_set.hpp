// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A set of chunk numbers, with the lowest member above a given one found in a few loads however large the region is:
// a bitmap (the leaf words) under a tree of counters. Zeroed memory is the empty set; what never had a member near it
// is never touched.
//
// Counters. Each counts the children (leaf words, or counters of the level below) that are not zero, and besides those
// the tokens of threads that are on their way. The rule that everything rests on: a child that is not zero owns one
// token in its parent's counter. Who makes a child 0 -> not 0 has put the token into the parent before; who makes it
// not 0 -> 0 owns the token from then on and takes it out. So a counter is never below the number of its children that
// are not zero, not for an instant: find() may walk into an empty subtree, but never past a member.
//   insert()  anyone, lock-free. In a word that is not zero, compare-exchange of the word alone (it cannot become zero
//             under a successful one). In a zero word: token first, then the bit; when somebody else was faster, the
//             token goes out again. Present already: one load.
//   erase()   anyone, wait-free: the bit, then the token when the word became zero.
//   replace() anyone, lock-free: one member by another of the same leaf word, by compare-exchange; the word is not zero
//             before or after, so no counter changes. Whoever looks finds one of the two.
//   find()    anyone, wait-free: every step goes on to a higher number or a level down.
// Linearization points: the operation on the leaf word. find() reads word by word: of members that come and go
// meanwhile it sees some, one that stays is not passed by.
// Progress: a compare-exchange fails because another one succeeded. ABA: values are sets of bits and numbers; what they
// were meanwhile does not matter.
// A thread that stops inside insert() or erase() leaves at most one token too many on each level: others find what they
// always would, after a few loads in vain.
//
// All is seq_cst: whoever stores elsewhere and then looks for a member here, or the other way round, may rely on one of
// the two being seen (the sites: PageIndex, and the epoch of SlabCore). It costs nothing more on x86.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bounce {

/// How large words and groups are; a model takes small ones.
struct ChunkSetShape {
    static constexpr std::uint32_t kLeafBits = 64;
    static constexpr std::uint32_t kFan = 16;      // children of a counter
    static constexpr std::uint32_t kTopWords = 8;  // a level of so many words has none above it
};

/// Where the levels are, the same for all sets of one region. Level 0 is the leaf words. Counters are 16 bits wide,
/// four to a word. (A counter is at most kFan and a token for each thread of the process.)
template <class Shape = ChunkSetShape>
struct ChunkSetLevels {
    static constexpr std::uint32_t kMaxLevels = 8;
    static constexpr std::uint32_t kCounters = 4;

    std::uint32_t top = 0;
    std::uint32_t count[kMaxLevels];  // of leaf words or counters
    std::uint32_t start[kMaxLevels];  // first word
    std::uint32_t end = 0;            // words in all

    /// For numbers below `chunks`.
    constexpr explicit ChunkSetLevels(std::uint32_t chunks) noexcept : count(), start() {
        count[0] = (chunks + Shape::kLeafBits - 1) / Shape::kLeafBits;
        std::uint32_t words = count[0];
        while (words > Shape::kTopWords && top + 1 < kMaxLevels) {
            end += words;
            start[top + 1] = end;
            count[top + 1] = (count[top] + Shape::kFan - 1) / Shape::kFan;
            ++top;
            words = (count[top] + kCounters - 1) / kCounters;
        }
        end += words;
    }
};

template <class Policy, class Shape = ChunkSetShape>
class ChunkSet {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    using Levels = ChunkSetLevels<Shape>;

    /// Of memory for a set of numbers below `chunks`.
    static constexpr std::size_t words_needed(std::uint32_t chunks) noexcept { return Levels(chunks).end; }
    static constexpr std::size_t bytes_needed(std::uint32_t chunks) noexcept {
        return words_needed(chunks) * sizeof(std::uint64_t);
    }

    /// A view, two pointers: the set is in the memory, which was zeroed once. `levels` outlives the view.
    ChunkSet(Word* words, const Levels& levels) noexcept : words_(words), levels_(&levels) {}
    ChunkSet(std::byte* memory, const Levels& levels) noexcept : ChunkSet(reinterpret_cast<Word*>(memory), levels) {}

    [[nodiscard]] bool contains(std::uint32_t chunk) const noexcept {
        // B1: seq_cst, pairs with B2 to B4.
        return (words_[chunk / Shape::kLeafBits].load(std::memory_order_seq_cst) & bit_of(chunk)) != 0;
    }

    void insert(std::uint32_t chunk) noexcept {
        const std::uint32_t index = chunk / Shape::kLeafBits;
        const std::uint64_t bit = bit_of(chunk);
        Word& leaf = words_[index];
        // B1: seq_cst, the load after the caller's store; pairs with B4 in erase(). Who set the bit set the counters
        // before (T1, T2).
        std::uint64_t seen = leaf.load(std::memory_order_seq_cst);
        while (seen != 0) {
            if ((seen & bit) != 0) return;
            // B2: seq_cst, pairs with B1 and B5; takes over what B3 published.
            if (leaf.compare_exchange_weak(seen, seen | bit, std::memory_order_seq_cst, std::memory_order_seq_cst)) {
                return;
            }
        }
        enter(1, index / Shape::kFan);
        // B3: seq_cst, pairs with B1 and B5: the token is in before the bit is.
        if (leaf.fetch_or(bit, std::memory_order_seq_cst) != 0) leave(1, index / Shape::kFan);
    }

    void erase(std::uint32_t chunk) noexcept {
        if (!contains(chunk)) return;
        const std::uint32_t index = chunk / Shape::kLeafBits;
        // B4: seq_cst, the store before the caller's load; pairs with B1 in insert(). The token that B3 put in is ours
        // when this was the last bit.
        if (words_[index].fetch_and(~bit_of(chunk), std::memory_order_seq_cst) == bit_of(chunk)) {
            leave(1, index / Shape::kFan);
        }
    }

    /// Puts `other`, which is of the same leaf word, in place of `chunk`. False, and nothing has changed, when `chunk`
    /// is not there or `other` is.
    bool replace(std::uint32_t chunk, std::uint32_t other) noexcept {
        Word& leaf = words_[chunk / Shape::kLeafBits];
        // B1: seq_cst, pairs with B2 to B4.
        std::uint64_t seen = leaf.load(std::memory_order_seq_cst);
        while ((seen & bit_of(chunk)) != 0 && (seen & bit_of(other)) == 0) {
            // B6: seq_cst, the store before the caller's load, as B4; pairs with B1 and B5.
            if (leaf.compare_exchange_weak(seen, seen ^ (bit_of(chunk) | bit_of(other)), std::memory_order_seq_cst,
                                           std::memory_order_seq_cst)) {
                return true;
            }
        }
        return false;
    }

    /// The lowest member >= from, or kNone.
    [[nodiscard]] std::uint32_t find(std::uint32_t from) const noexcept {
        std::uint32_t at = from / Shape::kLeafBits;
        std::uint64_t mask = ~std::uint64_t{0} << (from % Shape::kLeafBits);
        for (; at < levels_->count[0]; mask = ~std::uint64_t{0}) {
            // B5: seq_cst, pairs with B2 to B4.
            const std::uint64_t word = words_[at].load(std::memory_order_seq_cst) & mask;
            if (word != 0) return at * Shape::kLeafBits + static_cast<std::uint32_t>(std::countr_zero(word));
            at = next_leaf(at + 1);
        }
        return kNone;
    }

protected:
    static constexpr std::uint32_t kCounters = Levels::kCounters;
    static constexpr std::uint32_t kCounterBits = 64 / kCounters;

    static constexpr std::uint64_t bit_of(std::uint32_t chunk) noexcept {
        return std::uint64_t{1} << (chunk % Shape::kLeafBits);
    }
    static constexpr std::uint32_t shift_of(std::uint32_t index) noexcept { return index % kCounters * kCounterBits; }
    static constexpr std::uint64_t counter_in(std::uint64_t word, std::uint32_t index) noexcept {
        return word >> shift_of(index) & ((std::uint64_t{1} << kCounterBits) - 1);
    }
    [[nodiscard]] Word& counters(std::uint32_t level, std::uint32_t index) const noexcept {
        return words_[levels_->start[level] + index / kCounters];
    }

    // Puts a token into a counter, which has one in its parent's before it is not zero.
    void enter(std::uint32_t level, std::uint32_t index) noexcept {
        if (level > levels_->top) return;
        Word& word = counters(level, index);
        const std::uint64_t one = std::uint64_t{1} << shift_of(index);
        // T1: seq_cst, takes over what T2 published; pairs with T4.
        std::uint64_t seen = word.load(std::memory_order_seq_cst);
        while (counter_in(seen, index) != 0) {
            if (word.compare_exchange_weak(seen, seen + one, std::memory_order_seq_cst, std::memory_order_seq_cst)) {
                return;
            }
        }
        enter(level + 1, index / Shape::kFan);
        // T2: seq_cst, pairs with T1, T3 and T4: the parent has its token before.
        const std::uint64_t before = word.fetch_add(one, std::memory_order_seq_cst);
        if (counter_in(before, index) != 0) leave(level + 1, index / Shape::kFan);
    }

    void leave(std::uint32_t level, std::uint32_t index) noexcept {
        if (level > levels_->top) return;
        const std::uint64_t one = std::uint64_t{1} << shift_of(index);
        // T3: seq_cst, pairs with T1 and T2: each token goes out after it went in, so that no counter runs below zero.
        const std::uint64_t before = counters(level, index).fetch_sub(one, std::memory_order_seq_cst);
        if (counter_in(before, index) == 1) leave(level + 1, index / Shape::kFan);
    }

    // The first leaf word at or after `at` that is not zero, or as many as there are.
    [[nodiscard]] std::uint32_t next_leaf(std::uint32_t at) const noexcept {
        for (std::uint32_t level = 0;;) {
            // Up: where a group begins, its counter tells whether to look at all.
            for (; level < levels_->top && at % Shape::kFan == 0; ++level) at /= Shape::kFan;
            std::uint32_t end = group_end(level, at);
            at = next_nonzero(level, at, end);
            // Down, as long as there is something.
            while (at < end) {
                if (level == 0) return at;
                at *= Shape::kFan;
                end = group_end(--level, at);
                at = next_nonzero(level, at, end);
            }
            if (end == levels_->count[level]) return levels_->count[0];
        }
    }
    [[nodiscard]] std::uint32_t group_end(std::uint32_t level, std::uint32_t at) const noexcept {
        const std::uint32_t count = levels_->count[level];
        const std::uint32_t end = at - at % Shape::kFan + Shape::kFan;
        return level == levels_->top || end > count ? count : end;
    }
    [[nodiscard]] std::uint32_t next_nonzero(std::uint32_t level, std::uint32_t at, std::uint32_t end) const noexcept {
        if (level == 0) {
            // B5: seq_cst, as in find().
            while (at < end && words_[at].load(std::memory_order_seq_cst) == 0) ++at;
            return at;
        }
        while (at < end) {
            // T4: seq_cst, pairs with T1 to T3.
            const std::uint64_t word = counters(level, at).load(std::memory_order_seq_cst) >> shift_of(at);
            if (word != 0) {
                at += static_cast<std::uint32_t>(std::countr_zero(word)) / kCounterBits;
                break;
            }
            at += kCounters - at % kCounters;
        }
        return at < end ? at : end;
    }

    Word* words_;
    const Levels* levels_;
};

}  // namespace bounce
