// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/conformance/device_process.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "tests/support/split_device.hpp"

namespace bounce::conformance {
namespace {

enum class Do : std::uint32_t { kRead, kWrite, kScan, kRing };

constexpr int kPatienceSeconds = 10;

std::int64_t now_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

}  // namespace

struct DeviceProcess::Order {
    Do what{};
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    RingOrder ring{};
    std::byte data[kMostBytes];
};

struct DeviceProcess::Answer {
    int status = 0;
    std::uint64_t count = 0;
    std::byte data[kMostBytes];
};

DeviceProcess::DeviceProcess() {
    int orders[2];
    int port[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) != 0 ||
        ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, port) != 0)
        throw std::runtime_error("no pair of sockets");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("no process for the device");
    if (pid_ == 0) {
        ::close(orders[0]);
        ::close(port[0]);
        run(orders[1], port[1]);
    }
    ::close(orders[1]);
    ::close(port[1]);
    orders_ = orders[0];
    port_ = port[0];
}

DeviceProcess::~DeviceProcess() {
    ::shutdown(orders_, SHUT_RDWR);  // which ends it; later devices have copies of the descriptor
    ::close(orders_);
    ::close(port_);
    ::waitpid(pid_, nullptr, 0);
}

// ---- In the device's process ----

void DeviceProcess::run(int orders, int port) {
    bounce_emulated_device* device = nullptr;
    if (bounce_emulated_device_open(port, 0, &device) != 0) ::_exit(1);
    const auto order = std::make_unique<Order>();
    const auto answer = std::make_unique<Answer>();
    for (;;) {
        const ssize_t got = ::recv(orders, order.get(), sizeof(Order), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < static_cast<ssize_t>(offsetof(Order, data))) ::_exit(0);
        answer->count = 0;
        answer->status = carry_out(device, *order, *answer);
        const std::size_t data = order->what == Do::kRead && answer->status == 0 ? order->bytes : 0;
        if (::send(orders, answer.get(), offsetof(Answer, data) + data, MSG_NOSIGNAL) < 0) ::_exit(0);
    }
}

int DeviceProcess::carry_out(bounce_emulated_device* device, const Order& order, Answer& answer) {
    switch (order.what) {
        case Do::kRead: return bounce_emulated_device_read(device, order.address, answer.data, order.bytes);
        case Do::kWrite: return bounce_emulated_device_write(device, order.address, order.data, order.bytes);
        case Do::kRing: return serve_ring(device, order.ring);
        case Do::kScan: break;
    }
    std::uint64_t left = order.bytes;
    for (std::uint64_t at = order.address; left != 0;) {
        const std::size_t part = std::min<std::uint64_t>(left, kMostBytes);
        const int status = bounce_emulated_device_read(device, at, answer.data, part);
        if (status != 0) return status;
        answer.count += part - static_cast<std::uint64_t>(std::count(answer.data, answer.data + part, std::byte{0}));
        at += part;
        left -= part;
    }
    return 0;
}

int DeviceProcess::serve_ring(bounce_emulated_device* device, const RingOrder& order) {
    const auto find = [device](std::uint64_t address, std::uint64_t bytes) -> std::byte* {
        void* found = nullptr;
        return bounce_emulated_device_pointer(device, address, bytes, &found) == 0 ? static_cast<std::byte*>(found)
                                                                                   : nullptr;
    };
    try {
        test::SplitDevice ring(find, order.layout, order.event_idx);
        const std::int64_t end = now_seconds() + kPatienceSeconds;
        for (std::uint32_t done = 0; done < order.requests;) {
            test::SplitDevice::Request request;
            if (!ring.pop(request)) {
                if (now_seconds() > end) return -ETIMEDOUT;
                ::usleep(50);
                continue;
            }
            Bytes read;
            std::size_t written = 0;
            for (const auto& piece : request.pieces) {
                if (!piece.write) read.insert(read.end(), piece.hva, piece.hva + piece.len);
            }
            for (const auto& piece : request.pieces) {
                for (std::uint32_t i = 0; piece.write && i < piece.len; ++i) piece.hva[i] = answer(read, written++);
            }
            ring.complete(request.head, static_cast<std::uint32_t>(written) + order.exaggerate);
            ++done;
        }
    } catch (const std::runtime_error&) {
        return -EFAULT;
    }
    return 0;
}

// ---- In the test ----

void DeviceProcess::send(const Order& order, std::size_t data) const {
    const std::size_t bytes = offsetof(Order, data) + data;
    if (::send(orders_, &order, bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes))
        throw std::runtime_error("the device's process is gone");
}

int DeviceProcess::receive(Answer& answer, std::size_t& data) const {
    ssize_t got = -1;
    do {
        got = ::recv(orders_, &answer, sizeof answer, 0);
    } while (got < 0 && errno == EINTR);
    if (got < static_cast<ssize_t>(offsetof(Answer, data))) throw std::runtime_error("the device's process is gone");
    data = static_cast<std::size_t>(got) - offsetof(Answer, data);
    return answer.status;
}

int DeviceProcess::read(std::uint64_t address, Bytes& to) {
    const auto order = std::make_unique<Order>();
    const auto answer = std::make_unique<Answer>();
    std::size_t got = 0;
    for (std::size_t done = 0; done < to.size(); done += got) {
        order->what = Do::kRead;
        order->address = address + done;
        order->bytes = std::min(to.size() - done, kMostBytes);
        send(*order, 0);
        if (const int status = receive(*answer, got); status != 0) return status;
        if (got != order->bytes) throw std::runtime_error("the device read another length than it was told to");
        std::memcpy(to.data() + done, answer->data, got);
    }
    return 0;
}

int DeviceProcess::write(std::uint64_t address, const Bytes& from) {
    const auto order = std::make_unique<Order>();
    const auto answer = std::make_unique<Answer>();
    std::size_t none = 0;
    for (std::size_t done = 0; done < from.size(); done += order->bytes) {
        order->what = Do::kWrite;
        order->address = address + done;
        order->bytes = std::min(from.size() - done, kMostBytes);
        std::memcpy(order->data, from.data() + done, order->bytes);
        send(*order, order->bytes);
        if (const int status = receive(*answer, none); status != 0) return status;
    }
    return 0;
}

int DeviceProcess::scan(std::uint64_t address, std::uint64_t bytes, std::uint64_t& nonzero) {
    const auto order = std::make_unique<Order>();
    const auto answer = std::make_unique<Answer>();
    order->what = Do::kScan;
    order->address = address;
    order->bytes = bytes;
    send(*order, 0);
    std::size_t none = 0;
    const int status = receive(*answer, none);
    nonzero = answer->count;
    return status;
}

void DeviceProcess::begin_ring(const RingOrder& ring) {
    const auto order = std::make_unique<Order>();
    order->what = Do::kRing;
    order->ring = ring;
    send(*order, 0);
}

bool DeviceProcess::ring_ended() const {
    pollfd polled{orders_, POLLIN, 0};
    return ::poll(&polled, 1, 0) > 0;
}

int DeviceProcess::end_ring() {
    const auto answer = std::make_unique<Answer>();
    std::size_t none = 0;
    return receive(*answer, none);
}

}  // namespace bounce::conformance
