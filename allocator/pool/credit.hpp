// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a group may still take: one number, its floor less what it has. Below zero the group is beyond its floor;
// `least` is where its ceiling is. Floor and use are in one word so that a floor may change while others take and give:
// what is promised to the group, the positive part of the number, is then a function of each step alone, and the sum of
// all steps is right whatever their order.
//
// Written when slots leave home or come home, many at once where contexts do it; what a context keeps is paid for.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

namespace bounce {

class Credit {
public:
    /// From one value to another.
    struct Step {
        std::int64_t before = 0;
        std::int64_t after = 0;

        /// By how much less is promised to the group; negative: more.
        [[nodiscard]] std::int64_t kept_promise() const noexcept {
            return std::max<std::int64_t>(before, 0) - std::max<std::int64_t>(after, 0);
        }
        /// All of it was promised.
        [[nodiscard]] bool within_floor() const noexcept { return after >= 0; }
    };

    /// False: beyond the ceiling; nothing changes. All orders are relaxed: the numbers publish nothing. What has to be
    /// seen with them is ordered by Pool::promised_ (Q1, Q2).
    bool take(std::uint64_t bytes, Step& step) noexcept {
        const auto by = static_cast<std::int64_t>(bytes);
        if (least_.load(std::memory_order_relaxed) == kNoLeast) {
            const std::int64_t before = value_.fetch_sub(by, std::memory_order_relaxed);
            step = {before, before - by};
            return true;
        }
        std::int64_t before = value_.load(std::memory_order_relaxed);
        do {
            if (before - by < least_.load(std::memory_order_relaxed)) return false;
        } while (!value_.compare_exchange_weak(before, before - by, std::memory_order_relaxed));
        step = {before, before - by};
        return true;
    }
    /// By a change of either sign, whatever the ceiling is; a positive one gives back.
    Step move(std::int64_t by) noexcept {
        const std::int64_t before = value_.fetch_add(by, std::memory_order_relaxed);
        return {before, before + by};
    }
    /// How many pieces of so many bytes, at most `want`, would be within the ceiling.
    [[nodiscard]] std::uint32_t affordable(std::uint64_t bytes, std::uint32_t want) const noexcept {
        const std::int64_t least = least_.load(std::memory_order_relaxed);
        if (least == kNoLeast) return want;
        const std::int64_t room = value_.load(std::memory_order_relaxed) - least;
        if (room <= 0) return 0;
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(static_cast<std::uint64_t>(room) / bytes, want));
    }

    /// One thread at a time. The step that the floor makes; ceiling 0: none.
    Step set(std::uint64_t floor, std::uint64_t ceiling) noexcept {
        const auto by =
            static_cast<std::int64_t>(floor) - static_cast<std::int64_t>(floor_.load(std::memory_order_relaxed));
        // No ceiling meanwhile: nobody is refused by half of the change.
        least_.store(kNoLeast, std::memory_order_relaxed);
        floor_.store(floor, std::memory_order_relaxed);
        ceiling_.store(ceiling, std::memory_order_relaxed);
        const Step step = move(by);
        if (ceiling != 0)
            least_.store(static_cast<std::int64_t>(floor) - static_cast<std::int64_t>(ceiling),
                         std::memory_order_relaxed);
        return step;
    }
    [[nodiscard]] std::uint64_t floor() const noexcept { return floor_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t ceiling() const noexcept { return ceiling_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t used() const noexcept {
        const std::int64_t used = static_cast<std::int64_t>(floor()) - value_.load(std::memory_order_relaxed);
        return used > 0 ? static_cast<std::uint64_t>(used) : 0;
    }

private:
    static constexpr std::int64_t kNoLeast = std::numeric_limits<std::int64_t>::min();

    std::atomic<std::int64_t> value_{0};
    std::atomic<std::int64_t> least_{kNoLeast};
    std::atomic<std::uint64_t> floor_{0};
    std::atomic<std::uint64_t> ceiling_{0};
};

}  // namespace bounce
