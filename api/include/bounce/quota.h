/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: quotas of devices, and a reserve for what must not fail. Conventions and errors are those of
 * bounce/bounce.h.
 *
 * What counts is what a device has away from home: slots by the bytes of their size class, larger mappings by whole pages;
 * mappings, coherent memory, buffers and rings alike, and the free slots that its threads and rings keep for themselves.
 * They give those up before anything is refused.
 */
#ifndef BOUNCE_QUOTA_H
#define BOUNCE_QUOTA_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sets what the device is sure to get, and what it may have at most; 0: nothing sure, no limit. May be called while I/O
 * runs.
 *
 *   floor    Others, who are beyond their own floors or have none, get pages only as long as enough of them stay free for
 *            what all floors promise, and an eighth more for the tails of slabs. So a device that never completes
 *            anything cannot keep others from their floors. What others have already when a floor is raised they keep: the
 *            floor is sure once as much has come home. A floor is bytes, not a place: a mapping of more than 16 KiB may
 *            still find no run of free pages.
 *   ceiling  Beyond it the device gets -EDQUOT. Lowered below what it has, it gets nothing until it has less.
 *
 * -EINVAL: floor above ceiling, or a ceiling above 2^62. -ENOSPC: the floors of all devices, an eighth more, and the
 * reserve are more than the pool has now; memory that it has not grown by yet does not count. (The pool does not shrink
 * below that; a region that is drained by hand may take it below.) Thread-safe; may wait for another thread that grows or
 * shrinks the pool. */
BOUNCE_API int bounce_device_set_quota(bounce_device *device, uint64_t floor_bytes, uint64_t ceiling_bytes);

typedef struct bounce_quota {
    uint64_t floor_bytes;
    uint64_t ceiling_bytes; /* 0: none */
    uint64_t used_bytes;    /* with what its threads and rings keep */
    uint32_t priority;      /* 1: bounce_device_set_priority() */
    uint32_t reserved;
} bounce_quota;

/* A snapshot. Thread-safe. */
BOUNCE_API int bounce_device_get_quota(bounce_device *device, bounce_quota *quota);

/* on != 0: all requests of the device may take the reserve. (A single request: BOUNCE_WAIT_PRIORITY in bounce/waiting.h.)
 * Thread-safe. */
BOUNCE_API int bounce_device_set_priority(bounce_device *device, int on);

/* So many bytes of pages are left to requests with priority: others get pages only as long as they stay free. 0: none.
 * May be called while I/O runs. Errors, thread-safety and blocking as bounce_device_set_quota(). */
BOUNCE_API int bounce_pool_set_reserve(bounce_pool *pool, uint64_t bytes);

typedef struct bounce_reserve {
    uint64_t reserve_bytes;
    uint64_t floor_bytes;    /* of all devices */
    uint64_t promised_bytes; /* of these, what the devices have not taken yet */
} bounce_reserve;

/* A snapshot. Thread-safe; may wait as bounce_pool_set_reserve(). */
BOUNCE_API int bounce_pool_get_reserve(bounce_pool *pool, bounce_reserve *reserve);

#ifdef __cplusplus
}
#endif
#endif
