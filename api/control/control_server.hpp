// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The control of a pool: a socket and its clients, a timer, the stats segment. All of it is served from the host's
// loop.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "api/control/control_socket.hpp"
#include "api/control/requests.hpp"

namespace bounce {

struct ControlConfig {
    const char* path = nullptr;  // nullptr: the default
    int listen_fd = -1;          // instead of a path
    bool read_only = false;
    bool tags = true;
    std::uint32_t publish_ms = 250;
    HostNames names;
};

class ControlServer {
public:
    static constexpr std::size_t kClients = 64;
    static constexpr int kAtOnce = 16;

    /// The pool and the callbacks outlive it. config.listen_fd is its own from now on, also when this fails.
    static Result<std::unique_ptr<ControlServer>> create(Pool& pool, Callbacks& callbacks,
                                                         const ControlConfig& config) noexcept;
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    [[nodiscard]] int fd() const noexcept { return epoll_; }
    [[nodiscard]] int stats_fd() const noexcept { return segment_->fd(); }
    [[nodiscard]] const char* path() const noexcept { return path_; }
    /// True: there is more to do at once.
    Result<bool> process() noexcept;
    void publish() noexcept { requests_.tick(); }

private:
    struct Client {
        int fd = -1;
        std::uint64_t used = 0;  // turns_, when it last asked
        ControlPeer peer;
    };

    ControlServer(Pool& pool, Callbacks& callbacks, const ControlConfig& config,
                  std::unique_ptr<StatsSegment> segment) noexcept;
    Result<void> init(const ControlConfig& config) noexcept;
    Result<void> watch(int fd, std::uint64_t what) noexcept;
    Result<void> set_timer() noexcept;
    void accept_clients() noexcept;
    void serve(Client& client) noexcept;
    void drop(Client& client) noexcept;
    Client& free_client() noexcept;

    Pool& pool_;
    Callbacks& callbacks_;
    const HostNames names_;
    std::unique_ptr<StatsSegment> segment_;
    ControlRequests requests_;
    int epoll_ = -1;
    int listener_ = -1;
    int timer_ = -1;
    bool own_path_ = false;
    std::uint64_t timer_ms_ = 0;
    std::uint64_t turns_ = 0;
    char path_[kMostSocketPath + 1] = {};
    std::array<Client, kClients> clients_;
    alignas(8) std::array<std::byte, BOUNCE_CONTROL_REQUEST_BYTES> request_;
    ControlRequests::Reply reply_;
};

}  // namespace bounce
