// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Descriptors 0, 1 and 2, in a process that may have been started without them.
#pragma once

namespace bounce::tools {

/// Occupies those of descriptors 0, 1 and 2 that are closed, so that nothing opened later becomes stdin, stdout or
/// stderr: the memory of a pool would be written to as if it were a terminal. Reading or writing them fails with EBADF,
/// as it does with a closed one. To be called before anything else is opened. Throws Failure.
void occupy_standard_streams();

}  // namespace bounce::tools
