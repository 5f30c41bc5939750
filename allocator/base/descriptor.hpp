// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Descriptors that stay out of the way of a process that was started with some of its first three closed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace bounce {

/// `fd`, or a duplicate of it above the standard ones in its place: what a host prints must not end up in memory that a
/// device sees. Closed on exec. -1 when fd is, or with errno when there is no other descriptor.
inline int above_stdio(int fd) noexcept {
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    const int above = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    ::close(fd);
    return above;
}

}  // namespace bounce
