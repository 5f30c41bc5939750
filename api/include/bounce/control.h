/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: seeing and tuning a live pool from outside. Conventions and errors are those of bounce/bounce.h.
 *
 * The host creates a control on its pool, polls one descriptor, and calls bounce_control_process() when that is readable.
 * An operator's program (bouncectl) connects to a unix socket, asks, and changes tunables. The second half of this header is
 * what the two say to each other.
 */
#ifndef BOUNCE_CONTROL_H
#define BOUNCE_CONTROL_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The host's side ----------------------------------------------------------------------------------------- */

typedef struct bounce_control bounce_control;

enum {
    /* Nobody may change anything. */
    BOUNCE_CONTROL_READ_ONLY = 1u << 0,
    /* Mappings are not tagged from the beginning: who has them cannot be asked before the tunable who.tags is set. */
    BOUNCE_CONTROL_NO_TAGS = 1u << 1
};

typedef struct bounce_control_options {
    size_t size;                /* sizeof(bounce_control_options) */
    const char *path;           /* where the socket is made, with mode 0600, and removed again; NULL: bounce-PID-N.sock in
                                 * $XDG_RUNTIME_DIR/bounce, or in /run/bounce without that variable */
    int32_t listen_fd_plus_one; /* instead: a bound unix SOCK_SEQPACKET socket + 1, which the control has from then on, also
                                 * when this fails. Who may connect is then up to the host */
    uint32_t flags;             /* BOUNCE_CONTROL_* */
    const char *vm_name;        /* shown to operators; at most 63 bytes; may be NULL */
    const char *vm_uuid;        /* at most 39 bytes; may be NULL */
    uint32_t publish_ms;        /* how often the stats segment is written, 10 to 60000; 0: 250 */
    uint32_t reserved;
} bounce_control_options;

/* One control for a pool; -EBUSY: it has one. The folder of a default path is made, with mode 0700. Without a socket that
 * can be had it fails; a host that wants to run all the same does without a control.
 * Rights: root, and who has the effective user id of this process, observe and tune. Others get in only by a socket of the
 * host's own, and observe. (SO_PEERCRED.) System calls: socket, bind, listen, chmod, epoll_create1, timerfd_create,
 * memfd_create, mmap and others. */
BOUNCE_API int bounce_control_create(bounce_pool *pool, const bounce_control_options *options, bounce_control **control);

/* Before the pool is destroyed (-EBUSY there). Clients see their connections end. */
BOUNCE_API int bounce_control_destroy(bounce_control *control);

/* To be polled for POLLIN. Belongs to the control. */
BOUNCE_API int bounce_control_fd(const bounce_control *control);

/* Answers what has come, at most one request of each of 16 clients, and publishes when it is time. 1: there is more to do
 * at once; 0: poll again. Never blocks on a client: who does not read is dropped, and beyond 64 clients one that never asked,
 * or else the one that was silent longest. A request looks at 16384 pages and slots at most and then says where to go on;
 * `set` takes as long as what it calls (a quota waits for a thread that grows or shrinks the pool). One thread at a time; which
 * one does not matter, and devices may be used, created and destroyed meanwhile. System calls: epoll_wait, accept4, recvmsg,
 * sendmsg, getsockopt, read, close, clock_gettime; mmap for the tags of a region that is new; those of what `set`
 * and the requests for regions and quarantine call. */
BOUNCE_API int bounce_control_process(bounce_control *control);

/* Writes the stats segment now (bounce/stats.h). Not while another thread is in bounce_control_process(). */
BOUNCE_API int bounce_control_publish(bounce_control *control);

/* The stats segment, to be handed on or kept: a read-only descriptor of the control's. */
BOUNCE_API int bounce_control_stats_fd(const bounce_control *control);

/* Of the socket; "" when it is the host's own. Lives as long as the control. */
BOUNCE_API const char *bounce_control_path(const bounce_control *control);

/* ---- The wire ------------------------------------------------------------------------------------------------ */

/* A message is one packet: a request with its items behind it, and for each exactly one reply with its records behind it. All
 * in the byte order of the machine. Records and items have the sizes that the message says; who knows more of them than came
 * takes the rest for 0. */
#define BOUNCE_CONTROL_MAGIC 0x4e43u
#define BOUNCE_CONTROL_VERSION 1
#define BOUNCE_CONTROL_REQUEST_BYTES 8192 /* most */
#define BOUNCE_CONTROL_REPLY_BYTES 32768  /* most */

enum bounce_control_command {
    BOUNCE_CONTROL_HELLO = 1,      /* one bounce_control_hello; the stats segment's descriptor comes with it */
    BOUNCE_CONTROL_COMMANDS = 2,   /* bounce_control_info: what this library can be asked; arg[0]: from which on */
    BOUNCE_CONTROL_PUBLISH = 3,    /* the segment is written; no records */
    BOUNCE_CONTROL_TUNABLES = 4,   /* bounce_control_tunable; arg[0]: from which on */
    BOUNCE_CONTROL_SET = 5,        /* items bounce_control_item, all or none; the same come back with what was there */
    BOUNCE_CONTROL_HELD = 6,       /* bounce_control_held: what is handed out; arg[0], arg[1]: where to go on; arg[2]: a
                                    * device's id, or 0; arg[3]: at least so old, in ms */
    BOUNCE_CONTROL_FIND = 7,       /* one bounce_control_held: what is at the address arg[0]. -EFAULT: nothing */
    BOUNCE_CONTROL_CHUNKS = 8,     /* bounce_control_chunk; arg[0], arg[1]: where to go on */
    BOUNCE_CONTROL_CHECK = 9,      /* bounce_control_problem; arg[0], arg[1]: where to go on, 0 and 0 begin anew */
    BOUNCE_CONTROL_EVENTS = 10,    /* bounce_control_event; arg[0]: from this number on */
    BOUNCE_CONTROL_QUARANTINE = 11, /* the device with the id arg[0], as bounce_device_quarantine() */
    BOUNCE_CONTROL_DRAIN = 12,      /* the region with index arg[0], as bounce_pool_drain_region() */
    BOUNCE_CONTROL_TRACE = 13,      /* arg[0] 1: what is asked of the pool is recorded until the client asks with 0, or goes;
                                     * the descriptor comes along (bounce/trace.h). -EBUSY: there is a trace already */
    BOUNCE_CONTROL_ADD_REGION = 14,    /* the pool grows by a region of arg[0] bytes, at node arg[1] - 1 (0: where grown
                                        * regions are), within its limit; `total` is its index */
    BOUNCE_CONTROL_REMOVE_REGION = 15, /* the region with index arg[0], as bounce_pool_remove_region() */
    BOUNCE_CONTROL_REVOKE = 16         /* the region with index arg[0], as bounce_pool_retire_region() */
};

enum { BOUNCE_CONTROL_OBSERVE = 1u << 0, BOUNCE_CONTROL_TUNE = 1u << 1 };

enum {
    /* Of SET: everything is checked and nothing changed. */
    BOUNCE_CONTROL_DRY_RUN = 1u << 0
};

typedef struct bounce_control_request {
    uint16_t magic;
    uint16_t version;
    uint16_t command; /* enum bounce_control_command */
    uint16_t flags;
    uint32_t items; /* behind this */
    uint32_t item_bytes;
    uint64_t tag; /* comes back */
    uint64_t arg[4];
} bounce_control_request;

typedef struct bounce_control_reply {
    uint16_t magic;
    uint16_t version;
    uint16_t command;
    uint16_t flags;
    int32_t status; /* 0, or -errno, and then a sentence that ends with '\0' follows instead of records */
    uint32_t records;
    uint32_t record_bytes;
    uint32_t more; /* 1: ask again, with `next` as arg[0] and arg[1] */
    uint64_t tag;
    uint64_t next[2];
    uint64_t total; /* CHECK: slots looked at so far; EVENTS: the number of the next event; TUNABLES: how many there are;
                       * ADD_REGION: its index */
} bounce_control_reply;

typedef struct bounce_control_hello {
    uint32_t library; /* bounce_version() */
    uint32_t rights;  /* BOUNCE_CONTROL_OBSERVE, TUNE: what this client may do */
    uint64_t pid;     /* as the process sees itself */
    uint64_t uid;
    uint64_t stats_bytes;
    uint64_t commands; /* the highest number */
    char name[64];
    char vm_name[64];
    char vm_uuid[40];
} bounce_control_hello;

typedef struct bounce_control_info {
    uint32_t command;
    uint32_t rights;
    char name[24];
    char help[128];
} bounce_control_info;

enum bounce_control_type {
    BOUNCE_CONTROL_BYTES = 0,
    BOUNCE_CONTROL_NUMBER = 1,
    BOUNCE_CONTROL_BOOL = 2,
    BOUNCE_CONTROL_CHOICE = 3, /* one of `choices`: the first is 0 */
    BOUNCE_CONTROL_MS = 4
};

/* Names are pool.limit_bytes, device.7.ceiling_bytes (7 is the device's id), who.tags and the like. */
typedef struct bounce_control_tunable {
    char name[48];
    char device[64]; /* of one device: its name; "" of the pool */
    uint32_t type;   /* enum bounce_control_type */
    uint32_t live;   /* 0: fixed at creation */
    uint64_t value;
    uint64_t least;
    uint64_t most;
    uint64_t initial;  /* the default */
    char choices[64];  /* "auto,memcpy,nontemporal" */
    char help[160];
} bounce_control_tunable;

typedef struct bounce_control_item {
    char name[48];
    uint64_t value;
    uint64_t before; /* in a reply */
} bounce_control_item;

/* Something that is handed out. Ages are exact to a publication. */
typedef struct bounce_control_held {
    uint64_t gpa;        /* of the slot, as the device says it */
    uint64_t slot_bytes;
    uint64_t bytes;      /* of the mapping, to 1/255 of the slot; 0: not known */
    uint64_t age_ms;     /* UINT64_MAX: not known: there before mappings were tagged */
    uint64_t device;     /* id; 0: not known */
    uint32_t kind;       /* 1 mapping, 2 coherent, 3 buffer; 0: it is free (only by FIND) */
    uint32_t direction;  /* of a mapping */
    uint32_t region;
    uint32_t size_class; /* 127: a run of pages */
    char device_name[64];
} bounce_control_held;

typedef struct bounce_control_chunk {
    uint64_t gpa; /* of its first byte that the region has */
    uint32_t region;
    uint32_t pages;
    uint32_t used_pages;   /* of slabs and runs */
    uint32_t longest_hole; /* pages in a row that are free */
    uint32_t size_class;   /* that has most of them; 127: runs */
    uint32_t slots;
    uint32_t out; /* slots away from home */
    uint32_t reserved;
} bounce_control_chunk;

/* What `check` found wrong. */
typedef struct bounce_control_problem {
    uint64_t gpa; /* where; 0: of the whole pool */
    uint64_t expected;
    uint64_t got;
    char text[104];
} bounce_control_problem;

enum bounce_control_event_kind {
    BOUNCE_EVENT_VIOLATION = 1,  /* arg: got, expected, kind of violation */
    BOUNCE_EVENT_FULL = 2,       /* requests failed: arg[0] how many since the event before; arg[1]: the last device's id */
    BOUNCE_EVENT_GROW = 3,       /* arg: regions that came, bytes of the pool */
    BOUNCE_EVENT_SHRINK = 4,     /* the same, of those that went */
    BOUNCE_EVENT_SET = 5,        /* arg: old, new, uid; text is the tunable */
    BOUNCE_EVENT_DEVICE = 6,     /* arg[0]: id; arg[1]: 1 it came, 0 it went */
    BOUNCE_EVENT_QUARANTINE = 7, /* arg[0]: id; arg[2]: uid */
    BOUNCE_EVENT_DRAIN = 8,      /* arg[0]: region; arg[2]: uid */
    BOUNCE_EVENT_TRACE = 9,      /* arg[0]: 1 a trace began, 0 it ended; arg[2]: uid */
    BOUNCE_EVENT_ADD_REGION = 10,    /* arg[0]: region; arg[1]: its bytes; arg[2]: uid */
    BOUNCE_EVENT_REMOVE_REGION = 11, /* arg[0]: region; arg[2]: uid */
    BOUNCE_EVENT_REVOKE = 12         /* the same */
};

typedef struct bounce_control_event {
    uint64_t number; /* counts from 1; the last 1024 are kept */
    uint64_t time_ns; /* CLOCK_REALTIME */
    uint64_t arg[3];
    uint32_t kind; /* enum bounce_control_event_kind */
    uint32_t reserved;
    char text[64]; /* of a device: its name */
} bounce_control_event;

#ifdef __cplusplus
}
#endif
#endif
