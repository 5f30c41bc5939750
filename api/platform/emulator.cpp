// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/emulator.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

namespace bounce::emulated {

Result<std::uint32_t> Emulator::attach(int socket, const bounce_audience& who) {
    int type = 0;
    socklen_t bytes = sizeof type;
    if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0)
        return fail(errno == ENOTSOCK ? ENOTSOCK : EBADF, "descriptor %lld is no socket",
                    static_cast<std::uint64_t>(socket));
    if (type != SOCK_SEQPACKET)
        return fail(EINVAL, "the socket is of type %llu, expected SOCK_SEQPACKET (%llu)",
                    static_cast<std::uint64_t>(type), SOCK_SEQPACKET);
    const int own = ::fcntl(socket, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (own < 0) return fail(EMFILE, "descriptor %lld cannot be duplicated", static_cast<std::uint64_t>(socket));
    const std::lock_guard guard(lock_);
    std::unique_ptr<Port> port(new (std::nothrow) Port(machine_, own, who, attached_));
    if (port == nullptr) {
        ::close(own);
        return fail(ENOMEM, "no memory for a port");
    }
    ports_.push_back(std::move(port));
    return attached_++;
}

Result<std::uint32_t> Emulator::serve(std::uint32_t timeout_ms) {
    const std::lock_guard serving(serving_);
    std::vector<pollfd> polled;
    std::vector<Port*> ports;
    {
        const std::lock_guard guard(lock_);
        for (const auto& port : ports_) {
            ports.push_back(port.get());
            polled.push_back({port->socket(), POLLIN, 0});
        }
    }
    const int timeout = timeout_ms > INT_MAX ? -1 : static_cast<int>(timeout_ms);
    const int ready = ::poll(polled.data(), polled.size(), timeout);
    if (ready < 0 && errno != EINTR) return fail(ENOMEM, "the ports of the emulator cannot be polled");
    std::uint32_t answered = 0;
    for (std::size_t i = 0; ready > 0 && i < ports.size(); ++i) {
        if (polled[i].revents == 0) continue;
        bool goes_on = false;
        try {
            goes_on = ports[i]->answer(report_, report_user_);
        } catch (const std::bad_alloc&) {
        }
        ++answered;
        if (goes_on) continue;
        const std::lock_guard guard(lock_);
        std::erase_if(ports_, [&](const auto& port) { return port.get() == ports[i]; });
    }
    return answered;
}

}  // namespace bounce::emulated
