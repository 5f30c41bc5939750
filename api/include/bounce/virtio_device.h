/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: virtqueues from the device side, for VMMs and back-ends that emulate devices. The conventions are those of
 * bounce/bounce.h. Nothing here needs a pool: the memory is the guest's, and the driver in it is not trusted.
 *
 * Guest memory is any number of regions with holes between them. A virtqueue pops elements: what a driver made available
 * at once, as readable and writable segments in this process. The device works on these and pushes the element with the
 * number of bytes that it wrote.
 *
 * What the driver wrote is read once, checked, and used from a private copy. A driver that breaks the rules of the
 * specification breaks its queue: every call says so with -EPROTO until bounce_virtqueue_reset().
 *
 * Threads: guest memory may be used and changed by any number of threads. A virtqueue is used by one thread at a time.
 */
#ifndef BOUNCE_VIRTIO_DEVICE_H
#define BOUNCE_VIRTIO_DEVICE_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Guest memory ------------------------------------------------------------------------------------------- */

typedef struct bounce_guest_memory bounce_guest_memory;

enum {
    /* Devices may not write to it: an address of it in a writable descriptor is a violation. */
    BOUNCE_GUEST_READ_ONLY = 1u << 0
};

/* [gpa, gpa + bytes) is at [hva, hva + bytes). Of any length above 0; it may end at 2^64, but not go beyond. */
typedef struct bounce_guest_region {
    uint64_t gpa;
    uint64_t bytes;
    void *hva;
    uint32_t flags; /* BOUNCE_GUEST_* */
    uint32_t reserved;
} bounce_guest_region;

/* The device side has written [gpa, gpa + bytes). Called in the thread that wrote, after the write; in several at once.
 * Must not call into the library. */
typedef void (*bounce_dirty_fn)(void *user, uint64_t gpa, uint64_t bytes);

/* Guest memory without regions. -ENOMEM. System call: membarrier. */
BOUNCE_API int bounce_guest_memory_create(bounce_guest_memory **memory);

/* -EBUSY (and nothing happens) while virtqueues on it exist. */
BOUNCE_API int bounce_guest_memory_destroy(bounce_guest_memory *memory);

/* Adds n regions at once: all of them or none. Queues see them from their next call on. -EINVAL: a region is empty,
 * wraps around, or has unknown flags; -EEXIST: it overlaps one that is there, or another of these; -ENOMEM. Thread-safe;
 * may wait for another thread that changes this memory. System calls: membarrier, and what malloc does. */
BOUNCE_API int bounce_guest_memory_add(bounce_guest_memory *memory, const bounce_guest_region *regions, size_t n);

/* Takes away the regions that lie in [gpa, gpa + bytes). No call that begins after it has returned finds them; what was
 * popped before still has their addresses. *ticket (may be NULL) is for bounce_guest_memory_wait(), after which the
 * memory may be unmapped. -ENOENT: none is there; -EINVAL: one lies across the border; -ENOMEM. Otherwise as adding. */
BOUNCE_API int bounce_guest_memory_remove(bounce_guest_memory *memory, uint64_t gpa, uint64_t bytes, uint64_t *ticket);

/* These regions and no others, in one step: what was there before and comes back in another place is never missing in
 * between. Otherwise as adding and removing. */
BOUNCE_API int bounce_guest_memory_set(bounce_guest_memory *memory, const bounce_guest_region *regions, size_t n,
                                       uint64_t *ticket);

/* From now on `dirty` is told of what queues write: used rings and event fields when they are written, of elements what
 * bounce_virtqueue_write() writes, and when they are pushed the first `written` bytes of their writable segments. NULL:
 * nobody is. After bounce_guest_memory_wait(*ticket) no queue does anything without it any more (or, with NULL, calls
 * the one before). -ENOMEM. Thread-safe. */
BOUNCE_API int bounce_guest_memory_log_dirty(bounce_guest_memory *memory, bounce_dirty_fn dirty, void *user,
                                             uint64_t *ticket);

/* Waits until no queue uses the memory as it was before the change of `ticket`: elements popped before it are pushed or
 * dropped, and calls that had begun have returned. 0; -ETIMEDOUT after timeout_ms (0: does not wait; UINT32_MAX: no
 * limit); -EINVAL: no change has had this ticket. Sleeps between looks (50 us to 1 ms), so that queues need not wake
 * anybody. Not in a thread that holds such elements. Thread-safe. */
BOUNCE_API int bounce_guest_memory_wait(bounce_guest_memory *memory, uint64_t ticket, uint32_t timeout_ms);

/* ---- Virtqueue, device side --------------------------------------------------------------------------------- */

typedef struct bounce_virtqueue bounce_virtqueue;

enum {
    BOUNCE_VIRTQUEUE_PACKED = 1u << 0,    /* VIRTIO_F_RING_PACKED was negotiated; else the queue is split */
    BOUNCE_VIRTQUEUE_INDIRECT = 1u << 1,  /* VIRTIO_F_INDIRECT_DESC */
    BOUNCE_VIRTQUEUE_EVENT_IDX = 1u << 2, /* VIRTIO_F_EVENT_IDX */
    BOUNCE_VIRTQUEUE_IN_ORDER = 1u << 3   /* VIRTIO_F_IN_ORDER: pushed in any order, used in the driver's order */
};

enum { BOUNCE_IOVA_READ = 1, BOUNCE_IOVA_WRITE = 2 };

typedef struct bounce_iova_piece {
    uint64_t gpa;
    uint64_t bytes;
} bounce_iova_piece;

/* Where [iova, iova + bytes) is in guest memory for an access of `permission` (BOUNCE_IOVA_*): fills up to `max` pieces
 * that cover it from its beginning on, and returns how many. When they cover less than all of it, it is called again for
 * the rest. -EAGAIN: not known yet (a miss): the call that needed it returns -EAGAIN, changes nothing, and can be made
 * again. Any other -errno: the driver may not use this address, which is a violation. Called in the queue's thread; must
 * not call into the library. Source: virtio 1.2, VIRTIO_F_ACCESS_PLATFORM. */
typedef int (*bounce_iova_fn)(void *user, uint64_t iova, uint64_t bytes, uint32_t permission, bounce_iova_piece *pieces,
                              uint32_t max);

/* What a driver did against the specification: the kind of a struct bounce_violation. */
enum bounce_driver_violation {
    BOUNCE_DRIVER_AVAIL_INDEX = 32,  /* more is available than the queue has descriptors that are not in use */
    BOUNCE_DRIVER_HEAD = 33,         /* a head that the queue does not have */
    BOUNCE_DRIVER_IN_USE = 34,       /* a head or buffer id that the device has already */
    BOUNCE_DRIVER_NEXT = 35,         /* a chain leaves the descriptor table, or its indirect table */
    BOUNCE_DRIVER_CHAIN = 36,        /* a chain that is longer than allowed, as one that goes round */
    BOUNCE_DRIVER_INDIRECT = 37,     /* an indirect descriptor that was not negotiated, is nested, or has NEXT */
    BOUNCE_DRIVER_TABLE_LENGTH = 38, /* an indirect table of 0 bytes, not a multiple of 16, or too long */
    BOUNCE_DRIVER_ORDER = 39,        /* a readable descriptor behind a writable one */
    BOUNCE_DRIVER_LENGTH = 40,       /* a descriptor of 0 bytes, or a chain above 2^32 bytes */
    BOUNCE_DRIVER_ADDRESS = 41,      /* an address that is not guest memory, wraps around, or may not be used so */
    BOUNCE_DRIVER_RING_ADDRESS = 42  /* the same for a part of the ring itself */
};

typedef struct bounce_virtqueue_options {
    size_t size;             /* sizeof(bounce_virtqueue_options) */
    const char *name;        /* of the device, for reports: at most 63 bytes; NULL = "device" */
    uint32_t queue_size;     /* split: power of two, 2 to 32768; packed: 1 to 32768 */
    uint32_t flags;          /* BOUNCE_VIRTQUEUE_* */
    uint32_t index;          /* which queue of its device this is: for reports, and for notification data */
    uint32_t max_chain;      /* longest chain, in descriptors; 0 = queue_size; more (to 32768) is for indirect tables of
                              * drivers that do not keep to the queue size */
    uint64_t desc_addr;      /* descriptor area: split 16 bytes a descriptor; packed the ring; aligned to 16 */
    uint64_t driver_addr;    /* driver area: split the avail ring, aligned to 2; packed the event structure, to 4 */
    uint64_t device_addr;    /* device area: split the used ring; packed the event structure; aligned to 4 */
    uint16_t avail_index;    /* where to begin; split: the index; packed: the position, and the wrap counter in bit 15 */
    uint16_t used_index;     /* (both counters of a new packed ring are 1: 0x8000) */
    uint32_t reserved;
    bounce_iova_fn translate; /* NULL: addresses of the driver are guest-physical; else all of them are IOVAs */
    void *translate_user;
    bounce_violation_fn violation; /* may be NULL */
    void *violation_user;
} bounce_virtqueue_options;

/* Each part of the ring must lie in one region, in one piece (else -ENOTSUP). -EINVAL: options that contradict each other
 * or the specification; -EFAULT: a part of the ring is not guest memory; -EAGAIN: a translation is missing; -ENOMEM.
 * Source: virtio 1.2, sections 2.7 (split virtqueues) and 2.8 (packed virtqueues). */
BOUNCE_API int bounce_virtqueue_create(bounce_guest_memory *memory, const bounce_virtqueue_options *options,
                                       bounce_virtqueue **queue);

/* -EBUSY (and nothing happens) while elements are popped and neither pushed nor dropped. */
BOUNCE_API int bounce_virtqueue_destroy(bounce_virtqueue *queue);

/* Begins anew after a reset of the device or of the queue, with new options (NULL: those of before, with both indices at
 * their beginning). -EBUSY as for destroy; errors as for create, and then the queue is as it was. */
BOUNCE_API int bounce_virtqueue_reset(bounce_virtqueue *queue, const bounce_virtqueue_options *options);

typedef struct bounce_element_segment {
    void *hva;
    uint64_t gpa;
    uint64_t bytes;
} bounce_element_segment;

/* What the driver made available at once. The caller's storage, and so are its segments. Set the first two fields before
 * pop; the rest is the library's answer, not to be changed until the element is pushed. */
typedef struct bounce_element {
    bounce_element_segment *segments; /* room for max_segments */
    uint32_t max_segments;
    uint32_t n_out;      /* segments for the device to read: the first ones */
    uint32_t n_in;       /* segments for it to write: those behind. A descriptor that crosses regions is several */
    uint32_t id;         /* head of the chain; packed: buffer id */
    uint64_t out_bytes;
    uint64_t in_bytes;
    uint32_t life;
    uint32_t reserved;
} bounce_element;

/* Takes the next element. 1; 0: there is none; -ENOBUFS: it has more segments than there is room for (n_out + n_in is how
 * many to have; where regions are split further, call again); -EAGAIN: a translation is missing (bounce_virtqueue_info
 * has what); after both it is still to be popped. -EPROTO: the driver broke the protocol. */
BOUNCE_API int bounce_virtqueue_pop(bounce_virtqueue *queue, bounce_element *element);

/* Takes up to n elements. How many; an error only when there is none before it. */
BOUNCE_API int bounce_virtqueue_pop_many(bounce_virtqueue *queue, bounce_element *elements, size_t n);

/* Gives an element back, with the number of bytes that were written, from the beginning of its writable segments on. The
 * driver sees it after bounce_virtqueue_flush(). -EINVAL: more than in_bytes, and nothing happened; -EALREADY: it is not
 * out; -EPROTO: the queue is broken, and the element is dropped; -EAGAIN: as pop. */
BOUNCE_API int bounce_virtqueue_push(bounce_virtqueue *queue, const bounce_element *element, uint32_t written);

/* Gives up to n elements back, elements[i] with written[i]. How many, from the first on; an error only when the first
 * fails. */
BOUNCE_API int bounce_virtqueue_push_many(bounce_virtqueue *queue, const bounce_element *elements,
                                          const uint32_t *written, size_t n);

/* bounce_virtqueue_push() and bounce_virtqueue_flush() in one call. */
BOUNCE_API int bounce_virtqueue_complete(bounce_virtqueue *queue, const bounce_element *element, uint32_t written);

/* Ends an element that the driver is not told of, before a reset. -EALREADY. */
BOUNCE_API int bounce_virtqueue_drop(bounce_virtqueue *queue, const bounce_element *element);

/* Shows the driver what was pushed, at once. 0, -EPROTO, -EAGAIN. */
BOUNCE_API int bounce_virtqueue_flush(bounce_virtqueue *queue);

/* Flushes, and says whether the driver wants a call (interrupt) for what was flushed since this was asked before. 1, 0,
 * -EPROTO, -EAGAIN. A device whose driver polls need not ask: it costs a full barrier. */
BOUNCE_API int bounce_virtqueue_needs_call(bounce_virtqueue *queue);

/* Asks the driver for a kick at the next element. 1: there is one already, pop instead of waiting. 0, -EPROTO, -EAGAIN. */
BOUNCE_API int bounce_virtqueue_enable_kicks(bounce_virtqueue *queue);
/* Tells the driver that kicks are not needed. */
BOUNCE_API int bounce_virtqueue_disable_kicks(bounce_virtqueue *queue);

/* What a kick carried, with VIRTIO_F_NOTIFICATION_DATA: how many descriptors (packed) or elements (split) the driver says
 * are available. A hint: pop looks for itself. -EINVAL: it is for another queue, or says more than the queue can hold.
 * Source: virtio 1.2, section 2.9 (driver notifications). */
BOUNCE_API int bounce_virtqueue_notified(bounce_virtqueue *queue, uint32_t data);

/* Translates the parts of the ring anew with the next call: after an IOTLB entry was invalidated. */
BOUNCE_API int bounce_virtqueue_retranslate(bounce_virtqueue *queue);

/* Copies from the readable segments, or to the writable ones, `bytes` from `offset` on. -ERANGE: the element does not
 * have them, and nothing was copied; -EALREADY. */
BOUNCE_API int bounce_virtqueue_read(bounce_virtqueue *queue, const bounce_element *element, uint64_t offset, void *to,
                                     size_t bytes);
BOUNCE_API int bounce_virtqueue_write(bounce_virtqueue *queue, const bounce_element *element, uint64_t offset,
                                      const void *from, size_t bytes);

/* Reports [offset, offset + bytes) of the writable segments as dirty: for what was written past the number that push is
 * told. Errors as for write. */
BOUNCE_API int bounce_virtqueue_mark_dirty(bounce_virtqueue *queue, const bounce_element *element, uint64_t offset,
                                           uint64_t bytes);

typedef struct bounce_virtqueue_info {
    uint16_t avail_index; /* where it goes on, as in the options: for GET_VRING_BASE, and to save it */
    uint16_t used_index;  /* the same of what was flushed */
    uint32_t outstanding; /* elements that are out */
    uint64_t popped;
    uint64_t pushed;
    uint32_t broken;      /* 0, or enum bounce_driver_violation */
    uint32_t miss_permission; /* of the last translation that was missing; 0: none was */
    uint64_t got;         /* when broken: what the driver said, and the bound or value it had to keep to */
    uint64_t expected;
    uint64_t miss_iova;
    uint64_t miss_bytes;
} bounce_virtqueue_info;

BOUNCE_API int bounce_virtqueue_get_info(bounce_virtqueue *queue, bounce_virtqueue_info *info);

#ifdef __cplusplus
}
#endif
#endif
