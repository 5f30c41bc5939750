// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The 512 pages of a chunk as bits, one cache line: 1 is used, 0 is free.
#pragma once

#include <bit>
#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

inline constexpr std::uint32_t kChunkWords = kPagesPerChunk / 64;

struct alignas(kCacheLine) ChunkBits {
    std::uint64_t words[kChunkWords];

    /// The first page at or after `from` that is used (or free); kPagesPerChunk when there is none.
    [[nodiscard]] std::uint32_t find(bool used, std::uint32_t from) const noexcept {
        const std::uint64_t flip = used ? 0 : ~std::uint64_t{0};
        std::uint64_t mask = ~std::uint64_t{0} << (from % 64);
        for (std::uint32_t i = from / 64; i < kChunkWords; ++i, mask = ~std::uint64_t{0}) {
            const std::uint64_t hit = (words[i] ^ flip) & mask;
            if (hit != 0) return i * 64 + static_cast<std::uint32_t>(std::countr_zero(hit));
        }
        return kPagesPerChunk;
    }

    void set(std::uint32_t from, std::uint32_t count, bool used) noexcept {
        while (count != 0) {
            const std::uint32_t bit = from % 64;
            const std::uint32_t here = count < 64 - bit ? count : 64 - bit;
            const std::uint64_t mask = (here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit;
            words[from / 64] = used ? words[from / 64] | mask : words[from / 64] & ~mask;
            from += here;
            count -= here;
        }
    }

    [[nodiscard]] std::uint32_t used() const noexcept {
        int used = 0;
        for (const std::uint64_t word : words) used += std::popcount(word);
        return static_cast<std::uint32_t>(used);
    }

    /// Calls visit(first page, pages) for each hole, lowest first.
    template <class Visit>
    void holes(Visit&& visit) const noexcept {
        for (std::uint32_t at = find(false, 0); at < kPagesPerChunk;) {
            const std::uint32_t end = find(true, at);
            visit(at, end - at);
            at = end < kPagesPerChunk ? find(false, end) : end;
        }
    }

    [[nodiscard]] std::uint32_t largest_hole() const noexcept {
        std::uint32_t largest = 0;
        holes([&](std::uint32_t, std::uint32_t pages) { largest = pages > largest ? pages : largest; });
        return largest;
    }
};

}  // namespace bounce
