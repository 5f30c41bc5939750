// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, and the connection of one virtio-net device to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bounce/bounce.h"
#include "bounce/iotlb.h"
#include "tools/bounce-net/options.hpp"
#include "tools/bounce-net/virtio_net.hpp"
#include "tools/common/device.hpp"

namespace bounce::net {

using tools::check;
using tools::DeviceLost;

struct SessionConfig {
    std::string socket;
    std::uint32_t pairs = 1;
    std::uint32_t queue_size = 256;
    std::uint64_t pool_bytes = 0;
    std::uint64_t base_gpa = 0;
    std::uint64_t wanted_features = 0;
    std::uint64_t required_features = 0;
    std::uint64_t refused_features = 0;
    bool hugepages = false;
    bool prefault = false;
    bool calls = true;  // wait for interrupts instead of polling
    bool iommu = false;
    bool quiet = false;
    double timeout_seconds = 5;

    /// For this command line. Throws tools::Failure when that cannot be.
    static SessionConfig make(const Options& options);
};

class Session {
public:
    /// Makes the pool and connects. Throws tools::Failure.
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
    [[nodiscard]] const bounce_frontend_info& info() const noexcept { return info_; }
    [[nodiscard]] bool mergeable() const noexcept { return has(info_.features, kMrgRxbuf); }
    [[nodiscard]] bool offloads() const noexcept { return has(info_.features, kCsum); }
    /// What the device says of itself; none when it does not show that.
    [[nodiscard]] std::optional<NetConfig> read_config() const;

    /// Answers what the device asks of us: of a connection with translated addresses, to be called often.
    void process() const;
    /// Throws DeviceLost when the back-end is gone: for those who wait for something else than completions.
    void check_alive() const;

    /// What is left of a connection that is lost: nobody can write into the pool any more. Abort the rings next.
    void disconnect();
    /// One attempt to connect again. False: not now; `why` has the reason. Throws tools::Failure when another attempt
    /// would not help.
    bool reconnect(std::string& why);

    /// "2 protocol violations by the device"; empty when there were none.
    [[nodiscard]] std::string violations() const;

private:
    void create_pool();
    void connect();

    SessionConfig config_;
    tools::LibraryLog log_;  // before the pool, which calls it
    tools::PoolHandle pool_;
    tools::FrontendHandle frontend_;
    bounce_frontend_info info_{};
};

}  // namespace bounce::net
