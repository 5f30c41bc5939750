// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The second socket of a connection: on it the back-end asks, and this side answers. Whatever comes is the word of
// somebody who is not trusted: a request has the size that its kind has, no descriptors, and is one that was agreed on;
// anything else is EPROTO. Nothing here waits: half a request stays where it is until the rest comes.
//
// For the control thread. Source: QEMU docs/interop/vhost-user.rst, "Back-end message types".
#pragma once

#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "api/vhost/fd.hpp"
#include "api/vhost/protocol.hpp"

namespace bounce::vhost {

struct BackendMessage {
    BackendRequest request{};
    bool need_reply = false;
    IotlbMessage iotlb{};  // of kIotlb
};

class BackendChannel {
public:
    /// A fresh pair of sockets: the end for the back-end.
    Result<Fd> open() noexcept;
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(socket_); }
    /// To be polled; -1 while it is closed.
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    /// The next request. False: there is none now. ECONNRESET: the back-end closed its end; EPROTO: see fault().
    Result<bool> receive(BackendMessage& message) noexcept;
    /// Answers one that wants that: 0 for done. EPROTO: the back-end does not take its answers.
    Result<void> reply(const BackendMessage& message, std::uint64_t value) noexcept;

    /// What was wrong, after EPROTO.
    struct Wrong {
        std::uint64_t got = 0;
        std::uint64_t expected = 0;
    };
    [[nodiscard]] Wrong fault() const noexcept { return fault_; }

private:
    Result<bool> fill(std::size_t bytes) noexcept;
    Result<std::size_t> payload_bytes(const Header& header) noexcept;
    Error broken(const char* what, std::uint64_t got, std::uint64_t expected) noexcept;

    Fd socket_;
    Wrong fault_;
    std::byte bytes_[sizeof(Header) + sizeof(IotlbMessage)];
    std::size_t have_ = 0;  // of a request that has not come whole
};

}  // namespace bounce::vhost
