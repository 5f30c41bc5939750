// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/bare_wire.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tools/common/device.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"

namespace bounce::tools {
namespace {

enum Message : std::uint32_t {
    kGetFeatures = 1,
    kSetFeatures = 2,
    kSetOwner = 3,
    kSetMemTable = 5,
    kSetVringNum = 8,
    kSetVringAddr = 9,
    kSetVringBase = 10,
    kGetVringBase = 11,
    kSetVringKick = 12,
    kSetVringCall = 13,
    kGetProtocolFeatures = 15,
    kSetProtocolFeatures = 16,
    kSetVringEnable = 18,
};

constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;
constexpr std::uint64_t kProtocolFeatures = std::uint64_t{1} << 30;
constexpr std::uint64_t kProtocolMq = 1;

// Fields are in the order of the machine, as the protocol has them.
struct Header {
    std::uint32_t request;
    std::uint32_t flags;
    std::uint32_t size;
};
constexpr std::uint32_t kFlagVersion = 1;

struct MemoryTable {
    std::uint32_t regions;
    std::uint32_t padding;
    std::uint64_t gpa;
    std::uint64_t bytes;
    std::uint64_t user_address;
    std::uint64_t fd_offset;
};

struct VringAddress {
    std::uint32_t index;
    std::uint32_t flags;
    std::uint64_t desc;
    std::uint64_t used;
    std::uint64_t avail;
    std::uint64_t log;
};

std::uint64_t address_of(const std::byte* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
    return std::as_bytes(std::span(&value, 1));
}

}  // namespace

BareConnection::BareConnection(const std::string& path, double timeout_seconds, std::uint64_t wanted_features,
                               std::uint32_t queues)
    : queues_(queues) {
    connect(path, timeout_seconds);
    send(kSetOwner, {});
    const std::uint64_t offered = ask_u64(kGetFeatures);
    if ((offered & kVersion1) == 0) throw Failure("the device does not offer VIRTIO_F_VERSION_1");
    features_ = offered & (kVersion1 | kProtocolFeatures | wanted_features);
    if ((features_ & kProtocolFeatures) != 0) {
        send_u64(kSetProtocolFeatures, ask_u64(kGetProtocolFeatures) & kProtocolMq);
    }
    send_u64(kSetFeatures, features_);
}

BareConnection::~BareConnection() {
    try {
        for (std::uint32_t i = 0; i < queues_.size(); ++i) {
            if (!queues_[i].kick) continue;
            send_state(kGetVringBase, i, 0);
            std::array<std::byte, 8> base{};
            receive(kGetVringBase, base);
        }
    } catch (const std::exception&) {
        return;  // then it stops when the socket closes
    }
}

void BareConnection::connect(const std::string& path, double timeout_seconds) {
    socket_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    if (!socket_ || ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw_if_stopped();
        throw Failure(text("cannot connect to '", path, "': ", errno_text(errno)));
    }
    timeval timeout{};
    timeout.tv_sec = static_cast<time_t>(timeout_seconds);
    timeout.tv_usec = static_cast<suseconds_t>((timeout_seconds - std::floor(timeout_seconds)) * 1e6);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

void BareConnection::send(std::uint32_t request, std::span<const std::byte> payload, int fd) const {
    std::array<std::byte, 64> buffer{};
    const Header header{request, kFlagVersion, static_cast<std::uint32_t>(payload.size())};
    std::memcpy(buffer.data(), &header, sizeof header);
    if (!payload.empty()) std::memcpy(buffer.data() + sizeof header, payload.data(), payload.size());
    iovec part{buffer.data(), sizeof header + payload.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* first = CMSG_FIRSTHDR(&message);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(first), &fd, sizeof fd);
    }
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(part.iov_len)) {
        throw DeviceLost(text("cannot send to the back-end: ", errno_text(sent < 0 ? errno : EIO)));
    }
}

void BareConnection::send_u64(std::uint32_t request, std::uint64_t value, int fd) const {
    send(request, bytes_of(value), fd);
}

void BareConnection::send_state(std::uint32_t request, std::uint32_t index, std::uint32_t value) const {
    const std::array<std::uint32_t, 2> state{index, value};
    send(request, bytes_of(state));
}

void BareConnection::receive(std::uint32_t request, std::span<std::byte> payload) const {
    std::array<std::byte, 64> buffer{};
    const std::size_t expected = sizeof(Header) + payload.size();
    const ssize_t got = ::recv(socket_.get(), buffer.data(), expected, MSG_WAITALL);
    Header header{};
    std::memcpy(&header, buffer.data(), sizeof header);
    if (got != static_cast<ssize_t>(expected) || header.request != request || header.size != payload.size()) {
        throw_if_stopped();
        throw DeviceLost(text("no proper answer from the back-end to request ", request));
    }
    std::memcpy(payload.data(), buffer.data() + sizeof header, payload.size());
}

std::uint64_t BareConnection::ask_u64(std::uint32_t request) const {
    send(request, {});
    std::uint64_t value = 0;
    receive(request, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

void BareConnection::share_memory(int fd, std::byte* hva, std::uint64_t bytes, std::uint64_t gpa) {
    const MemoryTable table{1, 0, gpa, bytes, address_of(hva), 0};
    send(kSetMemTable, bytes_of(table), fd);
}

void BareConnection::start_queue(std::uint32_t index, std::uint32_t size, const BareQueueAddresses& addresses) {
    Queue& queue = queues_[index];
    send_state(kSetVringNum, index, size);
    send_state(kSetVringBase, index, 0);
    const VringAddress address{
        index, 0, address_of(addresses.desc), address_of(addresses.used), address_of(addresses.avail), 0};
    send(kSetVringAddr, bytes_of(address));
    queue.call = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    queue.kick = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!queue.call || !queue.kick) throw Failure(text("cannot make an eventfd: ", errno_text(errno)));
    send_u64(kSetVringCall, index, queue.call.get());
    send_u64(kSetVringKick, index, queue.kick.get());
    if ((features_ & kProtocolFeatures) != 0) send_state(kSetVringEnable, index, 1);
}

void BareConnection::check_alive() const {
    pollfd peer{socket_.get(), POLLRDHUP, 0};
    if (::poll(&peer, 1, 0) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
        throw DeviceLost("the device is gone: the back-end has closed the connection");
    }
}

}  // namespace bounce::tools
