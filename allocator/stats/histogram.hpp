// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Counts values by their power of two. Any thread counts, any thread reads: the words are relaxed, and a picture of
// them may be some values apart in itself.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bounce {

class Log2Histogram {
public:
    static constexpr std::size_t kBuckets = 64;

    /// 0 for 0; i for 2^(i-1) to 2^i - 1; the last one for all above.
    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        const auto width = static_cast<std::size_t>(std::bit_width(value));
        return width < kBuckets ? width : kBuckets - 1;
    }

    void add(std::uint64_t value) noexcept {
        buckets_[bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
        sum_.fetch_add(value, std::memory_order_relaxed);
    }

    [[nodiscard]] std::uint64_t bucket(std::size_t i) const noexcept {
        return buckets_[i].load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

private:
    std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
    std::atomic<std::uint64_t> sum_{0};
};

}  // namespace bounce
