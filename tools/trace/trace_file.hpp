// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A recorded trace of demand in a file: what was asked of a pool, and what the pool was like. docs/trace.md has the
// format. Nothing of a file is believed before it was checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bounce/trace.h"
#include "tools/common/descriptor.hpp"
#include "tools/common/json.hpp"

namespace bounce::tools {

inline constexpr std::uint64_t kTraceFileMagic = 0x3146'5254'5f45'434eU;  // "NCE_TRF1"
inline constexpr std::uint64_t kTraceFileVersion = 1;

/// What was handed out when the recording began.
struct TraceHeld {
    std::uint64_t addr = 0;  // of the slot
    std::uint64_t slot_bytes = 0;
    std::uint64_t bytes = 0;   // 0: not known
    std::uint32_t device = 0;  // as in bounce_trace_record; 0: not known
    std::uint32_t kind = 0;    // 1 mapping, 2 coherent, 3 buffer
};

struct TraceDevice {
    std::uint32_t id = 0;
    std::string name;
    std::uint64_t floor_bytes = 0;
    std::uint64_t ceiling_bytes = 0;  // 0: none
    bool priority = false;
};

struct TraceTunable {
    std::string name;
    std::uint64_t value = 0;
    std::uint64_t most = 0;
    bool live = false;
};

/// What the pool was like when the recording ended.
struct TraceConfig {
    std::string pool_name;
    std::uint64_t bytes = 0;
    std::uint64_t first_region_bytes = 0;
    std::uint64_t limit_bytes = 0;  // 0: it does not grow
    std::uint64_t low_watermark = 0;
    std::uint64_t high_watermark = 0;
    std::uint64_t shrink_delay_ms = 0;
    std::uint64_t reserve_bytes = 0;
    std::vector<TraceDevice> devices;
    std::vector<TraceTunable> tunables;

    /// nullptr: the file does not have it.
    [[nodiscard]] const TraceTunable* tunable(const std::string& name) const;
    [[nodiscard]] const TraceDevice* device(std::uint32_t id) const;
    /// Its name, or "device 7".
    [[nodiscard]] std::string device_name(std::uint32_t id) const;
};

/// How ticks become ns.
struct TraceClock {
    std::uint64_t begin_ns = 0;  // CLOCK_MONOTONIC of the machine
    std::uint64_t begin_ticks = 0;
    std::uint64_t last_ns = 0;
    std::uint64_t last_ticks = 0;

    /// Since the beginning. What is before it counts as 0.
    [[nodiscard]] std::uint64_t ns_of(std::uint64_t ticks) const noexcept;
};

/// Writes a file as the records come. Throws Failure when it cannot.
class TraceWriter {
public:
    explicit TraceWriter(const std::string& path);
    void add(std::span<const bounce_trace_record> records);
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    /// The file is good after this, and not before. config: as TraceReader takes it.
    void finish(const TraceClock& clock, std::uint64_t lost, std::span<const TraceHeld> held, const Json& config);

private:
    void put(const void* bytes, std::size_t n);
    void flush();

    std::string path_;
    Descriptor file_;
    std::vector<std::byte> buffer_;
    std::uint64_t records_ = 0;
    std::uint64_t at_ = 0;
};

class TraceReader {
public:
    /// Throws NoTarget when there is no such file, Failure when it is no whole trace.
    explicit TraceReader(const std::string& path);

    [[nodiscard]] const TraceConfig& config() const noexcept { return config_; }
    [[nodiscard]] const TraceClock& clock() const noexcept { return clock_; }
    [[nodiscard]] const std::vector<TraceHeld>& held() const noexcept { return held_; }
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Each record in its order, found good. Throws Failure at the first one that is not.
    void each(const std::function<void(const bounce_trace_record&)>& visit) const;

private:
    void read_header();
    void read_config(const std::string& text);
    void read(void* to, std::size_t n, std::uint64_t at) const;
    [[noreturn]] void refuse(const std::string& why) const;

    std::string path_;
    Descriptor file_;
    std::uint64_t bytes_ = 0;
    std::uint64_t records_at_ = 0;
    std::uint64_t records_ = 0;
    std::uint64_t lost_ = 0;
    TraceClock clock_;
    std::vector<TraceHeld> held_;
    TraceConfig config_;
};

}  // namespace bounce::tools
