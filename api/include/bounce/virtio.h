/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: virtqueues for drivers, and the vhost-user front-end. Part of bounce/bounce.h, which has the conventions.
 */
#ifndef BOUNCE_VIRTIO_H
#define BOUNCE_VIRTIO_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Virtqueue, driver side --------------------------------------------------------------------------------- */

typedef struct bounce_ring bounce_ring;

/* What was negotiated for the ring, and how it is used. */
enum {
    BOUNCE_RING_INDIRECT = 1u << 0,       /* VIRTIO_F_INDIRECT_DESC */
    BOUNCE_RING_EVENT_IDX = 1u << 1,      /* VIRTIO_F_EVENT_IDX */
    BOUNCE_RING_PACKED = 1u << 2,         /* VIRTIO_F_RING_PACKED; without it the ring is split */
    BOUNCE_RING_IN_ORDER = 1u << 3,       /* VIRTIO_F_IN_ORDER: one used element may stand for many requests */
    BOUNCE_RING_ORDER_PLATFORM = 1u << 4, /* VIRTIO_F_ORDER_PLATFORM: the platform's barriers for DMA */
    /* The device polls and is never kicked: bounce_ring_publish() returns 0 and does not ask, which saves a full barrier
     * (some 10 to 50 ns). Only for devices that are known to poll: nothing else would wake one. */
    BOUNCE_RING_NO_KICKS = 1u << 5,
    /* For comparison, and for devices and callers that are trusted as this library is: neither the lists of requests nor
     * what the device says of completions is checked. Anything wrong in them is undefined behaviour. */
    BOUNCE_RING_UNCHECKED = 1u << 6,
    /* Used lengths of this device mean nothing (legacy devices report too much or too little): what the device could write
     * counts as written. */
    BOUNCE_RING_USED_LENGTH_IGNORE = 1u << 7,
    /* A used length beyond what the device could write breaks the ring; otherwise it is reported and clamped. Not with
     * IGNORE. (Of an outgoing buffer of a packed ring it is reserved, and means nothing: virtio 1.2, section 2.8.6.) */
    BOUNCE_RING_USED_LENGTH_FAIL = 1u << 8
};

typedef struct bounce_ring_options {
    size_t size;         /* sizeof(bounce_ring_options) */
    uint32_t queue_size; /* descriptors: power of two, 2 to 32768; packed: any number, 1 to 32768 */
    uint32_t flags;      /* BOUNCE_RING_* */
    uint32_t index;      /* which queue of its device this is; for reports, and for what a kick carries */
    uint32_t max_chain;  /* longest chain that add will be given, in segments; 0 = queue_size, at most 1024 with INDIRECT */
    uint32_t poll_after; /* of bounce_ring_poll(): completions after one call from which it goes on polling; 0 = 16 */
    uint32_t poll_idle;  /* of bounce_ring_poll(): empty looks in a row after which it asks for a call again; 0 = 128 */
} bounce_ring_options;

/* Creates a ring in coherent memory of the device. Driven by one thread at a time.
 * Source: virtio 1.2, sections 2.7 (split virtqueues) and 2.8 (packed virtqueues). */
BOUNCE_API int bounce_ring_create(bounce_device *device, const bounce_ring_options *options, bounce_ring **ring);

/* Frees the ring; -EBUSY while requests are outstanding (collect or abort them first). */
BOUNCE_API int bounce_ring_destroy(bounce_ring *ring);

typedef struct bounce_ring_layout {
    /* Addresses for the device (GPA), aligned as the specification demands: 16, 2, 4; packed: 16, 4, 4. */
    uint64_t desc_addr;
    uint64_t avail_addr; /* packed: the driver event suppression structure */
    uint64_t used_addr;  /* packed: the device event suppression structure */
    uint32_t queue_size;
    uint16_t avail_index; /* where the device has to begin; packed: a place in the ring, and in bit 15 the wrap counter */
    uint16_t used_index;  /* packed: the same; split: 0. (vhost-user's SET_VRING_BASE: avail_index | used_index << 16.) */
} bounce_ring_layout;

BOUNCE_API int bounce_ring_get_layout(bounce_ring *ring, bounce_ring_layout *layout);

/* Puts one request into the ring: sg[0 .. n_out) for the device to read, then n_in segments for it to write. Each is
 * mapped through the device (BOUNCE_SG_SHARED, BOUNCE_SG_MAPPED: used in place), but small ones, such as a header or a status byte, which
 * are copied through memory of the ring and are not among the pool's mappings. The device sees it after
 * bounce_ring_publish(). cookie comes back with the completion and never enters shared memory. Private buffers must stay
 * until then. -EAGAIN: no free descriptors (with INDIRECT a ring may hold fewer requests than it has descriptors);
 * -ENOSPC: pool full; -EINVAL, -E2BIG; -EPROTO: the ring is broken, or was aborted and not reset; -ESTALE as for collect.
 * On failure nothing is
 * mapped and nothing changes. */
BOUNCE_API int bounce_ring_add(bounce_ring *ring, const bounce_sg *sg, size_t n_out, size_t n_in, void *cookie);

typedef struct bounce_ring_request {
    const bounce_sg *sg; /* n_out segments for the device to read, then n_in for it to write */
    void *cookie;
    uint32_t n_out;
    uint32_t n_in;
} bounce_ring_request;

/* bounce_ring_add() for up to n requests, at most INT_MAX. How many of them, from the first on, were added; the error of
 * the first when that is none. One bounce_ring_publish() shows them all. */
BOUNCE_API int bounce_ring_add_many(bounce_ring *ring, const bounce_ring_request *requests, size_t n);

/* Makes all added requests visible to the device at once. 1: the device wants a kick; 0: it does not. */
BOUNCE_API int bounce_ring_publish(bounce_ring *ring);

/* What a kick carries when VIRTIO_F_NOTIFICATION_DATA was negotiated, for what was published last: the index of the queue
 * in bits 0 to 15, and in 16 to 31 the avail index (split), or the place of the next descriptor with the wrap counter in
 * bit 31 (packed). Source: virtio 1.2, section 2.9. */
BOUNCE_API int bounce_ring_get_notification_data(bounce_ring *ring, uint32_t *data);

typedef struct bounce_completion {
    void *cookie;
    int32_t status;    /* 0; -ECONNRESET: aborted, the device may or may not have done it; -ESTALE: the memory was
                        * renewed meanwhile, what came back may be zeros */
    uint32_t written;  /* bytes that the device wrote, clamped to what it could */
    uint32_t reported; /* as it said */
    uint32_t reserved;
} bounce_completion;

/* Collects up to max completions; from_device segments have been copied back when it returns. Count, or -EPROTO when the
 * device broke the protocol (sticky until reset; what was collected before is returned first), or -ESTALE when the
 * ring's memory was renewed (as by bounce_frontend_disconnect()): its requests can only be aborted. */
BOUNCE_API int bounce_ring_collect(bounce_ring *ring, bounce_completion *completions, size_t max);

/* Asks for a call (interrupt) at the next completion. 1: one is there already, collect instead of waiting. */
BOUNCE_API int bounce_ring_arm(bounce_ring *ring);
/* Tells the device that calls are not needed (the initial state: polling). */
BOUNCE_API int bounce_ring_disarm(bounce_ring *ring);

/* Collects as bounce_ring_collect() does, and arms and disarms by itself. *wait 1: nothing is there, and a call is asked
 * for: wait for it (or for as long as one likes) before the next poll; 0: poll again soon. After a call that brought fewer
 * than `poll_after` completions, the next empty look asks for a call again. After one that brought more (a storm), calls
 * stay off until `poll_idle` looks in a row were empty: the device then need not call for what comes meanwhile. In place
 * of collect, arm and disarm, not beside them. */
BOUNCE_API int bounce_ring_poll(bounce_ring *ring, bounce_completion *completions, size_t max, int *wait);

/* Takes back what is outstanding without copying anything: up to max completions with status -ECONNRESET; call until it
 * returns 0. Only when the device can no longer write (reset, or the memory renewed), or is in quarantine
 * (bounce_device_quarantine()); -EBUSY for a ring of a front-end
 * that is not disconnected, or whose memory could not be renewed then (bounce_frontend_close() ends it). */
BOUNCE_API int bounce_ring_abort(bounce_ring *ring, bounce_completion *completions, size_t max);

/* Begins anew with empty, zeroed rings, for a device that was reset. -EBUSY while requests are outstanding, and for a ring
 * of a front-end that is not disconnected (bounce_frontend_reconnect() resets its rings itself). */
BOUNCE_API int bounce_ring_reset(bounce_ring *ring);

typedef struct bounce_ring_stats {
    uint64_t added;
    uint64_t completed;
    uint64_t aborted;
    uint64_t kicks_wanted; /* publishes that returned 1 */
    uint64_t violations;
    uint32_t outstanding;
    uint32_t free_descriptors;
    uint32_t broken;       /* 1 after a violation */
    uint32_t reserved;
} bounce_ring_stats;

BOUNCE_API int bounce_ring_get_stats(bounce_ring *ring, bounce_ring_stats *stats);

/* ---- vhost-user front-end ----------------------------------------------------------------------------------- */

typedef struct bounce_frontend bounce_frontend;

enum {
    /* Wait for completions on eventfds (bounce_frontend_wait); otherwise completions are polled for. */
    BOUNCE_FRONTEND_CALLS = 1u << 0,
    /* The peer is trusted not to punch holes into the memory or cut it short (either ends in SIGBUS here): allows pools
     * with hugepages, and memory of the caller's that is not sealed against shrinking (F_SEAL_SHRINK). */
    BOUNCE_FRONTEND_TRUSTED = 1u << 1
};

typedef struct bounce_frontend_options {
    size_t size;                /* sizeof(bounce_frontend_options) */
    const char *socket_path;    /* unix socket that the back-end listens on */
    const char *name;           /* of the device, at most 63 bytes; NULL = "vhost-user" */
    uint64_t required_features; /* virtio feature bits without which there is no connection; VERSION_1 always is */
    uint64_t wanted_features;   /* accepted when offered; EVENT_IDX and INDIRECT_DESC are asked for by themselves */
    uint64_t refused_features;  /* never accepted, also not the two above */
    /* ACCESS_PLATFORM (bit 33) is accepted when `policy` says that addresses are IOVAs, and required then. Of bits 24 to 49
     * (rings and transport) only VERSION_1, EVENT_IDX and INDIRECT_DESC are, and, where they are wanted or required,
     * RING_PACKED (34), IN_ORDER (35), ORDER_PLATFORM (36), NOTIFICATION_DATA (38: a kick is an eventfd, which carries
     * nothing all the same) and RING_RESET (40). */
    uint32_t queues;            /* number of queues to start; 0 = 1 */
    uint32_t queue_size;        /* power of two (any number where RING_PACKED is negotiated); 0 = 128 */
    uint32_t max_chain;         /* as in bounce_ring_options */
    uint32_t timeout_ms;        /* for each answer of the back-end, and for connecting; 0 = 5000, UINT32_MAX: no limit */
    uint32_t flags;             /* BOUNCE_FRONTEND_* */
    uint32_t device_type;       /* virtio device ID; 0 = it does not matter. 1, network: the back-end counts pairs of
                                 * queues; `queues` and max_queues are single ones all the same */
    uint64_t max_segment_bytes; /* as in bounce_device_options */
    /* An answer of bounce_policy_decide(), read at once; NULL = addresses are GPAs. BOUNCED_IOVA: ACCESS_PLATFORM is
     * required, and the back-end asks for translations (bounce/iotlb.h). BOUNCED_GPA: as NULL. -EPERM: it refuses;
     * -ENOTSUP: another answer, for a process is not shown private memory. */
    const struct bounce_policy *policy;
    /* More of its device, read at once; NULL = none of it. `name`, `regions`, `policy` and `translate` are not set there, for
     * the front-end has its own; of two masks or lengths the lower one counts. */
    const bounce_device_options *device;
} bounce_frontend_options;

/* Connects, negotiates, lends the regions of the pool (and nothing else) to the back-end and starts the queues. A pool is
 * lent to one back-end at a time (-EBUSY). The back-end sees all of it: what other devices of the pool have in it, and,
 * in memory of the caller's, what ended mappings left there (the library's own is renewed first when no device has any of
 * it). Errors: -ENOENT, -ECONNREFUSED, -EACCES, -ENOTSOCK, -EPROTOTYPE, -ENAMETOOLONG from connecting; -ENOTSUP: a
 * required feature is not offered; -EPROTO, -ETIMEDOUT, -ECONNRESET from the back-end; -EINVAL, -ENOMEM, -ENOSPC, -EMFILE.
 * When it fails after the back-end was shown memory of the caller's, that memory is retired.
 * Source: QEMU docs/interop/vhost-user.rst. */
BOUNCE_API int bounce_frontend_connect(bounce_pool *pool, const bounce_frontend_options *options,
                                       bounce_frontend **frontend);

/* Stops the queues (each GET_VRING_BASE), gives back outstanding requests unseen, closes. The memory is renewed, so
 * that nothing the back-end still writes is ever seen; memory of the caller's cannot be, and is taken back only from
 * a back-end that stopped cleanly with no request outstanding. Otherwise it is retired (bounce_pool_retire_region()). -EBUSY: mappings or blocks of the front-end's device
 * still exist; the front-end is disconnected then, and close may be called again. After any other result it is
 * closed; an error says that the memory could not be renewed: it is retired, and the pool can be lent again once it has
 * other regions. */
BOUNCE_API int bounce_frontend_close(bounce_frontend *frontend);

typedef struct bounce_frontend_info {
    uint64_t features;          /* negotiated */
    uint64_t offered_features;  /* what the back-end has */
    uint64_t protocol_features; /* negotiated vhost-user protocol features */
    uint32_t queues;            /* started */
    uint32_t max_queues;        /* what the back-end has (1 without MQ) */
    uint32_t queue_size;
    uint32_t max_memory_slots;  /* regions that the back-end can take */
    uint32_t connected;         /* 1: as far as is known */
    uint32_t reconnects;
} bounce_frontend_info;

BOUNCE_API int bounce_frontend_get_info(bounce_frontend *frontend, bounce_frontend_info *info);

/* The device (for buffers and mappings of one's own) and the rings belong to the front-end. NULL: no such queue. */
BOUNCE_API bounce_device *bounce_frontend_device(bounce_frontend *frontend);
BOUNCE_API bounce_ring *bounce_frontend_ring(bounce_frontend *frontend, uint32_t queue);

/* Reads `bytes` (1 to 256) of the device's configuration space from `offset` into `out`; -ENOTSUP without
 * VHOST_USER_PROTOCOL_F_CONFIG, or when the back-end has no such range. The content is the device's word: check it. */
BOUNCE_API int bounce_frontend_read_config(bounce_frontend *frontend, uint32_t offset, void *out, size_t bytes);
BOUNCE_API int bounce_frontend_write_config(bounce_frontend *frontend, uint32_t offset, const void *in, size_t bytes);

/* Publishes the ring of `queue` and kicks the back-end when it wants that. 0, or -errno. For use by the queue's thread.
 * A kick is a write to an eventfd that both sides hold: a back-end that makes it blocking and fills it holds up this
 * thread, so a host gives a queue of a back-end that it does not trust a thread of its own. */
BOUNCE_API int bounce_frontend_submit(bounce_frontend *frontend, uint32_t queue);

/* Kicks the back-end even if it does not want that: for a poller whose requests have been waiting for long, because what
 * the back-end says of kicks is a hint and may have been wrong. (bounce_frontend_wait() does so by itself, every second
 * and when it ends without a completion.) For use by the queue's thread. */
BOUNCE_API int bounce_frontend_kick(bounce_frontend *frontend, uint32_t queue);

/* Waits until the queue may have completions, the back-end is gone (-ECONNRESET) or timeout_ms have passed (-ETIMEDOUT;
 * UINT32_MAX: no limit). Needs BOUNCE_FRONTEND_CALLS. For use by the queue's thread. */
BOUNCE_API int bounce_frontend_wait(bounce_frontend *frontend, uint32_t queue, uint32_t timeout_ms);

/* Is the back-end still there? 0, -ECONNRESET, or -EPROTO when it sent something that nobody asked for. One poll(2)
 * without waiting; for pollers to call now and then, from any thread. */
BOUNCE_API int bounce_frontend_check(bounce_frontend *frontend);

/* Shows the back-end regions that were added to the pool since; from then on they are used. Takes away those that are
 * drained and empty (VHOST_USER_REM_MEM_REG, where memory slots are negotiated; else they stay until it disconnects), so
 * that they can be removed. -ENOTSUP when it cannot take more; -EINVAL when a region may not be shown (as in connecting).
 */
BOUNCE_API int bounce_frontend_sync_regions(bounce_frontend *frontend);

/* Stops one queue while the others go on: asks the back-end to stop it (GET_VRING_BASE) and waits until it says that it
 * has. What it completed can be collected. What it has not can be aborted where the front-end is trusted
 * (BOUNCE_FRONTEND_TRUSTED); of another one the word is no proof, so its requests stay outstanding until
 * bounce_frontend_disconnect() (bounce_ring_abort() is -EBUSY). The queue may not be in use by another thread, nor be used
 * until it is started. 0; -EALREADY: it is stopped; -EINVAL: no such queue; -ETIMEDOUT, -EPROTO, -ECONNRESET: the
 * connection is over. For the control thread. Source: virtio 1.2, section 2.6.1 (VIRTIO_F_RING_RESET). */
BOUNCE_API int bounce_frontend_stop_queue(bounce_frontend *frontend, uint32_t queue);

/* Starts a queue that was stopped with an empty ring, and with kicks and calls of its own. -EALREADY: it runs; -EBUSY:
 * requests are outstanding; -EMFILE: no eventfds, and it is still stopped; otherwise as stopping. */
BOUNCE_API int bounce_frontend_start_queue(bounce_frontend *frontend, uint32_t queue);

/* After -ECONNRESET, -EPROTO or -ETIMEDOUT, or to begin anew: asks a back-end that is still there to stop its queues (and
 * waits for that no longer than timeout_ms and one second), closes the connection and renews the memory of the pool, so
 * that the old process keeps only what it had. Outstanding requests then end through bounce_ring_abort(). No queue may be
 * in use by another thread. */
BOUNCE_API int bounce_frontend_disconnect(bounce_frontend *frontend);

/* Connects again after bounce_frontend_disconnect(), once every ring has been aborted (-EBUSY otherwise): negotiates
 * anew under the same conditions, lends fresh memory, starts empty rings. The features stay exactly those negotiated
 * at first; -ENOTSUP when the successor lacks one of them, or when the memory could not be renewed. One attempt; on
 * failure the front-end stays disconnected. */
BOUNCE_API int bounce_frontend_reconnect(bounce_frontend *frontend);

#ifdef __cplusplus
}
#endif
#endif
