// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Latencies in log-linear buckets: 64 to each power of two, so a percentile is off by at most 1/64. Recording is a
// shift, an add and an increment of private memory.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace bounce::tools {

class Histogram {
public:
    void record(std::uint64_t value) noexcept { ++counts_[index(value)]; }
    void reset() noexcept { counts_.fill(0); }
    void merge(const Histogram& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    }

    [[nodiscard]] std::uint64_t count() const noexcept;
    /// The middle of the bucket that holds this share (0 to 1) of the values; 0 when there are none.
    [[nodiscard]] double percentile(double share) const noexcept;

private:
    static constexpr unsigned kSubBits = 6;
    static constexpr std::uint64_t kSub = std::uint64_t{1} << kSubBits;
    static constexpr std::size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

    /// Values below 64 have a bucket each; above, the top bit picks the group and the six bits after it the bucket.
    static constexpr std::size_t index(std::uint64_t value) noexcept {
        if (value < kSub) return static_cast<std::size_t>(value);
        const auto top = static_cast<unsigned>(std::bit_width(value)) - 1;
        const unsigned shift = top - kSubBits;
        return static_cast<std::size_t>((std::uint64_t{shift + 1} << kSubBits) + ((value >> shift) & (kSub - 1)));
    }
    static double middle(std::size_t bucket) noexcept;

    std::array<std::uint64_t, kBuckets> counts_{};
};

}  // namespace bounce::tools
