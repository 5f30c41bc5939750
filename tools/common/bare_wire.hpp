// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The fewest vhost-user messages that start a device: the connection of the bare subject. It shares no code with the
// library, which it is measured against. Source: QEMU docs/interop/vhost-user.rst.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/common/descriptor.hpp"

namespace bounce::tools {

struct BareQueueAddresses {
    std::byte* desc = nullptr;
    std::byte* avail = nullptr;
    std::byte* used = nullptr;
};

class BareConnection {
public:
    /// Connects and negotiates. Throws DeviceLost or tools::Failure.
    BareConnection(const std::string& path, double timeout_seconds, std::uint64_t wanted_features,
                   std::uint32_t queues);
    /// Stops the queues that were started.
    ~BareConnection();
    BareConnection(const BareConnection&) = delete;
    BareConnection& operator=(const BareConnection&) = delete;

    void share_memory(int fd, std::byte* hva, std::uint64_t bytes, std::uint64_t gpa);
    void start_queue(std::uint32_t index, std::uint32_t size, const BareQueueAddresses& addresses);

    [[nodiscard]] std::uint64_t features() const noexcept { return features_; }
    [[nodiscard]] int kick_fd(std::uint32_t queue) const noexcept { return queues_[queue].kick.get(); }
    [[nodiscard]] int call_fd(std::uint32_t queue) const noexcept { return queues_[queue].call.get(); }
    /// Throws DeviceLost when the back-end has closed.
    void check_alive() const;

private:
    struct Queue {
        Descriptor kick;
        Descriptor call;
    };

    void connect(const std::string& path, double timeout_seconds);
    void send(std::uint32_t request, std::span<const std::byte> payload, int fd = -1) const;
    void send_u64(std::uint32_t request, std::uint64_t value, int fd = -1) const;
    void send_state(std::uint32_t request, std::uint32_t index, std::uint32_t value) const;
    void receive(std::uint32_t request, std::span<std::byte> payload) const;
    [[nodiscard]] std::uint64_t ask_u64(std::uint32_t request) const;

    Descriptor socket_;
    std::uint64_t features_ = 0;
    std::vector<Queue> queues_;
};

}  // namespace bounce::tools
