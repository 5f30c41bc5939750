// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The measured loop: the same code, and the same clock readings, for every subject.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tools/bounce-net/session.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/ticks.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {

struct LoopConfig {
    std::uint32_t window = 128;
    double warm_up_seconds = 0.05;
    double seconds = 0.5;
    double timeout_seconds = 5;
};

struct LoopResult {
    std::uint64_t packets = 0;
    std::uint64_t lost = 0;
    double seconds = 0;
};

inline constexpr std::uint32_t kBenchBurst = 32;

/// A subject is a queue pair:
///   uint32_t receive()   how many packets came; their buffers are posted again
///   void reclaim()       takes back what was sent
///   bool send()          one packet into the ring; false: no room now
///   void publish()       shows the device what was sent
///   void idle()          nothing came: is the device still there? Waits, if it is not to be polled
///   bool polls()         idle() does not wait, so it is called only now and then
template <class Subject>
class PacketLoop {
public:
    PacketLoop(Subject& subject, const LoopConfig& config, const tools::Ticks& ticks)
        : subject_(subject), config_(config), ticks_(ticks) {}

    LoopResult run() {
        LoopResult result;
        const std::uint64_t begin = ticks_.now();
        std::uint64_t boundary = begin + ticks_.from_seconds(config_.warm_up_seconds);
        std::uint64_t measured_from = 0;  // 0: warming up
        last_progress_ = begin;
        for (;;) {
            const std::uint32_t came = subject_.receive();
            under_way_ -= std::min(came, under_way_);
            result.packets += came;
            const std::uint32_t sent = send_some();
            if (came == 0 && sent == 0 && !idle(result)) continue;
            const std::uint64_t now = ticks_.now();
            if (came != 0) last_progress_ = now;
            if (now < boundary && !tools::stop_requested()) continue;
            if (measured_from != 0 || tools::stop_requested()) {
                result.seconds = ticks_.nanoseconds(static_cast<double>(now - measured_from)) / 1e9;
                break;
            }
            result = {};
            measured_from = now;
            boundary = now + ticks_.from_seconds(config_.seconds);
        }
        tools::throw_if_stopped();
        return result;
    }

private:
    static constexpr double kLostSeconds = 0.1;  // under way for so long without a sign: lost

    std::uint32_t send_some() {
        subject_.reclaim();
        std::uint32_t sent = 0;
        while (sent < kBenchBurst && under_way_ < config_.window && subject_.send()) {
            ++sent;
            ++under_way_;
        }
        if (sent != 0) subject_.publish();
        return sent;
    }

    /// True: time to look at the clock.
    bool idle(LoopResult& result) {
        if (subject_.polls() && ++empty_polls_ % 1024 != 0) return false;
        subject_.idle();
        const double silent = ticks_.nanoseconds(static_cast<double>(ticks_.now() - last_progress_)) / 1e9;
        if (silent > config_.timeout_seconds) {
            throw DeviceLost(tools::text("the device is connected but has sent nothing back for ",
                                         tools::format_number(config_.timeout_seconds), " s (--timeout)"));
        }
        if (silent > kLostSeconds) {
            result.lost += under_way_;
            under_way_ = 0;
        }
        return true;
    }

    Subject& subject_;
    const LoopConfig config_;
    const tools::Ticks& ticks_;
    std::uint32_t under_way_ = 0;
    std::uint64_t last_progress_ = 0;
    std::uint32_t empty_polls_ = 0;
};

}  // namespace bounce::net
