// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/pool/thread_record.hpp"

#include <pthread.h>
#include <sched.h>

#include "allocator/pool/pool.hpp"

namespace bounce {

constinit thread_local ThreadRecord* t_record = nullptr;

namespace {

constexpr std::uint32_t kRecords = 1024;
constexpr std::uint32_t kPools = 256;

/// A pool that ending threads tell. Whoever looks pins the place first, and forget_pool() waits for the pins: it
/// empties the place and then reads them, the other pins and then reads the place, all seq_cst, so one sees the other.
struct Place {
    std::atomic<Pool*> pool{nullptr};
    std::atomic<std::uint32_t> pins{0};
};

constinit std::array<Place, kPools> g_places;
pthread_once_t g_once = PTHREAD_ONCE_INIT;
pthread_key_t g_key;
std::atomic<bool> g_ready{false};
constinit std::array<ThreadRecord, kRecords> g_records;

void end_thread(void* ended) noexcept {
    auto* const record = static_cast<ThreadRecord*>(ended);
    t_record = nullptr;
    const std::uint32_t number = record->number.load(std::memory_order_relaxed);
    for (Place& place : g_places) {
        place.pins.fetch_add(1, std::memory_order_seq_cst);  // as said at Place
        if (Pool* const pool = place.pool.load(std::memory_order_seq_cst)) pool->end_thread(number);
        place.pins.fetch_sub(1, std::memory_order_seq_cst);
    }
    record->entries = {};
    // Release, pairs with the acquire in claim_record().
    record->number.store(0, std::memory_order_release);
}

void set_up() noexcept {
    // Release, pairs with the acquire in own_record().
    if (pthread_key_create(&g_key, end_thread) == 0) g_ready.store(true, std::memory_order_release);
}

ThreadRecord* claim_record() noexcept {
    for (std::uint32_t i = 0; i < kRecords; ++i) {
        std::uint32_t nobody = 0;
        // Acquire, pairs with the release in end_thread().
        if (g_records[i].number.load(std::memory_order_relaxed) == 0 &&
            g_records[i].number.compare_exchange_strong(nobody, i + 1, std::memory_order_acquire,
                                                        std::memory_order_relaxed)) {
            return &g_records[i];
        }
    }
    return nullptr;
}

}  // namespace

ThreadRecord* own_record() noexcept {
    if (t_record != nullptr) return t_record;
    // Acquire, pairs with set_up().
    ThreadRecord* const record = g_ready.load(std::memory_order_acquire) ? claim_record() : nullptr;
    if (record == nullptr) return nullptr;
    if (pthread_setspecific(g_key, record) != 0) {
        record->number.store(0, std::memory_order_release);
        return nullptr;
    }
    return t_record = record;
}

void remember_pool(Pool& pool) noexcept {
    pthread_once(&g_once, set_up);
    for (Place& place : g_places) {
        // In a forked child, a thread of the parent's may have left its pin here.
        if (place.pins.load(std::memory_order_relaxed) != 0) continue;
        Pool* nobody = nullptr;
        if (place.pool.compare_exchange_strong(nobody, &pool, std::memory_order_seq_cst, std::memory_order_relaxed))
            return;
    }
}

void forget_pool(Pool& pool) noexcept {
    for (Place& place : g_places) {
        if (place.pool.load(std::memory_order_relaxed) != &pool) continue;
        place.pool.store(nullptr, std::memory_order_seq_cst);
        while (place.pins.load(std::memory_order_seq_cst) != 0) sched_yield();
        return;
    }
}

}  // namespace bounce
