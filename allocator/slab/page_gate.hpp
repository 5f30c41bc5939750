// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages may be handed out at all: a region may be closed, its memory may come chunk by chunk (pages below `limit`
// exist), and some chunks never become good. All of that is changed by one thread at a time, the owner of the region,
// while any number of others are in the middle of an allocation and may stop there for as long as they like.
//
// So nothing is waited for; pages are taken instead. A page that is not to be handed out is held (1 in the bitmap of
// page_bits.hpp) by the gate, which has a bit of its own for each such page, in held_:
//   hold()   who holds a page leaves it to the gate: its bit in held_ is set.
//   regain() anyone clears bits of held_ and so becomes their holder.
// The state is a number that grows each time the region is closed or opened; odd is closed.
//   An allocation reads it first (ticket()), claims pages, and then asks admits(): the state is still the same, the
//   pages exist, and their chunks are good. If not, it leaves them to the gate, and looks whether they are to be had
//   after all (open()): then it regains them and frees them.
//   The owner changes state, limit or goodness first, and then holds what is free, or regains what is held.
// Store-load points, all seq_cst: claim a page of a chunk that was never used (N1), then load the state, against store
// the state, then load how many were used (N2); and hold, then load what is open, against store that, then regain. One
// of the two sees the other: no page is handed out after the owner has found all of them held, and none stays held that
// is open.
// Linearization points: the load in admits(); the fetch_and in regain(). Progress: wait-free, all of it. ABA: the state
// only grows (a thread that sleeps through 2^31 closings would be fooled). A thread that stops between its claim and
// hold() has those pages: they count as used, and the region is not empty.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/slab/page_bits.hpp"

namespace bounce {

template <class Policy, class Geometry>
class PageGate {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    using Piece = typename PageBits<Policy, Geometry>::Piece;
    static constexpr std::uint32_t kPages = Geometry::kWords * Geometry::kWordBits;  // of a chunk

    static constexpr std::size_t words_needed(std::uint32_t chunks) noexcept {
        return std::size_t{chunks} * Geometry::kWords + (chunks + 63) / 64;
    }

    PageGate(Word* words, std::uint32_t chunks, std::uint32_t limit) noexcept
        : held_(words), bad_(words + std::size_t{chunks} * Geometry::kWords) {
        state_.store(0, std::memory_order_relaxed);
        limit_.store(limit, std::memory_order_relaxed);
    }

    [[nodiscard]] std::uint32_t ticket() const noexcept {
        // G1: seq_cst, pairs with G2.
        return state_.load(std::memory_order_seq_cst);
    }
    static constexpr bool closed(std::uint32_t ticket) noexcept { return (ticket & 1) != 0; }
    [[nodiscard]] std::uint32_t limit() const noexcept {
        // G3: seq_cst, pairs with G4.
        return limit_.load(std::memory_order_seq_cst);
    }

    /// After a claim: may these pages be handed out, by one who had this ticket before?
    [[nodiscard]] bool admits(std::uint32_t ticket_before, std::uint32_t start, std::uint32_t pages) const noexcept {
        if (ticket() != ticket_before || start + pages > limit()) return false;
        for (std::uint32_t chunk = start / kPages; chunk <= (start + pages - 1) / kPages; ++chunk) {
            if (bad(chunk)) return false;
        }
        return true;
    }
    [[nodiscard]] bool open(std::uint32_t chunk) const noexcept {
        return !closed(ticket()) && chunk * kPages < limit() && !bad(chunk);
    }

    void hold(std::size_t word, std::uint64_t mask) noexcept {
        // K1: release, pairs with K2; seq_cst, the store before G1, G3 and G5.
        held_[word].fetch_or(mask, std::memory_order_seq_cst);
    }
    /// Those of them that were held; the caller's now.
    std::uint64_t regain(std::size_t word, std::uint64_t mask) noexcept {
        // K3: seq_cst, the load after G2, G4 and G6. Most are not held.
        if ((held_[word].load(std::memory_order_seq_cst) & mask) == 0) return 0;
        // K2: acquire, pairs with K1; seq_cst, as K3.
        return held_[word].fetch_and(~mask, std::memory_order_seq_cst) & mask;
    }
    [[nodiscard]] std::uint64_t held(std::size_t word) const noexcept {
        return held_[word].load(std::memory_order_seq_cst);  // K3
    }

    // The owner's:
    void close(bool closes) noexcept {
        // G2: seq_cst, pairs with G1.
        if (closed(ticket()) != closes) state_.fetch_add(1, std::memory_order_seq_cst);
    }
    void set_limit(std::uint32_t limit) noexcept {
        // G4: seq_cst, pairs with G3.
        limit_.store(limit, std::memory_order_seq_cst);
    }
    void set_bad(std::uint32_t chunk, bool is_bad) noexcept {
        if (bad(chunk) == is_bad) return;
        const std::uint64_t bit = std::uint64_t{1} << (chunk % 64);
        // G6: seq_cst, pairs with G5.
        if (is_bad) {
            bad_[chunk / 64].fetch_or(bit, std::memory_order_seq_cst);
        } else {
            bad_[chunk / 64].fetch_and(~bit, std::memory_order_seq_cst);
        }
    }
    [[nodiscard]] bool bad(std::uint32_t chunk) const noexcept {
        // G5: seq_cst, pairs with G6.
        return (bad_[chunk / 64].load(std::memory_order_seq_cst) >> (chunk % 64) & 1) != 0;
    }

private:
    Word* held_;
    Word* bad_;
    typename Policy::template Atomic<std::uint32_t> state_;
    typename Policy::template Atomic<std::uint32_t> limit_;
};

}  // namespace bounce
