/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: what the streaming API has beyond one mapping at a time: an alignment for a call, lists of pieces as few
 * segments, many ends at once. Conventions and errors as in bounce/bounce.h; docs/streaming.md tells the whole story.
 * Everything here is thread-safe as its counterpart there is, and nothing blocks. */
#ifndef BOUNCE_STREAMING_H
#define BOUNCE_STREAMING_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bounce_map_options {
    size_t size;    /* sizeof(bounce_map_options) */
    uint64_t align; /* the slot begins at a multiple of it, and has a multiple of it for itself: a power of two up to 2 MiB;
                     * 0 = as any. With a device's min_align_mask the mapping begins behind the slot's beginning by as much
                     * as that asks for. */
    uint32_t flags; /* BOUNCE_MAP_* */
    uint32_t reserved;
} bounce_map_options;

/* bounce_device_map() with options, NULL being as zeroed ones. Source: iommu_dma_map_page(), which asks
 * swiotlb_tbl_map_single() for an alloc_align_mask so that nothing else is in the granule. */
BOUNCE_API int bounce_device_map_with(bounce_device *device, void *buf, size_t bytes, int direction,
                                      const bounce_map_options *options, bounce_mapping *mapping);

/* The longest mapping that this device can have, wherever the buffer lies: by its limits, and by the largest region that
 * is used now, were that empty. Source: dma_max_mapping_size(). */
BOUNCE_API uint64_t bounce_device_max_mapping(bounce_device *device);

/* Ends n mappings that have nothing to do with each other, written[i] as in bounce_device_unmap(). All are unmapped; the
 * first error is returned (bounce_last_error() is about the last one). */
BOUNCE_API int bounce_device_unmap_bulk(bounce_device *device, bounce_mapping *mappings, const size_t *written, size_t n);

/* What the device is told: one descriptor each. */
typedef struct bounce_segment {
    uint64_t addr; /* GPA of the first byte */
    uint64_t bytes;
} bounce_segment;

/* A list that is mapped. The caller's storage, all of it private memory; the arrays have to stay where they are. */
typedef struct bounce_list {
    size_t size;              /* sizeof(bounce_list) */
    bounce_mapping *mappings; /* room for max_mappings tokens, which are the library's */
    size_t max_mappings;      /* at least the number of pieces + max_segments */
    bounce_segment *segments; /* room for max_segments */
    size_t max_segments;      /* most that there may be of them; 1: contiguous or nothing */
    size_t n_mappings;        /* out: tokens in use, 0: not mapped */
    size_t n_segments;        /* out */
    uint64_t bytes;           /* out: of all pieces */
} bounce_list;

/* Maps n pieces of private memory as one list of as few segments as can be: one slot holds as many pieces in a row as
 * the limits of the device allow (max_segment_bytes, segment_boundary, and min_align_mask, for whose sake a piece begins a
 * segment of its own unless it goes on where the one before ended); and slots that happen to be neighbours are one
 * segment. Where the pool has no slot for all, or a piece is longer than a segment may be, the list is scattered over
 * several, at most max_segments (and the device's). All or nothing: one batch, one fence. The device sees the bytes of the
 * pieces in their order, whatever the segments are. options as for bounce_device_map_with(): the alignment is that of each
 * slot. The number of segments, or as bounce_device_map(); -E2BIG also when max_segments are not enough even in an empty
 * pool, -ENOSPC when they are not in this one; -ENOTSUP of a device with records or debugging, which know single mappings.
 * On failure nothing is mapped. Source: dma_map_sg(). */
BOUNCE_API int bounce_device_map_list(bounce_device *device, const bounce_sg *sg, size_t n, int direction,
                                      const bounce_map_options *options, bounce_list *list);

/* Ends the mapping of a list. `written`: bytes that the device wrote, counted from the first of the list on; the pieces
 * get what is theirs of it. Everything that can be is unmapped; the first error is returned. Source: dma_unmap_sg(). */
BOUNCE_API int bounce_device_unmap_list(bounce_device *device, bounce_list *list, size_t written);

/* As bounce_device_sync_for_cpu() and _for_device(), of [offset, offset + bytes) of the bytes of a list.
 * Source: dma_sync_sg_for_cpu(), dma_sync_sg_for_device(). */
BOUNCE_API int bounce_device_sync_list_for_cpu(bounce_device *device, const bounce_list *list, size_t offset, size_t bytes,
                                               int direction);
BOUNCE_API int bounce_device_sync_list_for_device(bounce_device *device, const bounce_list *list, size_t offset,
                                                  size_t bytes, int direction);

#ifdef __cplusplus
}
#endif
#endif
