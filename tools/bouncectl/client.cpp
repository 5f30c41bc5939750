// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"

namespace bounce::ctl {
namespace {

using tools::Failure;
using tools::NoTarget;
using tools::text;

constexpr time_t kPatienceSeconds = 5;

}  // namespace

Client::Client(std::string path) : path_(std::move(path)), buffer_(BOUNCE_CONTROL_REPLY_BYTES / sizeof(std::uint64_t)) {
    socket_ = tools::Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket_) throw Failure(text("a socket: ", tools::errno_text(errno)));
    // A host that does not come to its loop does not keep us for ever.
    const timeval patience{kPatienceSeconds, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // A path that is too long is reached by way of its folder's descriptor.
    tools::Descriptor folder;
    std::string reached = path_;
    if (reached.size() >= sizeof address.sun_path) {
        const std::size_t slash = path_.rfind('/');
        folder = tools::Descriptor(::open(path_.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (slash == std::string::npos || !folder)
            throw NoTarget(text("cannot connect to '", path_, "': ", tools::errno_text(errno)));
        reached = text("/proc/self/fd/", folder.get(), path_.substr(slash));
        if (reached.size() >= sizeof address.sun_path) throw Failure(text("the path '", path_, "' is too long"));
    }
    std::memcpy(address.sun_path, reached.c_str(), reached.size() + 1);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int code = errno;
        const std::string sentence = text("cannot connect to '", path_, "': ", tools::errno_text(code));
        if (code == ENOENT || code == ECONNREFUSED || code == ENOTDIR) throw NoTarget(sentence);
        throw Failure(sentence);
    }
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0) pid_ = peer.pid;
    const auto hello = ask<bounce_control_hello>({.command = BOUNCE_CONTROL_HELLO});
    if (hello.empty()) throw Failure(text("'", path_, "' does not say who it is"));
    hello_ = hello[0];
    stats_ = std::move(received_);
    for (char* const name : {hello_.name, hello_.vm_name}) name[63] = '\0';
    hello_.vm_uuid[sizeof hello_.vm_uuid - 1] = '\0';
}

tools::Descriptor Client::tell_for_descriptor(const Question& question) {
    received_ = tools::Descriptor();
    tell(question);
    if (!received_) throw Failure(text("'", path_, "' gave no descriptor with its answer"));
    return std::move(received_);
}

bool Client::hung_up() const noexcept {
    pollfd one{socket_.get(), POLLRDHUP, 0};
    return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Client::gone() const {
    throw NoTarget(text("the process behind '", path_, "' has gone, or has dropped this connection"));
}

const bounce_control_reply& Client::exchange(const Question& question) {
    bounce_control_request request{};
    request.magic = BOUNCE_CONTROL_MAGIC;
    request.version = BOUNCE_CONTROL_VERSION;
    request.command = static_cast<std::uint16_t>(question.command);
    request.flags = question.flags;
    request.items = static_cast<std::uint32_t>(question.items.size());
    request.item_bytes = question.items.empty() ? 0 : static_cast<std::uint32_t>(sizeof(bounce_control_item));
    request.tag = ++tag_;
    std::copy_n(question.arg, 4, request.arg);
    iovec parts[2] = {{&request, sizeof request},
                      {const_cast<bounce_control_item*>(question.items.data()), question.items.size_bytes()}};
    msghdr out{};
    out.msg_iov = parts;
    out.msg_iovlen = 2;
    if (::sendmsg(socket_.get(), &out, MSG_NOSIGNAL) < 0) gone();

    iovec whole{buffer_.data(), buffer_.size() * sizeof buffer_[0]};
    alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
    msghdr in{};
    in.msg_iov = &whole;
    in.msg_iovlen = 1;
    in.msg_control = room;
    in.msg_controllen = sizeof room;
    const ssize_t n = ::recvmsg(socket_.get(), &in, MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        throw Failure(text("'", path_, "' has not answered for ", kPatienceSeconds,
                           " s: its process does not come to its control (is it stopped?)"));
    if (n < 0 && errno == EINTR) tools::throw_if_stopped();
    if (n <= 0) gone();
    for (cmsghdr* control = CMSG_FIRSTHDR(&in); control != nullptr; control = CMSG_NXTHDR(&in, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
        received_ = tools::Descriptor(fd);
    }
    const auto& reply = *reinterpret_cast<const bounce_control_reply*>(buffer_.data());
    const auto bytes = static_cast<std::size_t>(n);
    if (bytes < sizeof reply || reply.magic != BOUNCE_CONTROL_MAGIC || reply.version != BOUNCE_CONTROL_VERSION)
        throw Failure(text("'", path_, "' speaks another protocol than this bouncectl"));
    if (reply.status != 0) {
        const char* const sentence = reinterpret_cast<const char*>(buffer_.data()) + sizeof reply;
        throw Failure(std::string(sentence, ::strnlen(sentence, bytes - sizeof reply)));
    }
    if (reply.tag != tag_ || std::uint64_t{reply.records} * reply.record_bytes > bytes - sizeof reply)
        throw Failure(text("'", path_, "' gave an answer that does not fit the question"));
    return reply;
}

}  // namespace bounce::ctl
