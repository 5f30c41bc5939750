// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A token bucket in one word (the generic cell rate algorithm: the word is the time at which the bucket would be full
// again). Any number of threads; a thread that stops anywhere leaves nothing behind.
#pragma once

#include <atomic>
#include <cstdint>

namespace bounce {

class RateLimit {
public:
    static constexpr std::uint64_t kBurst = 16;
    static constexpr std::uint64_t kIntervalNs = 125'000'000;  // 8 a second

    /// Takes one token at time `now_ns`; false when there is none.
    bool take(std::uint64_t now_ns) noexcept {
        std::uint64_t full_at = full_at_.load(std::memory_order_relaxed);
        for (;;) {
            const std::uint64_t begin = full_at > now_ns ? full_at : now_ns;
            if (begin - now_ns > (kBurst - 1) * kIntervalNs) return false;
            if (full_at_.compare_exchange_weak(full_at, begin + kIntervalNs, std::memory_order_relaxed)) return true;
        }
    }

private:
    std::atomic<std::uint64_t> full_at_{0};
};

}  // namespace bounce
