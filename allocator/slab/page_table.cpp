// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/page_table.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kChunkPages = kPagesPerChunk;
// Chunks of one bucket, and holes of a region, that are looked at before the best of them is taken: keeps the search
// short in a large pool.
constexpr std::uint32_t kChunkLooks = 16;
constexpr std::uint32_t kHoleLooks = 64;

// Sizes of holes: up to 16 pages one each, then eight to a doubling.
constexpr std::uint32_t size_of_hole(std::uint32_t pages) {
    if (pages <= 16) return pages - 1;
    const auto octave = static_cast<std::uint32_t>(std::bit_width(pages)) - 5;
    return octave * 8 + 16 + ((pages >> (octave + 1)) & 7);
}
static_assert(size_of_hole(17) == 16 && size_of_hole(31) == 23 && size_of_hole(32) == 24);
static_assert(size_of_hole(kChunkPages) < 64);

}  // namespace

PageTable::PageTable(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits, std::span<ChunkInfo> infos,
                     std::span<HoleNode> nodes) noexcept
    : first_(first),
      last_(end),
      end_(end),
      good_pages_(end - first),
      free_pages_(end - first),
      bits_(bits),
      infos_(infos),
      tree_((blank_outside(first, end, bits), bits), nodes) {
    std::fill(std::begin(heads_), std::end(heads_), kNone);
}

// What the region does not have counts as used for ever.
void PageTable::blank_outside(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits) noexcept {
    bits.front().set(0, first, true);
    bits.back().set((end - 1) % kChunkPages + 1, kChunkPages - 1 - (end - 1) % kChunkPages, true);
}

std::uint32_t PageTable::born_end() const noexcept {
    return std::min(born_ * kChunkPages, end_);
}

std::uint32_t PageTable::alloc(const PageRequest& request) noexcept {
    const std::uint32_t pages = request.pages;
    if (pages == 0 || pages > free_pages_ || closed_) return kNoPage;
    Fit fit;
    if (pages <= kChunkPages) {
        fit = find_in_chunk(request);
        // A fresh chunk only when no used one will do. At most two are too small: the first and the last of a region.
        for (int tries = 0;
             tries < 3 && fit.start == kNoPage && born_ * kChunkPages < end_ && born_ * kChunkPages <= request.last;
             ++tries) {
            give_birth();
            consider_chunk(fit, born_ - 1, request);
        }
    }
    if (fit.start == kNoPage) fit = find_across(request);
    if (fit.start == kNoPage) return kNoPage;
    while (born_ * kChunkPages < fit.start + pages) give_birth();
    mark(fit.start, pages, true);
    free_pages_ -= pages;
    return fit.start;
}

void PageTable::free(std::uint32_t start, std::uint32_t pages) noexcept {
    mark(start, pages, false);
    free_pages_ += pages;
}

void PageTable::restart() noexcept {
    std::fill_n(bits_.begin(), born_, ChunkBits{});
    std::fill_n(infos_.begin(), born_, ChunkInfo{});
    blank_outside(first_, last_, bits_);
    for (std::uint32_t chunk = 0; chunk < born_; ++chunk)
        tree_.set_leaf(chunk, HoleTree::leaf_of(bits_[chunk], [](std::uint32_t, std::uint32_t) {}));
    std::fill(std::begin(heads_), std::end(heads_), kNone);
    born_ = 0;
    good_pages_ = 0;
    free_pages_ = 0;
    end_ = first_;
}

void PageTable::extend(std::uint32_t until, bool good) noexcept {
    const std::uint32_t from = std::exchange(end_, until);
    if (good) {
        good_pages_ += until - from;
        free_pages_ += until - from;
        return;
    }
    while (born_ * kChunkPages < until) give_birth();
    mark(from, until - from, true);
}

void PageTable::give_birth() noexcept {
    infos_[born_].bucket = kFull;
    relink(born_++);
}

void PageTable::mark(std::uint32_t start, std::uint32_t pages, bool used) noexcept {
    while (pages != 0) {
        const std::uint32_t chunk = start / kChunkPages;
        const std::uint32_t from = start % kChunkPages;
        const std::uint32_t here = std::min(pages, kChunkPages - from);
        bits_[chunk].set(from, here, used);
        relink(chunk);
        start += here;
        pages -= here;
    }
}

void PageTable::relink(std::uint32_t chunk) noexcept {
    ChunkInfo& info = infos_[chunk];
    std::uint32_t free = 0;
    std::uint64_t sizes = 0;
    tree_.set_leaf(chunk, HoleTree::leaf_of(bits_[chunk], [&](std::uint32_t, std::uint32_t pages) {
                       free += pages;
                       sizes |= std::uint64_t{1} << size_of_hole(pages);
                   }));
    info.sizes = sizes;
    info.free = static_cast<std::uint16_t>(free);
    const std::uint32_t bucket = free == 0             ? kFull
                                 : free == kChunkPages ? kWhole
                                                       : (free - 1U) / (kChunkPages / kFillBuckets);
    if (bucket == info.bucket) return;
    unlink(chunk);
    info.bucket = static_cast<std::uint8_t>(bucket);
    if (bucket == kFull) return;
    info.prev = kNone;
    info.next = heads_[bucket];
    if (info.next != kNone) infos_[info.next].prev = chunk;
    heads_[bucket] = chunk;
}

void PageTable::unlink(std::uint32_t chunk) noexcept {
    const ChunkInfo& info = infos_[chunk];
    if (info.bucket == kFull) return;
    if (info.prev != kNone) {
        infos_[info.prev].next = info.next;
    } else {
        heads_[info.bucket] = info.next;
    }
    if (info.next != kNone) infos_[info.next].prev = info.prev;
}

void PageTable::consider(Fit& best, std::uint32_t hole_start, std::uint32_t hole_pages,
                         const PageRequest& request) noexcept {
    if (hole_pages < request.pages || hole_pages >= best.hole) return;
    std::uint64_t start = round_up(hole_start, request.align);
    if (request.window != 0) {
        const std::uint64_t inside = (start + request.window_base) & (request.window - 1);
        // On to the next window; its start is aligned well: a window below the alignment is never left.
        if (inside + request.kept > request.window) start += request.window - inside;
    }
    if (start + request.pages > std::uint64_t{hole_start} + hole_pages || start > request.last) return;
    best = {static_cast<std::uint32_t>(start), hole_pages};
}

void PageTable::consider_chunk(Fit& best, std::uint32_t chunk, const PageRequest& request) const noexcept {
    bits_[chunk].holes(
        [&](std::uint32_t at, std::uint32_t hole) { consider(best, chunk * kChunkPages + at, hole, request); });
}

// The best of the holes; among equals that in the fullest chunk, so that others become whole again. May miss some.
PageTable::Fit PageTable::find_in_chunk(const PageRequest& request) const noexcept {
    Fit best;
    std::uint64_t wanted = ~std::uint64_t{0} << size_of_hole(request.pages);
    for (std::uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
        std::uint32_t looks = 0;
        for (std::uint32_t chunk = heads_[bucket]; chunk != kNone && looks < kChunkLooks; chunk = infos_[chunk].next) {
            ++looks;
            const std::uint64_t sizes = infos_[chunk].sizes & wanted;
            if (sizes == 0) continue;
            const std::uint32_t before = best.hole;
            consider_chunk(best, chunk, request);
            if (best.hole == request.pages) return best;
            // From here on only what is smaller, as far as the sizes tell, is of interest.
            if (best.hole < before) wanted &= (std::uint64_t{1} << size_of_hole(best.hole)) - 1;
        }
    }
    return best;
}

// The best of the holes anywhere, of which the first ones are looked at, but all until one fits.
PageTable::Fit PageTable::find_across(const PageRequest& request) noexcept {
    Fit best;
    tree_.settle();
    if (request.pages > tree_.longest()) return best;
    std::uint32_t looks = 0;
    tree_.each(request.pages, [&](std::uint32_t at, std::uint32_t hole) {
        // The tree takes what does not exist yet for free.
        if (at > request.last || at >= end_) return true;
        consider(best, at, std::min(hole, end_ - at), request);
        return best.hole == request.pages || (++looks >= kHoleLooks && best.start != kNoPage);
    });
    return best;
}

}  // namespace bounce
