// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/control_server.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "allocator/base/clock.hpp"
#include "allocator/base/descriptor.hpp"
#include "api/dma/device.hpp"

namespace bounce {
namespace {

// What an event of epoll is of; from kFirstClient on, clients by their index.
constexpr std::uint64_t kListener = 0;
constexpr std::uint64_t kTimer = 1;
constexpr std::uint64_t kFirstClient = 2;
constexpr int kAcceptedAtOnce = 8;
// In Client::used: who never asked anything gives way first.
constexpr std::uint64_t kAsked = std::uint64_t{1} << 63;

void close_if(int fd) noexcept {
    if (fd >= 0) ::close(fd);
}

}  // namespace

ControlServer::ControlServer(Pool& pool, Callbacks& callbacks, const ControlConfig& config,
                             std::unique_ptr<StatsSegment> segment) noexcept
    : pool_(pool),
      callbacks_(callbacks),
      names_(config.names),
      segment_(std::move(segment)),
      requests_(pool, callbacks, names_, *segment_) {
    requests_.settings().publish_ms = config.publish_ms;
    requests_.settings().tags = config.tags;
    requests_.settings().read_only = config.read_only;
}

Result<std::unique_ptr<ControlServer>> ControlServer::create(Pool& pool, Callbacks& callbacks,
                                                             const ControlConfig& config) noexcept {
    auto segment = StatsSegment::create(clock_ns());
    std::unique_ptr<ControlServer> made;
    if (segment) made.reset(new (std::nothrow) ControlServer(pool, callbacks, config, std::move(*segment)));
    if (made == nullptr) {
        close_if(config.listen_fd);
        if (!segment) return segment.error();
        return fail(ENOMEM, "no memory for a control");
    }
    made->listener_ = config.listen_fd;
    if (auto done = made->init(config); !done) return done.error();
    return made;
}

Result<void> ControlServer::init(const ControlConfig& config) noexcept {
    if (config.listen_fd >= 0) {
        if (auto listening = listen_on(config.listen_fd); !listening) return listening;
    } else {
        if (config.path == nullptr) {
            if (auto folder = default_folder(path_); !folder) return folder;
        } else {
            std::snprintf(path_, sizeof path_, "%s", config.path);
        }
        const auto listening = config.path == nullptr ? listen_in(path_) : listen_at(config.path);
        if (!listening) return listening.error();
        listener_ = *listening;
        own_path_ = true;
    }
    epoll_ = above_stdio(::epoll_create1(EPOLL_CLOEXEC));
    timer_ = above_stdio(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (epoll_ < 0 || timer_ < 0) return fail_text(errno, "descriptors for the control: %s", std::strerror(errno));
    if (auto done = watch(listener_, kListener); !done) return done;
    if (auto done = watch(timer_, kTimer); !done) return done;
    if (auto done = set_timer(); !done) return done;
    Telemetry& telemetry = callbacks_.telemetry();
    if (auto done = telemetry.keep_events(); !done) return done;
    requests_.tick();
    if (!config.tags) return {};
    // Without memory for them there is a control without tags: who.tags says so.
    if (!telemetry.prepare_tags(pool_)) {
        requests_.settings().tags = false;
        return {};
    }
    telemetry.want(true, 0);
    Result<void> observed;
    telemetry.visit([&](Device& device) {
        if (auto done = device.set_observed(true, 0); !done) observed = done;
    });
    return observed;
}

ControlServer::~ControlServer() {
    const bool owner = pool_.alive();
    for (Client& client : clients_) close_if(client.fd);
    close_if(listener_);
    close_if(timer_);
    close_if(epoll_);
    if (!owner) {  // in a forked child all of it is the parent's
        segment_->forget();
        return;
    }
    if (own_path_) ::unlink(path_);
    for (Client& client : clients_) requests_.forget(client.peer);
    Telemetry& telemetry = callbacks_.telemetry();
    telemetry.want(false, 0);
    telemetry.visit([](Device& device) { static_cast<void>(device.set_observed(false, 0)); });
}

Result<void> ControlServer::watch(int fd, std::uint64_t what) noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = what;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) return {};
    return fail_text(errno, "epoll of the control: %s", std::strerror(errno));
}

Result<void> ControlServer::set_timer() noexcept {
    const std::uint64_t ms = requests_.settings().publish_ms;
    if (ms == timer_ms_) return {};
    itimerspec every{};
    every.it_value.tv_sec = every.it_interval.tv_sec = static_cast<time_t>(ms / 1000);
    every.it_value.tv_nsec = every.it_interval.tv_nsec = static_cast<long>(ms % 1000 * 1'000'000);
    if (::timerfd_settime(timer_, 0, &every, nullptr) != 0)
        return fail_text(errno, "the timer of the control: %s", std::strerror(errno));
    timer_ms_ = ms;
    return {};
}

Result<bool> ControlServer::process() noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    epoll_event events[kAtOnce];
    const int n = ::epoll_wait(epoll_, events, kAtOnce, 0);
    if (n < 0) {
        if (errno == EINTR) return true;
        return fail_text(errno, "epoll of the control: %s", std::strerror(errno));
    }
    ++turns_;
    for (int i = 0; i < n; ++i) {
        const std::uint64_t what = events[i].data.u64;
        if (what == kListener) {
            accept_clients();
        } else if (what == kTimer) {
            std::uint64_t times = 0;
            if (::read(timer_, &times, sizeof times) == sizeof times) requests_.tick();
        } else if (Client& client = clients_[what - kFirstClient]; client.fd >= 0) {
            serve(client);
        }
    }
    static_cast<void>(set_timer());  // a setting may have changed it
    return n == kAtOnce;
}

ControlServer::Client& ControlServer::free_client() noexcept {
    Client* oldest = &clients_[0];
    for (Client& client : clients_) {
        if (client.fd < 0) return client;
        if (client.used < oldest->used) oldest = &client;
    }
    drop(*oldest);
    return *oldest;
}

void ControlServer::accept_clients() noexcept {
    for (int i = 0; i < kAcceptedAtOnce; ++i) {
        const int fd = accept_client(listener_);
        if (fd < 0) return;
        std::uint64_t uid = 0;
        const bool known = peer_uid(fd, uid);
        const bool trusted = known && (uid == 0 || uid == ::geteuid());
        // Into the folder of the library's own socket only root and the owner get; the host's own lets in whom it lets
        // in.
        if (!known || (own_path_ && !trusted)) {
            ::close(fd);
            continue;
        }
        Client& client = free_client();
        client.fd = fd;
        client.used = turns_;
        client.peer = ControlPeer{};
        client.peer.uid = uid;
        client.peer.rights =
            std::uint32_t{BOUNCE_CONTROL_OBSERVE} | (trusted ? std::uint32_t{BOUNCE_CONTROL_TUNE} : 0U);
        const auto index = static_cast<std::uint64_t>(&client - clients_.data());
        if (!watch(fd, kFirstClient + index)) drop(client);
    }
}

void ControlServer::drop(Client& client) noexcept {
    requests_.forget(client.peer);
    close_if(client.fd);  // epoll forgets it with that
    client.fd = -1;
}

void ControlServer::serve(Client& client) noexcept {
    const long n = receive_packet(client.fd, request_);
    if (n == -EAGAIN) return;
    if (n <= 0) return drop(client);
    client.used = turns_ | kAsked;
    requests_.answer(client.peer, std::span(request_).first(static_cast<std::size_t>(n)), reply_);
    const auto bytes = std::span<const std::byte>(reply_.bytes).first(reply_.size);
    const int attached = reply_.with_stats ? segment_->fd() : reply_.trace_fd;
    if (!send_packet(client.fd, bytes, attached) || reply_.last) drop(client);
}

}  // namespace bounce
