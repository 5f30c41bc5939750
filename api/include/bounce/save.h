/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: saving what is outstanding in one process, and going on in another, while devices work on it: for replacing
 * a VMM or paravisor under a running guest. What is saved are mappings, coherent memory and born-shared buffers of devices
 * with records (BOUNCE_DEVICE_RECORDS), not the memory itself: the host hands the same descriptors to the new process,
 * which makes a pool over them (bounce_region_options.hva) at the same GPAs and any virtual addresses.
 *
 *   old: no thread maps or unmaps any more; bounce_pool_save(); the process ends, and unmaps nothing
 *   new: bounce_pool_create() over the descriptors; bounce_pool_restore(); devices are created under their names; each
 *        client claims what is its own by address; bounce_restore_finish()
 *
 * What nobody claims is quarantined: named, and handed to nobody, until the host says that its device was reset.
 *
 * Conventions are those of bounce.h. Nothing here blocks.
 */
#ifndef BOUNCE_SAVE_H
#define BOUNCE_SAVE_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes all that is outstanding in the pool into `form`, which has room for `room` bytes, and says in `bytes` how many it
 * takes: with form NULL only that. Little-endian, with version, length and checksum. (The checksum finds damage. It is no
 * signature: whoever may write the form may make one up, and all that gets him are slots that are handed out.)
 * -EBUSY: something is outstanding that has no record, something is in quarantine, or the pool is in use at this moment;
 * -EINVAL: two devices with something outstanding have one name; -ENOTSUP: the pool has share hooks, which would scrub the
 * memory in the new process, or a mapping begins behind the start of its slot (min_align_mask of its device); -E2BIG:
 * `room` is too small. Changes nothing in the pool. */
BOUNCE_API int bounce_pool_save(bounce_pool *pool, void *form, size_t room, size_t *bytes);

typedef struct bounce_restore bounce_restore;

/* Takes a form over, as a whole or not at all. The pool must be one that never handed anything out, and have each region
 * that the form speaks of, of the same base_gpa and bytes, over memory handed in. `form` is not needed afterwards. The pool
 * may be used at once, but for what is claimed. Destroy the restore before the pool.
 * -EINVAL: truncated, damaged, or it contradicts itself or the pool; -ENOTSUP: of a version that this library does not
 * know, or the pool has share hooks; -EBUSY: the pool was used before; -ENOMEM. Nothing has changed then. */
BOUNCE_API int bounce_pool_restore(bounce_pool *pool, const void *form, size_t bytes, bounce_restore **restore);

enum bounce_saved_state {
    BOUNCE_SAVED_WAITING = 0,     /* nobody has claimed it yet */
    BOUNCE_SAVED_CLAIMED = 1,
    BOUNCE_SAVED_QUARANTINED = 2, /* nobody did */
    BOUNCE_SAVED_RELEASED = 3     /* out of quarantine: its slot is free again */
};

/* Something that was outstanding. */
typedef struct bounce_saved {
    const char *device;  /* name of the device in the old process; valid during the call */
    uint64_t addr;
    uint64_t bytes;
    uint64_t orig;       /* address of the private buffer in the old process; 0 for a block */
    uint32_t kind;       /* 1 mapping, 2 coherent memory, 3 born-shared buffer */
    uint32_t flags;      /* BOUNCE_MAP_* */
    int32_t direction;   /* enum bounce_direction; of a block 0 */
    int32_t state;       /* enum bounce_saved_state */
} bounce_saved;

typedef void (*bounce_saved_fn)(void *user, const bounce_saved *saved);

/* Calls `visit` for each, in the order of addresses, and returns how many there are. It must not call into the library. */
BOUNCE_API int bounce_restore_visit(bounce_restore *restore, bounce_saved_fn visit, void *user);

/* The mapping at `addr` is that of `device` from now on, whose name must be that of the device that was saved (-EXDEV).
 * `buf` takes the place of the private buffer and has `bytes` (0: not stated; else as mapped, -EINVAL): what the device
 * writes is copied there at unmap; nothing is copied now. `mapping` becomes its token. -EFAULT: nothing begins at this
 * address; -EALREADY: it is claimed or quarantined; -EPERM: it is a block; -EDOM: the device has a min_align_mask
 * and the address or buf is no multiple of it + 1. An error changes nothing. Thread-safe. */
BOUNCE_API int bounce_restore_claim(bounce_restore *restore, bounce_device *device, uint64_t addr, void *buf,
                                    size_t bytes, bounce_mapping *mapping);

/* The same for coherent memory and buffers; their content is what it is. -EPERM: it is a mapping. */
BOUNCE_API int bounce_restore_claim_block(bounce_restore *restore, bounce_device *device, uint64_t addr,
                                          bounce_block *block);

/* All clients were here. What is not claimed is quarantined, each device that left something is named in the log. The
 * number of what is quarantined; again: what still is. */
BOUNCE_API int bounce_restore_finish(bounce_restore *restore);

/* The device of this name (NULL: each) can no longer write: its slots are free again. How many; 0 also when there is no
 * such name. -EBUSY: bounce_restore_finish() has not been called. */
BOUNCE_API int bounce_restore_release(bounce_restore *restore, const char *device);

/* What is quarantined stays so as long as the pool exists. What waits to be claimed, too. */
BOUNCE_API int bounce_restore_destroy(bounce_restore *restore);

#ifdef __cplusplus
}
#endif
#endif
