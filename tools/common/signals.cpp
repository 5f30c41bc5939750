// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/signals.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <thread>

#include "tools/common/failure.hpp"

namespace bounce::tools {
namespace {

// Written by the handler, read by everyone. It publishes nothing but itself: relaxed.
std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

std::atomic<std::int64_t> stopped_at_ms{0};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

// timeout(1) and shells send one signal to the process and at once to its group: that is one request to stop.
constexpr std::int64_t kSameRequestMs = 500;

std::int64_t now_ms() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

extern "C" void on_stop(int signal) {
    const int saved = errno;
    const std::int64_t now = now_ms();
    int none = 0;
    if (stop_signal.compare_exchange_strong(none, signal, std::memory_order_relaxed)) {
        stopped_at_ms.store(now, std::memory_order_relaxed);
    } else if (now - stopped_at_ms.load(std::memory_order_relaxed) >= kSameRequestMs) {
        // Whoever asks a second time does not want to wait.
        std::signal(signal, SIG_DFL);
        std::raise(signal);
    }
    errno = saved;
}

}  // namespace

void install_signal_handlers() {
    struct sigaction action = {};
    action.sa_handler = on_stop;  // without SA_RESTART: a read or write that waits is to end
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);  // one after the other
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
}

bool stop_requested() noexcept {
    return stop_signal.load(std::memory_order_relaxed) != 0;
}

const char* stop_signal_name() noexcept {
    switch (stop_signal.load(std::memory_order_relaxed)) {
        case SIGINT: return "SIGINT";
        case SIGTERM: return "SIGTERM";
        default: return "";
    }
}

void throw_if_stopped() {
    if (stop_requested()) throw Failure(text("interrupted by ", stop_signal_name()));
}

bool sleep_unless_stopped(double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (!stop_requested()) {
        const auto now = Clock::now();
        if (now >= end) return true;
        std::this_thread::sleep_for(std::min<Clock::duration>(end - now, std::chrono::milliseconds(20)));
    }
    return false;
}

}  // namespace bounce::tools
