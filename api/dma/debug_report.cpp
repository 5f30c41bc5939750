// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a misuse is told.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "api/dma/call_site.hpp"
#include "api/dma/debug.hpp"

namespace bounce {
namespace {

constexpr std::array<const char*, BOUNCE_DEBUG_KINDS> kNames = {
    "unknown",         "leak",           "unknown-address", "double-unmap",    "wrong-size",
    "wrong-direction", "wrong-function", "sg-count",        "unchecked-error", "sync-range",
    "overlap",         "peek",           "private-write",   "wrong-device"};

constexpr std::array<const char*, 4> kDirections = {"bidirectional", "to_device", "from_device", "block"};

std::uint64_t now_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);  // in the vDSO
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

unsigned long long number(std::uint64_t value) noexcept {
    return static_cast<unsigned long long>(value);
}

}  // namespace

const char* debug_kind_name(int kind) noexcept {
    return kind > 0 && kind < BOUNCE_DEBUG_KINDS ? kNames[static_cast<std::size_t>(kind)] : kNames[0];
}

void Debug::describe(const DebugEntry& entry, Report& report) noexcept {
    report.addr = entry.addr;
    report.bytes = entry.bytes;
    report.direction = entry.mapping() ? entry.direction : -1;
    report.orig =
        entry.mapping()
            ? reinterpret_cast<const void*>(static_cast<std::uintptr_t>(static_cast<const PrivateSpan&>(entry).begin))
            : nullptr;
    report.map_site = entry.site;
    std::copy_n(entry.tag, sizeof report.tag_copy, report.tag_copy);
    report.mapped_ns = entry.mapped_ns;
}

void Debug::describe_past(const DebugPast& past, Report& report) noexcept {
    report.addr = past.addr;
    report.bytes = past.bytes;
    report.direction = past.direction;
    report.map_site = past.map_site;
    report.other_site = past.end_site;
    std::copy_n(past.tag, sizeof report.tag_copy, report.tag_copy);
    report.mapped_ns = past.mapped_ns;
}

void Debug::tell(Report& report) noexcept {
    const auto kind = static_cast<std::size_t>(report.kind);
    reports_[kind].fetch_add(1, std::memory_order_relaxed);
    Channel& channel = channels_[kind];
    const std::uint64_t now = now_ns();
    if (report.kind != BOUNCE_DEBUG_LEAK && !channel.limit.take(now)) {
        channel.left_out.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    report.left_out = channel.left_out.exchange(0, std::memory_order_relaxed);
    report.device = device_;
    report.site = call_site().at;
    report.function = call_site().function;
    report.tag = report.tag_copy;
    if (report.mapped_ns != 0 && now > report.mapped_ns) report.age_ns = now - report.mapped_ns;
    const std::size_t direction = report.direction >= 0 && report.direction <= 2
                                      ? static_cast<std::size_t>(report.direction)
                                      : kDirections.size() - 1;
    char text[512];
    std::snprintf(text, sizeof text,
                  "device %s: %s in %s at %p: %llu bytes at 0x%llx (%s), mapped at %p %llu us ago%s%s; expected %llu, "
                  "got %llu, other site %p",
                  device_, debug_kind_name(report.kind), report.function, report.site, number(report.bytes),
                  number(report.addr), kDirections[direction], report.map_site, number(report.age_ns / 1000),
                  report.tag[0] != '\0' ? " by " : "", report.tag, number(report.expected), number(report.got),
                  report.other_site);
    report.text = text;
    if (config_.report != nullptr) {
        config_.report(config_.user, &report);
    } else {
        callbacks_.log(BOUNCE_LOG_WARNING, "%s", text);
    }
}

void Debug::report_leaks() noexcept {
    // Under the lock: nobody else uses the device any more.
    const std::lock_guard lock(lock_);
    table_.visit([&](const DebugEntry& entry) {
        Report report(BOUNCE_DEBUG_LEAK);
        describe(entry, report);
        tell(report);
    });
}

std::uint64_t Debug::visit(bounce_debug_fn tell_one, void* user) noexcept {
    const std::lock_guard lock(lock_);
    std::uint64_t n = 0;
    const std::uint64_t now = now_ns();
    table_.visit([&](const DebugEntry& entry) {
        Report report(0);
        describe(entry, report);
        report.tag = report.tag_copy;
        report.device = device_;
        report.function = "";
        report.text = "";
        if (now > report.mapped_ns) report.age_ns = now - report.mapped_ns;
        tell_one(user, &report);
        ++n;
    });
    return n;
}

bounce_debug_stats Debug::stats() noexcept {
    bounce_debug_stats stats{};
    for (std::size_t i = 0; i < BOUNCE_DEBUG_KINDS; ++i) stats.reports[i] = reports_[i].load(std::memory_order_relaxed);
    stats.skipped = skipped_.load(std::memory_order_relaxed);
    stats.no_memory = no_memory_.load(std::memory_order_relaxed);
    const std::lock_guard lock(lock_);
    stats.watched = table_.count();
    return stats;
}

}  // namespace bounce
