// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A queue of a front-end: its ring and the two eventfds that it shares with the back-end. For one thread at a time.
//
// The back-end holds the same open files and can change their flags and counters. So reading never relies on
// O_NONBLOCK. A write blocks when the back-end both cleared O_NONBLOCK and filled the counter to 2^64 - 2: so it can
// hold up the thread that kicks it, for as long as it likes (SECURITY.md). No system call writes to an eventfd without
// relying on that flag.
#pragma once

#include <cstdint>
#include <memory>

#include "api/vhost/fd.hpp"
#include "api/virtio/virtqueue.hpp"

namespace bounce::vhost {

class FrontendQueue {
public:
    FrontendQueue() = default;
    FrontendQueue(FrontendQueue&&) = default;

    Result<void> create(Device& device, const QueueConfig& config) noexcept;
    /// Fresh eventfds, for a new connection.
    Result<void> open_events() noexcept;
    void close_events() noexcept;

    /// Publishes what was added; kicks when the back-end wants that.
    Result<void> submit() noexcept;
    /// Kicks whether the back-end wants that or not.
    Result<void> kick() noexcept;
    /// Until there may be completions (success), the peer of `socket` is gone (ECONNRESET) or time is up (ETIMEDOUT).
    Result<void> wait(int socket, std::uint32_t timeout_ms) noexcept;

    [[nodiscard]] Virtqueue& ring() const noexcept { return *ring_; }
    /// The back-end says that it has stopped this one.
    [[nodiscard]] bool stopped() const noexcept { return stopped_; }
    void set_stopped(bool stopped) noexcept { stopped_ = stopped; }
    [[nodiscard]] bool created() const noexcept { return ring_ != nullptr; }
    [[nodiscard]] int call_fd() const noexcept { return call_.get(); }
    [[nodiscard]] int kick_fd() const noexcept { return kick_.get(); }

private:
    void drain_calls() noexcept;
    void repair() noexcept;

    std::unique_ptr<Virtqueue> ring_;
    Fd call_;
    Fd kick_;
    bool stopped_ = false;
};

}  // namespace bounce::vhost
