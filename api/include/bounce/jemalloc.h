/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce-jemalloc: a general heap over memory of a pool: malloc and free of any size, each allocation by pointer and by
 * the address for the device. For hosts whose shared structures are many and of many sizes; where all are of one size,
 * bounce/dma_pool.h is smaller and faster. A library of its own, on top of libbounce (bounce/bounce.h), because it has a
 * jemalloc inside, which no other allocation of the process goes through: the host keeps its malloc.
 *
 * Conventions
 *   As in bounce.h: 0 on success, a negative errno value on failure; the functions that return a pointer return NULL and set
 *   errno. bounce_jemalloc_last_error() has the sentence that goes with a failure of the functions here
 *   (bounce_last_error() has not).
 *   Memory         taken from the device as coherent blocks (or born-shared buffers) of whole pages, for many small
 *                  allocations or one large one, under the device's masks, regions and NUMA policy, and given back when all of
 *                  a block is free. All that is known of it is in private memory, 1 % of its size: the device side can write
 *                  every byte of the heap and harms nothing but the content.
 *   Thread-safety  every function but destroy may be called by any number of threads at once. A pointer may be freed by
 *                  another thread than the one that got it.
 *   Blocking       a thread may wait for another one inside jemalloc. System calls: those of a contended lock, of private
 *                  memory (mmap, madvise), and what bounce_coherent_alloc() makes.
 *   Fork           -EOWNERDEAD in a forked child, as everywhere.
 *   Loading        link it; dlopen(3) may refuse it, for jemalloc needs more static thread-local storage than a running
 *                  process has left. (The core can be dlopened.)
 */
#ifndef BOUNCE_JEMALLOC_H
#define BOUNCE_JEMALLOC_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bounce_jemalloc_heap bounce_jemalloc_heap;

/* The last failure of a function of this header in this thread, as one sentence without a newline. Never NULL; "" when
 * nothing failed yet. Valid until the next failure in this thread. */
BOUNCE_API const char *bounce_jemalloc_last_error(void);

enum {
    /* Of born-shared buffers: what is allocated may be mapped in place (BOUNCE_MAP_SHARED, BOUNCE_SG_SHARED), and lies under
     * the device's streaming mask. Without this flag it is coherent memory. */
    BOUNCE_JEMALLOC_BUFFERS = 1u << 0
};

typedef struct bounce_jemalloc_options {
    size_t size;          /* sizeof(bounce_jemalloc_options) */
    uint32_t flags;       /* BOUNCE_JEMALLOC_* */
    uint32_t reserved;
    uint64_t limit_bytes; /* most that the heap takes from the device; 0 = no limit */
} bounce_jemalloc_options;

/* Creates a heap over a device of `pool`, which must outlive it; it takes no memory before it is asked for some. options may
 * be NULL. -EINVAL; -ENOMEM (private memory, or 4,000 heaps and arenas exist); -EXDEV: the device is of another pool. */
BOUNCE_API int bounce_jemalloc_create(bounce_pool *pool, bounce_device *device, const bounce_jemalloc_options *options,
                                      bounce_jemalloc_heap **heap);

/* Gives all memory back. -EBUSY, and nothing happens: allocations exist; the sentence has their number. Nobody else may use
 * the heap at that time, and mappings of its buffers must have ended: what is mapped stays the device's for ever.
 * Destroying NULL does nothing. */
BOUNCE_API int bounce_jemalloc_destroy(bounce_jemalloc_heap *heap);

/* `bytes` (0 counts as 1), aligned to 16. *addr: for the device; addr may be NULL. Not zeroed (calloc is, of n times bytes).
 * What lies there may be of this heap's or of former users of the device's regions, never private memory. NULL and errno:
 * ENOSPC (the pool or the limit is full), E2BIG, ERANGE (the device's mask), ENOMEM (private memory), EINVAL, EOWNERDEAD. */
BOUNCE_API void *bounce_jemalloc_malloc(bounce_jemalloc_heap *heap, size_t bytes, uint64_t *addr);
BOUNCE_API void *bounce_jemalloc_calloc(bounce_jemalloc_heap *heap, size_t n, size_t bytes, uint64_t *addr);

/* The same, pointer and address aligned to `align`: a power of two up to 2 MiB. (In a region that the caller handed in at a
 * pointer which is not as aligned as its GPA, only up to 4096; ENOTSUP.) */
BOUNCE_API void *bounce_jemalloc_aligned_alloc(bounce_jemalloc_heap *heap, size_t align, size_t bytes, uint64_t *addr);

/* As realloc(3): ptr NULL is malloc; the content is copied as far as both reach. NULL and errno: ptr is as it was. Also
 * EFAULT and EALREADY, as of free. (bytes 0 does not free.) The alignment is 16 again. */
BOUNCE_API void *bounce_jemalloc_realloc(bounce_jemalloc_heap *heap, void *ptr, size_t bytes, uint64_t *addr);

/* NULL does nothing. -EFAULT: ptr does not lie in this heap, or is not where an allocation can begin. -EALREADY: it is not
 * out: freed before, or inside of an allocation. Either changes nothing. */
BOUNCE_API int bounce_jemalloc_free(bounce_jemalloc_heap *heap, void *ptr);

/* Bytes that may be used at ptr, at least what was asked for. 0 and errno (EFAULT, EALREADY) when it is not out. */
BOUNCE_API size_t bounce_jemalloc_usable_size(bounce_jemalloc_heap *heap, const void *ptr);

/* The address for the device of an allocation. -EFAULT, -EALREADY: it is none. */
BOUNCE_API int bounce_jemalloc_address(bounce_jemalloc_heap *heap, const void *ptr, uint64_t *addr);

/* Threads' caches of free memory are emptied (but those in use at the moment), so that blocks which are free go back to the
 * device. It happens by itself before an allocation fails with ENOSPC. */
BOUNCE_API int bounce_jemalloc_trim(bounce_jemalloc_heap *heap);

typedef struct bounce_jemalloc_info {
    uint64_t allocations;  /* that are out */
    uint64_t blocks;       /* of the device, that the heap has */
    uint64_t block_bytes;  /* of these together */
} bounce_jemalloc_info;

/* A snapshot. */
BOUNCE_API int bounce_jemalloc_get_info(bounce_jemalloc_heap *heap, bounce_jemalloc_info *info);

#ifdef __cplusplus
}
#endif
#endif
