/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: the stats segment, a picture of a pool in a memfd of its own, and how to read one. Conventions and errors are
 * those of bounce/bounce.h.
 *
 * Who writes   The process that has the pool, by bounce_control_process() and bounce_control_publish() (bounce/control.h).
 *              It never reads what is in it. There are no addresses of the process in it.
 * Who reads    Anybody who has the descriptor, which is read-only: the memfd is sealed against growing, shrinking, and any
 *              write but by the mapping that the owner has had from the beginning. The content stays when the owner is
 *              dead, for as long as somebody has the descriptor.
 * Layout       bounce_stats_header, which has a directory of tables; a table is `count` records of `record_bytes`. All of it
 *              is in the byte order of the machine, made of 64-bit words. A newer library makes records longer at their end
 *              and adds tables: who knows less of them reads less. `version` changes when what there is means something else.
 * One picture  `epoch` is odd while it is written. Who copies it and finds the same even number before and after has one
 *              picture; the functions below do that, check every offset, and work on a copy.
 */
#ifndef BOUNCE_STATS_H
#define BOUNCE_STATS_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOUNCE_STATS_MAGIC 0x3154535f45434e42ull /* "BNCE_ST1" in the bytes of a little-endian machine */
#define BOUNCE_STATS_VERSION 1
#define BOUNCE_STATS_TABLES 16

enum bounce_stats_table {
    BOUNCE_STATS_POOL = 1,       /* one bounce_stats_pool */
    BOUNCE_STATS_REGIONS = 2,    /* bounce_stats_region */
    BOUNCE_STATS_CLASSES = 3,    /* bounce_stats_class */
    BOUNCE_STATS_DEVICES = 4,    /* bounce_stats_device */
    BOUNCE_STATS_RINGS = 5,      /* bounce_stats_ring */
    BOUNCE_STATS_HISTOGRAMS = 6  /* bounce_stats_histogram */
};

/* Where a table is. */
typedef struct bounce_stats_directory {
    uint64_t table; /* enum bounce_stats_table; 0: none */
    uint64_t offset; /* of the first record, from the beginning of the segment; a multiple of 8 */
    uint64_t record_bytes;
    uint64_t count;
    uint64_t capacity;
    uint64_t left_out; /* records that there was no room for */
} bounce_stats_directory;

typedef struct bounce_stats_header {
    uint64_t magic;
    uint64_t version;
    uint64_t header_bytes; /* sizeof(bounce_stats_header) of who wrote it */
    uint64_t bytes;        /* of the segment */
    uint64_t epoch;        /* odd: it is being written */
    uint64_t created_ns;   /* CLOCK_MONOTONIC */
    uint64_t published_ns; /* the same: when this picture was made */
    uint64_t publications;
    uint64_t pid;          /* as the owner sees itself */
    uint64_t library;      /* bounce_version() of the owner */
    uint64_t tables;       /* of the directory that are used: the first ones */
    uint64_t reserved[5];
    bounce_stats_directory directory[BOUNCE_STATS_TABLES];
} bounce_stats_header;

/* As bounce_pool_stats, bounce_quota and bounce_reserve have it. */
typedef struct bounce_stats_pool {
    char name[64];
    char vm_name[64]; /* as the host gave it; "" when it did not */
    char vm_uuid[40];
    uint64_t bytes;
    uint64_t used_bytes;
    uint64_t used_bytes_hiwater;
    uint64_t kept_bytes; /* free slots that threads and rings keep for themselves; not among used_bytes */
    uint64_t slots;
    uint64_t mappings;
    uint64_t coherent;
    uint64_t buffers;
    uint64_t maps;
    uint64_t full;
    uint64_t violations;
    uint64_t grows;
    uint64_t shrinks;
    uint64_t quarantined;
    uint64_t quarantined_bytes;
    uint64_t limit_bytes; /* 0: the pool does not grow */
    uint64_t low_watermark;
    uint64_t high_watermark;
    uint64_t shrink_delay_ms;
    uint64_t reserve_bytes;
    uint64_t floor_bytes;
    uint64_t promised_bytes;
    uint64_t regions;
    uint64_t devices;
    uint64_t waiting; /* requests in line, of all devices */
    uint64_t events;  /* that there ever were (bounce/control.h) */
} bounce_stats_pool;

/* As bounce_region_info has it, without addresses of the process. */
typedef struct bounce_stats_region {
    uint64_t index;
    uint64_t base_gpa;
    uint64_t bytes;
    uint64_t used_bytes;
    uint64_t refused_bytes;
    uint64_t state; /* enum bounce_region_state */
    uint64_t usable;
    int64_t node; /* -1: the kernel places it */
    uint64_t page_bytes;
    uint64_t generation;
    uint64_t imported;
    uint64_t restricted;
} bounce_stats_region;

/* One size class of the whole pool. Counted by walking through it, a part at each publication: `scans` moves on when a walk
 * has come to its end, and the figures are those of the last whole one. */
typedef struct bounce_stats_class {
    uint64_t slot_bytes; /* 0: runs of whole pages */
    uint64_t slabs;      /* or runs */
    uint64_t bytes;      /* their pages */
    uint64_t slots;      /* that they have */
    uint64_t out;        /* slots away from home: handed out, or kept by threads and rings */
    uint64_t out_bytes;
    uint64_t scans;
} bounce_stats_class;

typedef struct bounce_stats_device {
    uint64_t id;
    char name[64];
    uint64_t maps;
    uint64_t unmaps;
    uint64_t mappings; /* that exist now */
    uint64_t blocks;   /* coherent memory, buffers, rings */
    uint64_t used_bytes; /* with what its threads and rings keep */
    uint64_t floor_bytes;
    uint64_t ceiling_bytes; /* 0: none */
    uint64_t priority;
    uint64_t copy_policy;   /* enum bounce_copy_policy, in force: never AUTO */
    uint64_t reuse_policy;  /* enum bounce_reuse_policy, the same */
    uint64_t calibrating;
    uint64_t watched;       /* it has records or debugging */
    uint64_t quarantined;
    uint64_t waiting;       /* as bounce_wait_stats */
    uint64_t waits;
    uint64_t waits_served;
    uint64_t worst_wait_ns;
    uint64_t dma_mask;
    uint64_t regions; /* its trust domain; 0: all that are open */
} bounce_stats_device;

/* Bytes are payload: what requests were made of, not slots. */
typedef struct bounce_stats_ring {
    uint64_t device; /* its id */
    uint64_t index;
    uint64_t size;   /* descriptors */
    uint64_t added;
    uint64_t completed;
    uint64_t outstanding;
    uint64_t bytes_out; /* that requests had for the device to read */
    uint64_t bytes_in;  /* that the device wrote, as far as it may */
    uint64_t kicks;     /* that the device wanted */
    uint64_t violations;
} bounce_stats_ring;

enum bounce_stats_histogram_kind {
    BOUNCE_STATS_SIZE = 1, /* bytes of mappings */
    BOUNCE_STATS_COPY = 2, /* ns to fill the slot of a mapping */
    BOUNCE_STATS_HOLD = 3, /* ns from map to unmap */
    BOUNCE_STATS_WAIT = 4  /* ns that a request waited in line for memory, of all that were served (sample 1) */
};

/* Of one device. Bucket i counts values from 2^(i-1) to 2^i - 1; bucket 0 those that are 0, and the last all above. One of
 * `sample` mappings is counted (the tunable stats.sample); waits always, for devices that ever had one. */
typedef struct bounce_stats_histogram {
    uint64_t device;
    uint64_t kind; /* enum bounce_stats_histogram_kind */
    uint64_t sample;
    uint64_t count;
    uint64_t sum;
    uint64_t buckets[64];
} bounce_stats_histogram;

/* ---- Reading ------------------------------------------------------------------------------------------------- */

typedef struct bounce_stats_view bounce_stats_view;

/* A view of the segment behind a descriptor (which stays the caller's; it may be closed afterwards). -EINVAL: it is not a
 * memfd with the seals above, or not a stats segment; -ENOTSUP: of a version that this library does not know. System calls:
 * fcntl, fstat, mmap. A view is used by one thread at a time. */
BOUNCE_API int bounce_stats_open(int fd, bounce_stats_view **view);

/* The same of bytes that were copied out of one; they are copied again. */
BOUNCE_API int bounce_stats_parse(const void *bytes, size_t n, bounce_stats_view **view);

/* Takes a new picture. 0: done; 1: the owner stopped in the middle of writing (or is very slow): the picture may be in parts
 * that do not belong together; -EINVAL: what is there now is no stats segment, and the view has the picture from before. Does
 * not block and makes no system call. */
BOUNCE_API int bounce_stats_refresh(bounce_stats_view *view);

/* The header of the picture. */
BOUNCE_API int bounce_stats_get_header(const bounce_stats_view *view, bounce_stats_header *header);

/* How many records a table has; 0 when there is no such table. */
BOUNCE_API int64_t bounce_stats_count(const bounce_stats_view *view, int table);

/* Copies record `index` of a table into a struct of `bytes` bytes. Fields that the owner did not know are 0. Strings end
 * within their arrays. 0; 1: the owner knows more of it than fits; -EINVAL: there is no such record. */
BOUNCE_API int bounce_stats_record(const bounce_stats_view *view, int table, uint64_t index, void *record, size_t bytes);

/* The bytes of the picture, as bounce_stats_parse() takes them; they live until the next refresh. */
BOUNCE_API const void *bounce_stats_bytes(const bounce_stats_view *view, size_t *n);

BOUNCE_API void bounce_stats_close(bounce_stats_view *view);

#ifdef __cplusplus
}
#endif
#endif
