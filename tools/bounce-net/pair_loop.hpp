// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One queue pair of the loop: sends, as long as no more than a window is under way, and checks what comes back. For one
// thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "tools/bounce-net/receiver.hpp"
#include "tools/bounce-net/tracker.hpp"
#include "tools/bounce-net/traffic.hpp"
#include "tools/bounce-net/transmitter.hpp"
#include "tools/common/progress.hpp"

namespace bounce::net {

struct PairConfig {
    std::uint32_t pair = 0;
    std::uint32_t window = 128;
    std::uint32_t queue_size = 256;
    std::size_t rx_buffer = 2048;
    std::size_t frame_bytes = 1514;           // the longest one
    const tools::Canary* canary = nullptr;    // of private buffers; null: born-shared ones
    CaptureWriter* out = nullptr;             // may be null
    tools::Progress* progress = nullptr;      // of one pair; may be null
    const std::atomic<bool>* stop = nullptr;  // another pair failed
    bool control = false;                     // answers what the device asks: one pair does
};

class PairLoop {
public:
    PairLoop(const Session& session, Traffic& traffic, const PairConfig& config);

    /// Until all packets are sent and came back or are lost. After DeviceLost it may be called again.
    void run();
    /// After a disconnect: all buffers come home; packets that were under way are gone.
    void abort();

    [[nodiscard]] Counts counts() noexcept;
    [[nodiscard]] const Traffic& traffic() const noexcept { return traffic_; }
    void check_canaries() const;

private:
    using Clock = std::chrono::steady_clock;

    [[nodiscard]] bool done() noexcept {
        return tracker_.counts().sent == traffic_.count() && tracker_.under_way() == 0;
    }
    bool step();
    std::uint32_t send_some();
    void idle();
    void check_silence();

    const Session& session_;
    Traffic& traffic_;
    PairConfig config_;
    Transmitter tx_;
    Receiver rx_;
    Tracker tracker_;
    Clock::time_point last_progress_{};
    Clock::time_point last_kick_{};
    std::uint32_t empty_polls_ = 0;
};

}  // namespace bounce::net
