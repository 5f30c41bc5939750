// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Slots that nobody holds any more and that a device may still write, since it was not reset: out of reach of alloc()
// until it was.
//
// A place is empty, being filled, full, or being emptied; each step from empty and from full is a compare-exchange, so
// of several threads one has a place. A place that is being filled when the quarantine is left is looked at once more
// by who fills it. Nobody waits: a thread that stops keeps one slot away from the pool, and one place.
// Places are added under the pool's lock and go with the pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>

#include "allocator/slab/context.hpp"

namespace bounce {

/// A slot or run as its free left it.
struct HeldSlot {
    KeptSlot slot;
    std::uint64_t bytes = 0;
};

/// How much of it there is. Relaxed: figures.
struct HeldTotal {
    std::atomic<std::uint64_t> slots{0};
    std::atomic<std::uint64_t> bytes{0};

    void add(std::uint64_t held_bytes) noexcept {
        slots.fetch_add(1, std::memory_order_relaxed);
        bytes.fetch_add(held_bytes, std::memory_order_relaxed);
    }
    void subtract(std::uint64_t held_bytes) noexcept {
        slots.fetch_sub(1, std::memory_order_relaxed);
        bytes.fetch_sub(held_bytes, std::memory_order_relaxed);
    }
};

class Quarantine {
public:
    /// `all`: of the pool.
    explicit Quarantine(HeldTotal& all) noexcept : all_(all) {}
    ~Quarantine() {
        for (Block* block = first_.load(std::memory_order_relaxed); block != nullptr;) {
            const std::unique_ptr<Block> gone(block);
            block = block->next;
        }
    }
    Quarantine(const Quarantine&) = delete;
    Quarantine& operator=(const Quarantine&) = delete;

    /// Of another device; it holds nothing. Under the pool's lock.
    void begin(std::uint64_t group, const char* name) noexcept {
        owner = group;
        std::snprintf(name_, sizeof name_, "%s", name);
    }

    /// Room for so many, besides what it holds. False: there is no memory. Under the pool's lock.
    bool reserve(std::uint64_t count) noexcept {
        std::uint64_t empty = 0;
        for_places([&](const Place& place) {
            if (place.state.load(std::memory_order_relaxed) == kEmpty) ++empty;
            return true;
        });
        if (empty >= count) return true;
        std::unique_ptr<Block> block(new (std::nothrow) Block);
        if (block == nullptr) return false;
        block->count = count - empty;
        block->places.reset(new (std::nothrow) Place[block->count]);
        if (block->places == nullptr) return false;
        block->next = first_.load(std::memory_order_relaxed);
        // Q1: release, pairs with the acquire in for_places(): the block is there.
        first_.store(block.release(), std::memory_order_release);
        return true;
    }

    /// False: there is no room; the slot is away for good, and counted.
    bool put(const HeldSlot& held) noexcept {
        mine_.add(held.bytes);
        all_.add(held.bytes);
        bool put = false;
        for_places([&](Place& place) {
            std::uint32_t empty = kEmpty;
            // Q2: acquire, pairs with Q4 in take(): who emptied it is done with it.
            if (place.state.load(std::memory_order_relaxed) != kEmpty ||
                !place.state.compare_exchange_strong(empty, kFilling, std::memory_order_acquire,
                                                     std::memory_order_relaxed))
                return true;
            place.held = held;
            // Q3: release, pairs with Q5 in take(); seq_cst, the store before the second look at whether the
            // quarantine is over (Pool::hold_back()).
            place.state.store(kFull, std::memory_order_seq_cst);
            put = true;
            return false;
        });
        return put;
    }

    /// give(held slot) of each that wanted(held slot) says yes to.
    template <class Wanted, class Give>
    void take(Wanted&& wanted, Give&& give) noexcept {
        for_places([&](Place& place) {
            std::uint32_t full = kFull;
            // Q5: acquire, pairs with Q3; seq_cst, the look after the quarantine is over.
            if (!place.state.compare_exchange_strong(full, kFilling, std::memory_order_seq_cst,
                                                     std::memory_order_relaxed))
                return true;
            const HeldSlot held = place.held;
            const bool out = wanted(held);
            // Q4: release, pairs with Q2, or with Q5 when it stays.
            place.state.store(out ? kEmpty : kFull, std::memory_order_release);
            if (!out) return true;
            mine_.subtract(held.bytes);
            all_.subtract(held.bytes);
            give(held);
            return true;
        });
    }

    [[nodiscard]] std::uint64_t slots() const noexcept { return mine_.slots.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return mine_.bytes.load(std::memory_order_relaxed); }
    [[nodiscard]] const char* name() const noexcept { return name_; }

    // Under the pool's lock.
    std::uint64_t owner = 0;  // group of the device; 0: it is gone
    std::unique_ptr<Quarantine> next;

private:
    static constexpr std::uint32_t kEmpty = 0;
    static constexpr std::uint32_t kFilling = 1;  // or being emptied
    static constexpr std::uint32_t kFull = 2;

    struct Place {
        std::atomic<std::uint32_t> state{kEmpty};
        HeldSlot held;
    };
    struct Block {
        Block* next = nullptr;
        std::uint64_t count = 0;
        std::atomic<std::uint64_t> from{0};  // a hint
        std::unique_ptr<Place[]> places;
    };

    /// Until it says false. The next time begins there.
    template <class Visit>
    void for_places(Visit&& visit) noexcept {
        // Q1: acquire, pairs with the release in reserve().
        for (Block* block = first_.load(std::memory_order_acquire); block != nullptr; block = block->next) {
            const std::uint64_t from = block->from.load(std::memory_order_relaxed);
            for (std::uint64_t i = 0; i < block->count; ++i) {
                const std::uint64_t at = from + i < block->count ? from + i : from + i - block->count;
                if (visit(block->places[at])) continue;
                block->from.store(at, std::memory_order_relaxed);
                return;
            }
        }
    }

    std::atomic<Block*> first_{nullptr};
    HeldTotal& all_;
    HeldTotal mine_;
    char name_[64]{};
};

}  // namespace bounce
