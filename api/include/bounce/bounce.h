/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: a swiotlb for userspace. The C ABI; this header is the manual.
 *
 * A *pool* is memory that a device may see. Private buffers are *mapped*: copied into a slot of the pool
 * (to_device) or given a slot that is copied back at unmap (from_device). The address a mapping carries is the
 * guest-physical address (GPA) of the slot; that address, never a private one, goes to the device. Rings and
 * control blocks live in *coherent* memory of the pool, which both sides see at once.
 *
 * Conventions
 *   Return values  0 or a count on success, a negative errno value on failure. bounce_last_error() has a sentence
 *                  that names what was wrong and what was expected.
 *   Options        every option struct begins with its own size: set it to sizeof, zero the rest. A field that the
 *                  library does not know must be zero, a field that the caller does not know counts as zero.
 *                  Zero is always the default.
 *   Handles        opaque; created and destroyed by the caller. Destroying NULL does nothing.
 *   Threads        a pool and a device may be used by any number of threads at once. A ring and a front-end are
 *                  used by one thread at a time (different rings of one front-end by different threads).
 *   Blocking       nothing blocks but the bounce_frontend_* functions, each up to its timeout, what grows or shrinks a
 *                  pool, and what waits for memory (bounce/waiting.h). (A hostile back-end can
 *                  hold up a kick, see bounce_frontend_submit.) Mapping may wait for another thread that takes or gives
 *                  back pages of the pool at that moment.
 *   Fork           a forked child has no pool: every call there returns -EOWNERDEAD.
 *   Side effects   no threads, no signal handlers, no output, no exit, no exception.
 *
 * Errors, the same everywhere
 *   -EINVAL       an argument is wrong in itself
 *   -ENOMEM       private memory (heap, tables) or the mapping of a region could not be had
 *   -ENOSPC       the pool is full: what was asked for would fit, but not now
 *   -EDQUOT       the device would be beyond its ceiling (bounce/quota.h)
 *   -E2BIG        no region of the pool, even if empty, could hold this, nor one that it can grow by
 *   -ERANGE       memory exists, but not below the device's address mask
 *   -EDOM         it would cross the device's segment boundary wherever it was
 *   -EFAULT       the address is not the start of anything that was handed out (foreign, misaligned, out of range)
 *   -EALREADY     this token is not live: it was unmapped or freed before, or never mapped
 *   -ESTALE       the token is a copy of one that has been unmapped or freed, or the memory behind it was renewed
 *   -EXDEV        the token belongs to another device or pool
 *   -EPERM        wrong kind or direction: e.g. unmapping ring memory, syncing against the direction
 *   -EBUSY        something still depends on the object
 *   -EAGAIN       the ring has no free descriptor now: collect first; a wait is not over (bounce/waiting.h)
 *   -EPROTO       the device broke the protocol; the ring or connection is broken until reset, or the device is in
 *                 quarantine (bounce/quarantine.h)
 *   -ECONNRESET   the device is gone
 *   -ETIMEDOUT    the device did not answer in time, or no memory came in time
 *   -ECANCELED    a wait was cancelled for its device
 *   -ENOTSUP      the device or the pool cannot do this
 *   -EOWNERDEAD   called in a forked child
 */
#ifndef BOUNCE_BOUNCE_H
#define BOUNCE_BOUNCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOUNCE_VERSION_MAJOR 0
#define BOUNCE_VERSION_MINOR 1
#define BOUNCE_VERSION_PATCH 0

#if defined(__GNUC__)
#define BOUNCE_API __attribute__((visibility("default")))
#else
#define BOUNCE_API
#endif

/* ---- The library -------------------------------------------------------------------------------------------- */

/* Version of the library at run time: major << 16 | minor << 8 | patch. Thread-safe. */
BOUNCE_API uint32_t bounce_version(void);

/* The last failure in this thread, as one sentence without a newline. Never NULL; "" when nothing failed yet. Valid
 * until the next failure in this thread. */
BOUNCE_API const char *bounce_last_error(void);

/* What -code means in this library ("the pool is full"), for a code returned by any function. Static text. */
BOUNCE_API const char *bounce_error_text(int code);

enum bounce_log_level { BOUNCE_LOG_ERROR = 0, BOUNCE_LOG_WARNING = 1, BOUNCE_LOG_INFO = 2, BOUNCE_LOG_DEBUG = 3 };

/* Receives one line, without a newline. Called in the thread that caused it, rate-limited (a line says how many were
 * left out). Must not call into the library. */
typedef void (*bounce_log_fn)(void *user, int level, const char *line);

enum bounce_violation_kind {
    BOUNCE_VIOLATION_USED_ID = 1,     /* used id out of range, not in use, or not the head of a chain */
    BOUNCE_VIOLATION_USED_INDEX = 2,  /* used index ran ahead of what is outstanding */
    BOUNCE_VIOLATION_USED_LENGTH = 3, /* more bytes reported than the device could write; clamped */
    BOUNCE_VIOLATION_REPLY = 4,       /* vhost-user reply malformed, too long, or with wrong descriptors */
    BOUNCE_VIOLATION_CONFIG = 5,      /* configuration space holds impossible values */
    BOUNCE_VIOLATION_ACCESS = 6       /* touched memory that is not shared with it (bounce/emulator.h) */
};

/* What a device did against the protocol. Both values are as the device wrote them; text is a sentence. */
typedef struct bounce_violation {
    int kind;           /* enum bounce_violation_kind */
    uint32_t ring;      /* index of the ring, UINT32_MAX when it was not a ring */
    uint64_t got;       /* what the device said */
    uint64_t expected;  /* the bound or value it had to keep to */
    const char *device; /* name of the device */
    const char *text;
} bounce_violation;

/* Reports a violation. Called in the thread that noticed it, rate-limited. Must not call into the library. */
typedef void (*bounce_violation_fn)(void *user, const bounce_violation *violation);

/* ---- Pool and regions --------------------------------------------------------------------------------------- */

typedef struct bounce_pool bounce_pool;

enum {
    /* 2 MiB hugepages where there are any; ordinary pages otherwise (the log says so). */
    BOUNCE_REGION_HUGEPAGES = 1u << 0,
    /* Touch every page at creation. */
    BOUNCE_REGION_PREFAULT = 1u << 1,
    /* The NUMA node in `node` is meant (a zeroed struct leaves placement to the kernel). */
    BOUNCE_REGION_NODE = 1u << 2,
    /* Serves only devices that name the region (`regions` in bounce_device_options), and is never lent to a back-end by
     * bounce_frontend_connect(). Source: the reserved-memory binding restricted-dma-pool of the device tree. */
    BOUNCE_REGION_RESTRICTED = 1u << 3
};

/* From which NUMA node memory is taken when the pool has regions on several. The home of a mapping is the node of the
 * thread that maps, or with PREFERRED and STRICT the node of the device when it has one (BOUNCE_DEVICE_NODE). Nodes are
 * ordered by the distances that the machine says. A region without BOUNCE_REGION_NODE counts as being at every node.
 * STRICT is -ENOSPC when the home node's regions are full, -ERANGE when none of them is below the mask, and -E2BIG when
 * none is large enough or the node has no region at all: always as if the pool had no others. */
enum bounce_numa_policy {
    BOUNCE_NUMA_LOCAL = 0,      /* home, then by distance; the device's node decides between equally far ones */
    BOUNCE_NUMA_PREFERRED = 1,  /* the same, but home is the device's node */
    BOUNCE_NUMA_INTERLEAVE = 2, /* the nodes take turns; from the next ones when one is full */
    BOUNCE_NUMA_STRICT = 3      /* home and nowhere else */
};

/* A stretch of shared memory with a GPA range. Either the library makes it (hva == NULL: a memfd of its own, sealed
 * against shrinking and growing), or the caller hands in a mapping that stays the caller's and must outlive the pool,
 * or the removal of the region. */
typedef struct bounce_region_options {
    size_t size;         /* sizeof(bounce_region_options) */
    uint64_t bytes;      /* multiple of 4096, at least 65536 */
    uint64_t base_gpa;   /* GPA of the first byte, multiple of 4096; ranges of one pool must not overlap */
    uint32_t flags;      /* BOUNCE_REGION_* */
    uint32_t node;       /* NUMA node (operating system index), with BOUNCE_REGION_NODE */
    void *hva;           /* NULL, or an existing read-write mapping of `bytes`, aligned to 4096 */
    int32_t fd_plus_one; /* with hva: descriptor behind the mapping + 1 (duplicated), 0 = none; needed by a process peer */
    uint32_t reserved;
    uint64_t fd_offset;  /* with hva: offset of the mapping in that descriptor */
} bounce_region_options;

enum {
    /* An allocation (a map, too) that would fail grows the pool by itself, in its thread: it may then make the system
     * calls of bounce_pool_service(), call the share hook, and wait for another thread that grows or shrinks the pool. */
    BOUNCE_POOL_INLINE_GROWTH = 1u << 0,
    /* Grown regions are filled with pages, chunk by chunk, in the thread that grows: what is used is committed. */
    BOUNCE_POOL_GROWTH_PREFAULT = 1u << 1,
    /* A region as in `region` on every node that has memory: `bytes` each, the first at `base_gpa`, the next behind it,
     * in the order of the nodes' numbers. Not with hva, nor with BOUNCE_REGION_NODE, nor with limit_bytes. */
    BOUNCE_POOL_EACH_NODE = 1u << 2,
    /* Ends of mappings are not checked for who holds them: one that is ended twice, or with a token of an earlier life of
     * its slot, is not refused (-EALREADY, -ESTALE) and may hand one slot to two. Addresses, sizes and damaged tokens are
     * checked as ever, and so is all coherent memory. For callers who keep their own books, and for measurements. */
    BOUNCE_POOL_UNCHECKED = 1u << 3
};

/* Makes [hva, hva + bytes), which is [gpa, gpa + bytes), visible to the device side, or private again. 0, or a negative
 * errno value when the conversion failed. Called for one chunk at a time: at most 2 MiB, between two 2 MiB boundaries of
 * the GPA, multiples of the granule. A chunk is shared before anything of it is handed out, and unshared when its region
 * is removed or the pool destroyed; unshare includes every mapping that a peer holds. Content need not survive: the
 * library zeroes the chunk before and after each conversion, so after each it must be accessible at hva. A chunk that
 * could not be shared is not used. One that could not be unshared is never used again, never unmapped and never given
 * back to the kernel, also not when the pool is destroyed. Both are logged. Called in the thread that creates, grows,
 * shrinks or destroys, one call at a time for a pool. Must not call into the library. */
typedef int (*bounce_share_fn)(void *user, uint64_t gpa, void *hva, uint64_t bytes);

typedef struct bounce_pool_options {
    size_t size;                  /* sizeof(bounce_pool_options) */
    const char *name;             /* at most 63 bytes; shown by tools and in /proc/PID/maps; NULL = "bounce" */
    bounce_region_options region; /* the first region; its size field counts too */
    uint32_t flags;               /* BOUNCE_POOL_* */
    uint32_t reserved;
    bounce_log_fn log;            /* may be NULL */
    void *log_user;
    bounce_violation_fn violation; /* may be NULL */
    void *violation_user;
    uint64_t limit_bytes;         /* the pool grows up to this many bytes of shared memory in all; 0: it does not grow */
    uint64_t low_watermark;       /* bytes free below which it grows; 0: a quarter of what it has */
    uint64_t high_watermark;      /* bytes free above which it shrinks; 0: three quarters of what it has */
    uint64_t growth_base_gpa;     /* grown regions are within limit_bytes from this GPA on, which nothing else may use:
                                   * a multiple of 2 MiB; 0: the first one behind the first region */
    bounce_share_fn share;        /* may be NULL: the memory needs no conversion; both or none */
    bounce_share_fn unshare;
    void *share_user;
    uint32_t share_granule;       /* power of two up to 2 MiB: regions begin and end at multiples of it; 0 = 4096 */
    uint32_t shrink_delay_ms;     /* how long the free memory is above the high watermark before it shrinks; 0: it never
                                   * does */
    uint32_t numa_policy;         /* enum bounce_numa_policy; of devices that do not have their own */
    uint32_t reserved2;
} bounce_pool_options;

/* Creates a pool with its first region. -EINVAL also when there is no such NUMA node. Reads the machine (milliseconds)
 * when a node is named. Grown regions are on the node of the first. With share hooks all of the first region
 * is shared before it returns; when not one chunk of it can be, the pool is not created and the hook's error is returned. */
BOUNCE_API int bounce_pool_create(const bounce_pool_options *options, bounce_pool **pool);

/* Destroys the pool. -EBUSY (and nothing happens) while a device of it exists. */
BOUNCE_API int bounce_pool_destroy(bounce_pool *pool);

/* Adds a region; its index is the number of indexes before, or that of a removed region with the same base_gpa, bytes and
 * node that the library had made. At most 64 indexes. One on each NUMA node, with BOUNCE_REGION_NODE, lets every thread
 * have memory near to it (enum bounce_numa_policy). While the pool is lent to a back-end, nothing is handed out of it
 * before bounce_frontend_sync_regions() has shown it to that back-end. With share hooks, as in bounce_pool_create().
 * -EINVAL also for what lies where the pool grows, and for a node that there is not (with hva that counts as none). */
BOUNCE_API int bounce_pool_add_region(bounce_pool *pool, const bounce_region_options *options);

enum bounce_region_state {
    BOUNCE_REGION_ACTIVE = 0,
    BOUNCE_REGION_DRAINING = 1, /* nothing new is handed out of it */
    BOUNCE_REGION_RETIRING = 2, /* it is being removed */
    BOUNCE_REGION_REMOVED = 3   /* it has no memory; the index is kept for its range */
};

typedef struct bounce_region_info {
    uint64_t base_gpa;
    uint64_t bytes;
    void *hva;
    int fd; /* owned by the pool; -1 when there is none */
    uint32_t page_bytes; /* size of the pages behind it: 4096 or 2 MiB */
    uint64_t fd_offset;
    uint32_t generation; /* how often its memory was replaced: renewed, or removed and made again */
    uint32_t imported;   /* 1: the caller's mapping */
    uint64_t used_bytes; /* whole pages with something handed out, or handed out lately; 0: empty */
    uint64_t refused_bytes; /* in chunks that could not be shared or unshared */
    uint32_t state;      /* enum bounce_region_state */
    uint32_t usable;     /* 0: waits for bounce_frontend_sync_regions(), or is taken from the back-end */
    int32_t node;        /* NUMA node that was asked for (operating system index); -1: the kernel places it */
    uint32_t restricted; /* 1: with BOUNCE_REGION_RESTRICTED */
} bounce_region_info;

/* Describes region `index`; -EINVAL when there is none. */
BOUNCE_API int bounce_pool_region(bounce_pool *pool, uint32_t index, bounce_region_info *info);

/* Nothing new is handed out of region `index`, any region; what is out of it goes on, and is given back as ever. The
 * region is empty when its used_bytes are 0. There is no way back but removal. -EINVAL: no such region, or removed.
 * Thread-safe; may wait for another thread that grows or shrinks the pool. System calls: membarrier. */
BOUNCE_API int bounce_pool_drain_region(bounce_pool *pool, uint32_t index);

/* Takes the memory of a drained, empty region away: unshares it chunk by chunk, unmaps and closes it. Its addresses stay
 * reserved and its private tables stay, so a token that was given back before is an error for ever, and no address of it
 * comes to mean something else. -EBUSY, and nothing happens: it is not drained, it is not empty, or a back-end sees it
 * (bounce_frontend_sync_regions() takes it away). -EINVAL: no such region, or removed. A hook's error: it is removed, but
 * for a chunk that stays mapped for ever. -ENOMEM: call it again. A mapping of the caller's is only unshared; it is the
 * caller's own again. Thread-safe, while others map and unmap. System calls: fallocate, mmap, close, membarrier; those of
 * the unshare hook. */
BOUNCE_API int bounce_pool_remove_region(bounce_pool *pool, uint32_t index);

/* Does what is due: shares the next chunks of a region that came; or adds a region, when less than the low watermark is
 * free or a request failed that growing would have served; or shrinks: drains the newest grown region when more than the
 * high watermark has been free for shrink_delay_ms (as far as these calls saw) and at least the low watermark would be
 * left, and removes it once it is empty. Each call does one step: one region, or 8 chunks of 2 MiB. 1: there is more to
 * do now, call again; 0: there is not; -errno: a step failed and the rest goes on with the next call (-ENOMEM; a hook's
 * error names the chunk, which is left out). Nothing to do on a pool without limit_bytes.
 *
 * To be called when bounce_pool_event_fd() is readable and, if the pool is to shrink, now and then (every shrink_delay_ms
 * is enough). As long as it is called in time, no request fails that fits the limit while less than the low watermark is
 * allocated between the event and the end of its service. Sizes are geometric: each region doubles the pool (and is as
 * large as a request that failed), so that 32 regions reach any limit.
 *
 * While the pool is lent to a vhost-user back-end, regions are used once bounce_frontend_sync_regions() has shown them,
 * and removed once it has taken them away: call that, in the front-end's thread, after each round of service (it does
 * nothing when there is nothing to do). The pool does not grow beyond the memory slots that the back-end has.
 *
 * Thread-safe, while others map and unmap. Blocks for as long as its step takes, and while another thread adds or removes
 * regions. System calls: read (of the eventfd), memfd_create, ftruncate, fcntl, mmap, mprotect, madvise, munmap,
 * fallocate, mremap, close, membarrier; what malloc does; with a NUMA node, what hwloc does; those of the hooks. */
BOUNCE_API int bounce_pool_service(bounce_pool *pool);

/* An eventfd of the pool that becomes readable (POLLIN) when service is wanted: less than the low watermark is free, or a
 * request failed for which the pool could grow. Poll it, do not read it: bounce_pool_service() does. The allocation that
 * notices writes to it, one write(2) between two calls of bounce_pool_service(). Belongs to the pool and lives as long.
 * -ENOTSUP: the pool has no limit_bytes. */
BOUNCE_API int bounce_pool_event_fd(bounce_pool *pool);

/* Replaces the memory of every region by fresh, zeroed memory at the same addresses (HVA and GPA). Whoever still maps
 * the old memory sees only that. Tokens stay good for giving their slots back, but unmapping a from_device mapping of
 * before copies nothing and returns -ESTALE (the slot is free all the same). -ENOTSUP when a region was handed in by
 * the caller or the pool has share hooks; -EBUSY while the pool is lent to a back-end. Rings end with -ESTALE and must
 * be aborted and reset. Safe against concurrent map and unmap. */
BOUNCE_API int bounce_pool_renew(bounce_pool *pool);

typedef struct bounce_pool_stats {
    uint64_t bytes;              /* shared memory, all regions */
    uint64_t used_bytes;         /* in slots that are handed out (slot sizes, not payload) */
    uint64_t used_bytes_hiwater; /* with what threads and rings kept for themselves: at most 1/64 of the pool more */
    uint64_t slots;              /* handed out now: mappings + coherent + buffers */
    uint64_t mappings;           /* of these: streaming mappings */
    uint64_t coherent;           /* coherent allocations */
    uint64_t buffers;            /* born-shared buffers */
    uint64_t maps;               /* mappings ever made */
    uint64_t full;               /* requests that failed with -ENOSPC */
    uint64_t violations;         /* by devices of this pool */
    uint32_t regions;            /* indexes, those of removed regions included */
    uint32_t reserved;
    uint64_t grows;              /* regions that came by growing */
    uint64_t shrinks;            /* regions that went by shrinking */
    uint64_t quarantined;        /* slots held back because their device was not reset (bounce/quarantine.h) */
    uint64_t quarantined_bytes;  /* of these; not among used_bytes */
} bounce_pool_stats;

/* A snapshot; the figures of one snapshot may be some operations apart from each other. Thread-safe. */
BOUNCE_API int bounce_pool_get_stats(bounce_pool *pool, bounce_pool_stats *stats);

/* Translates between addresses. [gpa, gpa + bytes) must lie in one region, else -EFAULT. Thread-safe, lock-free but for a
 * pool with a device that is debugged: there gpa_to_hva refuses (-EPERM) what such a device has mapped. */
BOUNCE_API int bounce_pool_gpa_to_hva(bounce_pool *pool, uint64_t gpa, size_t bytes, void **hva);
BOUNCE_API int bounce_pool_hva_to_gpa(bounce_pool *pool, const void *hva, size_t bytes, uint64_t *gpa);

/* ---- Device: the DMA API ------------------------------------------------------------------------------------ */

typedef struct bounce_device bounce_device;

enum {
    /* The NUMA node in `node` is that of the device. */
    BOUNCE_DEVICE_NODE = 1u << 0,
    /* `numa_policy` is meant (a zeroed struct has the pool's). */
    BOUNCE_DEVICE_NUMA_POLICY = 1u << 1,
    /* The library keeps a record of each mapping and block: they can be ended by address (bounce/records.h) and saved
     * (bounce/save.h). */
    BOUNCE_DEVICE_RECORDS = 1u << 8,
    /* How mappings are used is watched, and misuse reported: bounce/debug.h. */
    BOUNCE_DEVICE_DEBUG = 1u << 9
};

/* How content is copied into slots (copies back are always ordinary ones). */
enum bounce_copy_policy {
    /* What suits the device, found out while it works; see bounce_reuse_policy. */
    BOUNCE_COPY_AUTO = 0,
    /* Through the caches: best when the device runs on this core or a near one, or its DMA does not touch caches. */
    BOUNCE_COPY_MEMCPY = 1,
    /* Past the caches, from 512 bytes on: best when the device runs on a far core. An ordinary copy on processors other
     * than x86-64. What was mapped is visible to the device when the mapping call returns, or, in a ring, before
     * bounce_ring_publish() shows the request. */
    BOUNCE_COPY_NONTEMPORAL = 2
};

/* Which free slot a mapping gets. */
enum bounce_reuse_policy {
    /* Both policies are chosen together: about 1,000 mappings after creation, when what it costs has changed, and rarely
     * after that (less than 1 % of the mappings) the library tries the choices that the options leave open, times them by
     * the processor's counter, and keeps the one that is clearly better; the others cost what they cost meanwhile. A trial
     * takes at most 45,000 mappings of 4 KiB. Without a choice left open there is no trial, no clock is read, and what
     * happens depends on the calls alone. */
    BOUNCE_REUSE_AUTO = 0,
    /* The one given back last: best when the device does not touch it from another core's cache. */
    BOUNCE_REUSE_LIFO = 1,
    /* In turn, within reuse_window_bytes of slots: best for a device on another core that shares a cache. */
    BOUNCE_REUSE_WINDOW = 2,
    /* In turn, over the whole pool. */
    BOUNCE_REUSE_FIFO = 3
};

/* What is zeroed of the slot of a mapping, so that a device that is confined to what it was given does not find there what
 * was mapped before. See docs/streaming.md for what it costs, and why NONE is the default: all devices that see a region
 * saw its slots when they were mapped. */
enum bounce_scrub {
    BOUNCE_SCRUB_NONE = 0,
    /* What the slot has before and behind the mapping. */
    BOUNCE_SCRUB_TAIL = 1,
    /* At map: all of the slot that no private content is copied into (from_device, SKIP_SYNC). At unmap: all of it. */
    BOUNCE_SCRUB_ALL = 2
};
/* Where private memory is for a device that gets it as it is: 0, and in *address that of [buf, buf + bytes); or a negative
 * errno value when it has none there, in one piece. It may map the memory in an IOMMU. Called in the thread that maps, in
 * many at once; must not call into the library. */
typedef int (*bounce_translate_fn)(void *user, const void *buf, size_t bytes, int direction, uint64_t *address);

/* The device is done with what was translated. In the thread that unmaps. */
typedef void (*bounce_untranslate_fn)(void *user, uint64_t address, size_t bytes);

struct bounce_policy; /* bounce/policy.h */

typedef struct bounce_device_options {
    size_t size;                 /* sizeof(bounce_device_options) */
    const char *name;            /* at most 63 bytes; NULL = "device" */
    uint64_t dma_mask;           /* highest address that streaming mappings may have; 0 = no limit */
    uint64_t coherent_dma_mask;  /* the same for coherent memory; 0 = no limit */
    uint64_t max_segment_bytes;  /* longest single mapping; 0 = no limit */
    uint32_t flags;              /* BOUNCE_DEVICE_* */
    uint32_t reserved;
    uint32_t copy_policy;        /* enum bounce_copy_policy */
    uint32_t reuse_policy;       /* enum bounce_reuse_policy */
    uint64_t reuse_window_bytes; /* with AUTO and WINDOW: 4096 to 1/8 of the pool; 0 = 4 MiB, or 1/8 when that is less */
    uint32_t node;               /* NUMA node (operating system index), with BOUNCE_DEVICE_NODE */
    uint32_t numa_policy;        /* enum bounce_numa_policy, with BOUNCE_DEVICE_NUMA_POLICY */
    const struct bounce_debug_options *debug; /* with BOUNCE_DEVICE_DEBUG; NULL: each mapping, reports to the log */
    uint64_t regions;            /* its trust domain: bit i is region i, all of them BOUNCE_REGION_RESTRICTED; 0 = all
                                  * regions, also those to come, that are not */
    uint64_t min_align_mask;     /* 2^k - 1, below 2 MiB: these bits of a mapping's address equal those of the private
                                  * buffer's address (dma_set_min_align_mask()); 0 = none */
    uint64_t segment_boundary;   /* power of two from 64 on: no mapping crosses a multiple of it; 0 = none */
    uint32_t max_segments;       /* most segments of one list (bounce/streaming.h); 0 = no limit */
    uint8_t scrub_at_map;        /* enum bounce_scrub */
    uint8_t scrub_at_unmap;      /* the same, when a slot is given back */
    uint16_t reserved2;
    const struct bounce_policy *policy;  /* an answer of bounce_policy_decide(), read at once; NULL: all bounces */
    bounce_translate_fn translate;       /* with policy; NULL: all bounces, also what needs not */
    bounce_untranslate_fn untranslate;   /* with translate; may be NULL */
    void *translate_user;
} bounce_device_options;

/* Creates a device of the pool: who maps, with which limits, and from which NUMA node all that it takes comes (mappings,
 * coherent memory, buffers). -EINVAL also when there is no such node; the pool need not have a region there.
 * A device with `regions` takes memory from these alone, streaming and coherent, and the pool does not grow for it. Devices
 * of one pool name the same regions or none in common (-EBUSY), so no page ever serves two trust domains. The first device
 * of a domain finds fresh memory: what devices before left there is renewed away, or zeroed where the memory is the
 * caller's or was converted by hooks.
 *
 * With a policy the device is what that says, or is not created: -EPERM with the reason when it is a refusal, -ENOTSUP when
 * the addresses of the pool do not have its form. The smaller ones of both masks hold. Where it allows data to go as it is,
 * and with `translate`, mappings have the address of the private buffer, without slot and copy; sync does nothing. Those
 * that the device cannot have so (above its mask, misaligned, not whole granules, or not translated) bounce when the policy
 * is BOUNCE_LEVEL_WHEN_NEEDED, and fail when it is NEVER: -ERANGE, -EINVAL, or what `translate` returned. Such a mapping is
 * in no table of the library: a copy of a token that was unmapped is not noticed, and neither do statistics of the pool
 * count it. Thread-safe. */
BOUNCE_API int bounce_device_create(bounce_pool *pool, const bounce_device_options *options, bounce_device **device);

/* -EBUSY (and nothing happens) while mappings, coherent memory, buffers or rings of it exist; with BOUNCE_DEVICE_DEBUG
 * each of them is reported. */
BOUNCE_API int bounce_device_destroy(bounce_device *device);

/* Values as in Linux's enum dma_data_direction. */
enum bounce_direction { BOUNCE_BIDIRECTIONAL = 0, BOUNCE_TO_DEVICE = 1, BOUNCE_FROM_DEVICE = 2 };

enum {
    /* Copy the private content into the slot also for from_device, so that what the device does not write keeps its
     * value at unmap. Shows the device that content. */
    BOUNCE_MAP_PRESERVE = 1u << 0,
    /* Do not copy: not at map, not at unmap (DMA_ATTR_SKIP_CPU_SYNC). The caller syncs. Not together with PRESERVE. */
    BOUNCE_MAP_SKIP_SYNC = 1u << 1,
    /* The memory lies inside a born-shared buffer of this pool: no slot and no copy, at map, unmap and sync. The buffer is
     * not freed before (-EBUSY, of the device that has it mapped). Not together with PRESERVE. Without this flag such
     * memory is bounced as any other: right, but copied for nothing. */
    BOUNCE_MAP_SHARED = 1u << 2,
    /* With SHARED, and needed (-EPERM) for from_device and bidirectional: the caller knows that the device may change what
     * it wrote at any time, also while it is being read, and reads it once before it checks it. */
    BOUNCE_MAP_SHARED_IN = 1u << 3,
    /* A full pool is expected: no line in the log (DMA_ATTR_NO_WARN). */
    BOUNCE_MAP_NO_WARN = 1u << 4
};

/* The token of a mapping: the caller's storage, private memory. Read `addr` and `bytes`; the rest is the library's. A
 * token may be moved; of two copies, the first that is unmapped counts. */
typedef struct bounce_mapping {
    uint64_t addr;  /* for the device: the GPA of the first byte */
    uint64_t bytes; /* as mapped */
    void *orig;     /* the private buffer */
    void *slot;     /* where the bytes are in the pool: not to be touched between map and unmap but through sync */
    uint32_t device;
    uint32_t epoch;
    uint32_t handle; /* which slot, and which of its lives */
    uint16_t flags;
    uint8_t direction;
    uint8_t state;
} bounce_mapping;

/* Maps bytes > 0 at buf. to_device and bidirectional copy in, from_device copies nothing in (but see PRESERVE; what the
 * device then could read is old content of this pool, never memory from outside of it). Contiguous in GPA. Any size that
 * the pool holds, within the device's limits. Errors: -EINVAL, -ENOSPC (which the log tells, rate-limited), -E2BIG, -ERANGE,
 * -EDOM; -EPROTO in quarantine; of SHARED also -EFAULT (not inside one buffer), -EXDEV (in a region that the device does not
 * see), -EPERM and -ENOMEM. Thread-safe.
 * Source: Documentation/core-api/dma-api.rst, dma_map_single(). */
BOUNCE_API int bounce_device_map(bounce_device *device, void *buf, size_t bytes, int direction, uint32_t flags,
                                 bounce_mapping *mapping);

/* Ends the mapping; from_device and bidirectional copy back min(written, bytes), where written is what the device
 * reported (SIZE_MAX or bytes when it does not say). Double, stale, foreign: an error that changes nothing. Thread-safe.
 * Source: dma_unmap_single(). */
BOUNCE_API int bounce_device_unmap(bounce_device *device, bounce_mapping *mapping, size_t written);

/* Gives [offset, offset + bytes) of a live mapping to the CPU: copies from the slot to the private buffer (from_device,
 * bidirectional); on to_device a legal no-op. The range must not be empty and lie inside the mapping (-EINVAL), the
 * direction must not contradict it (-EPERM): a bidirectional mapping is synced in any direction, others only in their
 * own. Not at the same time as the unmap of the same mapping. Source: dma_sync_single_for_cpu(). */
BOUNCE_API int bounce_device_sync_for_cpu(bounce_device *device, const bounce_mapping *mapping, size_t offset,
                                          size_t bytes, int direction);

/* The other way: private buffer to slot (to_device, bidirectional); on from_device a legal no-op.
 * Source: dma_sync_single_for_device(). */
BOUNCE_API int bounce_device_sync_for_device(bounce_device *device, const bounce_mapping *mapping, size_t offset,
                                             size_t bytes, int direction);

enum {
    /* The segment lies inside a born-shared buffer or coherent memory of this pool, which must live until the completion:
     * no slot, no copy. */
    BOUNCE_SG_SHARED = 1u << 0,
    /* With SHARED, and needed (-EPERM) where the device writes: as BOUNCE_MAP_SHARED_IN. */
    BOUNCE_SG_SHARED_IN = 1u << 1,
    /* `base` is the bounce_mapping of a live mapping of this device, not memory: [offset, offset + bytes) of it is used as
     * it is, without a copy. Caller's: the mapping lives until the completion, and is synced before and after. Not with
     * other flags. -EPERM: its direction is another; -EALREADY, -ESTALE: it has ended; -EINVAL: not inside it. */
    BOUNCE_SG_MAPPED = 1u << 2
};

/* One piece of a scatter list. */
typedef struct bounce_sg {
    void *base;
    size_t bytes;
    uint32_t flags;  /* BOUNCE_SG_*; bounce_device_map_sg takes none */
    uint32_t offset; /* with BOUNCE_SG_MAPPED; otherwise 0 */
} bounce_sg;

/* Maps n segments into n mappings, all or nothing: on failure none is mapped. Source: dma_map_sg(). */
BOUNCE_API int bounce_device_map_sg(bounce_device *device, const bounce_sg *sg, size_t n, int direction, uint32_t flags,
                                    bounce_mapping *mappings);

/* Unmaps n mappings; written covers all of them in order: each copies back only its part. All are unmapped; the first
 * error is returned (bounce_last_error() is about the last one). Source: dma_unmap_sg(). */
BOUNCE_API int bounce_device_unmap_sg(bounce_device *device, bounce_mapping *mappings, size_t n, size_t written);

/* Memory of the pool that lives long, by pointer and by the address for the device. The caller's storage. */
typedef struct bounce_block {
    void *ptr;      /* the CPU's view */
    uint64_t addr;  /* the device's: GPA */
    uint64_t bytes; /* as asked for */
    uint32_t device;
    uint32_t epoch;
    uint32_t handle; /* which slot, and which of its lives */
    uint8_t kind;
    uint8_t state;
    uint16_t reserved;
} bounce_block;

/* Coherent memory: zeroed, both sides see it at once (rings, control blocks). align: power of two up to 2 MiB; 0 = 64.
 * Thread-safe. Source: dma_alloc_coherent(). */
BOUNCE_API int bounce_coherent_alloc(bounce_device *device, size_t bytes, size_t align, bounce_block *block);
BOUNCE_API int bounce_coherent_free(bounce_device *device, bounce_block *block);

/* n > 0 blocks alike, all or nothing: on failure all of `blocks` are zeroed. Freeing: each one that can be is freed; the
 * first error is returned (bounce_last_error() is about the last one). Thread-safe. */
BOUNCE_API int bounce_coherent_alloc_bulk(bounce_device *device, size_t bytes, size_t align, bounce_block *blocks,
                                          size_t n);
BOUNCE_API int bounce_coherent_free_bulk(bounce_device *device, bounce_block *blocks, size_t n);

/* A born-shared buffer: payload that is made in the pool and handed to the device without a copy (BOUNCE_MAP_SHARED,
 * BOUNCE_SG_SHARED), as often as one likes. Not zeroed. The device sees and may change it at any moment while it exists.
 * -EBUSY: the device has mappings of it. */
BOUNCE_API int bounce_buffer_alloc(bounce_device *device, size_t bytes, size_t align, bounce_block *block);
BOUNCE_API int bounce_buffer_free(bounce_device *device, bounce_block *block);

/* As bounce_coherent_alloc_bulk() and bounce_coherent_free_bulk(). */
BOUNCE_API int bounce_buffer_alloc_bulk(bounce_device *device, size_t bytes, size_t align, bounce_block *blocks,
                                        size_t n);
BOUNCE_API int bounce_buffer_free_bulk(bounce_device *device, bounce_block *blocks, size_t n);

#ifdef __cplusplus
}
#endif

#include <bounce/virtio.h>

#endif
