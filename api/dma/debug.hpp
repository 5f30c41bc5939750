// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device whose use is watched: what bounce/debug.h says. It sees each mapping come and go, knows who did it, and
// reports what does not fit; it decides nothing. One lock for a device: this mode is slow and says so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "allocator/pool/pool.hpp"
#include "api/dma/callbacks.hpp"
#include "api/dma/debug_entry.hpp"
#include "api/dma/rate_limit.hpp"
#include "bounce/bounce.h"
#include "bounce/debug.h"

namespace bounce {

struct DebugConfig {
    bounce_debug_fn report = nullptr;  // nullptr: the log
    void* user = nullptr;
    std::uint32_t sample = 1;
};

class Debug {
public:
    static Result<std::unique_ptr<Debug>> create(Callbacks& callbacks, const char* device,
                                                 const DebugConfig& config) noexcept;
    Debug(const Debug&) = delete;
    Debug& operator=(const Debug&) = delete;

    /// Is the next mapping, list or block one that is watched?
    [[nodiscard]] bool take_turn() noexcept;
    /// One of so many is watched, from now on. Relaxed: nothing else is concluded from it.
    void set_sample(std::uint32_t every) noexcept { sample_.store(every, std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t sample() const noexcept { return sample_.load(std::memory_order_relaxed); }
    /// A scatter list of n begins: its number.
    [[nodiscard]] std::uint64_t begin_list() noexcept { return lists_.fetch_add(1, std::memory_order_relaxed) + 1; }

    /// A mapping was made; list: 0, or number and members of its list. False: it is not watched, for want of memory.
    bool mapped(const bounce_mapping& mapping, std::uint64_t list = 0, std::uint64_t members = 0) noexcept;
    bool allocated(const bounce_block& block) noexcept;
    /// Could not be made: what is left in the token is known again.
    static void mark_failed(bounce_mapping& mapping, std::uint32_t device) noexcept;

    /// Is about to be ended: reports what is said of it wrongly.
    void check_end(const bounce_mapping& mapping, DebugApi api) noexcept;
    void check_list(std::span<const bounce_mapping> mappings) noexcept;
    /// Is ended: nobody else can, and nothing has been copied back.
    void ended(const bounce_mapping& mapping) noexcept;
    void freed(const bounce_block& block) noexcept;
    /// Was refused with this code.
    void refused(const bounce_mapping& mapping, int code) noexcept;
    void refused(const bounce_block& block, int code) noexcept;
    /// Ended by address: what was stated does not fit.
    void misstated(int kind, std::uint64_t addr, std::uint64_t expected, std::uint64_t got) noexcept;
    void refused(std::uint64_t addr, int code) noexcept;

    void check_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes, int direction,
                    bool for_cpu) noexcept;
    void synced(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes, bool for_cpu) noexcept;

    /// Does [addr, addr + bytes) touch a mapping? Then that is reported.
    bool peeked(std::uint64_t addr, std::uint64_t bytes) noexcept;
    /// All that is watched, as leaks; `of_callers`: but for what the library has got for itself.
    void report_leaks(bool of_callers = false) noexcept;
    std::uint64_t visit(bounce_debug_fn tell_one, void* user) noexcept;
    [[nodiscard]] bounce_debug_stats stats() noexcept;

    Debug* next = nullptr;  // of the same pool; its owner's

private:
    struct Channel {
        RateLimit limit;
        std::atomic<std::uint64_t> left_out{0};
    };

    /// One in the making; it keeps the tag, because the entry it speaks of may go.
    struct Report : bounce_debug_report {
        explicit Report(int what) noexcept : bounce_debug_report{} {
            kind = what;
            direction = -1;
        }
        char tag_copy[DebugEntry::kTagBytes] = {};
    };

    Debug(Callbacks& callbacks, const char* device, const DebugConfig& config) noexcept
        : callbacks_(callbacks), device_(device), config_(config), sample_(config.sample) {}
    bool add(std::unique_ptr<DebugEntry> entry) noexcept;
    void watch_content(DebugEntry& entry) noexcept;
    static void describe(const DebugEntry& entry, Report& report) noexcept;
    static void describe_past(const DebugPast& past, Report& report) noexcept;
    void classify(std::uint64_t addr, const std::uint32_t* handle, std::uint64_t bytes, int code,
                  Report& report) noexcept;
    /// Counts, and tells the host within the rate. Not under the lock.
    void tell(Report& report) noexcept;

    Callbacks& callbacks_;
    const char* device_;
    const DebugConfig config_;
    std::mutex lock_;  // the table
    DebugTable table_;
    Channel channels_[BOUNCE_DEBUG_KINDS];
    std::atomic<std::uint64_t> reports_[BOUNCE_DEBUG_KINDS]{};
    std::atomic<std::uint32_t> sample_;
    std::atomic<std::uint64_t> turns_{0};
    std::atomic<std::uint64_t> lists_{0};
    std::atomic<std::uint64_t> skipped_{0};
    std::atomic<std::uint64_t> no_memory_{0};
};

/// The name of a kind of report.
const char* debug_kind_name(int kind) noexcept;

}  // namespace bounce
