// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/pair_loop.hpp"

#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::net {
namespace {

using tools::text;

constexpr std::uint32_t kBurst = 32;
constexpr std::uint32_t kPollsPerCheck = 1024;
constexpr std::uint32_t kWaitMilliseconds = 100;       // how long a stop request may go unnoticed
constexpr std::uint32_t kControlWaitMilliseconds = 1;  // who waits here does not answer the device
constexpr double kLostSeconds = 1;                     // a packet that takes longer does not come
constexpr std::chrono::milliseconds kKickAgainAfter{200};

}  // namespace

PairLoop::PairLoop(const Session& session, Traffic& traffic, const PairConfig& config)
    : session_(session),
      traffic_(traffic),
      config_(config),
      tx_(session, config.pair, config.window, config.frame_bytes, config.canary),
      rx_(session, config.pair, config.queue_size, config.rx_buffer, config.canary) {}

void PairLoop::run() {
    last_progress_ = Clock::now();
    empty_polls_ = 0;
    rx_.post();
    while (!done()) {
        if (config_.stop != nullptr && config_.stop->load(std::memory_order_relaxed)) return;
        if (step()) {
            last_progress_ = Clock::now();
            empty_polls_ = 0;
            if (config_.progress != nullptr) config_.progress->update(tracker_.counts().received);
        } else {
            idle();
        }
        tools::throw_if_stopped();
    }
    step();  // what came twice may be there by now
}

/// True: something moved.
bool PairLoop::step() {
    const std::uint32_t came = rx_.poll([this](const PacketHeader& header, std::span<const std::byte> frame) {
        traffic_.check(frame, header, tracker_);
        if (config_.out != nullptr) config_.out->write(frame);
    });
    const std::uint32_t reclaimed = tx_.reclaim();
    return (came | reclaimed | send_some()) != 0;
}

std::uint32_t PairLoop::send_some() {
    std::uint32_t count = 0;
    while (count < kBurst && tracker_.under_way() < config_.window && tracker_.counts().sent < traffic_.count()) {
        const std::span<std::byte> room = tx_.frame();
        if (room.empty()) break;
        const auto sequence = static_cast<std::uint32_t>(tracker_.counts().sent);
        PacketHeader header;
        const std::size_t bytes = traffic_.make(sequence, room, header);
        if (!tx_.add(bytes, header)) break;
        (void)tracker_.sent();
        traffic_.sent(sequence);
        ++count;
    }
    tx_.submit();
    return count;
}

void PairLoop::idle() {
    if (session_.config().calls) {
        if (config_.control) session_.process();
        const std::uint32_t wait =
            config_.control && session_.config().iommu ? kControlWaitMilliseconds : kWaitMilliseconds;
        const int code = bounce_frontend_wait(session_.frontend(), rx_.queue(), wait);
        if (code != -ETIMEDOUT && code != -EINTR) check(code, "waiting for the device");
        if (code == -ETIMEDOUT) check_silence();
        return;
    }
    if (++empty_polls_ % kPollsPerCheck != 0) return;
    if (config_.control) session_.process();
    session_.check_alive();
    check_silence();
    ::sched_yield();  // the back-end may need this very core
}

void PairLoop::check_silence() {
    const auto now = Clock::now();
    if (now - std::max(last_progress_, last_kick_) >= kKickAgainAfter) {
        // Whether a kick was wanted is the device's word; should it have been wrong, this one repairs it.
        last_kick_ = now;
        check(bounce_frontend_kick(session_.frontend(), tx_.queue()), "cannot kick the device");
        check(bounce_frontend_kick(session_.frontend(), rx_.queue()), "cannot kick the device");
    }
    const double silent = std::chrono::duration<double>(now - last_progress_).count();
    if (tx_.outstanding() > 0) {
        if (silent > session_.config().timeout_seconds) {
            throw DeviceLost(text("the device is connected but has taken nothing for ", tools::format_fixed(silent, 1),
                                  " s (--timeout) with ", tx_.outstanding(), " packets for it outstanding"));
        }
    } else if (silent > std::min(kLostSeconds, session_.config().timeout_seconds)) {
        tracker_.give_up(false);
        last_progress_ = now;
    }
}

void PairLoop::abort() {
    tx_.abort();
    rx_.abort();
    tracker_.give_up(true);
}

Counts PairLoop::counts() noexcept {
    Counts counts = tracker_.counts();
    counts.malformed = rx_.malformed();
    counts.spanning = rx_.spanning();
    return counts;
}

void PairLoop::check_canaries() const {
    tx_.check_canaries();
    rx_.check_canaries();
}

}  // namespace bounce::net
