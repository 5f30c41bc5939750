// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A progress bar on stderr, for work that takes longer than half a second and only on a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace bounce::tools {

class Progress {
public:
    enum class Unit { kBytes, kRounds, kPackets };

    /// total: nullopt when the end is not known (a pipe).
    Progress(std::string label, std::optional<std::uint64_t> total, bool wanted, Unit unit = Unit::kBytes);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// Cheap: draws at most ten times a second.
    void update(std::uint64_t done);
    /// Takes the bar away, so that other lines can be printed.
    void clear();

private:
    using Clock = std::chrono::steady_clock;
    void draw(std::uint64_t done, double seconds);
    /// "3 MiB of 9 MiB  1 MiB/s", "3 of 9 rounds".
    [[nodiscard]] std::string amount(std::uint64_t done, double seconds) const;

    std::string label_;
    std::optional<std::uint64_t> total_;
    Unit unit_;
    bool enabled_;
    bool shown_ = false;
    Clock::time_point start_;
    Clock::time_point next_;
};

}  // namespace bounce::tools
