// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/backend_channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "allocator/base/descriptor.hpp"
#include "api/vhost/descriptors.hpp"

namespace bounce::vhost {

Result<Fd> BackendChannel::open() noexcept {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_text(errno, "no pair of sockets could be made for the back-end's requests: errno %d", errno);
    socket_ = Fd(above_stdio(ends[0]));
    Fd theirs(ends[1]);
    if (!socket_) return fail_text(errno, "no descriptor for the back-end's requests: errno %d", errno);
    have_ = 0;
    fault_ = {};
    return theirs;
}

void BackendChannel::close() noexcept {
    socket_.reset();
    have_ = 0;
}

Error BackendChannel::broken(const char* what, std::uint64_t got, std::uint64_t expected) noexcept {
    fault_ = {got, expected};
    return fail_text(EPROTO, "a request of the back-end: %s (got 0x%llx, expected 0x%llx)", what,
                     static_cast<unsigned long long>(got), static_cast<unsigned long long>(expected));
}

/// Reads until so many bytes of the request are there. False: they have not come.
Result<bool> BackendChannel::fill(std::size_t bytes) noexcept {
    while (have_ < bytes) {
        iovec part{bytes_ + have_, bytes - have_};
        alignas(cmsghdr) std::byte control[CMSG_SPACE(kMaxReceivedFds * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
            return fail_text(ECONNRESET, "the back-end's end of its requests is gone: errno %d", errno);
        }
        if (const std::uint64_t fds = drop_descriptors(message); fds != 0)
            return broken("it came with descriptors that were not agreed on", fds, 0);
        if (n == 0) return fail(ECONNRESET, "the back-end closed the channel of its requests");
        have_ += static_cast<std::size_t>(n);
    }
    return true;
}

/// What a request of this kind has after its header.
Result<std::size_t> BackendChannel::payload_bytes(const Header& header) noexcept {
    if ((header.flags & kVersionMask) != kVersion)
        return broken("another version of the protocol", header.flags & kVersionMask, kVersion);
    if ((header.flags & kFlagReply) != 0)
        return broken("it is marked as an answer", header.flags, header.flags & ~kFlagReply);
    std::size_t expected = 0;
    switch (static_cast<BackendRequest>(header.request)) {
        case BackendRequest::kIotlb: expected = sizeof(IotlbMessage); break;
        case BackendRequest::kConfigChange: expected = 0; break;
        default:
            return broken("not one that was agreed on", header.request,
                          static_cast<std::uint64_t>(BackendRequest::kIotlb));
    }
    if (header.bytes != expected) return broken("a wrong size", header.bytes, expected);
    return expected;
}

Result<bool> BackendChannel::receive(BackendMessage& message) noexcept {
    auto started = fill(sizeof(Header));
    if (!started || !*started) return started;
    Header header{};
    std::memcpy(&header, bytes_, sizeof header);
    const auto payload = payload_bytes(header);
    if (!payload) return payload.error();
    auto whole = fill(sizeof header + *payload);
    if (!whole || !*whole) return whole;
    have_ = 0;
    message = {};
    message.request = static_cast<BackendRequest>(header.request);
    message.need_reply = (header.flags & kFlagNeedReply) != 0;
    std::memcpy(&message.iotlb, bytes_ + sizeof header, *payload);
    return true;
}

Result<void> BackendChannel::reply(const BackendMessage& message, std::uint64_t value) noexcept {
    if (!message.need_reply) return {};
    struct {
        Header header;
        std::uint32_t value[2];
    } answer{{static_cast<std::uint32_t>(message.request), kVersion | kFlagReply, sizeof value}, {}};
    static_assert(sizeof answer == sizeof(Header) + sizeof value);
    std::memcpy(answer.value, &value, sizeof value);
    ssize_t sent = -1;
    do {
        sent = ::send(socket_.get(), &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent == static_cast<ssize_t>(sizeof answer)) return {};
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return fail(ECONNRESET, "the back-end closed the channel of its requests");
    return broken("its answers are not taken", sent < 0 ? 0 : static_cast<std::uint64_t>(sent), sizeof answer);
}

}  // namespace bounce::vhost
