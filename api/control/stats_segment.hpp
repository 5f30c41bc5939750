// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The owner's side of a stats segment (bounce/stats.h): a sealed memfd that is written and never read.
//
// A picture is made in private memory and then copied, word by word, between two steps of the epoch. Words are atomic;
// the order is in the words themselves, without a fence:
//   E1  the epoch becomes odd (relaxed), before the words: each of them is stored with release (E2).
//   E2  pairs with the acquire loads of a reader (E3): who sees a word of this picture sees the odd epoch, or a later
//   one,
//       in his second look.
//   E4  the epoch becomes even with release; pairs with the acquire of a reader's first look (E5): he sees all of the
//   words.
// One thread at a time writes. One that stops in the middle leaves the epoch odd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "allocator/base/error.hpp"
#include "allocator/base/sealed_memory.hpp"
#include "bounce/stats.h"

namespace bounce {

class StatsSegment {
public:
    static constexpr std::uint64_t kRegions = 64;
    static constexpr std::uint64_t kClassRows = 96;
    static constexpr std::uint64_t kDevices = 256;
    static constexpr std::uint64_t kRings = 1024;
    static constexpr std::uint64_t kHistograms = 256;

    static Result<std::unique_ptr<StatsSegment>> create(std::uint64_t now_ns) noexcept;
    ~StatsSegment();
    StatsSegment(const StatsSegment&) = delete;
    StatsSegment& operator=(const StatsSegment&) = delete;

    /// A read-only descriptor, of the segment's.
    [[nodiscard]] int fd() const noexcept { return shown_.fd(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return words_ * sizeof(std::uint64_t); }
    /// In a forked child, which does not have the mapping.
    void forget() noexcept { shown_.forget(); }

    /// A picture begins; all tables are empty.
    void begin() noexcept;
    /// Adds a record to its table; when that is full it is counted as left out.
    void add(const bounce_stats_pool& record) noexcept { put(BOUNCE_STATS_POOL, &record); }
    void add(const bounce_stats_region& record) noexcept { put(BOUNCE_STATS_REGIONS, &record); }
    void add(const bounce_stats_class& record) noexcept { put(BOUNCE_STATS_CLASSES, &record); }
    void add(const bounce_stats_device& record) noexcept { put(BOUNCE_STATS_DEVICES, &record); }
    void add(const bounce_stats_ring& record) noexcept { put(BOUNCE_STATS_RINGS, &record); }
    void add(const bounce_stats_histogram& record) noexcept { put(BOUNCE_STATS_HISTOGRAMS, &record); }
    /// It is shown.
    void publish(std::uint64_t now_ns) noexcept;

private:
    StatsSegment() noexcept = default;
    void put(int table, const void* record) noexcept;
    [[nodiscard]] bounce_stats_header& header() noexcept {
        return *reinterpret_cast<bounce_stats_header*>(picture_.get());
    }

    SealedMemory shown_;
    std::uint64_t words_ = 0;
    std::unique_ptr<std::uint64_t[]> picture_;
    std::uint64_t epoch_ = 0;
};

}  // namespace bounce
