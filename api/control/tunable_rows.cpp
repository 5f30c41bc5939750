// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/tunable_rows.hpp"

#include <cstdio>

#include "api/dma/debug.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
constexpr std::uint64_t kMostPart = std::uint64_t{1} << 20;

std::uint64_t limit_of(const PoolView& of) noexcept {
    return PoolTuning(of.pool).growth().limit_bytes;
}
bool grows(const PoolView& of) noexcept {
    return PoolTuning(of.pool).most_limit() != 0;
}

constexpr PoolRow kPoolRows[] = {
    {"pool.limit_bytes", BOUNCE_CONTROL_BYTES, "",
     "bytes that the pool grows to; fixed when it was created without a limit",
     [](const PoolView& of) noexcept {
         const std::uint64_t most = PoolTuning(of.pool).most_limit();
         return TunableValue{limit_of(of), most != 0 ? Region::kMinBytes : 0, most, most, grows(of)};
     }},
    {"pool.low_watermark", BOUNCE_CONTROL_BYTES, "", "bytes free below which the pool grows; 0: a quarter of it",
     [](const PoolView& of) noexcept {
         return TunableValue{PoolTuning(of.pool).growth().low_watermark, 0, kMostBytes, 0, grows(of)};
     }},
    {"pool.high_watermark", BOUNCE_CONTROL_BYTES, "",
     "bytes free above which it shrinks; 0: three quarters of it; not below the low one",
     [](const PoolView& of) noexcept {
         return TunableValue{PoolTuning(of.pool).growth().high_watermark, 0, kMostBytes, 0, grows(of)};
     }},
    {"pool.shrink_delay_ms", BOUNCE_CONTROL_MS, "", "how long that is so before it shrinks; 0: it never does",
     [](const PoolView& of) noexcept {
         return TunableValue{PoolTuning(of.pool).growth().shrink_delay_ms, 0, UINT32_MAX, 0, grows(of)};
     }},
    {"pool.reserve_bytes", BOUNCE_CONTROL_BYTES, "", "bytes of pages that are left to requests with priority",
     [](const PoolView& of) noexcept {
         return TunableValue{of.pool.reserve().reserve, 0, of.pool.stats().bytes, 0};
     }},
    {"pool.context_part", BOUNCE_CONTROL_NUMBER, "",
     "threads and rings together keep one of so many bytes of the pool for themselves",
     [](const PoolView& of) noexcept {
         return TunableValue{PoolTuning(of.pool).context_part(), 16, kMostPart, Contexts::kShareOfPool};
     }},
    {"pool.numa_policy", BOUNCE_CONTROL_CHOICE, "local,preferred,interleave,strict",
     "of devices that were created without one; fixed: each has its own row",
     [](const PoolView& of) noexcept {
         const auto policy = static_cast<std::uint64_t>(of.pool.numa_policy());
         return TunableValue{policy, 0, 3, 0, false};
     }},
    {"pool.checks", BOUNCE_CONTROL_BOOL, "off,on",
     "ends of mappings are checked for who holds them; fixed: what was handed out unchecked has no state to check",
     [](const PoolView& of) noexcept {
         return TunableValue{PoolTuning(of.pool).checked() ? 1U : 0U, 0, 1, 1, false};
     }},
    {"who.tags", BOUNCE_CONTROL_BOOL, "off,on",
     "mappings are tagged with their device and time, so that it can be asked who has what",
     [](const PoolView& of) noexcept {
         return TunableValue{of.settings.tags ? 1U : 0U, 0, 1, 1};
     }},
    {"stats.sample", BOUNCE_CONTROL_CHOICE, "off,1,2,4,8,16,32,64",
     "one in so many mappings is counted in the histograms",
     [](const PoolView& of) noexcept {
         return TunableValue{of.settings.sample, 0, 7, 0};
     }},
    {"stats.publish_ms", BOUNCE_CONTROL_MS, "", "how often the stats segment is written",
     [](const PoolView& of) noexcept {
         return TunableValue{of.settings.publish_ms, 10, 60000, 250};
     }},
    {"control.read_only", BOUNCE_CONTROL_BOOL, "off,on", "nobody may change anything",
     [](const PoolView& of) noexcept {
         return TunableValue{of.settings.read_only ? 1U : 0U, 0, 1, 0, false};
     }},
};

constexpr DeviceRow kDeviceRows[] = {
    {"floor_bytes", BOUNCE_CONTROL_BYTES, "", "what the device is sure to get",
     [](Device& of) noexcept {
         return TunableValue{of.quota().floor, 0, of.pool().stats().bytes, 0, of.domain() == 0};
     }},
    {"ceiling_bytes", BOUNCE_CONTROL_BYTES, "", "what it may have at most; 0: no limit; not below the floor",
     [](Device& of) noexcept {
         return TunableValue{of.quota().ceiling, 0, kMostBytes, 0};
     }},
    {"priority", BOUNCE_CONTROL_BOOL, "off,on", "its requests may take the reserve",
     [](Device& of) noexcept {
         return TunableValue{of.quota().priority ? 1U : 0U, 0, 1, 0};
     }},
    {"copy_policy", BOUNCE_CONTROL_CHOICE, "auto,memcpy,nontemporal", "how content is copied into slots",
     [](Device& of) noexcept {
         return TunableValue{static_cast<std::uint64_t>(of.policy().copy), 0, 2, 0};
     }},
    {"reuse_policy", BOUNCE_CONTROL_CHOICE, "auto,lifo,window,fifo", "which free slot a mapping gets",
     [](Device& of) noexcept {
         return TunableValue{static_cast<std::uint64_t>(of.policy().reuse), 0, 3, 0};
     }},
    {"reuse_window_bytes", BOUNCE_CONTROL_BYTES, "",
     "with auto and window, of each size class; 0: 4 MiB, or an eighth of the pool when that is less",
     [](Device& of) noexcept {
         return TunableValue{of.policy().window_bytes, 0, of.pool().stats().bytes / 8, 0};
     }},
    {"scrub_at_map", BOUNCE_CONTROL_CHOICE, "none,tail,all",
     "what is zeroed of a slot before the device has it, of mappings from now on",
     [](Device& of) noexcept {
         return TunableValue{static_cast<std::uint64_t>(of.scrub_at_map()), 0, 2, 0};
     }},
    {"scrub_at_unmap", BOUNCE_CONTROL_CHOICE, "none,tail,all",
     "what is zeroed of a slot when it is given back, of mappings from now on",
     [](Device& of) noexcept {
         return TunableValue{static_cast<std::uint64_t>(of.scrub_at_unmap()), 0, 2, 0};
     }},
    {"numa_policy", BOUNCE_CONTROL_CHOICE, "local,preferred,interleave,strict", "which node its memory comes from",
     [](Device& of) noexcept {
         return TunableValue{static_cast<std::uint64_t>(of.numa().policy), 0, 3,
                             static_cast<std::uint64_t>(of.pool().numa_policy())};
     }},
    {"bounce_policy", BOUNCE_CONTROL_CHOICE, "never,when-needed,always",
     "whether its buffers bounce; fixed: its driver decided it with the addresses that it uses",
     [](Device& of) noexcept {
         const std::uint64_t policy = of.direct() == nullptr ? 2 : of.direct()->may_bounce() ? 1 : 0;
         return TunableValue{policy, 0, 2, 2, false};
     }},
    {"debug_sample", BOUNCE_CONTROL_NUMBER, "",
     "one of so many mappings is watched by debugging; fixed at 0 for a device without it",
     [](Device& of) noexcept {
         const bool debugged = of.debug() != nullptr;
         return TunableValue{debugged ? of.debug()->sample() : 0, debugged ? 1U : 0U, debugged ? UINT32_MAX : 0U,
                             debugged ? 1U : 0U, debugged};
     }},
    {"watched", BOUNCE_CONTROL_BOOL, "off,on", "it has records or debugging",
     [](Device& of) noexcept {
         return TunableValue{of.watched() ? 1U : 0U, 0, 1, 0, false};
     }},
};

bounce_control_tunable make(bounce_control_type type, const char* choices, const char* help,
                            const TunableValue& value) noexcept {
    bounce_control_tunable made{};
    made.type = type;
    made.live = value.live ? 1 : 0;
    made.value = value.value;
    made.least = value.least;
    made.most = value.most;
    made.initial = value.initial;
    std::snprintf(made.choices, sizeof made.choices, "%s", choices);
    std::snprintf(made.help, sizeof made.help, "%s", help);
    return made;
}

}  // namespace

std::span<const PoolRow> pool_rows() noexcept {
    return kPoolRows;
}

std::span<const DeviceRow> device_rows() noexcept {
    return kDeviceRows;
}

bounce_control_tunable describe(const PoolRow& row, const PoolView& of) noexcept {
    bounce_control_tunable made = make(row.type, row.choices, row.help, row.get(of));
    std::snprintf(made.name, sizeof made.name, "%s", row.name);
    return made;
}

bounce_control_tunable describe(const DeviceRow& row, Device& of) noexcept {
    bounce_control_tunable made = make(row.type, row.choices, row.help, row.get(of));
    std::snprintf(made.name, sizeof made.name, "device.%u.%s", of.id(), row.name);
    std::snprintf(made.device, sizeof made.device, "%s", of.name());
    return made;
}

}  // namespace bounce
