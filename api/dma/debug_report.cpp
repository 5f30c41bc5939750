// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a misuse is told.

#include <algorithm>
#include <array>
#include <cstdio>

#include "allocator/base/clock.hpp"
#include "api/dma/call_site.hpp"
#include "api/dma/debug.hpp"

namespace bounce {
namespace {

constexpr std::array<const char*, BOUNCE_DEBUG_KINDS> kNames = {
    "unknown",         "leak",           "unknown-address", "double-unmap",    "wrong-size",
    "wrong-direction", "wrong-function", "sg-count",        "unchecked-error", "sync-range",
    "overlap",         "peek",           "private-write",   "wrong-device"};

constexpr std::array<const char*, 3> kDirections = {"bidirectional", "to_device", "from_device"};

/// Kinds whose `expected` and `got` are two values of one thing.
constexpr bool compares(int kind) noexcept {
    return kind == BOUNCE_DEBUG_WRONG_SIZE || kind == BOUNCE_DEBUG_WRONG_DIRECTION ||
           kind == BOUNCE_DEBUG_WRONG_FUNCTION || kind == BOUNCE_DEBUG_SG_COUNT || kind == BOUNCE_DEBUG_SYNC_RANGE;
}

unsigned long long number(std::uint64_t value) noexcept {
    return static_cast<unsigned long long>(value);
}

/// Appends, as far as there is room.
class Text {
public:
    Text(char* text, std::size_t room) noexcept : text_(text), room_(room) { text_[0] = '\0'; }
    template <class... Values>
    void add(const char* format, Values... values) noexcept {
        const int length = std::snprintf(text_ + used_, room_ - used_, format, values...);
        if (length > 0) used_ = std::min(used_ + static_cast<std::size_t>(length), room_ - 1);
    }

private:
    char* text_;
    std::size_t room_;
    std::size_t used_ = 0;
};

void write_text(const bounce_debug_report& report, char* at, std::size_t room) noexcept {
    Text text(at, room);
    text.add("device %s: %s in %s", report.device, debug_kind_name(report.kind), report.function);
    if (report.site != nullptr) text.add(" at %p", report.site);
    text.add(": %llu bytes at 0x%llx", number(report.bytes), number(report.addr));
    if (report.direction >= 0 && report.direction <= 2)
        text.add(" (%s)", kDirections[static_cast<std::size_t>(report.direction)]);
    if (report.map_site != nullptr) text.add(", mapped at %p", report.map_site);
    if (report.mapped_ns != 0) text.add(" %llu us ago", number(report.age_ns / 1000));
    if (report.tag[0] != '\0') text.add(" by %s", report.tag);
    if (report.other_site != nullptr)
        text.add(report.kind == BOUNCE_DEBUG_DOUBLE_UNMAP ? ", ended at %p" : ", the other at %p", report.other_site);
    if (compares(report.kind)) text.add("; expected %llu, got %llu", number(report.expected), number(report.got));
    if (report.kind == BOUNCE_DEBUG_PRIVATE_WRITE) text.add("; byte %llu has changed", number(report.got));
    if (report.left_out != 0) text.add(" (%llu left out before this)", number(report.left_out));
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
    const std::uint64_t now = clock_ns();
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
    char text[512];
    write_text(report, text, sizeof text);
    report.text = text;
    if (config_.report != nullptr) {
        config_.report(config_.user, &report);
    } else {
        callbacks_.log(BOUNCE_LOG_WARNING, "%s", text);
    }
}

void Debug::report_leaks(bool of_callers) noexcept {
    // Under the lock: nobody else uses the device any more.
    const std::lock_guard lock(lock_);
    table_.visit([&](const DebugEntry& entry) {
        if (of_callers && entry.site == nullptr) return;
        Report report(BOUNCE_DEBUG_LEAK);
        describe(entry, report);
        tell(report);
    });
}

std::uint64_t Debug::visit(bounce_debug_fn tell_one, void* user) noexcept {
    const std::lock_guard lock(lock_);
    std::uint64_t n = 0;
    const std::uint64_t now = clock_ns();
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
