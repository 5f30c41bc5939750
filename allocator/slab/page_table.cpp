// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/slab/page_table.hpp"

#include <algorithm>
#include <utility>

#include "allocator/base/bits.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kChunkPages = kPagesPerChunk;
// Chunks of one bucket that are compared before the best is taken: keeps the search short in a large pool.
constexpr std::uint32_t kCandidates = 16;

}  // namespace

PageTable::PageTable(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits,
                     std::span<ChunkInfo> infos) noexcept
    : first_(first), end_(end), good_pages_(end - first), free_pages_(end - first), bits_(bits), infos_(infos) {
    std::fill(std::begin(heads_), std::end(heads_), kNone);
}

std::uint32_t PageTable::born_end() const noexcept {
    return std::min(born_ * kChunkPages, end_);
}

std::uint32_t PageTable::alloc(std::uint32_t pages, std::uint32_t align, std::uint32_t last) noexcept {
    if (pages == 0 || pages > free_pages_ || closed_) return kNoPage;
    Fit fit;
    if (pages <= kChunkPages) {
        fit = find_in_chunk(pages, align, last);
        // A fresh chunk only when no used one will do. At most two are too small: the first and the last of a region.
        for (int tries = 0;
             tries < 3 && fit.start == kNoPage && born_ * kChunkPages < end_ && born_ * kChunkPages <= last; ++tries) {
            give_birth();
            fit = find_in_chunk(pages, align, last);
        }
    }
    if (fit.start == kNoPage) fit = find_across(pages, align, last);
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
    for (std::uint32_t chunk = 0; chunk < born_; ++chunk) {
        bits_[chunk] = ChunkBits{};
        infos_[chunk] = ChunkInfo{};
    }
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
    const std::uint32_t chunk = born_++;
    const std::uint32_t start = chunk * kChunkPages;
    // What the region does not have counts as used for ever.
    if (start < first_) bits_[chunk].set(0, first_ - start, true);
    if (start + kChunkPages > end_) bits_[chunk].set(end_ - start, start + kChunkPages - end_, true);
    infos_[chunk].bucket = kFull;
    relink(chunk);
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
    info.free = static_cast<std::uint16_t>(kChunkPages - bits_[chunk].used());
    info.largest = static_cast<std::uint16_t>(bits_[chunk].largest_hole());
    const std::uint32_t bucket = info.free == 0             ? kFull
                                 : info.free == kChunkPages ? kWhole
                                                            : (info.free - 1U) / (kChunkPages / kFillBuckets);
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

void PageTable::consider(Fit& best, std::uint32_t hole_start, std::uint32_t hole_pages, std::uint32_t pages,
                         std::uint32_t align, std::uint32_t last) noexcept {
    if (hole_pages < pages || hole_pages >= best.hole) return;
    const std::uint64_t start = round_up(hole_start, align);
    if (start + pages > std::uint64_t{hole_start} + hole_pages || start > last) return;
    best = {static_cast<std::uint32_t>(start), hole_pages};
}

PageTable::Fit PageTable::find_in_chunk(std::uint32_t pages, std::uint32_t align, std::uint32_t last) const noexcept {
    Fit best;
    // The fullest chunks first, so that others become whole again.
    for (std::uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
        std::uint32_t candidates = 0;
        for (std::uint32_t chunk = heads_[bucket]; chunk != kNone && candidates < kCandidates;
             chunk = infos_[chunk].next) {
            if (infos_[chunk].largest < pages) continue;
            bits_[chunk].holes([&](std::uint32_t at, std::uint32_t hole) {
                consider(best, chunk * kChunkPages + at, hole, pages, align, last);
            });
            if (best.start != kNoPage) ++candidates;
        }
        if (best.start != kNoPage) break;
    }
    return best;
}

PageTable::Fit PageTable::find_across(std::uint32_t pages, std::uint32_t align, std::uint32_t last) const noexcept {
    Fit best;
    std::uint32_t start = first_;
    std::uint32_t length = 0;
    const auto feed = [&](std::uint32_t at, std::uint32_t hole) {
        if (at == start + length) {
            length += hole;
            return;
        }
        consider(best, start, length, pages, align, last);
        start = at;
        length = hole;
    };
    for (std::uint32_t chunk = 0; chunk < born_; ++chunk) {
        const std::uint32_t base = chunk * kChunkPages;
        if (infos_[chunk].free == 0) continue;
        if (infos_[chunk].free == kChunkPages) {
            feed(base, kChunkPages);
        } else {
            bits_[chunk].holes([&](std::uint32_t at, std::uint32_t hole) { feed(base + at, hole); });
        }
    }
    const std::uint32_t born = std::max(born_ * kChunkPages, first_);
    if (born < end_) feed(born, end_ - born);
    consider(best, start, length, pages, align, last);
    return best;
}

}  // namespace bounce
