// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Two threads on two cores, and how far apart these are at the moment.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/measure/clock.hpp"

namespace bench {

/// How many processors this process may run on.
unsigned usable_cpus();
/// The calling thread runs only on the i-th of them (throws Skipped when there is none) while this exists.
class Pinned {
public:
    explicit Pinned(unsigned i);
    ~Pinned();
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;

private:
    std::vector<unsigned long> before_;
};

/// The round trip of a cache line between the first two processors, in ns: the median of some chunks.
double ping_pong_ns();

/// Round trips around a figure; the cores of a virtual machine move while nobody looks.
struct Distance {
    double before = 0;
    double after = 0;
    [[nodiscard]] double mean() const { return (before + after) / 2; }
    [[nodiscard]] std::string text() const;
};

/// One producer, one consumer, n entries (a power of two). The indices are cached on either side, so that a line moves
/// once for many entries.
template <class T, std::size_t kEntries>
class Pipe {
public:
    /// Where the next entry goes; nullptr: there is no room.
    T* begin_push() {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_seen_ == kEntries) {
            // A1: acquire, pairs with R2 in end_pop(): the entry has been read before it is overwritten.
            head_seen_ = head_.load(std::memory_order_acquire);
            if (tail - head_seen_ == kEntries) return nullptr;
        }
        return &entries_[tail % kEntries];
    }
    void end_push() {
        // R1: release, pairs with A2 in begin_pop(): the entry is whole, and so is what it points to.
        tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    bool push(const T& value) {
        T* const entry = begin_push();
        if (entry == nullptr) return false;
        *entry = value;
        end_push();
        return true;
    }
    /// The next entry; nullptr: there is none.
    T* begin_pop() {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_seen_) {
            tail_seen_ = tail_.load(std::memory_order_acquire);  // A2: pairs with R1 in end_push()
            if (head == tail_seen_) return nullptr;
        }
        return &entries_[head % kEntries];
    }
    void end_pop() {
        // R2: pairs with A1 in begin_push()
        head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    bool pop(T& value) {
        const T* const entry = begin_pop();
        if (entry == nullptr) return false;
        value = *entry;
        end_pop();
        return true;
    }

private:
    static_assert((kEntries & (kEntries - 1)) == 0);
    alignas(128) std::atomic<std::size_t> tail_{0};
    std::size_t head_seen_ = 0;  // the producer's
    alignas(128) std::atomic<std::size_t> head_{0};
    std::size_t tail_seen_ = 0;  // the consumer's
    alignas(128) T entries_[kEntries];
};

}  // namespace bench
