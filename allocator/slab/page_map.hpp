// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages of a region are free, without locks: hands out runs of pages and takes them back. In layers, each with a
// protocol of its own:
//   page_bits.hpp    what is used: the truth, claimed and released word by word
//   page_index.hpp   a hint for each chunk and sets of chunks alike: where to look
//   page_search.hpp  which hole to take
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
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/chunk_set.hpp"
#include "allocator/slab/page_bits.hpp"
#include "allocator/slab/page_fit.hpp"
#include "allocator/slab/page_index.hpp"
#include "allocator/slab/page_search.hpp"

namespace bounce {

/// Of chunks, and how much is looked at. A model takes a smaller one.
struct PageGeometry {
    static constexpr std::uint32_t kWordBits = 64;
    static constexpr std::uint32_t kWords = kPagesPerChunk / kWordBits;
    static constexpr std::uint32_t kFillBuckets = 8;
    static constexpr std::uint32_t kCandidates = 2;        // chunks compared before the best hole is taken
    static constexpr std::uint32_t kCandidatesAcross = 8;  // holes, the same for those over borders
    static constexpr std::int32_t kLooks = 4096;      // at chunks that do not fit, in a search in one chunk or across
    static constexpr std::int32_t kLeastLooks = 32;   // of each set, when they are used up
    static constexpr std::int32_t kLooksForBits = 7;  // that looking at the bits counts for, besides
    static constexpr std::uint32_t kRecovered = 256;  // chunks that a search in vain looks after
    using SetShape = ChunkSetShape;
};

template <class Policy, class Geometry = PageGeometry, class Bits = PageBits<Policy, Geometry>,
          class Index = PageIndex<Policy, Geometry, Bits>>
class PageMap {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    static constexpr std::uint32_t kPages = Index::kPages;  // of a chunk

    static constexpr std::uint32_t chunks_of(std::uint32_t end) noexcept { return (end + kPages - 1) / kPages; }
    static constexpr std::size_t words_needed(std::uint32_t end) noexcept {
        return std::size_t{chunks_of(end)} * Geometry::kWords + Index::words_needed(chunks_of(end));
    }
    static constexpr std::size_t bytes_needed(std::uint32_t end) noexcept {
        return words_needed(end) * sizeof(std::uint64_t);
    }

    /// Pages [first, end) exist; first is in chunk 0. The memory is zeroed, begins at a cache line and outlives this.
    PageMap(std::uint32_t first, std::uint32_t end, Word* words) noexcept
        : first_(first), end_(end), bits_(words), index_(words + std::size_t{chunks()} * Geometry::kWords, chunks()) {
        free_pages_.store(end - first, std::memory_order_relaxed);
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
            const PageFit fit = search(wish, unsettled);
            if (fit.found()) {
                if (claim(fit.start, wish.pages, unsettled)) return fit.start;
            } else if (!recover(unsettled)) {
                break;
            }
        }
        return kNoPage;
    }

    /// A run that alloc() returned, or part of one. Then the caller ends its epoch, or whatever makes others look
    /// again.
    void free(std::uint32_t start, std::uint32_t pages) noexcept {
        // F1: seq_cst, before the pages can be had; pairs with F2.
        free_pages_.fetch_add(pages, std::memory_order_seq_cst);
        bits_.release(start, pages);
        bool unsettled = false;  // as it is after every free
        refresh(start, pages, unsettled);
    }

    /// Exact when nobody is in alloc() or free(), and never too low.
    [[nodiscard]] std::uint32_t free_pages() const noexcept { return free_pages_.load(std::memory_order_relaxed); }
    /// No page at or above this was ever handed out.
    [[nodiscard]] std::uint32_t born_end() const noexcept {
        // N2: acquire, pairs with N1.
        return std::min(born_.load(std::memory_order_acquire) * kPages, end_);
    }

private:
    [[nodiscard]] std::uint32_t chunks() const noexcept { return chunks_of(end_); }

    PageFit search(const PageWish& wish, bool& unsettled) noexcept {
        // Relaxed: only where to begin.
        const std::uint32_t from = from_.load(std::memory_order_relaxed);
        // N2: acquire, pairs with N1.
        const std::uint32_t born = born_.load(std::memory_order_acquire);
        PageSearch<Geometry, Bits, Index> searching(wish, bits_, index_, first_, end_, born, from, unsettled);
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
        while (chunk <= last && chunk < chunks()) {
            // N1: release, pairs with N2: nothing but the number depends on it.
            if (born_.compare_exchange_weak(chunk, chunk + 1, std::memory_order_release, std::memory_order_relaxed)) {
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
    Bits bits_;
    Index index_;
    alignas(kCacheLine) typename Policy::template Atomic<std::uint32_t> free_pages_;
    alignas(kCacheLine) typename Policy::template Atomic<std::uint32_t> born_;
    typename Policy::template Atomic<std::uint32_t> from_;       // where searches begin
    typename Policy::template Atomic<std::uint32_t> recovered_;  // where recover() got to
};

}  // namespace bounce
