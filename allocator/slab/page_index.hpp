// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where to look for free pages: a hint for each chunk, and sets of the chunks whose hints are alike.
//
// Hint. One word {sequence, fill, largest hole, free pages at both ends}, of what the chunk's bits were at a moment.
// All zero: never written. refresh() after each change of the bits: reads the hint, then the bits, then replaces the
// hint by what it saw, with the next sequence number, and starts again when somebody was faster. So the reading of the
// bits for a hint that stands comes after the hint before it was written, and with it after every change that was
// refreshed before: the last hint knows every change whose refresh() is over.
//   Progress: lock-free, who fails does so because another refresh succeeded.
//   ABA: the sequence number is 30 bits wide; a refresh would have to sleep through an exact multiple of 2^30 others
//   of its chunk, and the hint that it leaves then lives until the next change.
//   Who stops between the bits and the hint: what it claimed is still announced (whoever looks there and finds nothing
//   refreshes the hint in its place), what it freed is not yet, and counts as used.
//
// Sets. A chunk belongs into the one set that its hint says: by how full it is, then by the size of its largest hole;
// chunks that are full are in none, those that are all free have a set of their own. It may be in others besides, left
// over; who meets it there takes it out. refresh() first puts the chunk into its set, then takes it out of the one
// before. Every refresh() sees to it that the chunk is in its set, so no other needs to be waited for.
//   Store-load point: withdraw() takes out and then looks at the hint, refresh() writes the hint and then looks whether
//   the chunk is in its set. All four are seq_cst, so one of the two puts it in. When that is withdraw(), the chunk was
//   in no set for a moment, and those who searched then may have missed it: it says so.
//   Order: what is taken from a chunk only makes the number of its set smaller, and it is in the new one before it
//   leaves the old. So whoever goes through the sets from the highest number down passes no chunk by but one of which
//   something was freed meanwhile. (Upwards one may pass by a chunk that moves the other way.)
//   Who stops in withdraw() between the two hides the free pages of that chunk, if it has come back to this very set
//   meanwhile, until the next refresh() of the chunk, or until a search in vain comes by (recover()).
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "allocator/slab/chunk_set.hpp"
#include "allocator/slab/chunk_view.hpp"

namespace bounce {

/// Fill 0: full; 1 to kFillBuckets: that many parts of a chunk are free, rounded up; kFillBuckets + 1: all free.
struct PageHint {
    std::uint32_t sequence = 0;  // 0: never written
    std::uint32_t fill = 0;
    std::uint32_t largest = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;

    [[nodiscard]] constexpr std::uint64_t pack() const noexcept {
        return std::uint64_t{sequence} << 34 | std::uint64_t{fill} << 30 | std::uint64_t{largest} << 20 |
               std::uint64_t{head} << 10 | tail;
    }
    static constexpr PageHint unpack(std::uint64_t packed) noexcept {
        const auto field = [packed](unsigned shift) { return static_cast<std::uint32_t>(packed >> shift & 1023); };
        return {static_cast<std::uint32_t>(packed >> 34), field(30) & 15, field(20), field(10), field(0)};
    }
    [[nodiscard]] constexpr std::uint32_t next_sequence() const noexcept {
        const std::uint32_t next = (sequence + 1) & ((std::uint32_t{1} << 30) - 1);
        return next == 0 ? 1 : next;
    }
};

template <class Policy, class Geometry, class Bits>
class PageIndex {
public:
    using Word = typename Policy::template Atomic<std::uint64_t>;
    using Set = ChunkSet<Policy, typename Geometry::SetShape>;
    using Levels = typename Set::Levels;

    static constexpr std::uint32_t kPages = Bits::View::kPages;
    static constexpr std::uint32_t kFills = Geometry::kFillBuckets;
    static constexpr std::uint32_t kWhole = kFills + 1;
    static constexpr std::uint32_t kPart = kPages / kFills;

    /// Two classes of hole sizes to a doubling: 1, 2, 3, 4, 6, 8, 12, ...
    static constexpr std::uint32_t hole_class(std::uint32_t pages) noexcept {
        if (pages == 1) return 0;
        const auto octave = static_cast<std::uint32_t>(std::bit_width(pages)) - 1;
        return 2 * octave - 1 + (pages >> (octave - 1) & 1);
    }
    static constexpr std::uint32_t kHoleClasses = hole_class(kPages - 1) + 1;
    static constexpr std::uint32_t kWholeSet = kFills * kHoleClasses;
    static constexpr std::uint32_t kSets = kWholeSet + 1;
    static constexpr std::uint32_t kNoSet = kSets;

    /// The sets for fill 1 to kFills.
    static constexpr std::uint32_t set_of(std::uint32_t fill, std::uint32_t hole_class) noexcept {
        return (fill - 1) * kHoleClasses + hole_class;
    }
    static constexpr std::uint32_t set_of(const PageHint& hint) noexcept {
        if (hint.fill == 0) return kNoSet;
        return hint.fill == kWhole ? kWholeSet : set_of(hint.fill, hole_class(hint.largest));
    }
    /// The highest class that a chunk so full can have.
    static constexpr std::uint32_t last_class(std::uint32_t fill) noexcept {
        return hole_class(fill == kFills ? kPages - 1 : fill * kPart);
    }

    static constexpr std::size_t words_needed(std::uint32_t chunks) noexcept {
        return chunks + std::size_t{kSets} * Set::words_needed(chunks);
    }

    PageIndex(Word* words, std::uint32_t chunks) noexcept
        : hints_(words), sets_(words + chunks), chunks_(chunks), levels_(chunks) {}

    [[nodiscard]] PageHint hint(std::uint32_t chunk) const noexcept {
        // H1: seq_cst, the load after the store B4 in withdraw(); pairs with H3. Acquire: see H2.
        return PageHint::unpack(hints_[chunk].load(std::memory_order_seq_cst));
    }

    /// After the bits of the chunk were changed. Sets `unsettled` when others may have missed the chunk.
    void refresh(std::uint32_t chunk, const Bits& bits, bool& unsettled) noexcept {
        // H2: acquire, pairs with H3: the bits that are read now are those that the hint read was made of, or later.
        std::uint64_t seen = hints_[chunk].load(std::memory_order_acquire);
        PageHint next;
        do {
            next = make_hint(bits.view(chunk).summary(), PageHint::unpack(seen).next_sequence());
            // H3: release, pairs with H2; seq_cst, the store before the load B1 in insert(): pairs with H1.
        } while (!hints_[chunk].compare_exchange_weak(seen, next.pack(), std::memory_order_seq_cst,
                                                      std::memory_order_acquire));
        const std::uint32_t was_in = set_of(PageHint::unpack(seen));
        list(chunk, next);
        if (was_in != kNoSet && was_in != set_of(next)) withdraw(chunk, was_in, unsettled);
    }

    /// The lowest chunk >= from that may be in this set, or Set::kNone.
    [[nodiscard]] std::uint32_t find(std::uint32_t set, std::uint32_t from) const noexcept {
        return from < chunks_ ? set_at(set).find(from) : Set::kNone;
    }

    /// False when the chunk that was found in a set does not belong there (any more).
    bool belongs(std::uint32_t chunk, std::uint32_t set, PageHint& found, bool& unsettled) noexcept {
        found = hint(chunk);
        if (set_of(found) == set) return true;
        list(chunk, found);
        withdraw(chunk, set, unsettled);
        return false;
    }

    /// Sees to it that the chunk is in its set; true when it was not.
    bool recover(std::uint32_t chunk, const Bits& bits, bool& unsettled) noexcept {
        const PageHint found = hint(chunk);
        if (found.sequence == 0) {
            refresh(chunk, bits, unsettled);
            return true;
        }
        if (set_of(found) == kNoSet || set_at(set_of(found)).contains(chunk)) return false;
        list(chunk, found);
        return true;
    }

protected:
    static PageHint make_hint(const ChunkSummary& sum, std::uint32_t sequence) noexcept {
        return {sequence, sum.free == kPages ? kWhole : (sum.free + kPart - 1) / kPart, sum.largest, sum.head,
                sum.tail};
    }
    [[nodiscard]] Set set_at(std::uint32_t set) const noexcept {
        return Set(sets_ + std::size_t{set} * levels_.end, levels_);
    }
    void list(std::uint32_t chunk, const PageHint& hint) noexcept {
        if (set_of(hint) != kNoSet) set_at(set_of(hint)).insert(chunk);
    }
    void withdraw(std::uint32_t chunk, std::uint32_t set, bool& unsettled) noexcept {
        set_at(set).erase(chunk);          // B4
        const PageHint now = hint(chunk);  // H1
        if (set_of(now) != set) return;
        list(chunk, now);
        unsettled = true;
    }

    Word* hints_;
    Word* sets_;
    std::uint32_t chunks_;
    Levels levels_;
};

}  // namespace bounce
