// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/port.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bounce::emulated {

Port::~Port() {
    ::close(socket_);
}

bool Port::answer(bounce_violation_fn report, void* user) {
    Request request;
    const ssize_t got = ::recv(socket_, &request, sizeof request, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (static_cast<std::size_t>(got) < kRequestHead) return false;
    const std::size_t sent = static_cast<std::size_t>(got) - kRequestHead;
    const Op op{request.op};
    if (op == Op::kRead || op == Op::kWrite) {
        if (request.bytes == 0 || request.bytes > kMostData || sent != (op == Op::kWrite ? request.bytes : 0))
            return false;
    } else if (sent != 0 || (op != Op::kFindToRead && op != Op::kFindToWrite)) {
        return false;
    }

    Reply reply;
    std::memset(&reply, 0, sizeof reply);  // no byte of the stack goes out
    std::size_t bytes = kReplyHead;
    int fd = -1;
    bool good = false;
    if (op == Op::kRead) {
        good = machine_.read_private(who_, request.address, reply.data, request.bytes);
        if (good) bytes += request.bytes;
    } else if (op == Op::kWrite) {
        good = machine_.write_private(who_, request.address, request.data, request.bytes);
    } else {
        const Machine::Target target = machine_.find(who_, request.address, op == Op::kFindToWrite);
        good = target.kind != Machine::Target::Kind::kNothing;
        reply.bytes = target.bytes;
        if (target.kind == Machine::Target::Kind::kShared) {
            const auto known = std::find(shown_.begin(), shown_.end(), target.window);
            reply.window = static_cast<std::uint32_t>(known - shown_.begin()) + 1;
            reply.offset = target.offset;
            if (known == shown_.end()) {
                shown_.push_back(target.window);
                fd = target.window->fd();
            }
        }
    }
    if (!good) {
        reply.status = -EFAULT;
        report_fault(request, report, user);
    }
    return send(reply, bytes, fd);
}

bool Port::send(const Reply& reply, std::size_t bytes, int fd) const noexcept {
    iovec vector{const_cast<Reply*>(&reply), bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    // A device that does not read its answers is none to wait for.
    return ::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

void Port::report_fault(const Request& request, bounce_violation_fn report, void* user) noexcept {
    machine_.count_fault();
    if (report == nullptr) return;
    const bool write = Op{request.op} == Op::kFindToWrite || Op{request.op} == Op::kWrite;
    char name[24];
    std::snprintf(name, sizeof name, "port %u", number_);
    const bounce_violation violation{BOUNCE_VIOLATION_ACCESS,
                                     UINT32_MAX,
                                     request.address,
                                     request.bytes,
                                     name,
                                     write ? "the device wrote to memory that is not shared with it"
                                           : "the device read memory that is not shared with it"};
    report(user, &violation);
}

}  // namespace bounce::emulated
