// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which slot a mapping gets and how its content goes there: one choice, because what the caches do about the one
// depends on the other.
#pragma once

#include <cstdint>

#include "bounce/bounce.h"

namespace bounce {

enum class CopyPolicy : std::uint8_t {
    kAuto = BOUNCE_COPY_AUTO,
    kMemcpy = BOUNCE_COPY_MEMCPY,
    kNonTemporal = BOUNCE_COPY_NONTEMPORAL,
};

enum class ReusePolicy : std::uint8_t {
    kAuto = BOUNCE_REUSE_AUTO,
    kLifo = BOUNCE_REUSE_LIFO,
    kWindow = BOUNCE_REUSE_WINDOW,
    kFifo = BOUNCE_REUSE_FIFO,
};

/// What is in force: never kAuto.
struct Choice {
    ReusePolicy reuse = ReusePolicy::kLifo;
    CopyPolicy copy = CopyPolicy::kMemcpy;
    std::uint64_t window_bytes = 0;  // with kWindow
    friend bool operator==(const Choice&, const Choice&) = default;
};

}  // namespace bounce
