// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The caches of a heap: explicit ones of jemalloc, each used by one thread at a time. (The automatic one of a thread is
// for all arenas, so what is freed here would be handed out as private memory there.) A thread begins at a lane of its
// own and takes the next that is free; nobody waits, for one can do without.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/components/jemalloc/inner.hpp"

namespace bounce::jemalloc_component {

class Lanes {
    struct alignas(64) Lane {
        // L1: acquire by exchange in take(), pairs with L2, the release in give(): the rest belongs to who has it.
        std::atomic<bool> busy{false};
        bool made = false;
        unsigned cache = 0;
        // Written by who has the lane, but for rest_.
        std::atomic<std::uint64_t> allocs{0};
        std::atomic<std::uint64_t> frees{0};
    };

public:
    static constexpr std::size_t kLanes = 32;

    explicit Lanes(unsigned arena) noexcept : arena_(arena) {}
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;

    /// Flags of a call of jemalloc's that uses the arena and the cache of a lane, if there is one to be had.
    class Use {
    public:
        explicit Use(Lanes& lanes) noexcept : lane_(lanes.take()), rest_(lanes.rest_), flags_(lanes.flags_of(lane_)) {}
        ~Use() {
            if (lane_ != nullptr) give(*lane_);
        }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        [[nodiscard]] int flags() const noexcept { return flags_; }
        void count_alloc() noexcept { count(lane_ != nullptr ? lane_->allocs : rest_.allocs); }
        void count_free() noexcept { count(lane_ != nullptr ? lane_->frees : rest_.frees); }

    private:
        void count(std::atomic<std::uint64_t>& counter) noexcept {
            // Relaxed: a count, exact when nobody counts.
            if (lane_ == nullptr)
                counter.fetch_add(1, std::memory_order_relaxed);
            else
                counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        }
        Lane* lane_;
        Lane& rest_;
        int flags_;
    };

    /// Allocations that were counted, less frees; exact when nobody counts at the moment.
    [[nodiscard]] std::uint64_t out() const noexcept;
    /// What is in the caches goes back; not what is in those that are in use.
    void flush() noexcept;
    /// The same for ever. Nobody uses them any more.
    void destroy() noexcept;

private:
    Lane* take() noexcept;
    static void give(Lane& lane) noexcept { lane.busy.store(false, std::memory_order_release); }  // L2
    [[nodiscard]] int flags_of(const Lane* lane) const noexcept;

    const unsigned arena_;
    std::array<Lane, kLanes> lanes_;
    Lane rest_;  // counts of those who have none
};

}  // namespace bounce::jemalloc_component
