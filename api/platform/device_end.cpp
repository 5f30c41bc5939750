// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/device_end.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "api/platform/window.hpp"

namespace bounce::emulated {
namespace {

Error gone() noexcept {
    return fail(ECONNRESET, "the emulator is gone");
}

}  // namespace

DeviceEnd::~DeviceEnd() {
    for (const Slot& slot : slots_) ::munmap(slot.data, Window::kSlotBytes);
    for (const int fd : windows_) ::close(fd);
    ::close(socket_);
}

Result<void> DeviceEnd::ask(Request& request, std::size_t bytes, Reply& reply) {
    if (::send(socket_, &request, bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes)) return gone();
    pollfd polled{socket_, POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&polled, 1, timeout_ms_ > INT_MAX ? -1 : static_cast<int>(timeout_ms_));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return fail(ETIMEDOUT, "the emulator did not answer within %llu ms: is it being served?", timeout_ms_);
    iovec vector{&reply, sizeof reply};
    int fd = -1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)];
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* const header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (got < static_cast<ssize_t>(kReplyHead)) {
        if (fd >= 0) ::close(fd);
        return gone();
    }
    if (auto taken = take_window(reply, fd); !taken) return taken;
    if (reply.status == 0) return {};
    const bool write = Op{request.op} == Op::kFindToWrite || Op{request.op} == Op::kWrite;
    return fail(reply.status > -4096 && reply.status < 0 ? -reply.status : EIO,
                write ? "a write of %llu bytes to address 0x%llx faulted" : "a read of %llu bytes at 0x%llx faulted",
                request.bytes, request.address);
}

/// A window that is named for the first time comes with its descriptor.
Result<void> DeviceEnd::take_window(const Reply& reply, int fd) {
    const bool fresh = reply.window == windows_.size() + 1;
    if (fresh != (fd >= 0) || reply.window > windows_.size() + 1) {
        if (fd >= 0) ::close(fd);
        return gone();
    }
    if (!fresh) return {};
    try {
        windows_.push_back(fd);
    } catch (...) {
        ::close(fd);
        throw;
    }
    return {};
}

Result<void> DeviceEnd::find(std::uint64_t address, std::size_t bytes, bool write, Reply& reply) {
    Request request;
    request.op = static_cast<std::uint32_t>(write ? Op::kFindToWrite : Op::kFindToRead);
    request.bytes = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, UINT32_MAX));
    request.address = address;
    return ask(request, kRequestHead, reply);
}

Result<std::byte*> DeviceEnd::at(const Reply& reply) {
    const std::uint64_t number = reply.offset / Window::kSlotBytes;
    const std::uint64_t inside = reply.offset % Window::kSlotBytes;
    for (const Slot& slot : slots_) {
        if (slot.window == reply.window && slot.number == number) return slot.data + inside;
    }
    slots_.reserve(slots_.size() + 1);
    void* const data = ::mmap(nullptr, Window::kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                              windows_[reply.window - 1], static_cast<off_t>(number * Window::kSlotBytes));
    if (data == MAP_FAILED) return fail(ENOMEM, "a chunk of shared memory cannot be mapped");
    slots_.push_back({reply.window, number, static_cast<std::byte*>(data)});
    return static_cast<std::byte*>(data) + inside;
}

Result<void> DeviceEnd::read(std::uint64_t address, std::byte* to, std::size_t bytes) {
    while (bytes != 0) {
        Reply reply;
        if (auto found = find(address, bytes, false, reply); !found) return found;
        std::size_t part = std::min<std::uint64_t>(bytes, reply.bytes);
        if (reply.window != 0) {
            const auto from = at(reply);
            if (!from) return from.error();
            std::memcpy(to, *from, part);
        } else {
            part = std::min<std::size_t>(part, kMostData);
            Request request;
            request.op = static_cast<std::uint32_t>(Op::kRead);
            request.bytes = static_cast<std::uint32_t>(part);
            request.address = address;
            if (auto got = ask(request, kRequestHead, reply); !got) return got;
            std::memcpy(to, reply.data, part);
        }
        address += part;
        to += part;
        bytes -= part;
    }
    return {};
}

Result<void> DeviceEnd::write(std::uint64_t address, const std::byte* from, std::size_t bytes) {
    while (bytes != 0) {
        Reply reply;
        if (auto found = find(address, bytes, true, reply); !found) return found;
        std::size_t part = std::min<std::uint64_t>(bytes, reply.bytes);
        if (reply.window != 0) {
            const auto to = at(reply);
            if (!to) return to.error();
            std::memcpy(*to, from, part);
        } else {
            part = std::min<std::size_t>(part, kMostData);
            Request request;
            request.op = static_cast<std::uint32_t>(Op::kWrite);
            request.bytes = static_cast<std::uint32_t>(part);
            request.address = address;
            std::memcpy(request.data, from, part);
            if (auto done = ask(request, kRequestHead + part, reply); !done) return done;
        }
        address += part;
        from += part;
        bytes -= part;
    }
    return {};
}

Result<std::byte*> DeviceEnd::pointer(std::uint64_t address, std::size_t bytes) {
    if (bytes == 0) return fail(EINVAL, "a pointer to 0 bytes, expected at least 1");
    Reply reply;
    if (auto found = find(address, bytes, true, reply); !found) return found.error();
    if (reply.window == 0 || reply.bytes < bytes)
        return fail(EFAULT, "%llu bytes at address 0x%llx are not shared as a whole", bytes, address);
    return at(reply);
}

}  // namespace bounce::emulated
