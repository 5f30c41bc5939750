// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What was looked for in vain since something last came home, so that nobody looks again for that or for more.
//
// One thread at a time is inside. Nobody waits for it: who finds it busy, after a few looks, does without: knows() says
// false, note() forgets. So a thread that stops inside costs others the searches that this saves, and nothing else.
#pragma once

#include <atomic>

#include <cstddef>
#include <cstdint>

namespace bounce {

/// What a request asks of the place where it goes.
struct Demand {
    std::uint64_t bytes;
    std::uint64_t align;     // power of two
    std::uint64_t end;       // not beyond it
    std::uint64_t boundary;  // power of two that is not crossed; 0: none

    /// Whatever serves this serves the other too.
    [[nodiscard]] constexpr bool covers(const Demand& other) const noexcept {
        return bytes >= other.bytes && align >= other.align && end <= other.end && boundary - 1 <= other.boundary - 1;
    }
};

class Refusals {
public:
    /// True when the demand, or one that asks for less, was refused in this epoch.
    [[nodiscard]] bool knows(std::uint64_t epoch, const Demand& demand) noexcept {
        const Inside inside(busy_);
        if (!inside.entered || epoch != epoch_) return false;
        for (std::size_t i = 0; i < count_; ++i) {
            if (demand.covers(refused_[i])) return true;
        }
        return false;
    }

    /// Of many different ones in one epoch the oldest is forgotten.
    void note(std::uint64_t epoch, const Demand& demand) noexcept {
        const Inside inside(busy_);
        if (!inside.entered) return;
        if (epoch != epoch_) count_ = next_ = 0;
        epoch_ = epoch;
        for (std::size_t i = 0; i < count_; ++i) {
            if (!refused_[i].covers(demand)) continue;
            refused_[i] = demand;
            return;
        }
        refused_[next_] = demand;
        next_ = (next_ + 1) % kMany;
        count_ = count_ < kMany ? count_ + 1 : kMany;
    }

private:
    static constexpr std::size_t kMany = 8;
    static constexpr int kLooks = 100;  // a few hundred nanoseconds: longer than anybody is inside who runs

    struct Inside {
        explicit Inside(std::atomic<bool>& busy) noexcept : busy_(busy) {
            for (int i = 0; i < kLooks && !entered; ++i) {
                // R1: acquire, pairs with R2: what the last one left is there.
                entered = !busy_.load(std::memory_order_relaxed) && !busy_.exchange(true, std::memory_order_acquire);
            }
        }
        ~Inside() {
            // R2: release, pairs with R1.
            if (entered) busy_.store(false, std::memory_order_release);
        }
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;

        bool entered = false;

    private:
        std::atomic<bool>& busy_;
    };

    std::atomic<bool> busy_{false};

    std::uint64_t epoch_ = 0;
    std::size_t count_ = 0;
    std::size_t next_ = 0;
    Demand refused_[kMany]{};
};

}  // namespace bounce
