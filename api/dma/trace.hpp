// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The owner's side of a trace of demand (bounce/trace.h): a ring in sealed memory that threads write to and nobody here
// reads.
//
// A writer takes a number (T1), the place of that number (T2), writes, and gives the place up (T3). Two have one place
// only when a thread was stopped in between for a whole ring; the later one then leaves its record out, and the reader
// counts it as lost. So nobody waits and no record is a mixture.
//   T1  relaxed: the number is all that is handed over.
//   T2  acquire by exchange, pairs with T3: what is written comes behind what the one before wrote.
//   T3  release.
//   T4  word 0 becomes 0 (relaxed) before the others, each of which is stored with release (T5): a reader who sees one
//   of
//       them by an acquire load (T6) sees that 0, or what came later, when he looks at word 0 again.
//   T7  word 0 with release, pairs with the reader's acquire (T8): who sees it sees the others.
// What a thread that stops leaves behind: a place that is given up when it goes on. The memory stays with the pool once
// it was made, since a thread may be about to write; so a device's pointer to it is good for ever.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "allocator/base/private_memory.hpp"
#include "allocator/base/sealed_memory.hpp"
#include "bounce/trace.h"

namespace bounce {

class Trace {
public:
    static constexpr std::uint64_t kCapacity = std::uint64_t{1} << 18;
    static constexpr std::uint64_t kWords = 4;  // of a record

    /// ENOMEM. capacity: a power of two.
    static Result<std::unique_ptr<Trace>> create(std::uint64_t capacity = kCapacity) noexcept;
    ~Trace();
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;

    /// A read-only descriptor, of the trace's.
    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    /// Those who record have to be told after start() and before stop(). One thread at a time, as for all but note().
    void start() noexcept;
    void stop() noexcept;
    [[nodiscard]] bool running() const noexcept { return running_; }
    /// Tells readers what time it is.
    void set_now() noexcept;

    struct Entry {
        bounce_trace_kind kind{};
        std::uint8_t detail = 0;
        std::uint32_t device = 0;
        std::uint64_t addr = 0;
        std::uint64_t bytes = 0;
        const void* buf = nullptr;
    };
    /// Any number of threads, also when it is not running.
    void note(const Entry& entry) noexcept;

private:
    Trace(SealedMemory memory, PrivateMemory writing, std::uint64_t capacity) noexcept
        : memory_(std::move(memory)), writing_(std::move(writing)), capacity_(capacity) {}
    void put(std::size_t field, std::uint64_t value, int order) noexcept;

    SealedMemory memory_;
    PrivateMemory writing_;  // a byte for each place, 1: somebody writes; and one that is 1 in the owner, 0 in a child
    std::uint64_t capacity_ = 0;
    std::uint64_t secret_ = 0;
    std::uint64_t turn_ = 0;
    bool running_ = false;
    alignas(64) std::atomic<std::uint64_t> next_{0};
};

}  // namespace bounce
