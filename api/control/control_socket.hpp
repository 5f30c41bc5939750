// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The sockets of a control: where it listens, who connects, and packets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/base/error.hpp"

namespace bounce {

inline constexpr std::size_t kMostSocketPath = 107;  // what a unix address holds

/// The path where nobody said one: bounce-PID-N.sock, N from 0 on, in $XDG_RUNTIME_DIR/bounce or /run/bounce. Makes the
/// folder. N is chosen by listen_at().
Result<void> default_folder(char (&path)[kMostSocketPath + 1]) noexcept;

/// A listening socket with mode 0600. EADDRINUSE: somebody listens there; a dead socket is replaced.
Result<int> listen_at(const char* path) noexcept;
/// The same in a folder, under the first name that is free; `path` becomes that.
Result<int> listen_in(char (&path)[kMostSocketPath + 1]) noexcept;
/// Is it a unix SOCK_SEQPACKET socket? Then it listens from now on.
Result<void> listen_on(int fd) noexcept;

/// The next client, not blocking; -1: none.
int accept_client(int listener) noexcept;
/// Who connected: its user id. False: the kernel does not say.
bool peer_uid(int fd, std::uint64_t& uid) noexcept;

/// One packet. Descriptors that come with it are dropped by the kernel. 0: the peer is gone; -EAGAIN: nothing there;
/// -EMSGSIZE: it was longer than there is room.
long receive_packet(int fd, std::span<std::byte> room) noexcept;
/// False: it could not be sent at once, all of it. attached: a descriptor that goes along, -1: none.
bool send_packet(int fd, std::span<const std::byte> bytes, int attached) noexcept;

}  // namespace bounce
