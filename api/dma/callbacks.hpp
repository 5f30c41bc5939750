// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Log lines and violation reports to the host, rate-limited: a hostile device cannot make the host print without bound.
#pragma once

#include <atomic>
#include <cstdint>

#include "api/dma/rate_limit.hpp"
#include "api/dma/telemetry.hpp"
#include "bounce/bounce.h"

namespace bounce {

class Callbacks {
public:
    using Clock = std::uint64_t (*)() noexcept;

    Callbacks() = default;
    Callbacks(bounce_log_fn on_log, void* log_user, bounce_violation_fn on_violation, void* violation_user) noexcept;
    Callbacks(const Callbacks&) = delete;
    Callbacks& operator=(const Callbacks&) = delete;

    /// One line; thread-safe. Beyond the rate, lines are counted and the count goes out with the next one.
    /// False: log() does nothing.
    [[nodiscard]] bool logs() const noexcept { return log_ != nullptr; }
    [[gnu::format(printf, 3, 4)]] void log(int level, const char* format, ...) noexcept;

    /// Counts always, reports within the rate. `text` is a sentence.
    void violation(const char* device, int kind, std::uint32_t ring, std::uint64_t got, std::uint64_t expected,
                   const char* text) noexcept;

    [[nodiscard]] std::uint64_t violations() const noexcept;

    /// What can be seen of the pool's devices. It is here because every device of a pool has these.
    [[nodiscard]] Telemetry& telemetry() noexcept { return telemetry_; }

    /// Takes the time (nanoseconds, monotonic) from somewhere else; before first use.
    void set_clock(Clock clock) noexcept { clock_ = clock; }

private:
    // A flood of one sort must not silence the others.
    struct Channel {
        RateLimit limit;
        std::atomic<std::uint64_t> left_out{0};
    };
    static std::uint64_t coarse_now() noexcept;
    bool admit(Channel& channel) noexcept;

    bounce_log_fn log_ = nullptr;
    void* log_user_ = nullptr;
    bounce_violation_fn violation_ = nullptr;
    void* violation_user_ = nullptr;
    Clock clock_ = coarse_now;
    Channel problems_;  // errors and warnings
    Channel notes_;     // info and debug
    Channel reports_;   // violations
    std::atomic<std::uint64_t> violations_{0};
    Telemetry telemetry_;
};

}  // namespace bounce
