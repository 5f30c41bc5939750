// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Barriers towards a device that is not another processor of this machine (VIRTIO_F_ORDER_PLATFORM; virtio 1.2,
// sections 6.1 and 2.7.13.3.1): what the platform's DMA needs, beside the acquire and release that the language orders
// for threads. They stand in the ring adapters only, and each also keeps the compiler from moving memory accesses.
#pragma once

namespace bounce {

/// Stores to memory before it are seen by the device before those that follow (dma_wmb; with stores past the caches).
inline void dma_write_barrier() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __asm__ __volatile__("sfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("dmb oshst" ::: "memory");
#elif defined(__s390x__)
    __asm__ __volatile__("bcr 15,0" ::: "memory");
#elif defined(__riscv)
    __asm__ __volatile__("fence ow,ow" ::: "memory");
#elif defined(__powerpc64__)
    __asm__ __volatile__("lwsync" ::: "memory");
#else
    __sync_synchronize();
#endif
}

/// Loads before it are done before those that follow (dma_rmb).
inline void dma_read_barrier() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __asm__ __volatile__("lfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("dmb oshld" ::: "memory");
#elif defined(__s390x__)
    __asm__ __volatile__("bcr 15,0" ::: "memory");
#elif defined(__riscv)
    __asm__ __volatile__("fence ir,ir" ::: "memory");
#elif defined(__powerpc64__)
    __asm__ __volatile__("lwsync" ::: "memory");
#else
    __sync_synchronize();
#endif
}

/// Stores before it are seen by the device before loads that follow are done (mb).
inline void dma_full_barrier() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __asm__ __volatile__("mfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("dsb sy" ::: "memory");
#elif defined(__s390x__)
    __asm__ __volatile__("bcr 15,0" ::: "memory");
#elif defined(__riscv)
    __asm__ __volatile__("fence iorw,iorw" ::: "memory");
#elif defined(__powerpc64__)
    __asm__ __volatile__("sync" ::: "memory");
#else
    __sync_synchronize();
#endif
}

}  // namespace bounce
