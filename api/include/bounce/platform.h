/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: what kind of machine this is, and how its devices are reached. Both are the host's word: the library does
 * not guess. A *platform* is a few hooks: how memory is shared with the device side and made private again, and in which
 * form a device wants its addresses. bounce/emulator.h has platforms that can be had without the hardware.
 */
#ifndef BOUNCE_PLATFORM_H
#define BOUNCE_PLATFORM_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who may see the memory of this machine. In brackets the name that tools take. */
enum bounce_platform_kind {
    BOUNCE_PLATFORM_PLAIN = 0,    /* [plain] a VM whose memory is not protected */
    BOUNCE_PLATFORM_SEV = 1,      /* [sev] AMD SEV and SEV-ES */
    BOUNCE_PLATFORM_SNP = 2,      /* [snp] AMD SEV-SNP, with a C-bit */
    BOUNCE_PLATFORM_SNP_VTOM = 3, /* [snp-vtom] AMD SEV-SNP, shared memory above a boundary */
    BOUNCE_PLATFORM_TDX = 4,      /* [tdx] Intel TDX */
    BOUNCE_PLATFORM_S390 = 5,     /* [s390] s390 without protection */
    BOUNCE_PLATFORM_S390_PV = 6,  /* [s390-pv] s390 protected virtualization */
    BOUNCE_PLATFORM_PEF = 7,      /* [pef] POWER secure guest */
    BOUNCE_PLATFORM_CCA = 8,      /* [cca] Arm CCA realm */
    BOUNCE_PLATFORM_PKVM = 9,     /* [pkvm] Arm protected KVM */
    BOUNCE_PLATFORM_XEN = 10,     /* [xen] Xen PV without grants */
    BOUNCE_PLATFORM_XEN_GRANT = 11 /* [xen-grant] Xen with grants */
};

/* How a device is reached. In brackets the name that tools take. */
enum bounce_transport {
    BOUNCE_TRANSPORT_PCI = 0,        /* [pci] virtio-pci; also zPCI */
    BOUNCE_TRANSPORT_CCW = 1,        /* [ccw] virtio-ccw */
    BOUNCE_TRANSPORT_MMIO = 2,       /* [mmio] virtio-mmio */
    BOUNCE_TRANSPORT_VHOST_USER = 3, /* [vhost-user] a back-end in another process */
    BOUNCE_TRANSPORT_VDPA = 4        /* [vdpa] vDPA and VDUSE */
};

/* Who gets to see what is shared. A pool is shared with one audience: devices that must not see each other's slots have
 * pools of their own. */
enum bounce_audience_kind {
    BOUNCE_AUDIENCE_EVERYONE = 0, /* everyone outside: the hypervisor, and whoever it lets */
    BOUNCE_AUDIENCE_DOMAIN = 1,   /* a peer domain (another VM, a grantee): `id` is its number */
    BOUNCE_AUDIENCE_PROCESS = 2   /* a process: `id` is its process id */
};

typedef struct bounce_audience {
    uint32_t kind;     /* enum bounce_audience_kind */
    uint32_t reserved;
    uint64_t id;       /* 0 for everyone */
} bounce_audience;

/* A piece of memory of a pool: at most 2 MiB, between two 2 MiB boundaries of the GPA, multiples of the granule. */
typedef struct bounce_range {
    uint64_t gpa;
    uint64_t address; /* of the first byte, as devices get it; 0 for share and unshare, which are about the GPA */
    void *hva;
    uint64_t bytes;
} bounce_range;

/* A conversion. 0, or a negative errno value when it failed; it then changed nothing or has undone what it did. Where
 * that is impossible a hook that makes visible returns -ENOTRECOVERABLE: the range then stays mapped, and is neither used
 * nor given back to the kernel, for ever. The same holds for a range for which a hook that takes away failed, whatever it
 * returned. Content need not survive: the library zeroes the range before and after, so after each hook it must be
 * accessible at hva. `audience` is that of the platform. When and in which thread as for bounce_share_fn; must not call
 * into the library. */
typedef int (*bounce_convert_fn)(void *user, const bounce_range *range, const bounce_audience *audience);

/* Where a region that begins at `gpa` begins for devices: 0 and *address, or a negative errno value. Asked once for each
 * region. *address - gpa must be a multiple of 2 MiB, and no two regions may overlap there. */
typedef int (*bounce_locate_fn)(void *user, uint64_t gpa, uint64_t bytes, uint64_t *address);

/* The form of addresses for the device: bounce_mapping.addr, bounce_block.addr, those in rings. Device masks are compared
 * with these addresses. In brackets what encoding_value is. */
enum bounce_encoding {
    BOUNCE_ENCODING_IDENTITY = 0,      /* the GPA [0] */
    BOUNCE_ENCODING_C_BIT = 1,         /* the GPA, which must not have the bit [the bit that marks private pages] */
    BOUNCE_ENCODING_SHARED_BIT = 2,    /* the GPA with the bit set [the bit that marks shared pages] */
    BOUNCE_ENCODING_BIAS = 3,          /* the GPA and a boundary added, as with vTOM [that boundary, a multiple of 2 MiB] */
    BOUNCE_ENCODING_REGION_OFFSET = 4, /* the offset in the region [0]; a pool has one region then, and does not grow */
    BOUNCE_ENCODING_IOVA = 5           /* what `locate` says, or without it the GPA and a constant added [that constant,
                                        * modulo 2^64, a multiple of 2 MiB] */
};

enum {
    /* A device is driven only when VIRTIO_F_ACCESS_PLATFORM was negotiated with it. The front-end does that only with a
     * policy of IOVAs (bounce/iotlb.h); without one bounce_frontend_connect() refuses a pool of such a platform (-ENOTSUP).
     * A host that lets its devices do without the bit, on bounced GPAs, clears the flag. */
    BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM = 1u << 0,
    /* What is shared is other memory than that behind the region's descriptor: a back-end process cannot be lent it. */
    BOUNCE_PLATFORM_OWN_MEMORY = 1u << 1
};

/* All hooks are optional, in pairs. A range is shared, then put into the tables of the IOMMU; and the other way round. */
typedef struct bounce_platform {
    size_t size;             /* sizeof(bounce_platform) */
    uint32_t kind;           /* enum bounce_platform_kind */
    uint32_t flags;          /* BOUNCE_PLATFORM_* */
    uint32_t granule;        /* of conversions and of the IOMMU: power of two up to 2 MiB; regions begin and end at
                              * multiples of it; 0 = 4096 */
    uint32_t encoding;       /* enum bounce_encoding */
    uint64_t encoding_value;
    bounce_audience audience;
    bounce_convert_fn share; /* both or none; none: memory needs no conversion */
    bounce_convert_fn unshare;
    bounce_convert_fn iommu_map; /* both or none; with IOVA only */
    bounce_convert_fn iommu_unmap;
    bounce_locate_fn locate; /* may be NULL; with IOVA only */
    void *user;
} bounce_platform;

/* bounce_pool_create() for a platform, which is copied. The hooks of `options` (share, unshare,
 * share_granule) must be unset. As with those hooks: the first region is shared before it returns, grown and added ones
 * chunk by chunk, nothing is handed out before it is shared, everything is unshared when the region goes, and such memory
 * cannot be renewed in place. -EINVAL also for a region that cannot be encoded (it has the bit, or is not where the
 * encoding keeps multiples of 2 MiB), then and in bounce_pool_add_region(). */
BOUNCE_API int bounce_pool_create_on(const bounce_platform *platform, const bounce_pool_options *options,
                                     bounce_pool **pool);

/* The platform that the pool was made for; all zero but `size` and `granule` for one of bounce_pool_create(). */
BOUNCE_API int bounce_pool_platform(bounce_pool *pool, bounce_platform *platform);

/* Between a GPA and the address that devices have for it. [gpa, gpa + bytes) or [address, address + bytes) must lie in one
 * region, else -EFAULT. Thread-safe, lock-free. */
BOUNCE_API int bounce_pool_gpa_to_address(bounce_pool *pool, uint64_t gpa, size_t bytes, uint64_t *address);
BOUNCE_API int bounce_pool_address_to_gpa(bounce_pool *pool, uint64_t address, size_t bytes, uint64_t *gpa);

#ifdef __cplusplus
}
#endif
#endif
