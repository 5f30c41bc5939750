/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce: platforms without the hardware. An *emulator* stands for the machine (firmware, processor, IOMMU) under a
 * protected guest. It gives the guest's side a bounce_platform to create pools on, and a device, which is another
 * process, a *port* to reach memory through. What is shared is memory of its own that both sides have mapped; all else of
 * the guest is not in the device's process at all, so that nothing but the emulator's answer decides what a device gets
 * to see of it. For tests, of this library and of its users.
 *
 *   model       a device that touches a private page          content over a conversion
 *   plain       reads and writes it                           kept
 *   iommu       faults, as it does wherever nothing is mapped kept
 *   s390-ccw    faults                                        kept
 *   s390-zpci   faults                                        kept
 *   sev, sev-es reads ciphertext; its writes turn into        garbled
 *               garbage for the guest
 *   snp, snp-vtom  reads ciphertext; its writes fault         garbled
 *   tdx         faults                                        garbled
 *   pef         faults                                        zeroed
 *   cca         faults                                        kept
 *
 * A fault is an error in the device's process and a report (BOUNCE_VIOLATION_ACCESS) on the guest's side; nothing is
 * killed. Emulated ciphertext is what a toy cipher makes of the page: it tells nothing of the plaintext to a test that
 * looks for it, and protects nothing.
 *
 * Where memory is shared and unshared, the pages at that address are *replaced* by others, so a mapping that the caller
 * handed in (bounce_region_options.hva) is the caller's address range afterwards, with other pages. What a region's
 * descriptor refers to is not what devices see (BOUNCE_PLATFORM_OWN_MEMORY).
 *
 * All of it is thread-safe, but an emulated device is used by one thread at a time. No threads: the guest's side calls
 * bounce_emulator_serve().
 */
#ifndef BOUNCE_EMULATOR_H
#define BOUNCE_EMULATOR_H

#include <bounce/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The machine -------------------------------------------------------------------------------------------- */

typedef struct bounce_emulator bounce_emulator;

/* In brackets: form of addresses, granule, kind. All but plain and iommu need ACCESS_PLATFORM. */
enum bounce_emulated_model {
    BOUNCE_EMULATED_PLAIN = 0,     /* [GPA, 4 KiB, PLAIN] */
    BOUNCE_EMULATED_IOMMU = 1,     /* [IOVA, 4 KiB, PLAIN] */
    BOUNCE_EMULATED_S390_CCW = 2,  /* [GPA, 4 KiB, S390_PV] */
    BOUNCE_EMULATED_S390_ZPCI = 3, /* [IOVA, 4 KiB, S390_PV] */
    BOUNCE_EMULATED_SEV = 4,       /* [GPA without C-bit 51, 4 KiB, SEV] */
    BOUNCE_EMULATED_SEV_ES = 5,    /* [GPA without C-bit 51, 4 KiB, SEV] */
    BOUNCE_EMULATED_SNP = 6,       /* [GPA without C-bit 51, 4 KiB, SNP] */
    BOUNCE_EMULATED_SNP_VTOM = 7,  /* [GPA + 2^46, 4 KiB, SNP_VTOM] */
    BOUNCE_EMULATED_TDX = 8,       /* [GPA, 4 KiB, TDX] */
    BOUNCE_EMULATED_PEF = 9,       /* [GPA, 64 KiB, PEF] */
    BOUNCE_EMULATED_CCA = 10       /* [GPA with bit 47, 4 KiB, CCA] */
};

typedef struct bounce_emulator_options {
    size_t size;                   /* sizeof(bounce_emulator_options) */
    uint32_t model;                /* enum bounce_emulated_model */
    uint32_t granule;              /* 4096, 16384 or 65536; 0: the model's */
    bounce_violation_fn violation; /* may be NULL. `device` is "port N", `got` the address, `expected` the bytes. Called
                                    * by bounce_emulator_serve(); must not call into the emulator. */
    void *violation_user;
} bounce_emulator_options;

BOUNCE_API int bounce_emulator_create(const bounce_emulator_options *options, bounce_emulator **emulator);

/* -EBUSY (and nothing happens) while memory is shared: destroy the pools first. Memory for which a conversion failed for
 * good stays where it is. */
BOUNCE_API int bounce_emulator_destroy(bounce_emulator *emulator);

/* A platform to create pools on, of an audience (NULL: everyone). Good as long as the emulator. */
BOUNCE_API int bounce_emulator_platform(bounce_emulator *emulator, const bounce_audience *audience,
                                        bounce_platform *platform);

/* Private memory of the guest at hva, which devices can aim at as [gpa, gpa + bytes): multiples of the granule. Must stay
 * accessible until it is removed by the same gpa. -EEXIST: it overlaps other memory. */
BOUNCE_API int bounce_emulator_add_memory(bounce_emulator *emulator, uint64_t gpa, void *hva, uint64_t bytes);
BOUNCE_API int bounce_emulator_remove_memory(bounce_emulator *emulator, uint64_t gpa);

enum bounce_conversion { BOUNCE_SHARE = 0, BOUNCE_UNSHARE = 1, BOUNCE_IOMMU_MAP = 2, BOUNCE_IOMMU_UNMAP = 3 };

enum {
    /* Half of the range is converted before it fails; a range that was to become visible is so in part, for ever. */
    BOUNCE_FAIL_HALFWAY = 1u << 0
};

/* Which conversions fail. */
typedef struct bounce_failure {
    size_t size;
    uint32_t conversion; /* enum bounce_conversion */
    uint32_t flags;      /* BOUNCE_FAIL_* */
    uint32_t nth;        /* of the conversions of this sort from now on: that one alone; 0: each one */
    int32_t error;       /* a positive errno value; 0: EIO */
    uint64_t gpa;        /* only those that overlap [gpa, gpa + bytes), and only they count; bytes 0: all */
    uint64_t bytes;
} bounce_failure;

/* From now on; replaces what was said of this sort of conversion before. NULL: nothing fails any more. */
BOUNCE_API int bounce_emulator_fail(bounce_emulator *emulator, const bounce_failure *failure);

typedef struct bounce_emulator_stats {
    uint64_t shared_bytes;     /* now */
    uint64_t mapped_bytes;     /* in the IOMMU's tables now */
    uint64_t conversions[4];   /* that succeeded, by enum bounce_conversion */
    uint64_t failures;         /* that failed on demand */
    uint64_t mistakes;         /* calls that no machine would take: sharing what is shared, mapping what is not, a range
                                * off the granule */
    uint64_t faults;           /* accesses of devices that were refused */
    uint64_t ciphertext_reads; /* bytes */
    uint64_t garbled_writes;   /* bytes */
} bounce_emulator_stats;

BOUNCE_API int bounce_emulator_get_stats(bounce_emulator *emulator, bounce_emulator_stats *stats);

/* Connects a device: `socket` is one end of a pair of sockets of AF_UNIX and SOCK_SEQPACKET (duplicated), whose other end
 * is the device's. It sees what is shared with everyone, and with `who` when that is given. The number of the port. */
BOUNCE_API int bounce_emulator_attach(bounce_emulator *emulator, int socket, const bounce_audience *who);

/* Answers devices. Waits for their requests up to timeout_ms (UINT32_MAX: no limit), and returns how many it answered: at
 * most one of each port, so that no device can keep it. A port whose device is gone, or sent nonsense, is closed. */
BOUNCE_API int bounce_emulator_serve(bounce_emulator *emulator, uint32_t timeout_ms);

/* ---- The device, in a process of its own -------------------------------------------------------------------- */

typedef struct bounce_emulated_device bounce_emulated_device;

/* Takes the socket over. timeout_ms: for each answer of the emulator; 0 = 5000. */
BOUNCE_API int bounce_emulated_device_open(int socket, uint32_t timeout_ms, bounce_emulated_device **device);
BOUNCE_API int bounce_emulated_device_close(bounce_emulated_device *device);

/* DMA: to or from [address, address + bytes). -EFAULT: some byte of it faulted; what comes before may have been done.
 * -ECONNRESET, -ETIMEDOUT: the emulator is gone, or busy. */
BOUNCE_API int bounce_emulated_device_read(bounce_emulated_device *device, uint64_t address, void *to, size_t bytes);
BOUNCE_API int bounce_emulated_device_write(bounce_emulated_device *device, uint64_t address, const void *from,
                                            size_t bytes);

/* Shared memory in place, for rings: where [address, address + bytes) is in this process. -EFAULT: it is not shared as a
 * whole, within one chunk of 2 MiB. What is unshared later reads as zeros there, or as what is shared in its place. */
BOUNCE_API int bounce_emulated_device_pointer(bounce_emulated_device *device, uint64_t address, size_t bytes,
                                              void **pointer);

#ifdef __cplusplus
}
#endif
#endif
