// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages of a region are free, without locks: hands out runs of pages and takes them back. In layers, each with a
// protocol of its own:
//   page_bits.hpp    what is used: the truth, claimed and released word by word
//   page_index.hpp   a hint for each chunk and sets of chunks alike: where to look
//   page_search.hpp  which hole to take
//   page_gate.hpp    what may be handed out at all: a region that is closed, or comes chunk by chunk
// Here: search, claim, and when that fails, search again.
//
// alloc()  anyone, lock-free. What it sees while it searches may be gone when it claims; then it puts the hints right
//          that led it there, and searches again. Linearization point: the claim's (page_bits.hpp).
// free()   the holder, lock-free (refresh of the hints); linearization point: the release's.
// Births. Chunks from born_ on were never used, and nothing of them was ever touched. Who moves born_ on by one writes
//          the first hint of that chunk, after it has taken from it what it wants.
// Progress: alloc() searches again only when a claim failed, which means that another one has or had those pages; and a
//          search that finds the same hole twice finds it in bits and hints that were read anew. A search is bounded
//          (page_search.hpp).
//
// Failures that are remembered. alloc() fails when, at some time while it looked for the last time, everything that
// could be had was too small or was in somebody's way; it is not blocked and does not wait. Who remembers a failure
// until something is freed must forget it as well after
//   - a claim that failed half way and gave back what it had (others may have missed just that),
//   - a birth: from the number to the first hint nobody finds the chunk,
//   - a chunk that was in no set for a moment (page_index.hpp), and
//   - a search that passed chunks over (the next one begins there).
// alloc() says so with `unsettled`, whatever it returns, and the caller then does what it does after a free. All other
// changes only make less of what is free, and the last look through the sets is in the order in which that hides none.
// Store-load point, with a caller that writes "I look for the last time", then calls alloc(), while another calls
// free(), then reads that: the bits are not seq_cst, but the hint is (H3, H1), and the sets are; what the free wrote is
// seen in the hint's order or the reader sees the mark.
//
// A thread that stops
//   in alloc() before its claim is over, or in free(): holds those pages, to the others;
//   after its claim, before the hint: nothing more; the others refresh the hint when it leads them astray;
//   after it moved born_ on: holds that chunk until a search in vain comes by (recover()), or a run goes over it;
//   in the sets: see page_index.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/chunk_set.hpp"
#include "allocator/slab/page_bits.hpp"
#include "allocator/slab/page_fit.hpp"
#include "allocator/slab/page_gate.hpp"
#include "allocator/slab/page_index.hpp"
#include "allocator/slab/page_search.hpp"

namespace bounce {

/// Of chunks, and how much is looked at. A model takes a smaller one.
struct PageGeometry {
    static constexpr std::uint32_t kWordBits = 64;
    static constexpr std::uint32_t kWords = kPagesPerChunk / kWordBits;
    static constexpr std::uint32_t kFillBuckets = 8;
    static constexpr std::uint32_t kCandidates = 16;       // chunks of a fill compared before the best hole is taken
    static constexpr std::uint32_t kCandidatesAcross = 8;  // holes, the same for those over borders
    static constexpr std::int32_t kLooks = 4096;      // at chunks that do not fit, in a search in one chunk or across
    static constexpr std::int32_t kLeastLooks = 32;   // of each set, when they are used up
    static constexpr std::int32_t kLooksForBits = 7;  // that looking at the bits counts for, besides
    static constexpr std::uint32_t kRecovered = 256;  // chunks that a search in vain looks after
    using SetShape = ChunkSetShape;
};

template <class Policy, class Geometry = PageGeometry, class Bits = PageBits<Policy, Geometry>,
          class Index = PageIndex<Policy, Geometry, Bits>, class Gate = PageGate<Policy, Geometry>>
class PageMap {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    static constexpr std::uint32_t kPages = Index::kPages;  // of a chunk

    static constexpr std::uint32_t chunks_of(std::uint32_t end) noexcept { return (end + kPages - 1) / kPages; }
    static constexpr std::size_t words_needed(std::uint32_t end) noexcept {
        return std::size_t{chunks_of(end)} * Geometry::kWords + Index::words_needed(chunks_of(end)) +
               Gate::words_needed(chunks_of(end));
    }
    static constexpr std::size_t bytes_needed(std::uint32_t end) noexcept {
        return words_needed(end) * sizeof(std::uint64_t);
    }

    /// Pages [first, end) exist; first is in chunk 0. The memory is zeroed, begins at a cache line and outlives this.
    PageMap(std::uint32_t first, std::uint32_t end, Word* words) noexcept
        : first_(first),
          end_(end),
          bits_(words),
          index_(words + std::size_t{chunks()} * Geometry::kWords, chunks()),
          gate_(words + std::size_t{chunks()} * Geometry::kWords + Index::words_needed(chunks()), chunks(), end) {
        free_pages_.store(end - first, std::memory_order_relaxed);
        used_pages_.store(0, std::memory_order_relaxed);
        born_.store(0, std::memory_order_relaxed);
        from_.store(0, std::memory_order_relaxed);
        recovered_.store(0, std::memory_order_relaxed);
        // What the region does not have counts as used for ever.
        static_cast<void>(bits_.claim(0, first));
        static_cast<void>(bits_.claim(end, chunks() * kPages - end));
        // Then a hole that begins with a chunk of which nothing was used begins at its first page.
        std::uint32_t chunk = 0;
        bool unsettled = false;
        if (first != 0 && give_birth(0, chunk)) index_.refresh(chunk, bits_, unsettled);
    }
    PageMap(std::uint32_t first, std::uint32_t end, std::byte* memory) noexcept
        : PageMap(first, end, reinterpret_cast<Word*>(memory)) {}
    PageMap(const PageMap&) = delete;
    PageMap& operator=(const PageMap&) = delete;

    /// The first page of a run, or kNoPage when none is found. Sets `unsettled` (and never clears it) when others, or
    /// this caller, may fail wrongly if they rely on a failure seen before now: do what is done after a free.
    [[nodiscard]] std::uint32_t alloc(const PageWish& wish, bool& unsettled) noexcept {
        // F2: seq_cst, pairs with F1: never below what is free.
        while (wish.pages != 0 && wish.pages <= free_pages_.load(std::memory_order_seq_cst)) {
            const std::uint32_t ticket = gate_.ticket();
            if (Gate::closed(ticket)) break;
            const PageFit fit = search(wish, unsettled);
            if (!fit.found()) {
                if (recover(unsettled)) continue;
                break;
            }
            if (!claim(fit.start, wish.pages, unsettled)) continue;
            if (gate_.admits(ticket, fit.start, wish.pages)) {
                used_pages_.fetch_add(wish.pages, std::memory_order_relaxed);
                return fit.start;
            }
            unsettled = true;
            leave_to_gate(fit.start, wish.pages);
        }
        return kNoPage;
    }

    /// These very pages; false when one of them is used, or not there. `unsettled` as in alloc().
    [[nodiscard]] bool take(std::uint32_t start, std::uint32_t pages, bool& unsettled) noexcept {
        const std::uint32_t ticket = gate_.ticket();
        if (Gate::closed(ticket) || start < first_ || pages == 0 || start >= end_ || pages > end_ - start) return false;
        if (!claim(start, pages, unsettled)) return false;
        if (gate_.admits(ticket, start, pages)) {
            used_pages_.fetch_add(pages, std::memory_order_relaxed);
            return true;
        }
        unsettled = true;
        leave_to_gate(start, pages);
        return false;
    }

    /// A run that alloc() returned, or part of one. Then the caller ends its epoch, or whatever makes others look
    /// again.
    void free(std::uint32_t start, std::uint32_t pages) noexcept {
        used_pages_.fetch_sub(pages, std::memory_order_relaxed);
        // F1: seq_cst, before the pages can be had; pairs with F2.
        free_pages_.fetch_add(pages, std::memory_order_seq_cst);
        bits_.release(start, pages);
        bool unsettled = false;  // as it is after every free
        refresh(start, pages, unsettled);
    }

    /// Exact when nobody is in alloc() or free(), and never too low.
    [[nodiscard]] std::uint32_t free_pages() const noexcept { return free_pages_.load(std::memory_order_relaxed); }
    /// Handed out; exact when nobody is in alloc() or free().
    [[nodiscard]] std::uint32_t used_pages() const noexcept { return used_pages_.load(std::memory_order_relaxed); }
    /// No page at or above this was ever handed out.
    [[nodiscard]] std::uint32_t born_end() const noexcept {
        // N2: acquire, pairs with N1.
        return std::min(born_.load(std::memory_order_acquire) * kPages, end_);
    }

    // One thread at a time; page_gate.hpp has the protocol.
    /// From now on nothing is handed out; pages still come back.
    void close() noexcept { gate_.close(true); }
    /// Then the caller makes others look again.
    void reopen() noexcept {
        gate_.close(false);
        regain(0, gate_.limit());
    }
    /// Of a closed map: how many pages are in use. After 0 nobody gets a page until it is reopened.
    std::uint32_t drain() noexcept {
        std::uint32_t used = 0;
        // N2: seq_cst, the load after G2; pairs with N1: a birth that is missed here finds the map closed.
        const std::uint32_t born = born_.load(std::memory_order_seq_cst);
        for (std::uint32_t chunk = 0; chunk < born; ++chunk) used += drain(chunk);
        return used;
    }
    /// Begins anew without a page; they come again through extend(), from the first on. drain() has returned 0, or
    /// nothing was ever handed out.
    void restart() noexcept {
        const std::uint32_t before = gate_.limit();
        gate_.set_limit(0);
        static_cast<void>(drain());
        fresh_ = std::max(born_end(), first_);
        if (before > fresh_) free_pages_.fetch_sub(before - fresh_, std::memory_order_relaxed);  // F3
        for (std::uint32_t chunk = 0; chunk * kPages < before; ++chunk) gate_.set_bad(chunk, false);
    }
    /// Pages up to `until` (a chunk's end, or the last) exist from now on; those that are new and not `good` are never
    /// handed out. Then the caller makes others look again.
    void extend(std::uint32_t until, bool good) noexcept {
        const std::uint32_t from = gate_.limit();
        const std::uint32_t fresh = std::max(from, fresh_);
        if (!good) {
            for (std::uint32_t chunk = from / kPages; chunk < chunks_of(until); ++chunk) {
                gate_.set_bad(chunk, true);
                static_cast<void>(drain(chunk, false));
            }
        } else if (until > fresh) {
            free_pages_.fetch_add(until - fresh, std::memory_order_seq_cst);  // F1
        }
        gate_.set_limit(until);
        if (good) return regain(from, until);
        // The gate holds pages of used chunks only: those that restart() and reopen() go through.
        std::uint32_t chunk = 0;
        bool unsettled = false;  // the caller makes others look again
        while (give_birth((until - 1) / kPages, chunk)) index_.refresh(chunk, bits_, unsettled);
    }

private:
    [[nodiscard]] std::uint32_t chunks() const noexcept { return chunks_of(end_); }
    // Those of a chunk's word that the region has.
    [[nodiscard]] std::uint64_t own(std::uint32_t chunk, std::uint32_t word) const noexcept {
        const std::uint32_t start = chunk * kPages + word * Geometry::kWordBits;
        const std::uint32_t from = std::max(start, first_);
        const std::uint32_t to = std::min(start + Geometry::kWordBits, end_);
        return from < to ? typename Bits::Piece(from, to).mask : 0;
    }

    // The gate gets what is free of a chunk. What is in use.
    std::uint32_t drain(std::uint32_t chunk, bool counted = true) noexcept {
        std::uint32_t used = 0;
        std::uint64_t any = 0;
        for (std::uint32_t i = 0; i < Geometry::kWords; ++i) {
            const std::size_t word = std::size_t{chunk} * Geometry::kWords + i;
            const std::uint64_t mine = own(chunk, i);
            if (const std::uint64_t got = bits_.take_free(word, mine); got != 0) {
                any |= got;
                // F3: relaxed, as in claim().
                if (counted) free_pages_.fetch_sub(count(got), std::memory_order_relaxed);
                gate_.hold(word, got);
            }
            used += count(mine & ~gate_.held(word));
        }
        bool unsettled = false;  // what is taken away is not looked for
        if (counted && any != 0) index_.refresh(chunk, bits_, unsettled);
        return used;
    }
    // What the gate held of chunks that are open now.
    void regain(std::uint32_t from, std::uint32_t until) noexcept {
        // N2: seq_cst, the load after G2 and G4; pairs with N1.
        const std::uint32_t born = born_.load(std::memory_order_seq_cst);
        for (std::uint32_t chunk = from / kPages; chunk < std::min(chunks_of(until), born); ++chunk) {
            if (!gate_.open(chunk)) continue;
            for (std::uint32_t i = 0; i < Geometry::kWords; ++i) {
                regain_in(std::size_t{chunk} * Geometry::kWords + i, own(chunk, i));
            }
        }
    }
    void regain_in(std::size_t word, std::uint64_t mask) noexcept {
        const std::uint64_t back = gate_.regain(word, mask);
        if (back == 0) return;
        free_pages_.fetch_add(count(back), std::memory_order_seq_cst);  // F1
        bits_.release_in(word, back);
        bool unsettled = false;  // as after every free
        index_.refresh(static_cast<std::uint32_t>(word / Geometry::kWords), bits_, unsettled);
    }
    // Pages that were claimed and may not be handed out.
    void leave_to_gate(std::uint32_t start, std::uint32_t pages) noexcept {
        const std::uint32_t end = start + pages;
        for (std::uint32_t at = start; at < end;) {
            const typename Bits::Piece piece(at, end);
            gate_.hold(piece.word, piece.mask);
            if (gate_.open(at / kPages)) regain_in(piece.word, piece.mask);
            at += piece.pages;
        }
    }
    static std::uint32_t count(std::uint64_t bits) noexcept { return static_cast<std::uint32_t>(std::popcount(bits)); }

    PageFit search(const PageWish& wish, bool& unsettled) noexcept {
        const std::uint32_t end = gate_.limit();
        if (end <= first_) return {};
        // Relaxed: only where to begin.
        std::uint32_t from = from_.load(std::memory_order_relaxed);
        if (from >= chunks_of(end)) from = 0;
        // N2: acquire, pairs with N1.
        const std::uint32_t born = std::min(born_.load(std::memory_order_acquire), chunks_of(end));
        PageSearch<Geometry, Bits, Index> searching(wish, bits_, index_, first_, end, born, from, unsettled);
        PageFit fit = searching.in_used();
        if (!fit.found() && wish.pages <= kPages) fit = in_fresh(wish, searching, unsettled);
        if (!fit.found()) fit = searching.across();
        if (!fit.found()) fit = searching.last_look();
        if (fit.found()) return fit;
        const bool all = searching.passed_over() == decltype(searching)::kNone;
        if (!all) unsettled = true;
        const std::uint32_t next = all ? 0 : searching.passed_over();
        if (next != from) from_.store(next, std::memory_order_relaxed);
        return fit;
    }

    // A chunk that was never used. At most two are too small: the first and the last of a region.
    template <class Search>
    PageFit in_fresh(const PageWish& wish, const Search& searching, bool& unsettled) noexcept {
        std::uint32_t chunk = 0;
        while (give_birth(wish.last / kPages, chunk)) {
            unsettled = true;
            // The claim that follows writes the hint.
            const PageFit fit = searching.in_chunk(chunk);
            if (fit.found()) return fit;
            index_.refresh(chunk, bits_, unsettled);
        }
        return {};
    }

    // The next chunk, which has no hint yet and is in no set; false when the next is above `last`.
    bool give_birth(std::uint32_t last, std::uint32_t& chunk) noexcept {
        chunk = born_.load(std::memory_order_relaxed);
        while (chunk <= last && chunk < chunks_of(gate_.limit())) {
            // N1: release, pairs with N2: nothing but the number depends on it; seq_cst, the store before G1 in
            // admits().
            if (born_.compare_exchange_weak(chunk, chunk + 1, std::memory_order_seq_cst, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    bool claim(std::uint32_t start, std::uint32_t pages, bool& unsettled) noexcept {
        // A run may go on into chunks that were never used.
        std::uint32_t chunk = 0;
        while (give_birth((start + pages - 1) / kPages, chunk)) {
            unsettled = true;
            index_.refresh(chunk, bits_, unsettled);
        }
        // It was, when the run was found; then memory went.
        if (chunk <= (start + pages - 1) / kPages) return false;
        const auto claimed = bits_.claim(start, pages);
        if (claimed.done) {
            // F3: relaxed: the claim (A1) comes after the release (A2) of these pages, and with it after F1.
            free_pages_.fetch_sub(pages, std::memory_order_relaxed);
            refresh(start, pages, unsettled);
            return true;
        }
        // Others may have seen these pages used, and said so in a hint, or failed.
        if (claimed.reached != start) unsettled = true;
        // With the one where it failed: its hint is wrong, or its bits were, for a moment.
        refresh(start, claimed.reached + 1 - start, unsettled);
        return false;
    }

    void refresh(std::uint32_t start, std::uint32_t pages, bool& unsettled) noexcept {
        const std::uint32_t last = (start + pages - 1) / kPages;
        for (std::uint32_t chunk = start / kPages; chunk <= last; ++chunk) index_.refresh(chunk, bits_, unsettled);
    }

    // What a thread that has stopped has hidden. True when there was something.
    bool recover(bool& unsettled) noexcept {
        const std::uint32_t born = born_.load(std::memory_order_acquire);  // N2
        if (born == 0) return false;
        // Relaxed: only where to begin.
        std::uint32_t chunk = recovered_.load(std::memory_order_relaxed);
        bool found = false;
        for (std::uint32_t i = std::min(born, Geometry::kRecovered); i != 0; --i) {
            chunk = chunk + 1 < born ? chunk + 1 : 0;
            found = index_.recover(chunk, bits_, unsettled) || found;
        }
        if (born > Geometry::kRecovered) recovered_.store(chunk, std::memory_order_relaxed);
        return found;
    }

    std::uint32_t first_;
    std::uint32_t end_;
    std::uint32_t fresh_ =
        0;  // what has not come again since restart(), from here on, is not counted as free; the owner's
    Bits bits_;
    Index index_;
    Gate gate_;
    alignas(kCacheLine) typename Policy::template Atomic<std::uint32_t> free_pages_;
    typename Policy::template Atomic<std::uint32_t> used_pages_;
    alignas(kCacheLine) typename Policy::template Atomic<std::uint32_t> born_;
    typename Policy::template Atomic<std::uint32_t> from_;       // where searches begin
    typename Policy::template Atomic<std::uint32_t> recovered_;  // where recover() got to
};

}  // namespace bounce
