// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "tools/common/failure.hpp"

namespace bounce::tools {

void occupy_standard_streams() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        // The lowest free number is taken, and those below are occupied by now. The access mode is the wrong one on
        // purpose. Inherited by nobody: a child finds it closed, as it was.
        if (::open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd) {
            throw Failure(
                text("cannot open /dev/null in place of the closed descriptor ", fd, ": ", errno_text(errno)));
        }
    }
}

}  // namespace bounce::tools
