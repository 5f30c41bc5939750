// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The unix socket to a back-end. Requests go out whole or the connection is over; replies are bounded in size,
// descriptors and time, and are the back-end's word until the caller has checked them.
//
// One thread sends and receives. Any thread may ask check() and poll fd(): the descriptor keeps its number from the
// first adopt() to the destructor, a lost connection is shut down in place and a new one takes over the number.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/base/error.hpp"
#include "api/vhost/deadline.hpp"
#include "api/vhost/fd.hpp"
#include "api/vhost/protocol.hpp"

namespace bounce::vhost {

/// EINVAL for an empty path, ENAMETOOLONG.
Result<void> check_socket_path(const char* path) noexcept;

/// Connects to the unix socket at `path`, waiting for room in the listener's queue until the deadline. The descriptor
/// does not block. ENOENT, ECONNREFUSED, EACCES, ENOTSOCK, ENAMETOOLONG, EPROTOTYPE, ETIMEDOUT.
Result<Fd> connect_socket(const char* path, std::uint32_t timeout_ms) noexcept;

/// How a back-end broke the protocol; the sentence is last_error().
struct Fault {
    std::uint64_t got = 0;
    std::uint64_t expected = 0;
};

class Channel {
public:
    Channel() = default;
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    /// Takes over a connected socket.
    Result<void> adopt(Fd socket) noexcept;
    /// Ends the connection; who polls it wakes up. The descriptor stays until the next adopt().
    void hang_up() noexcept;
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    /// Sends a request that has no reply. At most kMaxTableRegions descriptors.
    Result<void> send(Request request, std::span<const std::byte> payload, std::span<const int> fds,
                      Deadline deadline) noexcept;

    /// Sends a request and receives its reply, which must have exactly reply.size() bytes; or none at all when
    /// `may_be_empty`. Returns their number.
    Result<std::size_t> exchange(Request request, std::uint32_t flags, std::span<const std::byte> payload,
                                 std::span<const int> fds, std::span<std::byte> reply, bool may_be_empty,
                                 Deadline deadline) noexcept;

    /// ECONNRESET when the back-end is gone, EPROTO when it sent something that nobody asked for. One poll(2) without
    /// waiting; from any thread.
    Result<void> check() const noexcept;

    /// After EPROTO or ETIMEDOUT of send() and exchange(): what was wrong.
    [[nodiscard]] Fault fault() const noexcept { return fault_; }

private:
    Result<void> transmit(Request request, std::uint32_t flags, std::span<const std::byte> payload,
                          std::span<const int> fds, Deadline deadline) noexcept;
    Result<std::size_t> receive(Request request, std::span<std::byte> reply, bool may_be_empty,
                                Deadline deadline) noexcept;
    Result<void> read_exactly(Request request, std::span<std::byte> out, Deadline deadline) noexcept;
    Error broken(Request request, const char* what, std::uint64_t got, std::uint64_t expected) noexcept;
    Error late(Request request, std::uint64_t got, std::uint64_t expected) noexcept;

    Fd socket_;
    Fault fault_;
    // Odd while an answer may be on its way: tells check() whether data is expected.
    std::atomic<std::uint32_t> exchanges_{0};
};

}  // namespace bounce::vhost
