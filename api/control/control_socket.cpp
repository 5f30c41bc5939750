// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/control_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "allocator/base/descriptor.hpp"

namespace bounce {
namespace {

constexpr int kBacklog = 16;
constexpr int kMostOfProcess = 64;

static_assert(kMostSocketPath + 1 == sizeof(sockaddr_un::sun_path));

int make_socket() noexcept {
    return above_stdio(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Result<sockaddr_un> address_of(const char* path) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length == 0 || length > kMostSocketPath)
        return fail_text(EINVAL, "the socket's path has %zu bytes, expected 1 to %zu", length, kMostSocketPath);
    std::memcpy(address.sun_path, path, length + 1);
    return address;
}

/// Nobody listens there any more: its process is gone.
bool is_dead(const sockaddr_un& address) noexcept {
    struct stat status {};
    if (::stat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
    const int fd = make_socket();
    if (fd < 0) return false;
    const bool refused =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED;
    ::close(fd);
    return refused;
}

}  // namespace

Result<void> default_folder(char (&path)[kMostSocketPath + 1]) noexcept {
    const char* const runtime = ::getenv("XDG_RUNTIME_DIR");
    const bool given = runtime != nullptr && runtime[0] == '/';
    const int length = std::snprintf(path, sizeof path, "%s/bounce", given ? runtime : "/run");
    if (length < 0 || static_cast<std::size_t>(length) + 32 > sizeof path)
        return fail_text(EINVAL, "XDG_RUNTIME_DIR is too long for a socket below it: %d bytes", length);
    if (::mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail_text(errno, "the folder %s for control sockets: %s", path, std::strerror(errno));
    return {};
}

Result<int> listen_at(const char* path) noexcept {
    const auto address = address_of(path);
    if (!address) return address.error();
    const int fd = make_socket();
    if (fd < 0) return fail_text(errno, "a socket for the control: %s", std::strerror(errno));
    const auto* const at = reinterpret_cast<const sockaddr*>(&*address);
    // The mode of a socket's file is that of the descriptor before it is bound, less the umask: nobody else can connect
    // in between.
    bool good = ::fchmod(fd, 0600) == 0;
    if (good && ::bind(fd, at, sizeof *address) != 0) {
        good = errno == EADDRINUSE && is_dead(*address) && ::unlink(path) == 0 && ::bind(fd, at, sizeof *address) == 0;
    }
    if (good) good = ::chmod(path, 0600) == 0 && ::listen(fd, kBacklog) == 0;
    if (good) return fd;
    const int code = errno == 0 ? EADDRINUSE : errno;
    ::close(fd);
    return fail_text(code, "a control socket at %s: %s", path, std::strerror(code));
}

Result<int> listen_in(char (&path)[kMostSocketPath + 1]) noexcept {
    const std::size_t length = std::strlen(path);
    for (int i = 0; i < kMostOfProcess; ++i) {
        std::snprintf(path + length, sizeof path - length, "/bounce-%d-%d.sock", static_cast<int>(::getpid()), i);
        auto fd = listen_at(path);
        if (fd || fd.code() != EADDRINUSE) return fd;
    }
    return fail_text(EADDRINUSE, "this process has %d control sockets already", kMostOfProcess);
}

Result<void> listen_on(int fd) noexcept {
    int type = 0;
    int domain = 0;
    socklen_t length = sizeof type;
    const bool known = ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
    length = sizeof domain;
    if (!known || ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || type != SOCK_SEQPACKET ||
        domain != AF_UNIX)
        return fail(EINVAL, "descriptor %llu is not a unix SOCK_SEQPACKET socket", static_cast<std::uint64_t>(fd));
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        ::listen(fd, kBacklog) != 0)
        return fail_text(EINVAL, "the control's socket cannot listen: %s", std::strerror(errno));
    return {};
}

int accept_client(int listener) noexcept {
    return above_stdio(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

bool peer_uid(int fd, std::uint64_t& uid) noexcept {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
    uid = peer.uid;
    return true;
}

long receive_packet(int fd, std::span<std::byte> room) noexcept {
    iovec vector{room.data(), room.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    const ssize_t n = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : 0;
    if ((message.msg_flags & MSG_TRUNC) != 0) return -EMSGSIZE;
    return n;
}

bool send_packet(int fd, std::span<const std::byte> bytes, int attached) noexcept {
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (attached >= 0) {
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        cmsghdr* const control = CMSG_FIRSTHDR(&message);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(control), &attached, sizeof attached);
    }
    return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

}  // namespace bounce
