/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: devices with records (BOUNCE_DEVICE_RECORDS). The library keeps, in private memory, what each mapping and
 * block of such a device is: 24 bytes for a slot, which come when slots are first used. So a mapping can be ended by its
 * address alone, without the token, and what is outstanding can be saved for another process (bounce/save.h).
 *
 * What an address cannot tell is whether it is an old one: when its slot was mapped anew meanwhile, ending it ends the
 * new mapping, if size and direction do not give it away. A token can tell.
 *
 * Conventions are those of bounce.h. All functions are thread-safe and none blocks.
 */
#ifndef BOUNCE_RECORDS_H
#define BOUNCE_RECORDS_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* In place of a direction: it is not stated. */
    BOUNCE_ANY_DIRECTION = -1
};

/* Ends the mapping of the device that begins at `addr`, as bounce_device_unmap() does. `bytes` (0: not stated) and
 * `direction` (or BOUNCE_ANY_DIRECTION) are as in the mapping call; what is stated is checked. An error changes nothing:
 * -EINVAL: it has another size; -EPERM: another direction, or it is a block (coherent memory, a buffer);
 * -EFAULT: nothing begins at this address; -EALREADY: nothing is mapped there now; -EXDEV: it is another device's;
 * -ENOTSUP: the device has no records. -ESTALE: it is ended, but its memory was renewed.
 * Source: dma_unmap_single(). */
BOUNCE_API int bounce_device_unmap_addr(bounce_device *device, uint64_t addr, size_t bytes, int direction,
                                        size_t written);

/* What is known of an outstanding mapping or block. */
typedef struct bounce_record {
    uint64_t addr;      /* of its first byte */
    uint64_t bytes;     /* as asked for */
    void *orig;         /* the private buffer; NULL for a block */
    uint64_t age_ms;    /* since it was made, in steps of a few ms */
    uint32_t kind;      /* 1 mapping, 2 coherent memory, 3 born-shared buffer */
    uint32_t flags;     /* BOUNCE_MAP_* */
    int32_t direction;  /* enum bounce_direction; of a block 0 */
    uint32_t reserved;
    char device[64];    /* name of the device that has it */
} bounce_record;

/* What lies at `addr`, which may be any address inside of it, of any device with records of this pool. `mapping`, unless
 * NULL, becomes a token for it (for sync, or unmap) when it is a mapping of this device; else it is zeroed.
 * -EFAULT: there is no slot; -EALREADY: nothing with a record is there; -ENOTSUP as above. */
BOUNCE_API int bounce_device_lookup(bounce_device *device, uint64_t addr, bounce_record *record,
                                    bounce_mapping *mapping);

#ifdef __cplusplus
}
#endif
#endif
