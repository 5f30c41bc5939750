// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "allocator/base/mutation.hpp"
#include "api/vhost/descriptors.hpp"

namespace bounce::vhost {
namespace {

constexpr std::size_t kMaxFds = kMaxTableRegions;
constexpr short kGone = POLLHUP | POLLERR | POLLNVAL | POLLRDHUP;

/// Waits until the socket can do `events` or is gone: what it is ready for, or 0 when the deadline has passed.
short wait_for(int fd, short events, Deadline deadline) noexcept {
    for (;;) {
        pollfd entry{fd, static_cast<short>(events | POLLRDHUP), 0};
        const int ready = ::poll(&entry, 1, deadline.remaining());
        if (ready > 0) return entry.revents;
        if (ready == 0 || errno != EINTR) return 0;
    }
}

bool connection_lost(int code) noexcept {
    return code == EPIPE || code == ECONNRESET || code == ENOTCONN;
}

}  // namespace

Result<void> Channel::adopt(Fd socket) noexcept {
    fault_ = {};
    if (!socket_) {
        socket_ = std::move(socket);
        return {};
    }
    // The old number, the new connection: a thread that polls meanwhile sees the one or the other, never a stranger.
    if (::dup3(socket.get(), socket_.get(), O_CLOEXEC) < 0)
        return fail_text(errno, "the new connection could not take over: errno %d", errno);
    return {};
}

void Channel::hang_up() noexcept {
    if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);
}

Error Channel::broken(Request request, const char* what, std::uint64_t got, std::uint64_t expected) noexcept {
    fault_ = {got, expected};
    return fail_text(EPROTO, "%s: %s (got 0x%llx, expected 0x%llx)", request_name(request), what,
                     static_cast<unsigned long long>(got), static_cast<unsigned long long>(expected));
}

Error Channel::late(Request request, std::uint64_t got, std::uint64_t expected) noexcept {
    fault_ = {got, expected};
    return fail_text(ETIMEDOUT, "%s: the back-end did not answer in time (%llu of %llu bytes came)",
                     request_name(request), static_cast<unsigned long long>(got),
                     static_cast<unsigned long long>(expected));
}

Result<void> Channel::transmit(Request request, std::uint32_t flags, std::span<const std::byte> payload,
                               std::span<const int> fds, Deadline deadline) noexcept {
    if (payload.size() > kMaxPayloadBytes || fds.size() > kMaxFds)
        return fail(EINVAL, "a message of %llu bytes with %llu descriptors is too large", payload.size(), fds.size());
    // Anything that is there before we ask is an answer to nothing.
    pollfd entry{socket_.get(), POLLIN | POLLRDHUP, 0};
    if (::poll(&entry, 1, 0) > 0) {
        if ((entry.revents & kGone) != 0)
            return fail_text(ECONNRESET, "%s: the back-end closed the connection", request_name(request));
        return broken(request, "the back-end sent data that was not asked for", 1, 0);
    }

    std::byte bytes[sizeof(Header) + kMaxPayloadBytes];
    const Header header{static_cast<std::uint32_t>(request), kVersion | flags,
                        static_cast<std::uint32_t>(payload.size())};
    std::memcpy(bytes, &header, sizeof header);
    if (!payload.empty()) std::memcpy(bytes + sizeof header, payload.data(), payload.size());
    const std::size_t total = sizeof header + payload.size();

    alignas(cmsghdr) std::byte control[CMSG_SPACE(kMaxFds * sizeof(int))]{};
    for (std::size_t sent = 0; sent < total;) {
        iovec part{bytes + sent, total - sent};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (sent == 0 && !fds.empty()) {  // descriptors travel with the first byte
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(fds.size_bytes());
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(fds.size_bytes());
            std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
        }
        const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            const short ready = wait_for(socket_.get(), POLLOUT, deadline);
            if ((ready & kGone) != 0)  // of one that closed its side only, too: it will not answer
                return fail_text(ECONNRESET, "%s: the back-end closed the connection", request_name(request));
            if (ready == 0) {
                fault_ = {sent, total};
                return fail_text(ETIMEDOUT, "%s: the back-end did not take the request in time", request_name(request));
            }
        } else if (connection_lost(errno)) {
            return fail_text(ECONNRESET, "%s: the back-end closed the connection", request_name(request));
        } else if (errno != EINTR) {
            return fail_text(errno, "%s: sending failed: errno %d", request_name(request), errno);
        }
    }
    return {};
}

Result<void> Channel::send(Request request, std::span<const std::byte> payload, std::span<const int> fds,
                           Deadline deadline) noexcept {
    return transmit(request, 0, payload, fds, deadline);
}

Result<void> Channel::read_exactly(Request request, std::span<std::byte> out, Deadline deadline) noexcept {
    for (std::size_t have = 0; have < out.size();) {
        if (wait_for(socket_.get(), POLLIN, deadline) == 0) return late(request, have, out.size());
        iovec part{out.data() + have, out.size() - have};
        alignas(cmsghdr) std::byte control[CMSG_SPACE(kMaxReceivedFds * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) continue;
            if (connection_lost(errno))
                return fail_text(ECONNRESET, "%s: the back-end closed the connection", request_name(request));
            return fail_text(errno, "%s: receiving failed: errno %d", request_name(request), errno);
        }
        if (const std::uint64_t fds = drop_descriptors(message); fds != 0)
            return broken(request, "the reply came with descriptors that were not asked for", fds, 0);
        if (n == 0)
            return fail_text(ECONNRESET, "%s: the back-end closed the connection instead of answering",
                             request_name(request));
        have += static_cast<std::size_t>(n);
    }
    return {};
}

Result<std::size_t> Channel::receive(Request request, std::span<std::byte> reply, bool may_be_empty,
                                     Deadline deadline) noexcept {
    Header header{};
    if (auto got = read_exactly(request, std::as_writable_bytes(std::span(&header, 1)), deadline); !got)
        return got.error();
    if (header.request != static_cast<std::uint32_t>(request))
        return broken(request, "the reply is to another request", header.request, static_cast<std::uint32_t>(request));
    if ((header.flags & kVersionMask) != kVersion)
        return broken(request, "the reply is of another version of the protocol", header.flags & kVersionMask,
                      kVersion);
    if ((header.flags & kFlagReply) == 0)
        return broken(request, "the reply is not marked as one", header.flags, header.flags | kFlagReply);
    if (header.bytes == 0 && may_be_empty) return std::size_t{0};
    if (header.bytes != reply.size() && !BOUNCE_MUTATED(kReplySize))
        return broken(request, "the reply has a wrong size", header.bytes, reply.size());
    if (auto got = read_exactly(request, reply, deadline); !got) return got.error();
    return reply.size();
}

Result<std::size_t> Channel::exchange(Request request, std::uint32_t flags, std::span<const std::byte> payload,
                                      std::span<const int> fds, std::span<std::byte> reply, bool may_be_empty,
                                      Deadline deadline) noexcept {
    // X1: release, before the request goes out: whoever sees the answer in check() sees X1 at X4.
    exchanges_.fetch_add(1, std::memory_order_release);
    auto sent = transmit(request, flags, payload, fds, deadline);
    Result<std::size_t> result =
        sent ? receive(request, reply, may_be_empty, deadline) : Result<std::size_t>(sent.error());
    // X2: release, after the answer was taken: whoever sees X2 at X3 does not find that answer any more.
    exchanges_.fetch_add(1, std::memory_order_release);
    return result;
}

Result<void> Channel::check() const noexcept {
    // X3: acquire, pairs with X2.
    const std::uint32_t before = exchanges_.load(std::memory_order_acquire);
    pollfd entry{socket_.get(), POLLIN | POLLRDHUP, 0};
    if (::poll(&entry, 1, 0) <= 0) return {};
    if ((entry.revents & kGone) != 0) return fail(ECONNRESET, "the back-end closed the connection");
    // X4: acquire, pairs with X1.
    const std::uint32_t after = exchanges_.load(std::memory_order_acquire);
    if (before != after || before % 2 != 0) return {};
    return fail(EPROTO, "the back-end sent data that was not asked for");
}

}  // namespace bounce::vhost
