// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which run of pages a wish gets: policy only. It reads bits and hints as they are at the moment and promises nothing;
// the claim that follows decides. Whatever it meets that is out of date it puts right.
//
// One search looks at a bounded number of chunks, some of each set. When it has to pass over some, it says so and from
// where on, and the next one begins there: a chunk that fits is found after a few attempts, however many do not fit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "allocator/slab/page_fit.hpp"
#include "allocator/slab/page_index.hpp"

namespace bounce {

template <class Geometry, class Bits, class Index>
class PageSearch {
public:
    static constexpr std::uint32_t kPages = Index::kPages;
    static constexpr std::uint32_t kNone = Index::Set::kNone;

    /// Pages [first, end) exist, chunks from `born` on were never used. Begins at chunk `from`, and ends before it.
    PageSearch(const PageWish& wish, const Bits& bits, Index& index, std::uint32_t first, std::uint32_t end,
               std::uint32_t born, std::uint32_t from, bool& unsettled) noexcept
        : wish_(wish),
          bits_(bits),
          index_(index),
          first_(first),
          end_(end),
          born_(born),
          from_(from),
          unsettled_(unsettled),
          class_(lowest_class(wish.pages)),
          half_class_(lowest_class(half_of(wish.pages))) {}

    /// The first chunk that was passed over, or kNone.
    [[nodiscard]] std::uint32_t passed_over() const noexcept {
        return passed_over_ == kNone ? kNone : chunk_at(passed_over_);
    }

    /// In one chunk that was used before: the smallest hole of some chunks, of each fill a few; among equals that in
    /// the fullest one, so that others become whole again.
    [[nodiscard]] PageFit in_used() noexcept {
        PageFit best;
        if (wish_.pages > kPages) return best;
        std::uint32_t fill = (wish_.pages + Index::kPart - 1) / Index::kPart;
        for (; fill <= Index::kFills && best.hole != wish_.pages; ++fill) {
            candidates_ = Geometry::kCandidates;
            // A chunk with a larger hole may have a smaller one that fits better.
            for (std::uint32_t c = class_; c <= Index::last_class(fill) && !enough(best); ++c) {
                look_through(Index::set_of(fill, c), best);
            }
        }
        if (best.found()) return best;
        candidates_ = 1;
        look_through(Index::kWholeSet, best);
        return best;
    }

    /// In one chunk.
    [[nodiscard]] PageFit in_chunk(std::uint32_t chunk, std::uint32_t* largest = nullptr) const noexcept {
        PageFit best;
        bits_.view(chunk).holes([&](std::uint32_t at, std::uint32_t pages) {
            if (largest != nullptr) *largest = std::max(*largest, pages);
            best.consider(wish_, chunk * kPages + at, pages);
        });
        return best;
    }

    /// Over the borders of chunks: the smallest hole of those that are looked at.
    [[nodiscard]] PageFit across() noexcept {
        PageFit best;
        candidates_ = Geometry::kCandidatesAcross;
        left_ = Geometry::kLooks;
        for (std::uint32_t fill = 1; fill <= Index::kFills && !enough(best); ++fill) {
            for (std::uint32_t c = half_class_; c <= Index::last_class(fill) && !enough(best); ++c) {
                look_at_borders(Index::set_of(fill, c), best);
            }
        }
        if (!enough(best)) look_at_whole_ones(best);
        if (!best.found() && born_ * kPages < end_) consider_around(born_, best);
        return best;
    }

    /// Where one search was in vain: the same once more, in the order in which no chunk is passed by because something
    /// was taken from it meanwhile.
    [[nodiscard]] PageFit last_look() noexcept {
        PageFit best;
        candidates_ = 1;
        left_ = Geometry::kLooks;
        if (wish_.pages <= kPages) look_through(Index::kWholeSet, best);
        if (!best.found()) look_at_whole_ones(best);
        for (std::uint32_t fill = Index::kFills; fill != 0; --fill) {
            for (std::uint32_t c = Index::last_class(fill) + 1; c-- > half_class_ && !best.found();) {
                if (c >= class_) look_through(Index::set_of(fill, c), best);
                if (!best.found()) look_at_borders(Index::set_of(fill, c), best);
            }
        }
        return best;
    }

private:
    struct Edges {
        std::uint32_t head;
        std::uint32_t tail;
    };
    struct Hole {
        std::uint32_t start;
        std::uint32_t end;
    };

    [[nodiscard]] bool enough(const PageFit& best) const noexcept {
        return candidates_ == 0 || best.hole == wish_.pages;
    }
    // Chunks are passed in this order: from_, from_ + 1, ..., 0, 1, ..., from_ - 1.
    [[nodiscard]] std::uint32_t chunk_at(std::uint32_t place) const noexcept {
        return place < chunks() - from_ ? from_ + place : place - (chunks() - from_);
    }
    [[nodiscard]] std::uint32_t chunks() const noexcept { return (end_ + kPages - 1) / kPages; }

    // Calls visitor(chunk, hint) for the members of a set, up to `beyond` chunks behind the limit, until it returns
    // false or there were too many.
    template <class Visitor>
    void visit(std::uint32_t set, std::uint32_t beyond, Visitor&& visitor) noexcept {
        const std::int32_t share = std::max(left_, Geometry::kLeastLooks);
        looks_ = share;
        const std::uint32_t last = wish_.last / kPages + beyond;
        if (visit_between(set, from_, last, visitor) && from_ != 0) {
            visit_between(set, 0, std::min(from_ - 1, last), visitor);
        }
        left_ -= share - std::max(looks_, 0);
    }
    template <class Visitor>
    bool visit_between(std::uint32_t set, std::uint32_t from, std::uint32_t last, Visitor& visitor) noexcept {
        for (std::uint32_t chunk = from; (chunk = index_.find(set, chunk)) <= last && chunk != kNone; ++chunk) {
            if (looks_ <= 0) {
                const std::uint32_t place = chunk >= from_ ? chunk - from_ : chunk + chunks() - from_;
                passed_over_ = std::min(passed_over_, place);
                return false;
            }
            --looks_;
            PageHint hint;
            if (index_.belongs(chunk, set, hint, unsettled_) && !visitor(chunk, hint)) return false;
        }
        return true;
    }

    void look_through(std::uint32_t set, PageFit& best) noexcept {
        visit(set, 0, [&](std::uint32_t chunk, const PageHint& hint) {
            if (hint.largest < wish_.pages) return true;
            looks_ -= Geometry::kLooksForBits;
            std::uint32_t largest = 0;
            const PageFit fit = in_chunk(chunk, &largest);
            // Somebody has taken what the hint promises, and not yet said so.
            if (largest < wish_.pages) index_.refresh(chunk, bits_, unsettled_);
            best.consider(fit);
            if (fit.found()) --candidates_;
            return !enough(best);
        });
    }

    // Whole chunks, and what is free before and behind them.
    void look_at_whole_ones(PageFit& best) noexcept {
        Hole seen{0, 0};
        visit(Index::kWholeSet, 1, [&](std::uint32_t chunk, const PageHint&) {
            if (seen.start <= chunk * kPages && chunk * kPages < seen.end) return true;
            seen = consider_around(chunk, best);
            return !enough(best);
        });
    }
    // Two chunks that are not whole: one has half of the run or more.
    void look_at_borders(std::uint32_t set, PageFit& best) noexcept {
        const std::uint32_t half = half_of(wish_.pages);
        visit(set, 1, [&](std::uint32_t chunk, const PageHint& hint) {
            if (hint.tail >= half) consider_border(chunk + 1, best);
            if (hint.head >= half) consider_border(chunk, best);
            return !enough(best);
        });
    }
    static constexpr std::uint32_t half_of(std::uint32_t pages) noexcept { return pages / 2 + pages % 2; }
    // The lowest class of a chunk that has so many pages in a row, but is not whole.
    static constexpr std::uint32_t lowest_class(std::uint32_t pages) noexcept {
        return pages < kPages ? Index::hole_class(pages) : Index::kHoleClasses;
    }

    // Free pages at both ends of a chunk, as far as the region goes.
    [[nodiscard]] Edges edges(std::uint32_t chunk) const noexcept {
        const PageHint hint = index_.hint(chunk);
        if (hint.sequence != 0) return {hint.head, hint.tail};
        const std::uint32_t from = std::max(chunk * kPages, first_);
        const std::uint32_t to = std::min((chunk + 1) * kPages, end_);
        return {from == chunk * kPages ? to - from : 0, to == (chunk + 1) * kPages ? to - from : 0};
    }
    // Of two chunks neither of which is whole; `right` begins at the border.
    void consider_border(std::uint32_t right, PageFit& best) noexcept {
        if (right == 0 || right >= born_) return;
        const std::uint32_t tail = edges(right - 1).tail;
        const std::uint32_t head = edges(right).head;
        if (tail != kPages && head != kPages) consider({right * kPages - tail, right * kPages + head}, best);
    }
    // Of whole chunks and what is free at both ends of them, as far as it matters: a hole that has much more than is
    // wanted is as good as any longer one.
    Hole consider_around(std::uint32_t chunk, PageFit& best) noexcept {
        const std::uint64_t much = wish_.pages + std::uint64_t{wish_.align} + wish_.boundary + kPages;
        const std::uint32_t far = static_cast<std::uint32_t>(std::min<std::uint64_t>(much / kPages, chunks())) + 1;
        Hole hole{chunk * kPages, chunk * kPages};
        const std::uint32_t lowest = chunk - std::min(chunk, far);
        for (std::uint32_t at = chunk; at > lowest && hole.start == at * kPages; --at) {
            hole.start -= edges(at - 1).tail;
        }
        const std::uint32_t highest = std::min(chunk + far, chunks());
        for (std::uint32_t at = chunk; at < highest && hole.end == at * kPages; ++at) {
            hole.end += edges(at).head;
        }
        hole.start = std::max(hole.start, first_);
        consider(hole, best);
        return hole;
    }
    void consider(const Hole& hole, PageFit& best) noexcept {
        if (hole.end <= hole.start) return;
        PageFit fit;
        fit.consider(wish_, hole.start, hole.end - hole.start);
        best.consider(fit);
        if (fit.found() && candidates_ != 0) --candidates_;
    }

    const PageWish& wish_;
    const Bits& bits_;
    Index& index_;
    std::uint32_t first_;
    std::uint32_t end_;
    std::uint32_t born_;
    std::uint32_t from_;
    bool& unsettled_;
    std::uint32_t class_;       // of chunks that may have the run,
    std::uint32_t half_class_;  // and half of it
    std::uint32_t passed_over_ = kNone;
    std::uint32_t candidates_ = 0;
    std::int32_t left_ = Geometry::kLooks;
    std::int32_t looks_ = 0;  // of those, at one set
};

}  // namespace bounce
