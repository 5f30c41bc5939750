// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The emulator's end of a device's connection. Whatever the device sends is checked; a device that sends nonsense loses
// its connection.
#pragma once

#include <cstdint>
#include <vector>

#include "api/platform/machine.hpp"
#include "api/platform/wire.hpp"

namespace bounce::emulated {

class Port {
public:
    /// Takes the descriptor over.
    Port(Machine& machine, int socket, const bounce_audience& who, std::uint32_t number) noexcept
        : machine_(machine), socket_(socket), who_(who), number_(number) {}
    ~Port();
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;

    /// Answers the request that is there. False: this connection is over. May throw std::bad_alloc, which ends it too.
    bool answer(bounce_violation_fn report, void* user);
    [[nodiscard]] int socket() const noexcept { return socket_; }

private:
    [[nodiscard]] bool send(const Reply& reply, std::size_t bytes, int fd) const noexcept;
    void report_fault(const Request& request, bounce_violation_fn report, void* user) noexcept;

    Machine& machine_;
    const int socket_;
    const bounce_audience who_;
    const std::uint32_t number_;
    std::vector<const Window*> shown_;  // windows whose descriptor the device has, in the order of their numbers
};

}  // namespace bounce::emulated
