// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Descriptors that nobody asked for: they are counted and closed.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "allocator/base/mutation.hpp"

namespace bounce::vhost {

/// As many as the kernel passes with one message (SCM_MAX_FD): all that come are seen, and closed.
inline constexpr std::size_t kMaxReceivedFds = 253;

/// Closes every descriptor that came with a message; how many there were.
inline std::uint64_t drop_descriptors(msghdr& message) noexcept {
    std::uint64_t dropped = (message.msg_flags & MSG_CTRUNC) != 0 ? 1 : 0;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < n; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (BOUNCE_MUTATED(kReplyDescriptors)) continue;
            ::close(fd);
            ++dropped;
        }
    }
    return dropped;
}

}  // namespace bounce::vhost
