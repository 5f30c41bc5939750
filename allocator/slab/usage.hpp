// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is handed out now, the most there ever was, and how often. One cache line that every operation writes: exact, at
// the price of a relaxed read-modify-write or two each. (Counting per thread comes with contexts.)
#pragma once

#include <atomic>
#include <cstdint>

#include "allocator/base/types.hpp"

namespace bounce {

class alignas(kCacheLine) Usage {
public:
    void add(std::uint64_t bytes, unsigned kind) noexcept {
        allocs_[kind].fetch_add(1, std::memory_order_relaxed);
        const std::uint64_t now = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
        std::uint64_t most = most_.load(std::memory_order_relaxed);
        while (now > most && !most_.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
        }
    }
    void subtract(std::uint64_t bytes) noexcept { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t most_bytes() const noexcept { return most_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t allocs(unsigned kind) const noexcept {
        return allocs_[kind].load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t allocs() const noexcept { return allocs(1) + allocs(2) + allocs(3); }

private:
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> most_{0};
    std::atomic<std::uint64_t> allocs_[4]{};  // by kind
};

}  // namespace bounce
