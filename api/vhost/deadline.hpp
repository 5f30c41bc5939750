// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A point in time until which something may take. One deadline covers a whole exchange: a peer that sends one byte now
// and then cannot stretch it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace bounce::vhost {

class Deadline {
public:
    static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

    explicit Deadline(std::uint32_t milliseconds) noexcept
        : endless_(milliseconds == kNever),
          end_(Clock::now() + std::chrono::milliseconds(endless_ ? 0 : milliseconds)) {}

    /// For poll(2): -1 without a limit, 0 once it has passed; rounded up, so that 0 never comes early.
    [[nodiscard]] int remaining() const noexcept {
        if (endless_) return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
        return static_cast<int>(std::clamp<decltype(left)>(left, 0, std::numeric_limits<int>::max()));
    }

private:
    using Clock = std::chrono::steady_clock;
    bool endless_;
    Clock::time_point end_;
};

}  // namespace bounce::vhost
