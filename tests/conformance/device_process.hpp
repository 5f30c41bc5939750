// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device of an emulated platform, in a process of its own. The test gives it orders over a socket; memory it reaches
// through its port, with the public functions of bounce/emulator.h and nothing else of the guest.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bounce/emulator.h"

namespace bounce::conformance {

using Bytes = std::vector<std::byte>;

class DeviceProcess {
public:
    static constexpr std::size_t kMostBytes = 64 * 1024;  // of one order

    /// Forks: before the guest has anything to hide. Throws std::runtime_error.
    DeviceProcess();
    ~DeviceProcess();
    DeviceProcess(const DeviceProcess&) = delete;
    DeviceProcess& operator=(const DeviceProcess&) = delete;

    /// The emulator's end of its port.
    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    // Orders. Each returns what the device got: 0 or -errno.
    int read(std::uint64_t address, Bytes& to);
    int write(std::uint64_t address, const Bytes& from);
    /// Reads [address, address + bytes) and counts the bytes that are not 0.
    int scan(std::uint64_t address, std::uint64_t bytes, std::uint64_t& nonzero);

    /// Serves `requests` of a ring, and comes back when they are completed: answer() of what it read goes into what it
    /// may write. `exaggerate` is added to the lengths that it reports.
    struct RingOrder {
        bounce_ring_layout layout;
        bool event_idx;
        std::uint32_t requests;
        std::uint32_t exaggerate;
    };
    void begin_ring(const RingOrder& order);
    /// Has it come to an end, of whatever kind?
    [[nodiscard]] bool ring_ended() const;
    int end_ring();
    /// Byte i of what the device writes.
    static std::byte answer(const Bytes& read, std::size_t i) {
        return (read.empty() ? std::byte{0} : read[i % read.size()]) ^ std::byte{0x5a};
    }

private:
    struct Order;
    struct Answer;
    [[noreturn]] static void run(int orders, int port);
    static int carry_out(bounce_emulated_device* device, const Order& order, Answer& answer);
    static int serve_ring(bounce_emulated_device* device, const RingOrder& order);
    void send(const Order& order, std::size_t data) const;
    int receive(Answer& answer, std::size_t& data) const;

    int orders_ = -1;
    int port_ = -1;
    pid_t pid_ = -1;
};

}  // namespace bounce::conformance
