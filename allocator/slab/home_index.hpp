// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which slabs have slots at home, without locks. Two levels: for each chunk, which of its pages begin a slab that may
// have bits (of any class); and for each class, and for all of them together, a set of the chunks that may have such a
// slab.
//
// An entry (a page; a chunk in the set of a class) is *listed*, *in doubt*, both, or neither; two bits in one word, so
// that one load tells. Whoever searches takes both for a yes.
//   list()    after bits came home, or a slab was born: lists the page, then the chunk. Both present: two loads.
//   doubt     by who found nothing there, if the entry is listed and not in doubt: listed -> in doubt, by one
//             compare-exchange. It is his doubt then. He looks again; lists the entry if there is something; and takes
//             the doubt away. An entry that is in doubt by somebody else is left as it is.
// What must hold: an entry under which there is something, and which nobody is in the middle of listing, is listed or
// in doubt. Store-load points: bits come home, then list() loads the entry, against doubt, then look at the bits; the
// page is listed, then the chunk's entry is loaded, against doubt of the chunk, then look at the pages. All are
// seq_cst, so one of the two sees the other. An entry never has neither bit for an instant on its way from one to the
// other.
//
// Who looks must not rely on what he saw before: what an entry speaks of may have died and something else begun there.
// The second look is at what is there then; what comes later lists itself.
// Linearization points: the compare-exchange, fetch_or and fetch_and of the entry. Progress: lock-free; a
// compare-exchange fails because another one succeeded. ABA: an entry has no history that matters.
// A thread that stops
//   in list(): what it has brought home is not found until another brings something home to the same slab;
//   in its doubt: the entry stays in doubt, so it is found, and nobody can take it away: searches look there in vain.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/chunk_set.hpp"
#include "allocator/slab/page_fit.hpp"

namespace bounce {

/// Of chunks. A model takes a smaller one.
struct HomeGeometry {
    static constexpr std::uint32_t kPages = kPagesPerChunk;
    static constexpr std::uint32_t kPagesPerWord = 32;  // two bits each
    using SetShape = ChunkSetShape;
};

/// What a visitor says of a slab.
enum class Visit {
    kStop,   // no more
    kKeep,   // go on
    kEmpty,  // go on; there is nothing at home
};

template <class Policy, class Geometry = HomeGeometry>
class HomeIndex {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    using Set = ChunkSet<Policy, typename Geometry::SetShape>;
    using Levels = typename Set::Levels;
    static constexpr std::uint32_t kPages = Geometry::kPages;
    static constexpr std::uint32_t kWords = kPages / Geometry::kPagesPerWord;  // of a chunk
    static constexpr std::uint32_t kNoClass = ~std::uint32_t{0};

    static constexpr std::size_t words_needed(std::uint32_t chunks, std::uint32_t classes) noexcept {
        return std::size_t{chunks} * kWords + (std::size_t{classes} + 1) * Set::words_needed(2 * chunks);
    }

    /// The memory is zeroed, begins at a cache line and outlives this.
    HomeIndex(Word* words, std::uint32_t chunks) noexcept
        : pages_(words), sets_(words + std::size_t{chunks} * kWords), chunks_(chunks), levels_(2 * chunks) {}
    HomeIndex(const HomeIndex&) = delete;
    HomeIndex& operator=(const HomeIndex&) = delete;

    /// A slab was born.
    void list_born(std::uint32_t head, std::uint32_t size_class) noexcept {
        // I2: seq_cst, release: the slab is there for who sees the page listed; so also when it was, left over.
        word_of(head).fetch_or(listed(head), std::memory_order_seq_cst);
        list_chunk(head / kPages, size_class);
    }
    /// Bits came home to the slab of this class that begins at page `head`.
    void list(std::uint32_t head, std::uint32_t size_class) noexcept {
        Word& word = word_of(head);
        // I1: seq_cst, the load after the bits (W2, W3); pairs with I3.
        if ((word.load(std::memory_order_seq_cst) & listed(head)) == 0) {
            // I2: seq_cst, the store before the load of the set (B1); pairs with I4 and I5.
            word.fetch_or(listed(head), std::memory_order_seq_cst);
        }
        list_chunk(head / kPages, size_class);
    }

    /// The slab of the caller, who has all of it, is no more. (It may be listed again by who brought its bits home.)
    void unlist_dead(std::uint32_t head) noexcept {
        // Relaxed: nothing depends on it.
        word_of(head).fetch_and(~listed(head), std::memory_order_relaxed);
    }

    /// After nothing was found at home in what begins at this page. look(page) tells the class of a slab that begins
    /// there and has bits at home, or kNoClass.
    template <class Look>
    void doubt(std::uint32_t head, Look&& look) noexcept {
        Word& word = word_of(head);
        // I5: seq_cst, pairs with I2.
        std::uint64_t seen = word.load(std::memory_order_seq_cst);
        do {
            if ((seen & listed(head)) == 0 || (seen & doubted(head)) != 0) return;
            // I3: seq_cst, the store before the look at the bits; pairs with I1. Acquire: what was listed is there.
        } while (!word.compare_exchange_weak(seen, seen ^ (listed(head) | doubted(head)), std::memory_order_seq_cst,
                                             std::memory_order_seq_cst));
        if (const std::uint32_t size_class = look(head); size_class != kNoClass) list(head, size_class);
        // I6: release, after list(); pairs with I4.
        word.fetch_and(~doubted(head), std::memory_order_release);
    }

    /// Calls visit(head) for the slabs of a class in the order of their addresses, from page `from` on and around,
    /// until it says kStop: then true. class_at(page) is the class of the slab that begins there, or kNoClass.
    template <class ClassAt, class Look, class Visitor>
    bool visit(std::uint32_t size_class, std::uint32_t from, ClassAt&& class_at, Look&& look,
               Visitor&& visitor) noexcept {
        const Set set = set_of(size_class);
        const std::uint32_t first = from / kPages;
        const auto in_chunk = [&](std::uint32_t chunk, std::uint32_t start) {
            bool kept = start != 0;
            const bool stopped = visit_chunk(chunk, start, [&](std::uint32_t page) {
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
            if (!kept) doubt_chunk(set, chunk, [&](std::uint32_t page) { return class_at(page) == size_class; });
            return stopped;
        };
        for (std::uint32_t at = next_chunk(set, first); at < chunks_; at = next_chunk(set, at + 1)) {
            if (in_chunk(at, at == first ? from % kPages : 0)) return true;
        }
        if (from == 0) return false;
        for (std::uint32_t at = next_chunk(set, 0); at <= first; at = next_chunk(set, at + 1)) {
            if (in_chunk(at, 0)) return true;
        }
        return false;
    }

    /// Calls visit(page) for all pages that are listed or in doubt, of at most `most` chunks from chunk `from` on and
    /// around; the chunk where that ended.
    template <class Visitor>
    std::uint32_t visit_all(std::uint32_t from, std::uint32_t most, Visitor&& visitor) noexcept {
        const Set set = set_of_all();
        std::uint32_t at = next_chunk(set, from);
        for (bool around = from == 0; most != 0; --most, at = next_chunk(set, at + 1)) {
            if (at >= chunks_ && !around) {
                around = true;
                at = next_chunk(set, 0);
            }
            if (at >= chunks_ || (around && from != 0 && at >= from)) break;
            bool any = false;
            visit_chunk(at, 0, [&](std::uint32_t page) {
                any = true;
                visitor(page);
                return false;
            });
            if (!any) doubt_chunk(set, at, [](std::uint32_t) { return true; });
        }
        return at < chunks_ ? at : 0;
    }

    /// Calls visit(page) for all pages of a chunk, from the page `start` of it on, that are listed or in doubt, until
    /// it returns true: then true.
    template <class Visitor>
    bool visit_chunk(std::uint32_t chunk, std::uint32_t start, Visitor&& visitor) const noexcept {
        for (std::uint32_t i = start / Geometry::kPagesPerWord; i < kWords; ++i) {
            // I4: acquire, pairs with I2: what is listed is there; seq_cst, as in doubt().
            const std::uint64_t word = pages_[std::size_t{chunk} * kWords + i].load(std::memory_order_seq_cst);
            std::uint64_t rest = (word | word >> Geometry::kPagesPerWord) & kLane;
            const std::uint32_t page = chunk * kPages + i * Geometry::kPagesPerWord;
            if (page < chunk * kPages + start) rest &= kLane << (start % Geometry::kPagesPerWord);
            for (; rest != 0; rest &= rest - 1) {
                if (visitor(page + static_cast<std::uint32_t>(std::countr_zero(rest)))) return true;
            }
        }
        return false;
    }

protected:
    static constexpr std::uint64_t kLane = (std::uint64_t{1} << Geometry::kPagesPerWord) - 1;

    [[nodiscard]] Word& word_of(std::uint32_t page) const noexcept { return pages_[page / Geometry::kPagesPerWord]; }
    static constexpr std::uint64_t listed(std::uint32_t page) noexcept {
        return std::uint64_t{1} << (page % Geometry::kPagesPerWord);
    }
    static constexpr std::uint64_t doubted(std::uint32_t page) noexcept {
        return listed(page) << Geometry::kPagesPerWord;
    }
    // The members of a set: two numbers for each chunk, of one leaf word.
    static constexpr std::uint32_t listed_chunk(std::uint32_t chunk) noexcept { return 2 * chunk; }
    static constexpr std::uint32_t doubted_chunk(std::uint32_t chunk) noexcept { return 2 * chunk + 1; }
    static_assert(Geometry::SetShape::kLeafBits % 2 == 0);
    [[nodiscard]] Set set_of_all() const noexcept { return Set(sets_, levels_); }
    [[nodiscard]] Set set_of(std::uint32_t size_class) const noexcept {
        return Set(sets_ + (std::size_t{size_class} + 1) * levels_.end, levels_);
    }
    void list_chunk(std::uint32_t chunk, std::uint32_t size_class) noexcept {
        set_of(size_class).insert(listed_chunk(chunk));
        set_of_all().insert(listed_chunk(chunk));
    }
    // The lowest chunk >= from in a set, or one beyond all.
    [[nodiscard]] std::uint32_t next_chunk(const Set& set, std::uint32_t from) const noexcept {
        const std::uint32_t found = from < chunks_ ? set.find(listed_chunk(from)) : Set::kNone;
        return found / 2;
    }

    // After no page was found in this chunk that belongs into this set.
    template <class Belongs>
    void doubt_chunk(Set set, std::uint32_t chunk, Belongs&& belongs) noexcept {
        // B6: seq_cst, the store before the look at the pages (I4); pairs with B1 in list_chunk().
        if (!set.replace(listed_chunk(chunk), doubted_chunk(chunk))) return;
        if (visit_chunk(chunk, 0, belongs)) set.insert(listed_chunk(chunk));
        set.erase(doubted_chunk(chunk));
    }

    Word* pages_;
    Word* sets_;
    std::uint32_t chunks_;
    Levels levels_;
};

}  // namespace bounce
