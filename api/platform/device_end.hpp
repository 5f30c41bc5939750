// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The device's end of its connection, in a process of its own: it has mapped what is shared and nothing else of the
// guest, and asks the emulator where each address leads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocator/base/error.hpp"
#include "api/platform/wire.hpp"

namespace bounce::emulated {

/// For one thread at a time. What is not noexcept may throw std::bad_alloc.
class DeviceEnd {
public:
    /// Takes the descriptor over.
    DeviceEnd(int socket, std::uint32_t timeout_ms) noexcept : socket_(socket), timeout_ms_(timeout_ms) {}
    ~DeviceEnd();
    DeviceEnd(const DeviceEnd&) = delete;
    DeviceEnd& operator=(const DeviceEnd&) = delete;

    Result<void> read(std::uint64_t address, std::byte* to, std::size_t bytes);
    Result<void> write(std::uint64_t address, const std::byte* from, std::size_t bytes);
    Result<std::byte*> pointer(std::uint64_t address, std::size_t bytes);

private:
    /// A slot of a window, mapped for good.
    struct Slot {
        std::uint32_t window;
        std::uint64_t number;
        std::byte* data;
    };

    Result<void> ask(Request& request, std::size_t bytes, Reply& reply);
    Result<void> find(std::uint64_t address, std::size_t bytes, bool write, Reply& reply);
    Result<std::byte*> at(const Reply& reply);
    Result<void> take_window(const Reply& reply, int fd);

    const int socket_;
    const std::uint32_t timeout_ms_;
    std::vector<int> windows_;  // descriptors, by number - 1
    std::vector<Slot> slots_;
};

}  // namespace bounce::emulated
