// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/callbacks.hpp"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

#include "allocator/base/clock.hpp"
#include "allocator/base/probes.hpp"

namespace bounce {
namespace {

constexpr std::size_t kLineBytes = 512;

/// Appends how many were left out, at the cost of the line's end when it is too long for both.
void append_left_out(char (&line)[kLineBytes], std::uint64_t left_out) noexcept {
    if (left_out == 0) return;
    char note[48];
    const int length =
        std::snprintf(note, sizeof note, " (%llu left out before this)", static_cast<unsigned long long>(left_out));
    std::size_t at = 0;
    while (line[at] != '\0') ++at;
    const std::size_t room = kLineBytes - 1 - static_cast<std::size_t>(length);
    if (at > room) at = room;
    std::snprintf(line + at, kLineBytes - at, "%s", note);
}

/// One line stays one line, and a terminal is not steered, even when a peer's bytes are in it.
void keep_printable(char* line) noexcept {
    for (; *line != '\0'; ++line) {
        const auto byte = static_cast<unsigned char>(*line);
        if (byte < 0x20 || byte == 0x7f) *line = '?';
    }
}

}  // namespace

Callbacks::Callbacks(bounce_log_fn on_log, void* log_user, bounce_violation_fn on_violation,
                     void* violation_user) noexcept
    : log_(on_log), log_user_(log_user), violation_(on_violation), violation_user_(violation_user) {}

std::uint64_t Callbacks::coarse_now() noexcept {
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

bool Callbacks::admit(Channel& channel) noexcept {
    if (channel.limit.take(clock_())) return true;
    channel.left_out.fetch_add(1, std::memory_order_relaxed);
    return false;
}

void Callbacks::log(int level, const char* format, ...) noexcept {
    if (log_ == nullptr) return;
    Channel& channel = level <= BOUNCE_LOG_WARNING ? problems_ : notes_;
    if (!admit(channel)) return;
    char line[kLineBytes];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    append_left_out(line, channel.left_out.exchange(0, std::memory_order_relaxed));
    keep_printable(line);
    log_(log_user_, level, line);
}

void Callbacks::violation(const char* device, int kind, std::uint32_t ring, std::uint64_t got, std::uint64_t expected,
                          const char* text) noexcept {
    violations_.fetch_add(1, std::memory_order_relaxed);
    probes::violation(device, kind, got, expected);
    telemetry_.event(BOUNCE_EVENT_VIOLATION, device, got, expected, static_cast<std::uint64_t>(kind));
    if (violation_ == nullptr || !admit(reports_)) return;
    char line[kLineBytes];
    std::snprintf(line, sizeof line, "%s", text);
    append_left_out(line, reports_.left_out.exchange(0, std::memory_order_relaxed));
    keep_printable(line);
    const bounce_violation report{kind, ring, got, expected, device, line};
    violation_(violation_user_, &report);
}

std::uint64_t Callbacks::violations() const noexcept {
    return violations_.load(std::memory_order_relaxed);
}

}  // namespace bounce
