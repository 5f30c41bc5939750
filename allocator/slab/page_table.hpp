// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages of a region are free: chunks of 512 bits in eight fill buckets, best fit inside, and a tree of the holes
// for what spans chunks and for the certainty that there is none. Not thread-safe; its owner has a lock. A chunk that
// was never used costs nothing, not even the reading of its bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/slab/chunk_bits.hpp"
#include "allocator/slab/hole_tree.hpp"
#include "allocator/slab/page_fit.hpp"

namespace bounce {

/// What is known of a chunk beside its bits.
struct ChunkInfo {
    std::uint64_t sizes;  // one bit for each size of hole that it has: size_of_hole()
    std::uint32_t prev;
    std::uint32_t next;
    std::uint16_t free;
    std::uint8_t bucket;
};

/// Pages in a row, and where they may be.
struct PageRequest {
    std::uint32_t pages;
    std::uint32_t align = 1;       // power of two, at most a chunk
    std::uint32_t last = kNoPage;  // highest page to begin at
    // The first `kept` pages must not cross a multiple of `window` (power of two, at least `kept`), counted from
    // `window_base` pages before page 0 (a multiple of a chunk).
    std::uint32_t kept = 0;
    std::uint64_t window = 0;
    std::uint64_t window_base = 0;
};

class PageTable {
public:
    /// Pages [first, end) exist. The spans are zeroed; they have an element for each chunk up to `end`, and
    /// HoleTree::nodes_needed() of that.
    PageTable(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits, std::span<ChunkInfo> infos,
              std::span<HoleNode> nodes) noexcept;

    /// The first page; kNoPage when there are none.
    [[nodiscard]] std::uint32_t alloc(const PageRequest& request) noexcept;
    void free(std::uint32_t start, std::uint32_t pages) noexcept;

    /// Hands out nothing while it is closed; pages still come back.
    void close(bool closed) noexcept { closed_ = closed; }
    /// Begins anew without a page, all of them being free; they come again through extend(), from the first on.
    void restart() noexcept;
    /// Pages up to `until` (a chunk's end, or the last) exist now; those that are new and not `good` are never handed
    /// out.
    void extend(std::uint32_t until, bool good) noexcept;

    [[nodiscard]] std::uint32_t free_pages() const noexcept { return free_pages_; }
    /// Of the pages that exist and are good: handed out.
    [[nodiscard]] std::uint32_t used_pages() const noexcept { return good_pages_ - free_pages_; }
    /// No page at or above this was ever handed out.
    [[nodiscard]] std::uint32_t born_end() const noexcept;

private:
    static constexpr std::uint32_t kFillBuckets = 8;
    static constexpr std::uint32_t kWhole = kFillBuckets;  // entirely free
    static constexpr std::uint32_t kBuckets = kFillBuckets + 1;
    static constexpr std::uint32_t kFull = kBuckets;  // in no list
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    struct Fit {
        std::uint32_t start = kNoPage;
        std::uint32_t hole = kNone;
    };

    static void blank_outside(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits) noexcept;
    void give_birth() noexcept;
    void mark(std::uint32_t start, std::uint32_t pages, bool used) noexcept;
    void relink(std::uint32_t chunk) noexcept;
    void unlink(std::uint32_t chunk) noexcept;
    static void consider(Fit& best, std::uint32_t hole_start, std::uint32_t hole_pages,
                         const PageRequest& request) noexcept;
    void consider_chunk(Fit& best, std::uint32_t chunk, const PageRequest& request) const noexcept;
    [[nodiscard]] Fit find_in_chunk(const PageRequest& request) const noexcept;
    [[nodiscard]] Fit find_across(const PageRequest& request) noexcept;

    std::uint32_t first_;
    std::uint32_t last_;      // of what can exist
    std::uint32_t end_;       // of what exists
    std::uint32_t born_ = 0;  // chunks
    std::uint32_t good_pages_;
    std::uint32_t free_pages_;
    bool closed_ = false;
    std::uint32_t heads_[kBuckets];
    std::span<ChunkBits> bits_;
    std::span<ChunkInfo> infos_;
    HoleTree tree_;
};

}  // namespace bounce
