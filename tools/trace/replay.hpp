// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Recorded demand, asked of a real pool of this process: the same allocator, in the recorded order, by one thread,
// without copies. So it is the same each time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bounce/bounce.h"
#include "tools/trace/demand.hpp"

namespace bounce::tools {

struct ReplayQuota {
    std::uint64_t floor_bytes = 0;
    std::uint64_t ceiling_bytes = 0;  // 0: none
    bool priority = false;
};

/// The pool that is asked.
struct ReplayConfig {
    std::uint64_t size_bytes = 0;
    std::uint64_t limit_bytes = 0;  // 0: it does not grow; else by itself, when a request would fail
    std::uint64_t low_watermark = 0;
    std::uint64_t high_watermark = 0;
    std::uint64_t reserve_bytes = 0;
    std::uint32_t reuse_policy = BOUNCE_REUSE_LIFO;
    std::uint64_t reuse_window_bytes = 0;
    std::map<std::uint32_t, ReplayQuota> quotas;  // by the device's id

    /// As it was recorded.
    static ReplayConfig of(const TraceConfig& config);
    /// With another limit: what the pool begins with is at most that.
    [[nodiscard]] ReplayConfig with_limit(std::uint64_t bytes) const;
};

struct ReplayFailure {
    std::uint64_t ns = 0;
    std::uint32_t device = 0;  // id
    std::uint64_t bytes = 0;
    int code = 0;  // errno
    std::string why;
};

struct ReplayDeviceResult {
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
};

struct ReplayResult {
    std::uint64_t requests = 0;
    std::uint64_t operations = 0;  // and their ends
    std::uint64_t failed = 0;
    std::optional<ReplayFailure> first;
    std::vector<ReplayDeviceResult> devices;  // as Demand::devices
    std::uint64_t peak_bytes = 0;             // in slots that are handed out
    std::uint64_t pool_bytes = 0;             // in the end
    std::uint64_t grows = 0;
    double ns_per_operation = 0;  // of the processor
};

/// Asks for all of it; `stop`: until something fails. Throws Failure when there can be no such pool.
ReplayResult replay(const Demand& demand, const ReplayConfig& config, bool stop = false);

/// Bytes of the slot that each object gets, asked of a pool that has room.
std::vector<std::uint64_t> slot_bytes_of(const Demand& demand);

}  // namespace bounce::tools
