// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// To sleep on a word of this process, with a deadline, and to wake the one who does. Source: futex(2).
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace bounce {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
inline constexpr std::uint64_t kNoDeadline = ~std::uint64_t{0};

/// Sleeps while the word has this value, until `until_ns` (CLOCK_MONOTONIC). False: that time has come. It may return
/// true for no reason.
inline bool futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t value, std::uint64_t until_ns) noexcept {
    const timespec until{static_cast<std::time_t>(until_ns / 1'000'000'000),
                         static_cast<long>(until_ns % 1'000'000'000)};
    const long slept = ::syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                                 until_ns == kNoDeadline ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    return slept == 0 || errno != ETIMEDOUT;
}

/// Does not touch the word, which may be gone.
inline void futex_wake(const std::atomic<std::uint32_t>* word) noexcept {
    ::syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

}  // namespace bounce
