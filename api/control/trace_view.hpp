// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The reader's side of a trace (bounce/trace.h). Nothing that stands in it is believed before it was checked; the
// places of its atomic accesses are those of api/dma/trace.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "allocator/base/error.hpp"
#include "bounce/trace.h"

namespace bounce {

class TraceView {
public:
    static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
    static constexpr std::uint64_t kPatience = 100'000'000;  // ns that a record which is not finished is waited for

    /// EINVAL, ENOTSUP.
    static Result<std::unique_ptr<TraceView>> open(int fd) noexcept;
    /// The same over memory that stays the caller's, whatever is in it.
    static Result<std::unique_ptr<TraceView>> over(const std::uint64_t* words, std::uint64_t bytes) noexcept;
    ~TraceView();
    TraceView(const TraceView&) = delete;
    TraceView& operator=(const TraceView&) = delete;

    /// How many. EINVAL: it is another trace by now, or none.
    Result<std::uint64_t> read(std::span<bounce_trace_record> records) noexcept;
    [[nodiscard]] bounce_trace_status status() const noexcept;

private:
    TraceView() noexcept = default;
    Result<void> check() noexcept;
    enum class Got : std::uint8_t { kRecord, kNotYet, kPassed };
    Got take(bounce_trace_record& record) noexcept;
    [[nodiscard]] std::uint64_t field(std::size_t offset) const noexcept;

    const std::uint64_t* words_ = nullptr;
    std::uint64_t bytes_ = 0;
    bool mapped_ = false;
    // As they were found good.
    std::uint64_t records_at_ = 0;  // in words
    std::uint64_t capacity_ = 0;
    std::uint64_t turn_ = 0;

    std::uint64_t next_ = 0;
    std::uint64_t read_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t missing_since_ = 0;  // ns: when the next record was not there, and one behind it was; 0: not so
    bool ended_ = false;
};

}  // namespace bounce
