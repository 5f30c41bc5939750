// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The heavy half of an asymmetric barrier: after it, every running thread of the process has passed a full barrier.
// Source: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.
#pragma once

namespace bounce {

/// Once in the life of a process, before the first heavy_barrier(); repeating it is cheap. False when the kernel does
/// not have it or forbids it.
bool register_heavy_barrier() noexcept;

/// One system call: 0.8 us when the other threads sleep, some 15 us when they run. False when it was refused.
bool heavy_barrier() noexcept;

/// Tells the processor that this is a loop that waits.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace bounce
