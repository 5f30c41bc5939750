/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: translated addresses for a vhost-user back-end. See bounce/bounce.h for the conventions.
 *
 * A front-end that was connected with a policy of IOVAs (`policy` in bounce_frontend_options, an answer of
 * bounce_policy_decide()) has ACCESS_PLATFORM negotiated: addresses in rings and descriptors are IOVAs, those of the
 * pool's platform (BOUNCE_ENCODING_IOVA), and the back-end asks for each that it does not know. It is told what is in a
 * private table, and nothing else. At first that is every region it was shown, whole; what is taken out of the table is
 * taken from the back-end as well, and an access to it after that fails on its side and is seen here.
 *
 * The back-end asks on a socket of its own, and waits with the queue meanwhile: somebody has to call
 * bounce_frontend_process(), when bounce_frontend_requests_fd() is readable or every now and then. All functions here are
 * for the front-end's control thread. -ENOTSUP of a front-end whose addresses are not translated.
 * Source: QEMU docs/interop/vhost-user.rst, "IOMMU support".
 */
#ifndef BOUNCE_IOTLB_H
#define BOUNCE_IOTLB_H

#include <bounce/bounce.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bounce_iotlb_access {
    BOUNCE_IOTLB_READ = 1, /* the back-end may read */
    BOUNCE_IOTLB_WRITE = 2,
    BOUNCE_IOTLB_BOTH = 3
};

/* Answers what the back-end has asked meanwhile, at most 256 requests: how many. A request that makes no sense, comes
 * with descriptors or was not agreed on is a violation and ends the connection (-EPROTO). One for an address that is not
 * mapped is reported as a violation (BOUNCE_VIOLATION_ACCESS), counted, and left without a translation. Waits for the
 * back-end to take each translation, for the front-end's timeout at most. */
BOUNCE_API int bounce_frontend_process(bounce_frontend *frontend);

/* Becomes readable when there is something to process. The front-end's, and another one after each reconnect. */
BOUNCE_API int bounce_frontend_requests_fd(bounce_frontend *frontend);

/* Lets the back-end reach [address, address + bytes), which must lie in one region that it was shown (-EFAULT), and
 * nothing of which is mapped (-EEXIST). address: as devices have it, such as in bounce_block.addr. access: enum
 * bounce_iotlb_access. -ENOSPC: 65536 ranges are mapped. */
BOUNCE_API int bounce_frontend_iotlb_map(bounce_frontend *frontend, uint64_t address, uint64_t bytes, uint32_t access);

/* Takes back what of [address, address + bytes) is mapped: invalidates it and waits until the back-end says that it is
 * gone. -EFAULT: nothing of it is mapped. After a reconnect all regions are mapped whole again. */
BOUNCE_API int bounce_frontend_iotlb_unmap(bounce_frontend *frontend, uint64_t address, uint64_t bytes);

typedef struct bounce_iotlb_info {
    uint64_t translations;   /* ranges that are mapped now */
    uint64_t misses;         /* addresses that the back-end asked for */
    uint64_t updates;        /* translations that it was told */
    uint64_t invalidations;  /* that it confirmed */
    uint64_t denied;         /* misses of what was not mapped, or not for that; accesses that it says failed */
    uint64_t denied_address; /* of the last of these misses */
} bounce_iotlb_info;

BOUNCE_API int bounce_frontend_get_iotlb(bounce_frontend *frontend, bounce_iotlb_info *info);

#ifdef __cplusplus
}
#endif
#endif
