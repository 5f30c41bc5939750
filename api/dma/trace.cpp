// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/trace.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "allocator/base/clock.hpp"
#include "api/dma/ticks.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kTraceHeaderBytes = 4096;
constexpr std::uint64_t kTraceHeaderWords = kTraceHeaderBytes / sizeof(std::uint64_t);
constexpr std::uint64_t kMostTraced = (std::uint64_t{1} << 40) - 1;
static_assert(sizeof(bounce_trace_header) <= kTraceHeaderBytes);

using Busy = std::atomic<std::uint8_t>;
static_assert(sizeof(Busy) == 1 && Busy::is_always_lock_free);  // zeroed memory is used as it is

}  // namespace

Result<std::unique_ptr<Trace>> Trace::create(std::uint64_t capacity) noexcept {
    const std::uint64_t bytes = kTraceHeaderBytes + capacity * kWords * sizeof(std::uint64_t);
    auto memory = SealedMemory::create("bounce-trace", (bytes + 4095) / 4096 * 4096);
    if (!memory) return memory.error();
    auto writing = PrivateMemory::create(capacity + 1);
    if (!writing) return writing.error();
    std::unique_ptr<Trace> made(new (std::nothrow) Trace(std::move(*memory), std::move(*writing), capacity));
    if (made == nullptr) return fail(ENOMEM, "no memory for a trace");
    made->writing_.data()[capacity] = std::byte{1};
    // Without entropy the hashes of buffers can be turned back, by who may look at the process anyway.
    if (::getrandom(&made->secret_, sizeof made->secret_, GRND_NONBLOCK) != sizeof made->secret_) made->secret_ = 0;
    made->secret_ |= 1;
    made->put(offsetof(bounce_trace_header, version), BOUNCE_TRACE_VERSION, __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, header_bytes), kTraceHeaderBytes, __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, bytes), made->memory_.bytes(), __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, record_bytes), kWords * sizeof(std::uint64_t), __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, capacity), capacity, __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, ended), 1, __ATOMIC_RELAXED);
    made->put(offsetof(bounce_trace_header, magic), BOUNCE_TRACE_MAGIC, __ATOMIC_RELEASE);
    return made;
}

Trace::~Trace() {
    // In a forked child there is no mapping, and what is in its place is somebody else's.
    if (writing_.data()[capacity_] == std::byte{0}) memory_.forget();
}

void Trace::put(std::size_t field, std::uint64_t value, int order) noexcept {
    std::uint64_t* const word = &memory_.words()[field / sizeof(std::uint64_t)];
    if (order == __ATOMIC_RELEASE)
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    else
        __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

void Trace::start() noexcept {
    running_ = true;
    // Relaxed, here and in stop(): a number to begin or end with; records say themselves when they are whole.
    const std::uint64_t first = next_.load(std::memory_order_relaxed);
    put(offsetof(bounce_trace_header, turn), ++turn_, __ATOMIC_RELAXED);
    put(offsetof(bounce_trace_header, first), first, __ATOMIC_RELAXED);
    put(offsetof(bounce_trace_header, begin_ns), clock_ns(), __ATOMIC_RELAXED);
    put(offsetof(bounce_trace_header, begin_ticks), ticks_about(), __ATOMIC_RELAXED);
    put(offsetof(bounce_trace_header, end), 0, __ATOMIC_RELAXED);
    set_now();
    put(offsetof(bounce_trace_header, ended), 0, __ATOMIC_RELEASE);
}

void Trace::stop() noexcept {
    if (!running_) return;
    running_ = false;
    set_now();
    put(offsetof(bounce_trace_header, end), next_.load(std::memory_order_relaxed), __ATOMIC_RELAXED);
    // Pairs with the acquire of a reader: he sees the end.
    put(offsetof(bounce_trace_header, ended), 1, __ATOMIC_RELEASE);
}

void Trace::set_now() noexcept {
    put(offsetof(bounce_trace_header, last_ns), clock_ns(), __ATOMIC_RELAXED);
    put(offsetof(bounce_trace_header, last_ticks), ticks_about(), __ATOMIC_RELAXED);
}

void Trace::note(const Entry& entry) noexcept {
    if (writing_.data()[capacity_] == std::byte{0}) return;                      // a forked child
    const std::uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);  // T1
    const std::uint64_t place = number & (capacity_ - 1);
    Busy& busy = reinterpret_cast<Busy*>(writing_.data())[place];
    if (busy.exchange(1, std::memory_order_acquire) != 0) return;  // T2
    std::uint64_t* const words = memory_.words() + kTraceHeaderWords + place * kWords;
    const std::uint64_t buffer = reinterpret_cast<std::uintptr_t>(entry.buf) * secret_ >> 48;
    __atomic_store_n(&words[0], 0, __ATOMIC_RELAXED);              // T4
    __atomic_store_n(&words[1], ticks_about(), __ATOMIC_RELEASE);  // T5, as the next two
    __atomic_store_n(&words[2], entry.addr, __ATOMIC_RELEASE);
    __atomic_store_n(&words[3], std::min(entry.bytes, kMostTraced) | std::uint64_t{entry.device} << 40,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&words[0],
                     ((number + 1) & UINT32_MAX) | buffer << 32 | std::uint64_t{entry.detail} << 48 |
                         static_cast<std::uint64_t>(entry.kind) << 56,
                     __ATOMIC_RELEASE);        // T7
    busy.store(0, std::memory_order_release);  // T3
}

}  // namespace bounce
