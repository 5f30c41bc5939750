/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: pools of small coherent blocks of one size (descriptors, command blocks, lists of pages), which may have to
 * keep to an alignment and must not cross a boundary. Taken from and given back to private bits, so the device cannot
 * touch what is known of them. Conventions and errors are those of bounce.h.
 */
#ifndef BOUNCE_DMA_POOL_H
#define BOUNCE_DMA_POOL_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bounce_dma_pool bounce_dma_pool;

typedef struct bounce_dma_pool_options {
    size_t size;          /* sizeof(bounce_dma_pool_options) */
    const char *name;     /* at most 63 bytes, for error texts; NULL = "dma_pool" */
    uint64_t block_bytes; /* > 0 */
    uint64_t align;       /* of each block's address for the device: power of two up to 2 MiB; 0 = 8 */
    uint64_t boundary;    /* power of two, at least a block: no block crosses a multiple of it; 0 = none */
} bounce_dma_pool_options;

/* Creates a pool of blocks of a device. It takes no memory before it is asked for a block. The device must outlive it
 * (bounce_device_destroy() is -EBUSY while the pool has memory). -EINVAL, -E2BIG, -ENOMEM. Thread-safe.
 * Source: dma_pool_create(). */
BOUNCE_API int bounce_dma_pool_create(bounce_device *device, const bounce_dma_pool_options *options,
                                      bounce_dma_pool **pool);

/* Gives all memory back. -EBUSY, and nothing happens: blocks are out; the error text has their number. Nobody else may use
 * the pool at that time. Destroying NULL does nothing. Source: dma_pool_destroy(). */
BOUNCE_API int bounce_dma_pool_destroy(bounce_dma_pool *pool);

enum {
    /* The block is zeroed. Without this flag it holds what was there before. */
    BOUNCE_DMA_POOL_ZERO = 1u << 0
};

/* A block: by pointer, and by the address for the device. Memory is taken from the device's coherent memory in pieces of
 * at least 4 KiB and, up to blocks of 256 KiB, eight blocks; they stay until the pool is destroyed. Errors as of
 * bounce_coherent_alloc(). Thread-safe. Waits for another thread only while that adds a piece, which is the only time that
 * it may make the system calls of a contended lock. Source: dma_pool_alloc(), dma_pool_zalloc(). */
BOUNCE_API int bounce_dma_pool_alloc(bounce_dma_pool *pool, uint32_t flags, void **ptr, uint64_t *addr);

/* Gives a block back. -EFAULT: no block of this pool begins at addr, or ptr is not where addr is. -EALREADY: it is free.
 * Either changes nothing. (A block that was freed and is out again is somebody's block: addresses cannot tell. A token
 * can, see bounce_coherent_alloc().) Thread-safe. Source: dma_pool_free(). */
BOUNCE_API int bounce_dma_pool_free(bounce_dma_pool *pool, void *ptr, uint64_t addr);

/* n > 0 at once. Taking: all or nothing. Giving back: each one that can be; the first error is returned. Thread-safe. */
BOUNCE_API int bounce_dma_pool_alloc_bulk(bounce_dma_pool *pool, uint32_t flags, void **ptrs, uint64_t *addrs, size_t n);
BOUNCE_API int bounce_dma_pool_free_bulk(bounce_dma_pool *pool, void *const *ptrs, const uint64_t *addrs, size_t n);

typedef struct bounce_dma_pool_info {
    uint64_t block_bytes;
    uint64_t stride;      /* from one block to the next: block_bytes, aligned */
    uint64_t blocks_out;
    uint64_t pieces;      /* of memory that it has */
    uint64_t piece_bytes;
} bounce_dma_pool_info;

/* A snapshot. Thread-safe. */
BOUNCE_API int bounce_dma_pool_get_info(bounce_dma_pool *pool, bounce_dma_pool_info *info);

#ifdef __cplusplus
}
#endif
#endif
