// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a thread remembers of its contexts: one pointer of thread-local storage to a record that it shares among all
// pools. When the thread ends, every pool is asked to take its contexts back. In a forked child a record leads to the
// wiped contexts of the parent's pools, which have nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace bounce {

struct Context;
class Pool;

struct ThreadRecord {
    static constexpr std::uint32_t kRemembered = 16;
    struct Entry {
        std::uint64_t group_id = 0;  // never used again, so an entry is right or never asked for
        Context* context = nullptr;  // nullptr: it has none, and there is none to be had
    };

    std::atomic<std::uint32_t> number{0};  // + 1; 0: nobody's
    std::array<Entry, kRemembered> entries{};

    [[nodiscard]] Entry& entry_of(std::uint64_t group_id) noexcept { return entries[group_id % kRemembered]; }
};

// Initial-exec, so that a dlopened library takes 8 bytes of the static TLS block and no more.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local ThreadRecord* t_record;

/// The record of this thread, made if need be; nullptr when there is none to be had (more than 1024 threads).
ThreadRecord* own_record() noexcept;

/// From now until forget_pool() returns, Pool::end_thread() may be called by ending threads. When there are too many
/// pools it is not, and contexts of ended threads stay with this pool until it is full or destroyed.
void remember_pool(Pool& pool) noexcept;
void forget_pool(Pool& pool) noexcept;

}  // namespace bounce
