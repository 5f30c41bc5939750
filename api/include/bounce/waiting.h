/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: maps that wait for memory. Conventions and errors are those of bounce/bounce.h.
 *
 * A map that finds the pool full (-ENOSPC), or its device at its ceiling (-EDQUOT, bounce/quota.h), may wait until memory
 * comes home: blocked, or with an eventfd or a callback that says so.
 *
 *   Order      First come, first served within a device, whatever is asked for: a large request at the front holds up
 *              those behind it. The devices take turns; one whose first request cannot be served now is passed over, and
 *              so may be passed by others for as long as they take what is too little for it.
 *   Newcomers  While requests of a device wait, a plain map of that device fails with -ENOSPC, even if there is memory: it
 *              does not overtake them. Mappings of other devices get what helps nobody who waits first in line.
 *   Hand-over  Memory is taken for the request that waits, by the thread that brought it home, and stays taken (it counts
 *              as a mapping of the device) until the wait is finished or cancelled. No wake-up is lost: by any unmap or
 *              free of the pool, a thread that ends, growth, a region that is added, a quota that is raised.
 *   Cost       None while nobody waits. While anybody waits, all slots of the pool go straight home, as when the pool is
 *              full, and a call that gives memory back, or takes some, makes one system call for each request that it
 *              wakes: a futex wake or a write to its eventfd. What the callback does comes on top.
 *
 * What can never be had fails at once, as in bounce_device_map(), and so does more than the device's ceiling (-EDQUOT).
 * Beginning a wait may itself wait (up to a second) for threads that were stopped in the middle of a map or an unmap, since
 * what they have in their hands must not be missed.
 */
#ifndef BOUNCE_WAITING_H
#define BOUNCE_WAITING_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* For the calls of this header, besides BOUNCE_MAP_*: the reserve of the pool is for this request, too
     * (bounce_pool_set_reserve). It waits in line as all others do. */
    BOUNCE_WAIT_PRIORITY = 1u << 8
};

/* bounce_device_map() that waits up to timeout_ms for memory (UINT32_MAX: no limit). With a timeout of 0 it does not wait
 * and does not overtake: -ENOSPC or -EDQUOT, as a plain map. flags: BOUNCE_MAP_*, BOUNCE_WAIT_PRIORITY.
 * Errors as bounce_device_map(), and: -ETIMEDOUT; -ECANCELED by bounce_device_cancel_waits(); -EDQUOT when it asks for
 * more than the ceiling.
 * Thread-safe; blocks. Not in a signal handler. System calls: futex, membarrier. */
BOUNCE_API int bounce_device_map_wait(bounce_device *device, void *buf, size_t bytes, int direction, uint32_t flags,
                                      uint32_t timeout_ms, bounce_mapping *mapping);

/* A map that waits without blocking. Between begin and its end by finish or cancel, used by one thread at a time. */
typedef struct bounce_wait bounce_wait;

/* There is memory for the wait (or it was cancelled for its device): bounce_wait_finish() has an answer. Called once, in
 * the thread that brought the memory home, in the middle of that call: an unmap, a ring's collect, a service. It may call
 * into the library (finish this wait, begin others, map and unmap; on other waits it may call all but cancel in a way that
 * waits for itself), but not use the ring, the front-end or the token of the call that it came from, and it should be
 * short: whoever unmaps waits for it. */
typedef void (*bounce_wait_fn)(void *user, bounce_wait *wait);

typedef struct bounce_wait_options {
    size_t size;               /* sizeof(bounce_wait_options) */
    void *buf;                 /* as in bounce_device_map(); must stay until the mapping ends or the wait is cancelled */
    size_t bytes;
    int32_t direction;
    uint32_t flags;            /* BOUNCE_MAP_*, BOUNCE_WAIT_PRIORITY */
    bounce_wait_fn ready;      /* may be NULL */
    void *user;
    int32_t event_fd_plus_one; /* an eventfd of the caller's + 1, which must stay open until the wait ends; 0: none. 1 is
                                * added to it when the wait is ready. One for many waits is fine; O_NONBLOCK is wise. */
    uint32_t reserved;
} bounce_wait_options;

/* Begins a map that waits. 1: there is memory already, finish it; neither ready nor the eventfd will tell. 0: it waits;
 * ready and the eventfd tell once, maybe before this returns (*wait is written before that). With neither of them, ask
 * with bounce_wait_finish(). Errors as bounce_device_map() but for -ENOSPC; -EDQUOT: more than the ceiling; -ENOMEM.
 * Thread-safe; does not block but as said above. */
BOUNCE_API int bounce_wait_begin(bounce_device *device, const bounce_wait_options *options, bounce_wait **wait);

/* Makes the mapping (copies in) of a wait that is ready, and ends the wait. -EAGAIN: it is not ready, and goes on.
 * -ECANCELED: it was cancelled by bounce_device_cancel_waits(); -EDQUOT: the ceiling was lowered below what it asks for;
 * the wait has ended. Waits for a callback of this wait that another thread is in. */
BOUNCE_API int bounce_wait_finish(bounce_wait *wait, bounce_mapping *mapping);

/* Ends the wait at any time; memory that was taken for it goes to the next one. When it returns, no callback of this wait
 * runs or will run (but the one that it is called from), and the eventfd is not written to. NULL does nothing. */
BOUNCE_API int bounce_wait_cancel(bounce_wait *wait);

/* All requests of the device that wait end with -ECANCELED: those that block return, the others become ready and are
 * finished (or cancelled) by their owners. How many. A device with waits that have not ended is not destroyed (-EBUSY).
 * Thread-safe. */
BOUNCE_API int bounce_device_cancel_waits(bounce_device *device);

typedef struct bounce_wait_stats {
    uint64_t waiting;   /* requests in line now */
    uint64_t open;      /* waits that have not ended: in line, or ready and neither finished nor cancelled */
    uint64_t begun;     /* requests that had to get in line, ever */
    uint64_t served;    /* of these, how many were given memory */
    uint64_t worst_ns;  /* the longest that one of them waited for it */
} bounce_wait_stats;

/* A snapshot. Thread-safe. */
BOUNCE_API int bounce_device_get_waits(bounce_device *device, bounce_wait_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
