/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: what kind of machine this is, and how its devices are reached. Both are the host's word: the library does
 * not guess.
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

#ifdef __cplusplus
}
#endif
#endif
