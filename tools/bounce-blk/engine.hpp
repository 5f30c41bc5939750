// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Keeps requests in flight on all queues of a session, from one thread: deep, out of order, with backpressure.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <span>
#include <vector>

#include "tools/bounce-blk/request.hpp"
#include "tools/bounce-blk/session.hpp"

namespace bounce::blk {

class Engine {
public:
    Engine(Session& session, std::uint32_t queue_depth);
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// The request goes to the device. False: no room now, collect first. Throws tools::Failure when there never will
    /// be, DeviceLost when the device is gone.
    bool add(Request& request);
    /// Shows the device what was added.
    void submit();
    /// Appends completed requests that the device has done to `done`. Returns the number of all that have completed;
    /// what is wrong with the first that failed is kept for throw_if_failed(). Throws DeviceLost.
    std::size_t collect(std::vector<Request*>& done);
    /// Throws the tools::Failure of a request that failed.
    void throw_if_failed() const;
    /// Returns when there may be something to collect, or after a short while. Throws DeviceLost when the device is
    /// gone, or silent for longer than the timeout.
    void wait();
    /// The caller was busy with something else than the device: its silence meanwhile does not count.
    void restart_timeout() noexcept { last_progress_ = Clock::now(); }

    /// When one gives up: whatever is still in flight is taken back, so that the requests may go. The connection with
    /// it, for the device may still write to the memory they had. Does nothing when nothing is in flight.
    void give_up() noexcept;
    /// After DeviceLost: closes the connection and takes back all requests (in_flight becomes false).
    void abandon();

    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
    [[nodiscard]] bool has_room() const noexcept { return in_flight_ < depth_ * queues_.size(); }

private:
    using Clock = std::chrono::steady_clock;
    struct Queue {
        bounce_ring* ring = nullptr;
        std::uint32_t in_flight = 0;
        bool dirty = false;  // added to, not yet submitted
    };

    void take(Queue& queue, std::span<const bounce_completion> completions, std::vector<Request*>& done);
    int try_queue(std::uint32_t index, Request& request);
    void submit(std::uint32_t index);
    void abort_rings() noexcept;
    void check_silence() const;
    void kick_again();
    void wait_call();
    void wait_poll();

    Session& session_;
    std::uint32_t depth_;
    std::vector<Queue> queues_;
    std::uint32_t next_queue_ = 0;
    std::uint32_t wait_queue_ = 0;
    std::uint32_t in_flight_ = 0;
    Clock::time_point last_progress_;
    Clock::time_point last_kick_{};
    std::uint32_t empty_polls_ = 0;
    std::exception_ptr failure_;
    std::vector<bounce_sg> list_;
    std::vector<bounce_completion> completions_;
};

}  // namespace bounce::blk
