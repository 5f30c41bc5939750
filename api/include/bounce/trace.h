/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: a trace of demand, a ring of records in a memfd of its own, and how to read one while it is written.
 * Conventions and errors are those of bounce/bounce.h.
 *
 * Who writes   The process that has the pool, from BOUNCE_CONTROL_TRACE (bounce/control.h) until that is taken back or its
 *              client goes: a record for each mapping, its end, a request that got nothing or began to wait, and each block
 *              of coherent memory or buffer. Threads that map write by themselves; none waits for another, for the reader, or
 *              makes a system call. Nothing is recorded, and nothing costs anything, before that.
 * Who reads    The client that asked, by a read-only descriptor; the memfd is sealed as that of bounce/stats.h. Who is slower
 *              than a whole ring loses the oldest records, and is told how many. The owner never reads what is in it. There
 *              are no addresses of the process in it: `addr` is what the device says, `buffer` is 16 bits of a hash.
 * Order        Records are numbered. The end of a mapping is written before its slot can be had again, a mapping after it was
 *              had: of one address they are in order. Nobody else writes in between, so that numbers are an order in which the
 *              pool could have been asked.
 * Layout       bounce_trace_header, then `capacity` records of 4 words of 64 bits, in the byte order of the machine:
 *              0  number + 1 (32 bits) | buffer (16) | detail (8) | kind (8), from the lowest on; 0: none
 *              1  ticks
 *              2  addr
 *              3  bytes (40) | device (24)
 *              Record number n is at n modulo capacity. Word 0 is written last.
 */
#ifndef BOUNCE_TRACE_H
#define BOUNCE_TRACE_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOUNCE_TRACE_MAGIC 0x3152545f45434e42ull /* "BNCE_TR1" in the bytes of a little-endian machine */
#define BOUNCE_TRACE_VERSION 1

typedef struct bounce_trace_header {
    uint64_t magic;
    uint64_t version;
    uint64_t header_bytes; /* where records begin; a multiple of 32 */
    uint64_t bytes;        /* of the memfd */
    uint64_t record_bytes; /* 32 */
    uint64_t capacity;     /* records that there is room for; a power of two */
    uint64_t first;        /* number of the first record of this trace */
    uint64_t begin_ns;     /* CLOCK_MONOTONIC when it began, and `ticks` of that moment */
    uint64_t begin_ticks;
    uint64_t last_ns;      /* the same of now and then, and of its end */
    uint64_t last_ticks;
    uint64_t ended;        /* 1: there will be no more */
    uint64_t end;          /* then: number after the last one */
    uint64_t turn;         /* which trace of this pool this is: 1 is the first */
    uint64_t reserved[2];
} bounce_trace_header;

enum bounce_trace_kind {
    BOUNCE_TRACE_MAP = 1,      /* a mapping was made; detail: log2 of its alignment */
    BOUNCE_TRACE_UNMAP = 2,    /* and ended */
    BOUNCE_TRACE_FULL = 3,     /* a mapping got no memory; detail: enum bounce_trace_reason; addr is 0 */
    BOUNCE_TRACE_WAIT = 4,     /* the same, and it waits in line. It ends by MAP with the same device, bytes and buffer */
    BOUNCE_TRACE_GAVE_UP = 5,  /* or by this */
    BOUNCE_TRACE_COHERENT = 6, /* a block was allocated; detail: log2 of its alignment */
    BOUNCE_TRACE_BUFFER = 7,
    BOUNCE_TRACE_FREE = 8,     /* either of them was freed */
    BOUNCE_TRACE_NO_BLOCK = 9  /* a block got no memory; detail: enum bounce_trace_reason; addr: kind, 6 or 7 */
};

enum bounce_trace_reason {
    BOUNCE_TRACE_NO_SPACE = 1, /* the pool was full */
    BOUNCE_TRACE_QUOTA = 2,    /* the device had reached its ceiling */
    BOUNCE_TRACE_TOO_LARGE = 3 /* no region could ever hold it */
};

typedef struct bounce_trace_record {
    uint64_t ticks;  /* to be made ns of by two pairs of bounce_trace_status; almost in order */
    uint64_t addr;   /* as the device says it: the same for a mapping and its end. Pieces of a list have one each */
    uint64_t bytes;  /* of the slot that was asked for: a mapping's, and what alignment puts before it. At most 2^40 - 1 */
    uint32_t device; /* the low 24 bits of its id */
    uint16_t buffer; /* of a mapping or a wait: a hash of where the private buffer is, the same when the request is made again */
    uint8_t kind;    /* enum bounce_trace_kind */
    uint8_t detail;
} bounce_trace_record;

typedef struct bounce_trace_status {
    uint64_t records; /* that were read */
    uint64_t lost;    /* that were not, because they were overwritten before, or never finished */
    uint64_t begin_ns;
    uint64_t begin_ticks;
    uint64_t last_ns;
    uint64_t last_ticks;
    uint64_t ended;   /* 1: all of it was read, there will be no more */
    uint64_t turn;
} bounce_trace_status;

typedef struct bounce_trace bounce_trace;

/* The trace behind a descriptor (which stays the caller's; it may be closed afterwards), from its first record on. -EINVAL: it
 * is not a memfd with the seals of bounce/stats.h, or not a trace; -ENOTSUP: of a version that this library does not know.
 * System calls: fcntl, fstat, mmap. A trace is read by one thread at a time. */
BOUNCE_API int bounce_trace_open(int fd, bounce_trace **trace);

/* Copies the next records, at most n; how many, 0: none for now, or it has ended. -EINVAL: another trace has begun in this
 * memory, or what is there now is no trace. A record whose writer was stopped holds up those behind it for 100 ms. Does not
 * block. System calls: clock_gettime. */
BOUNCE_API int64_t bounce_trace_read(bounce_trace *trace, bounce_trace_record *records, size_t n);

BOUNCE_API int bounce_trace_get_status(const bounce_trace *trace, bounce_trace_status *status);

BOUNCE_API void bounce_trace_close(bounce_trace *trace);

#ifdef __cplusplus
}
#endif
#endif
