// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages are used: a bit each, 1 is used. These bits are the truth; all else that is known about pages only helps
// to find them.
//
// A page is 0 (free) or 1 (held by whoever set it; what the region does not have was set at the beginning).
//   claim()    anyone, lock-free: word by word in ascending order, by compare-exchange that sets all bits wanted of the
//              word or none. When one is set already, what this claim has set is cleared again: nobody else clears a
//              bit, so it clears exactly its own.
//   release()  the holder, wait-free: one fetch_and a word; a plain store where it holds the whole word, in which
//              nobody else changes a bit then.
//   take_free() anyone, wait-free: fetch_or of bits of one word; those that were 0 are the caller's.
// Linearization points: a claim of one word is its compare-exchange. One of several words takes its pages one word
// after the other; that it has them all is settled at the last. A release frees them word by word. Progress: a claim
// fails because a bit is held. Of several claims in each other's way the one that has come to the highest word is in
// nobody's way but of holders, so not all of them fail because of each other. ABA: a word that was taken and freed
// again meanwhile is as free as it was. A thread that stops inside leaves the bits that it has set, or has not cleared
// yet: those pages count as used.
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/slab/chunk_view.hpp"

namespace bounce {

template <class Policy, class Geometry>
class PageBits {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    using View = ChunkView<Geometry::kWords, Geometry::kWordBits>;

    struct Claim {
        bool done = false;
        std::uint32_t reached = 0;  // the end, or the first page of the word where it failed
    };

    /// kWords words for each chunk.
    explicit PageBits(Word* words) noexcept : words_(words) {}

    [[nodiscard]] View view(std::uint32_t chunk) const noexcept {
        View view;
        // A3: acquire, pairs with A2, for who goes on to claim what it saw free.
        for (std::uint32_t i = 0; i < Geometry::kWords; ++i) {
            view.words[i] = words_[std::size_t{chunk} * Geometry::kWords + i].load(std::memory_order_acquire);
        }
        return view;
    }

    /// All of [start, start + pages), or nothing: then pages below `reached` were held for a moment.
    Claim claim(std::uint32_t start, std::uint32_t pages) noexcept {
        const std::uint32_t end = start + pages;
        for (std::uint32_t at = start; at < end;) {
            const Piece piece(at, end);
            if (!take(words_[piece.word], piece.mask)) {
                release(start, at - start);
                return {false, at};
            }
            at += piece.pages;
        }
        return {true, end};
    }

    /// The caller holds them.
    void release(std::uint32_t start, std::uint32_t pages) noexcept {
        const std::uint32_t end = start + pages;
        for (std::uint32_t at = start; at < end;) {
            const Piece piece(at, end);
            Word& word = words_[piece.word];
            // A2: release, pairs with A1: who had the pages is done with them.
            if (piece.mask == View::kFullWord) {
                word.store(0, std::memory_order_release);
            } else {
                word.fetch_and(~piece.mask, std::memory_order_release);
            }
            at += piece.pages;
        }
    }

    /// What is free of these pages of one word; the caller holds it now.
    std::uint64_t take_free(std::size_t word, std::uint64_t mask) noexcept {
        // A1: acquire, as in take().
        return mask & ~words_[word].fetch_or(mask, std::memory_order_acquire);
    }
    /// The caller holds them.
    void release_in(std::size_t word, std::uint64_t mask) noexcept {
        // A2: release, as in release().
        words_[word].fetch_and(~mask, std::memory_order_release);
    }

    /// What a run has in one word.
    struct Piece {
        std::size_t word;
        std::uint64_t mask;
        std::uint32_t pages;

        Piece(std::uint32_t at, std::uint32_t end) noexcept : word(at / Geometry::kWordBits) {
            const std::uint32_t bit = at % Geometry::kWordBits;
            pages = end - at < Geometry::kWordBits - bit ? end - at : Geometry::kWordBits - bit;
            mask = ~std::uint64_t{0} >> (64 - pages) << bit;
        }
    };

protected:
    static bool take(Word& word, std::uint64_t mask) noexcept {
        std::uint64_t seen = word.load(std::memory_order_relaxed);
        while ((seen & mask) == 0) {
            // A1: acquire, pairs with A2 in release(): who had the pages is done with them.
            if (word.compare_exchange_weak(seen, seen | mask, std::memory_order_acquire, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    Word* words_;
};

}  // namespace bounce
