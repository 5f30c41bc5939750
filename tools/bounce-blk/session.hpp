// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, and the connection of one virtio-blk device to it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "bounce/bounce.h"
#include "tools/bounce-blk/control_thread.hpp"
#include "tools/bounce-blk/options.hpp"
#include "tools/bounce-blk/virtio_blk.hpp"
#include "tools/common/device.hpp"

namespace bounce::blk {

using tools::check;
using tools::DeviceLost;

class Session;

/// Throws what a failed bounce_ring_add() of a request of so many bytes means, when nothing is outstanding that could
/// make room.
[[noreturn]] void fail_add(const Session& session, int code, std::uint64_t bytes);

struct SessionConfig {
    std::string socket;
    std::uint32_t queues = 1;
    std::uint32_t queue_size = 128;
    std::uint64_t pool_bytes = 0;
    std::uint64_t base_gpa = 0;
    bool hugepages = false;
    bool prefault = false;
    bool calls = true;  // wait for interrupts instead of polling
    bool quiet = false;
    double timeout_seconds = 5;
    std::uint64_t refused_features = 0;
    std::string control = "auto";  // ControlThread

    /// For this command line, with requests of so many bytes, so deep. Throws tools::Failure when that cannot be.
    static SessionConfig make(const Options& options, std::uint64_t request_bytes, std::uint32_t queue_depth);
};

class Session {
public:
    /// Makes the pool, connects, reads the configuration. Throws tools::Failure.
    explicit Session(const SessionConfig& config);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] const SessionConfig& config() const noexcept { return config_; }
    [[nodiscard]] bounce_pool* pool() const noexcept { return pool_.get(); }
    [[nodiscard]] bounce_frontend* frontend() const noexcept { return frontend_.get(); }
    [[nodiscard]] bounce_device* device() const noexcept { return bounce_frontend_device(frontend_.get()); }
    [[nodiscard]] bounce_ring* ring(std::uint32_t queue) const noexcept {
        return bounce_frontend_ring(frontend_.get(), queue);
    }
    [[nodiscard]] std::uint32_t queues() const noexcept { return info_.queues; }
    [[nodiscard]] const bounce_frontend_info& info() const noexcept { return info_; }
    [[nodiscard]] const DeviceConfig& device_config() const noexcept { return device_config_; }
    [[nodiscard]] const Limits& limits() const noexcept { return limits_; }

    /// Where bouncectl connects; "" when there is no control.
    [[nodiscard]] std::string control_path() const { return control_ ? control_->path() : std::string(); }

    /// Throws DeviceLost when the back-end is gone: for those who wait for something else than completions.
    void check_alive() const;

    /// What is left of a connection that is lost: nobody can write into the pool any more. Abort the rings next.
    void disconnect();
    /// One attempt to connect again. False: not now; `why` has the reason. Throws tools::Failure when another attempt
    /// would not help.
    bool reconnect(std::string& why);

    /// "2 protocol violations by the device, the last: ..."; empty when there were none.
    [[nodiscard]] std::string violations() const;

private:
    void create_pool();
    void connect();
    void read_config();

    SessionConfig config_;
    tools::LibraryLog log_;  // before the pool, which calls it
    tools::PoolHandle pool_;
    std::unique_ptr<ControlThread> control_;
    tools::FrontendHandle frontend_;
    bounce_frontend_info info_{};
    DeviceConfig device_config_;
    Limits limits_;
};

}  // namespace bounce::blk
