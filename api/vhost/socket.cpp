// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Connecting to a unix socket, and saying clearly why it did not work.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "allocator/base/descriptor.hpp"
#include "api/vhost/channel.hpp"

namespace bounce::vhost {
namespace {

Error connect_error(int code, const char* path, std::uint32_t timeout_ms) noexcept {
    switch (code) {
        case ENOENT: return fail_text(ENOENT, "there is no socket at %s: is the back-end running?", path);
        case ENOTDIR: return fail_text(ENOENT, "there is no socket at %s: a part of the path is not a folder", path);
        case EACCES:
        case EPERM: return fail_text(EACCES, "no permission to connect to the socket %s", path);
        case EPROTOTYPE:
            return fail_text(EPROTOTYPE, "the socket %s is not of the stream type that vhost-user needs", path);
        case EAGAIN:
            return fail_text(ETIMEDOUT,
                             "the back-end at %s did not accept the connection within %u ms: its queue is full", path,
                             timeout_ms);
        case ECONNREFUSED: {
            struct stat about {};
            if (::stat(path, &about) == 0 && !S_ISSOCK(about.st_mode))
                return fail_text(ENOTSOCK, "%s is not a socket", path);
            return fail_text(ECONNREFUSED, "nobody listens on the socket %s: did the back-end end?", path);
        }
        default: return fail_text(code, "connecting to the socket %s failed: errno %d", path, code);
    }
}

}  // namespace

Result<void> check_socket_path(const char* path) noexcept {
    constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
    if (path == nullptr || path[0] == '\0') return fail(EINVAL, "the socket path is empty");
    const std::size_t length = std::strlen(path);
    if (length <= kMaxPath) return {};
    return fail_text(ENAMETOOLONG, "the socket path has %zu bytes, at most %zu are possible: %.100s...", length,
                     kMaxPath, path);
}

Result<Fd> connect_socket(const char* path, std::uint32_t timeout_ms) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (auto good = check_socket_path(path); !good) return good.error();
    std::memcpy(address.sun_path, path, std::strlen(path));

    Fd socket(above_stdio(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    if (!socket) return fail_text(errno, "no socket could be made: errno %d", errno);
    // A unix socket connects at once unless the listener's queue is full; only a blocking socket waits for room in it,
    // for as long as its send timeout says.
    const Deadline deadline(timeout_ms);
    for (;;) {
        const int left = deadline.remaining();
        if (left == 0) return connect_error(EAGAIN, path, timeout_ms);
        const timeval wait{left < 0 ? 0 : left / 1000, left < 0 ? 0 : left % 1000 * 1000};  // zero: no limit
        if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0)
            return fail_text(errno, "no timeout could be set on a socket: errno %d", errno);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
        if (errno != EINTR) return connect_error(errno, path, timeout_ms);
    }
    if (::fcntl(socket.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return fail_text(errno, "a socket could not be made non-blocking: errno %d", errno);
    return socket;
}

}  // namespace bounce::vhost
