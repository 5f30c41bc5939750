/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: watching how a device's mappings are used (BOUNCE_DEVICE_DEBUG). Each misuse is reported with who mapped,
 * who misused, and when. A report changes nothing of what a call does or returns; only looking at what is mapped is
 * refused (bounce_device_peek(), bounce_pool_gpa_to_hva()).
 *
 * It costs, for each mapping, a lock that all of the device share, some 200 bytes of private memory, and for to_device
 * and bidirectional a private copy of the content. `sample` makes it cheaper. Devices without the flag pay nothing.
 *
 * Conventions are those of bounce.h. Source: Linux, kernel/dma/debug.c (the list of misuses).
 */
#ifndef BOUNCE_DEBUG_H
#define BOUNCE_DEBUG_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In brackets what bounce_debug_kind_name() says. */
enum bounce_debug_kind {
    BOUNCE_DEBUG_LEAK = 1,            /* [leak] still mapped or allocated when the device was to be destroyed */
    BOUNCE_DEBUG_UNKNOWN_ADDRESS = 2, /* [unknown-address] ended or synced, but nothing is mapped there */
    BOUNCE_DEBUG_DOUBLE_UNMAP = 3,    /* [double-unmap] used after it was ended; other_site: where it was */
    BOUNCE_DEBUG_WRONG_SIZE = 4,      /* [wrong-size] ended with another size */
    BOUNCE_DEBUG_WRONG_DIRECTION = 5, /* [wrong-direction] ended or synced in another direction */
    BOUNCE_DEBUG_WRONG_FUNCTION = 6,  /* [wrong-function] a single one ended as a list or the other way round, a block as
                                       * a mapping, coherent memory as a buffer */
    BOUNCE_DEBUG_SG_COUNT = 7,        /* [sg-count] a scatter list ended with another number of segments */
    BOUNCE_DEBUG_UNCHECKED_ERROR = 8, /* [unchecked-error] mapping failed, and its token is used all the same */
    BOUNCE_DEBUG_SYNC_RANGE = 9,      /* [sync-range] synced beyond its end, or nothing; got: the end of the range */
    BOUNCE_DEBUG_OVERLAP = 10,        /* [overlap] the private buffer is mapped already, in part, and one of the two is not
                                       * to_device; other_site: where the other was mapped */
    BOUNCE_DEBUG_PEEK = 11,           /* [peek] a CPU view of what is mapped was asked for, and refused */
    BOUNCE_DEBUG_PRIVATE_WRITE = 12,  /* [private-write] the private buffer changed while the device had it; got: offset
                                       * of the first byte that did. Seen when it is synced or ended. */
    BOUNCE_DEBUG_WRONG_DEVICE = 13,   /* [wrong-device] a token of another device */
    BOUNCE_DEBUG_KINDS = 14           /* one more than the last */
};

/* One misuse. Pointers are valid during the call only. A site is a return address into whoever called the library, for
 * addr2line or dladdr; NULL: not known (mapped through a ring: the site of bounce_ring_add). Times are of CLOCK_MONOTONIC.
 */
typedef struct bounce_debug_report {
    int32_t kind;          /* enum bounce_debug_kind */
    int32_t direction;     /* of the mapping; -1: not known, or a block */
    const char *device;    /* name of the device */
    uint64_t addr;         /* of the mapping or block; 0: not known */
    uint64_t bytes;        /* its size */
    const void *orig;      /* its private buffer */
    const void *map_site;  /* who mapped or allocated it */
    const void *site;      /* who misuses it; NULL for a leak is who destroys the device */
    const void *other_site; /* see the kinds */
    const char *function;  /* that was called: "bounce_device_unmap" */
    const char *tag;       /* bounce_debug_set_tag() of who mapped it; "" */
    uint64_t mapped_ns;    /* when it was mapped; 0: not known */
    uint64_t age_ns;       /* how long ago that was */
    uint64_t expected;     /* what was mapped: a size, direction, count ... */
    uint64_t got;          /* what was said instead */
    uint64_t left_out;     /* reports of this kind that were left out before this one */
    const char *text;      /* all of it as a sentence */
} bounce_debug_report;

/* Called in the thread that misuses, at most 16 at once and 8 a second of each kind (leaks: each one). Must not call into
 * the library. */
typedef void (*bounce_debug_fn)(void *user, const bounce_debug_report *report);

typedef struct bounce_debug_options {
    size_t size;            /* sizeof(bounce_debug_options) */
    bounce_debug_fn report; /* NULL: the text goes to the pool's log as a warning */
    void *user;
    uint32_t sample;        /* watch one of so many mappings (by turns; a scatter list counts as one); 0 = 1: all */
    uint32_t reserved;
} bounce_debug_options;

/* "double-unmap" for BOUNCE_DEBUG_DOUBLE_UNMAP and so on; "unknown" for what is no kind. Static text. */
BOUNCE_API const char *bounce_debug_kind_name(int kind);

/* What the calling thread maps from now on carries this tag (at most 31 bytes are kept). The text must stay valid until
 * the tag is replaced; NULL: none. */
BOUNCE_API int bounce_debug_set_tag(const char *tag);

typedef struct bounce_debug_stats {
    uint64_t reports[16]; /* by kind, those that were left out included */
    uint64_t watched;     /* mappings and blocks that are watched now */
    uint64_t skipped;     /* that were not watched because of `sample`, ever */
    uint64_t no_memory;   /* that could not be watched, or only without their content, for want of memory, ever */
} bounce_debug_stats;

/* -ENOTSUP: the device was created without BOUNCE_DEVICE_DEBUG. Thread-safe. */
BOUNCE_API int bounce_debug_get_stats(bounce_device *device, bounce_debug_stats *stats);

/* Calls `visit` for all that is watched now, with kind 0 and what is known of it; in no particular order. It must not call
 * into the library. The number of calls, or -ENOTSUP as above. Others wait meanwhile that map or unmap with this device. */
BOUNCE_API int bounce_debug_visit(bounce_device *device, bounce_debug_fn visit, void *user);

/* A CPU view of [addr, addr + bytes), which must lie in one coherent block or buffer. A streaming mapping is refused
 * (-EPERM) between map and unmap, also on devices without debugging: the CPU looks at it through the private buffer, after
 * a sync or an unmap. -EFAULT: nothing is there. Thread-safe. */
BOUNCE_API int bounce_device_peek(bounce_device *device, uint64_t addr, size_t bytes, const void **view);

#ifdef __cplusplus
}
#endif
#endif
