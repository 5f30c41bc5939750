// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The tokens of what is in a ring: blocks of a few mappings each, taken and given back without the heap. A chain that
// is longer than a block takes several, linked. Private memory; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"
#include "bounce/bounce.h"

namespace bounce {

/// A segment used in place has a token as well, with its address and length, but no private buffer and no mapping.
inline void make_shared_segment(bounce_mapping& token, std::uint64_t addr, std::uint64_t bytes) noexcept {
    token = bounce_mapping{};
    token.addr = addr;
    token.bytes = bytes;
}
inline bool is_shared_segment(const bounce_mapping& token) noexcept {
    return token.orig == nullptr;
}

struct alignas(kCacheLine) SegmentBlock {
    static constexpr std::uint32_t kTokens =
        5;  // header, three pieces of data and status: four cache lines with the link
    bounce_mapping tokens[kTokens];
    std::uint32_t next;
};
static_assert(sizeof(SegmentBlock) == 256);

constexpr std::uint32_t blocks_for(std::uint64_t segments) noexcept {
    return static_cast<std::uint32_t>((segments + SegmentBlock::kTokens - 1) / SegmentBlock::kTokens);
}

class SegmentPool {
public:
    Result<void> init(std::uint32_t blocks) noexcept {
        std::unique_ptr<SegmentBlock[]> fresh(new (std::nothrow) SegmentBlock[blocks]);
        std::unique_ptr<std::uint32_t[]> stack(new (std::nothrow) std::uint32_t[blocks]);
        if (fresh == nullptr || stack == nullptr) return fail(ENOMEM, "no memory for %llu blocks of tokens", blocks);
        for (std::uint32_t i = 0; i < blocks; ++i) stack[i] = blocks - 1 - i;
        blocks_ = std::move(fresh);
        free_ = std::move(stack);
        n_free_ = blocks;
        return {};
    }

    [[nodiscard]] std::uint32_t n_free() const noexcept { return n_free_; }
    /// Only while n_free() > 0.
    std::uint32_t take() noexcept { return free_[--n_free_]; }
    void give(std::uint32_t block) noexcept { free_[n_free_++] = block; }
    SegmentBlock& operator[](std::uint32_t block) noexcept { return blocks_[block]; }

private:
    std::unique_ptr<SegmentBlock[]> blocks_;
    std::unique_ptr<std::uint32_t[]> free_;  // a stack: the block that was used last is the next
    std::uint32_t n_free_ = 0;
};

/// Walks the tokens of one chain, taking blocks on the way (building) or giving them back behind itself (taking apart).
class SegmentWriter {
public:
    SegmentWriter(SegmentPool& pool) noexcept : pool_(pool), first_(pool.take()), block_(&pool[first_]) {}
    bounce_mapping& next() noexcept {
        if (used_ == SegmentBlock::kTokens) {
            block_->next = pool_.take();
            block_ = &pool_[block_->next];
            used_ = 0;
        }
        return block_->tokens[used_++];
    }
    [[nodiscard]] std::uint32_t first() const noexcept { return first_; }

private:
    SegmentPool& pool_;
    std::uint32_t first_;
    SegmentBlock* block_;
    std::uint32_t used_ = 0;
};

class SegmentReader {
public:
    SegmentReader(SegmentPool& pool, std::uint32_t first) noexcept : pool_(pool), at_(first), block_(&pool[first]) {}
    bounce_mapping& next() noexcept {
        if (used_ == SegmentBlock::kTokens) {
            const std::uint32_t following = block_->next;
            pool_.give(at_);
            at_ = following;
            block_ = &pool_[at_];
            used_ = 0;
        }
        return block_->tokens[used_++];
    }
    /// After the last token: gives back the block that holds it.
    void finish() noexcept { pool_.give(at_); }

private:
    SegmentPool& pool_;
    std::uint32_t at_;
    SegmentBlock* block_;
    std::uint32_t used_ = 0;
};

}  // namespace bounce
