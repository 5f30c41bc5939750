/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: what a device that was not reset may still write. Conventions and errors as in bounce/bounce.h;
 * docs/quarantine.md tells when to use what.
 *
 * A device that broke the protocol, or went away without proof that it stopped, may go on writing to whatever it was
 * given. Slots that it may write must not serve anybody else before it was reset; and memory that a process may still
 * have mapped must never be shown to its successor. */
#ifndef BOUNCE_QUARANTINE_H
#define BOUNCE_QUARANTINE_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Puts a device into quarantine: from now on it gets nothing (-EPROTO), and what it gives back (bounce_device_unmap(),
 * bounce_ring_abort(), a freed block or ring) is held back instead of going home to the pool. Ends copy as ever; pass
 * written = 0 for what is not to be believed. Call it when a ring is broken, before its requests are aborted, unless the
 * device was reset first. Again: makes room for more.
 * -ENOMEM: there was no room for what it has, and nothing has changed. -EBUSY: another thread has stopped in the middle
 * of a mapping or unmapping; the device is in quarantine, but the few free slots which that thread keeps are not.
 * Thread-safe; what other threads give back at this moment may still go home, as before the call. Waits for a thread that
 * grows or shrinks the pool. System calls: membarrier. */
BOUNCE_API int bounce_device_quarantine(bounce_device *device);

/* The device was reset, it cannot write any more: what was held back goes home, and the device is as before. The number of
 * slots, at most INT_MAX; 0 also when it was not in quarantine. Tokens that are still out go home when they end. */
BOUNCE_API int bounce_device_release(bounce_device *device);

typedef struct bounce_quarantine_info {
    char device[64];       /* its name */
    uint64_t slots;        /* that are held back */
    uint64_t bytes;
    uint32_t device_lives; /* 0: it was destroyed, and what it left stays held back */
    uint32_t reserved;
} bounce_quarantine_info;

/* Describes quarantine `index` of the pool, counted from 0 in the order in which they came; an entry is used again when
 * its device is gone and it holds nothing. -EINVAL: there is none. */
BOUNCE_API int bounce_pool_quarantine(bounce_pool *pool, uint32_t index, bounce_quarantine_info *info);

/* As bounce_device_release(), for a device that was destroyed in quarantine. -EBUSY: it exists. */
BOUNCE_API int bounce_pool_release_quarantine(bounce_pool *pool, uint32_t index);

/* Retires a region: nothing is handed out of it any more, and no back-end that comes later is shown it. What is out of it
 * is given back as ever, what was held back of it counts as free: nobody gets it again. Once it is empty
 * bounce_pool_remove_region() ends it, and a region that is added then, at the same place too, has fresh memory. For
 * memory that a former peer still may write and that cannot be renewed; closing a front-end retires by itself what it
 * cannot renew. -EINVAL: no such region, or removed. Thread-safe; waits for a thread that grows or shrinks the pool.
 * System calls: membarrier. */
BOUNCE_API int bounce_pool_retire_region(bounce_pool *pool, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
