// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How many bytes have left home: handed out, or kept by contexts. Written when slots leave and come home, many at once
// where contexts do it; not by the hot path.
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

class alignas(kCacheLine) Usage {
public:
    /// It will be written soon, after something else that may be in another processor's cache.
    void prefetch() const noexcept { __builtin_prefetch(this, 1); }
    void add(std::uint64_t bytes) noexcept {
        const std::uint64_t now = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
        std::uint64_t most = most_.load(std::memory_order_relaxed);
        while (now > most && !most_.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
        }
    }
    void subtract(std::uint64_t bytes) noexcept { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t most_bytes() const noexcept { return most_.load(std::memory_order_relaxed); }

    /// Pages that were marked (SlabCore::mark_beyond()), less those that came home since. seq_cst: of two that mark at
    /// once one sees the other.
    std::int64_t add_beyond(std::int64_t bytes) noexcept {
        return beyond_.fetch_add(bytes, std::memory_order_seq_cst) + bytes;
    }

private:
    std::atomic<std::int64_t> beyond_{0};
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> most_{0};
};

}  // namespace bounce
