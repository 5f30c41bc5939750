// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A clock that costs little enough to be read once a batch: the time stamp counter where the kernel itself trusts it,
// CLOCK_MONOTONIC elsewhere.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <chrono>

namespace bounce::tools {

class Ticks {
public:
    /// Measures how long a tick is (about 20 ms).
    Ticks();

    [[nodiscard]] std::uint64_t now() const noexcept {
#if defined(__x86_64__)
        if (counter_) return __rdtsc();
#endif
        return monotonic();
    }
    [[nodiscard]] double nanoseconds(double ticks) const noexcept {
        return ticks * nanoseconds_per_tick_;
    }
    [[nodiscard]] std::uint64_t from_seconds(double seconds) const noexcept {
        return static_cast<std::uint64_t>(seconds * 1e9 / nanoseconds_per_tick_);
    }

private:
    static std::uint64_t monotonic() noexcept {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
                .count());
    }

    bool counter_ = false;
    double nanoseconds_per_tick_ = 1;
};

}  // namespace bounce::tools
