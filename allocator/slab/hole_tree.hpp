// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where the long holes are: a binary tree over the chunks whose nodes say how many pages are free at the start, at the
// end and in a row anywhere. "Is there a hole of n pages" is one look, and finding the next one takes a few steps for
// each level, whatever the size of the region. Nodes above chunks that changed are brought up to date by settle(), so
// that those who only take and give pages of one chunk do not pay for it. Not thread-safe. Nodes hold what is missing:
// zeroed memory means that all is free, and a chunk that was never used costs nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/slab/chunk_bits.hpp"

namespace bounce {

struct HoleNode {
    // Length of the stretch less the free pages at its start, at its end, in a row anywhere; 2^32 - 1 stands for 2^32.
    std::uint32_t no_start;
    std::uint32_t no_end;
    std::uint32_t no_max;

    bool operator==(const HoleNode&) const = default;
};

class HoleTree {
public:
    /// The bits of the first and of the last chunk say what the region does not have. `nodes` is zeroed and has
    /// nodes_needed() elements.
    HoleTree(std::span<const ChunkBits> bits, std::span<HoleNode> nodes) noexcept;
    static constexpr std::size_t nodes_needed(std::size_t chunks) noexcept { return 2 * std::bit_ceil(chunks); }

    /// Pages in the longest hole. After settle(), as all that looks.
    [[nodiscard]] std::uint64_t longest() const noexcept {
        return std::uint64_t{leaves_} * kChunkPages - nodes_[1].no_max;
    }

    /// Of a chunk with these bits, of which `visit_hole` is told too, as ChunkBits::holes() would.
    template <class Visit>
    static HoleNode leaf_of(const ChunkBits& bits, Visit&& visit_hole) noexcept {
        HoleNode leaf{kChunkPages, kChunkPages, kChunkPages};
        bits.holes([&](std::uint32_t at, std::uint32_t pages) {
            if (at == 0) leaf.no_start = kChunkPages - pages;
            if (at + pages == kChunkPages) leaf.no_end = kChunkPages - pages;
            leaf.no_max = std::min(leaf.no_max, kChunkPages - pages);
            visit_hole(at, pages);
        });
        return leaf;
    }
    void set_leaf(std::uint32_t chunk, const HoleNode& leaf) noexcept {
        nodes_[leaves_ + chunk] = leaf;
        if (changed_count_ != 0 && changed_[changed_count_ - 1] == chunk) return;
        if (changed_count_ == kMaxChanged) settle();
        changed_[changed_count_++] = chunk;
    }
    void settle() noexcept {
        while (changed_count_ != 0) climb(changed_[--changed_count_]);
    }

    /// Calls visit(first page, pages) for holes of at least `pages`, lowest first, until it returns true.
    template <class Visit>
    void each(std::uint32_t pages, Visit&& visit) const noexcept {
        Walk<Visit> walk{visit, pages, 0, 0};
        if (!descend(1, 0, leaves_, walk)) walk.close();
    }

private:
    static constexpr std::uint32_t kChunkPages = kPagesPerChunk;
    static constexpr std::uint32_t kMaxChanged = 16;

    /// The hole that reaches up to where the walk is.
    template <class Visit>
    struct Walk {
        Visit& visit;
        std::uint32_t pages;
        std::uint32_t start;
        std::uint32_t length;

        bool close() { return length >= pages && visit(start, length); }
        /// True when the visitor has seen enough.
        bool feed(std::uint32_t at, std::uint32_t hole) {
            if (at == start + length) {
                length += hole;
                return false;
            }
            const bool enough = close();
            start = at;
            length = hole;
            return enough;
        }
    };

    template <class Visit>
    bool descend(std::uint32_t node, std::uint32_t chunk, std::uint32_t chunks, Walk<Visit>& walk) const noexcept {
        const HoleNode& here = nodes_[node];
        const std::uint64_t length = std::uint64_t{chunks} * kChunkPages;
        const std::uint32_t base = chunk * kChunkPages;
        if (here.no_max == 0) return walk.feed(base, static_cast<std::uint32_t>(length));
        if (here.no_max == length) return false;
        const std::uint32_t before = base == walk.start + walk.length ? walk.length : 0;
        if (length - here.no_max < walk.pages && before + length - here.no_start < walk.pages) {
            // Nothing long enough begins or ends here, but the hole before it may be one.
            return walk.feed(base + here.no_end, static_cast<std::uint32_t>(length - here.no_end));
        }
        if (chunks > 1) {
            return descend(2 * node, chunk, chunks / 2, walk) ||
                   descend(2 * node + 1, chunk + chunks / 2, chunks / 2, walk);
        }
        bool enough = false;
        bits_[chunk].holes(
            [&](std::uint32_t at, std::uint32_t hole) { enough = enough || walk.feed(base + at, hole); });
        return enough;
    }

    void climb(std::uint32_t chunk) noexcept;
    bool merge(std::uint32_t node, std::uint64_t length) noexcept;

    std::uint32_t leaves_;
    std::span<const ChunkBits> bits_;
    std::span<HoleNode> nodes_;
    std::uint32_t changed_count_ = 0;
    std::uint32_t changed_[kMaxChanged];  // chunks
};

}  // namespace bounce
