// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A reader of stats segments (bounce/stats.h), which trusts nothing that it reads: a picture is copied first, and every
// number of the copy is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "allocator/base/error.hpp"
#include "bounce/stats.h"

namespace bounce {

class StatsView {
public:
    static constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;

    /// Of the memfd behind fd.
    static Result<std::unique_ptr<StatsView>> open(int fd) noexcept;
    /// Of bytes that are copied.
    static Result<std::unique_ptr<StatsView>> parse(const void* bytes, std::size_t n) noexcept;
    ~StatsView();
    StatsView(const StatsView&) = delete;
    StatsView& operator=(const StatsView&) = delete;

    /// True: it may be in parts that do not belong together.
    Result<bool> refresh() noexcept;
    [[nodiscard]] const bounce_stats_header& header() const noexcept { return header_; }
    [[nodiscard]] std::uint64_t count(int table) const noexcept;
    /// True: all of it fitted. EINVAL: there is no such record.
    Result<bool> record(int table, std::uint64_t index, void* record, std::size_t bytes) const noexcept;
    [[nodiscard]] const void* bytes(std::size_t& n) const noexcept {
        n = n_words_ * sizeof(std::uint64_t);
        return words_.get();
    }

private:
    StatsView() noexcept = default;
    Result<void> make_room(std::uint64_t bytes) noexcept;
    bool copy() noexcept;
    Result<void> check() noexcept;
    [[nodiscard]] const bounce_stats_directory* find(int table) const noexcept;

    const std::uint64_t* shared_ = nullptr;  // mapped; nullptr: parsed
    std::uint64_t n_words_ = 0;
    std::unique_ptr<std::uint64_t[]> words_;  // the picture
    std::unique_ptr<std::uint64_t[]> next_;   // the one to come, until it was checked
    bounce_stats_header header_{};            // of the picture, checked
};

}  // namespace bounce
