// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/base/membarrier.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace bounce {
namespace {

// Nothing here is a failure of the caller's: errno stays as it was.
bool membarrier(int command) noexcept {
    const int before = errno;
    const long result = ::syscall(SYS_membarrier, command, 0, 0);
    errno = before;
    return result == 0;
}

}  // namespace

bool register_heavy_barrier() noexcept {
    return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && heavy_barrier();
}

bool heavy_barrier() noexcept {
    return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

}  // namespace bounce
