// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pages of a region are free: chunks of 512 bits in eight fill buckets, best fit inside. Not thread-safe; its
// owner has a lock. A chunk that was never used costs nothing, not even the reading of its bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/slab/chunk_bits.hpp"
#include "allocator/slab/page_fit.hpp"

namespace bounce {

/// What is known of a chunk beside its bits.
struct ChunkInfo {
    std::uint32_t prev;
    std::uint32_t next;
    std::uint16_t free;
    std::uint16_t largest;  // pages in the largest hole
    std::uint8_t bucket;
};

class PageTable {
public:
    /// Pages [first, end) exist. The spans are zeroed and have an element for each chunk up to `end`.
    PageTable(std::uint32_t first, std::uint32_t end, std::span<ChunkBits> bits, std::span<ChunkInfo> infos) noexcept;

    /// `pages` in a row, beginning at a multiple of `align` (power of two) not above `last`; kNoPage when there are
    /// none.
    [[nodiscard]] std::uint32_t alloc(std::uint32_t pages, std::uint32_t align, std::uint32_t last) noexcept;
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

    void give_birth() noexcept;
    void mark(std::uint32_t start, std::uint32_t pages, bool used) noexcept;
    void relink(std::uint32_t chunk) noexcept;
    void unlink(std::uint32_t chunk) noexcept;
    static void consider(Fit& best, std::uint32_t hole_start, std::uint32_t hole_pages, std::uint32_t pages,
                         std::uint32_t align, std::uint32_t last) noexcept;
    [[nodiscard]] Fit find_in_chunk(std::uint32_t pages, std::uint32_t align, std::uint32_t last) const noexcept;
    [[nodiscard]] Fit find_across(std::uint32_t pages, std::uint32_t align, std::uint32_t last) const noexcept;

    std::uint32_t first_;
    std::uint32_t end_;       // of what exists
    std::uint32_t born_ = 0;  // chunks
    std::uint32_t good_pages_;
    std::uint32_t free_pages_;
    bool closed_ = false;
    std::uint32_t heads_[kBuckets];
    std::span<ChunkBits> bits_;
    std::span<ChunkInfo> infos_;
};

}  // namespace bounce
