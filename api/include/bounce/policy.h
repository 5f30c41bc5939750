/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: may this device get this address? One pure function, asked once for each device when its features are known.
 *
 * It answers two questions apart from each other: does data bounce, and which form of address goes into the ring. That
 * memory is private is one thing, that a device negotiated ACCESS_PLATFORM another; which answer follows is this function's
 * business. Whatever it does not know, and whatever contradicts itself, is refused.
 */
#ifndef BOUNCE_POLICY_H
#define BOUNCE_POLICY_H

#include <bounce/bounce.h>
#include <bounce/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Feature bits that the answer depends on. Source: virtio 1.2, section 6 (reserved feature bits). */
#define BOUNCE_F_VERSION_1 (UINT64_C(1) << 32)
#define BOUNCE_F_ACCESS_PLATFORM (UINT64_C(1) << 33)
/* VIRTIO_F_DMB: the device brings a region of its own, and addresses are offsets in it. Proposed; the number is
 * provisional. */
#define BOUNCE_F_DMB (UINT64_C(1) << 42)

enum {
    /* An IOMMU is between this device and memory (VT-d, SMMU, virtio-iommu, zPCI...). It translates what a device does that
     * negotiated ACCESS_PLATFORM; others go past it. */
    BOUNCE_POLICY_IOMMU = 1u << 0,
    /* The device is trusted with all memory that it can reach. Where memory is private this says that it was let in: it is
     * attested (TDISP) or belongs to the paravisor. Where no device can be let in it changes nothing. */
    BOUNCE_POLICY_TRUSTED = 1u << 1
};

/* Private memory, and a device that did not negotiate ACCESS_PLATFORM. */
enum bounce_without_access_platform {
    BOUNCE_WITHOUT_REFUSE = 0, /* as Linux does */
    BOUNCE_WITHOUT_BOUNCE = 1  /* bounced, by GPA: needs VERSION_1 all the same */
};

/* Does data bounce? Each is stricter than the one before. */
enum bounce_level {
    BOUNCE_LEVEL_AUTO = 0,        /* only as a question: no less than has to be */
    BOUNCE_LEVEL_NEVER = 1,       /* asked for: refused where data has to bounce */
    BOUNCE_LEVEL_WHEN_NEEDED = 2, /* those mappings that the device could not have as they are */
    BOUNCE_LEVEL_ALWAYS = 3,
    BOUNCE_LEVEL_REFUSE = 4
};

/* Forms of address. A set of them is an or. */
enum {
    BOUNCE_ADDRESS_GPA = 1u << 0,
    BOUNCE_ADDRESS_IOVA = 1u << 1,          /* translated by an IOMMU, an IOTLB or vDPA */
    BOUNCE_ADDRESS_REGION_OFFSET = 1u << 2, /* in the device's own region */
    BOUNCE_ADDRESS_GRANT = 1u << 3          /* Xen: bit 63, grant reference << 12, offset in the page */
};

/* Why a mapping may need to bounce (with BOUNCE_LEVEL_WHEN_NEEDED). */
enum {
    BOUNCE_NEED_MASK = 1u << 0,   /* memory above dma_mask */
    BOUNCE_NEED_ALIGN = 1u << 1,  /* not a multiple of `align` */
    BOUNCE_NEED_GRANULE = 1u << 2 /* not whole granules of the IOMMU, which would show the device its neighbours */
};

/* What a transport (or whoever asks) may make stricter. */
typedef struct bounce_policy_say {
    uint32_t bounce;    /* enum bounce_level, never AUTO: may move towards REFUSE */
    uint32_t addresses; /* set of BOUNCE_ADDRESS_*: may lose members; empty is REFUSE */
    const char *why;    /* NULL; a hook that changes something may put a clause here, which goes into the reason */
} bounce_policy_say;

struct bounce_policy_options;

/* A transport's say. Gets what would be answered, and may make it stricter. One that tries to loosen it, or puts values
 * there that do not exist, gets REFUSE. Not called for what is refused already. Called in the thread that asks, before
 * bounce_policy_decide() returns. */
typedef void (*bounce_policy_hook_fn)(void *user, const struct bounce_policy_options *options, bounce_policy_say *say);

typedef struct bounce_policy_options {
    size_t size;                      /* sizeof(bounce_policy_options) */
    uint32_t platform;                /* enum bounce_platform_kind */
    uint32_t transport;               /* enum bounce_transport */
    uint64_t features;                /* negotiated; bits of the device type (0 to 23, 50 to 63) do not matter */
    uint32_t flags;                   /* BOUNCE_POLICY_IOMMU, BOUNCE_POLICY_TRUSTED */
    uint32_t without_access_platform; /* enum bounce_without_access_platform */
    uint64_t dma_mask;                /* highest address for data; 0 = no limit */
    uint64_t coherent_dma_mask;       /* highest address for rings and control blocks; 0 = no limit */
    uint64_t highest_address;         /* of all memory that buffers are in; 0: not known, a mask below UINT64_MAX may not do */
    uint64_t align;                   /* data begins at multiples of it: a power of two up to 2 MiB; 0 = any */
    uint64_t granule;                 /* of the IOMMU: a power of two from 4096 to 2 MiB; 0 = 4096 */
    uint32_t bounce;                  /* enum bounce_level: at least this much; NEVER: exactly */
    uint32_t addresses;               /* set of BOUNCE_ADDRESS_* to choose from; 0 = all */
    bounce_policy_hook_fn hook;       /* may be NULL */
    void *hook_user;
} bounce_policy_options;

enum bounce_decision {
    BOUNCE_DECISION_REFUSE = 0,          /* a zeroed answer is a refusal */
    BOUNCE_DECISION_DIRECT_GPA = 1,      /* the buffer's own address */
    BOUNCE_DECISION_BOUNCED_GPA = 2,     /* that of a slot */
    BOUNCE_DECISION_TRANSLATED_IOVA = 3, /* the buffer, mapped in the IOMMU */
    BOUNCE_DECISION_BOUNCED_IOVA = 4,    /* a slot, mapped in the IOMMU */
    BOUNCE_DECISION_REGION_OFFSET = 5,   /* a slot in the device's region */
    BOUNCE_DECISION_GRANT = 6            /* granted page by page */
};

/* Where rings (and control blocks) live. */
enum bounce_ring_memory {
    BOUNCE_RINGS_NONE = 0, /* refused */
    BOUNCE_RINGS_NORMAL = 1,
    BOUNCE_RINGS_COHERENT = 2,
    BOUNCE_RINGS_MAPPED = 3, /* in the IOMMU */
    BOUNCE_RINGS_SHARED = 4, /* in pages that were made visible to the device side */
    BOUNCE_RINGS_SHARED_MAPPED = 5,
    BOUNCE_RINGS_POOL = 6, /* in the memory that the back-end was shown */
    BOUNCE_RINGS_GRANTED = 7,
    BOUNCE_RINGS_REGION = 8, /* in the device's own region */
    BOUNCE_RINGS_PRIVATE = 9 /* private memory, which this device may see */
};

enum { BOUNCE_POLICY_REASON_BYTES = 320 };

/* The answer. */
typedef struct bounce_policy {
    uint32_t decision;       /* enum bounce_decision */
    uint32_t bounce;         /* enum bounce_level: never AUTO */
    uint32_t needs;          /* BOUNCE_NEED_*, with WHEN_NEEDED */
    uint32_t address;        /* one of BOUNCE_ADDRESS_*; 0: refused */
    uint32_t rings;          /* enum bounce_ring_memory */
    uint32_t private_memory; /* 1: devices see nothing of this machine's memory but what was shared */
    uint64_t dma_mask;       /* in force: UINT64_MAX = no limit */
    uint64_t coherent_dma_mask; /* in force; on ccw below 2 GiB */
    uint64_t align;             /* in force, at least 1 */
    uint64_t granule;           /* in force */
    const char *rings_text;     /* for people: "shared (C-bit cleared)"; static text */
    const char *address_text;   /* "GPA of the slot"; static text */
    char reason[BOUNCE_POLICY_REASON_BYTES]; /* one sentence */
} bounce_policy;

/* Decides. 0: there is an answer, and BOUNCE_DECISION_REFUSE is one: values of enums that the library does not know,
 * unknown transport features (bits 24 to 49) and what contradicts itself are refused with a reason. -EINVAL: the options are
 * malformed in themselves (size, unknown flags, align, granule). -EPERM: the hook tried to loosen. Whenever it returns anything but
 * 0 the answer is a refusal too, so that nobody who forgets to look gets an address. Pure: the same options have the same
 * answer. Thread-safe, never blocks, allocates nothing.
 * Source: Linux's vring_use_dma_api() and arch_has_restricted_virtio_memory_access(); virtio 1.2, section 6.1. */
BOUNCE_API int bounce_policy_decide(const bounce_policy_options *options, bounce_policy *policy);

/* "direct-gpa", "bounced-gpa", "translated-iova", "bounced-iova", "region-offset", "grant", "refuse"; "unknown" for other
 * values. Static text. */
BOUNCE_API const char *bounce_policy_decision_name(uint32_t decision);

/* "never", "when-needed", "always", "refuse"; "auto"; "unknown" for other values. Static text. */
BOUNCE_API const char *bounce_policy_level_name(uint32_t level);

#ifdef __cplusplus
}
#endif
#endif
