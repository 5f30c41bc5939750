/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 *
 * libbounce-tbb: many MiB at once. Prefaulting, zeroing and copying in parallel, on processors of the NUMA node
 * that the memory is on. A library of its own, on top of libbounce (bounce/bounce.h), because it starts what libbounce
 * promises not to have: threads. They are those of oneTBB's pool, which keeps them for the next call and ends them with
 * the process.
 *
 * Conventions
 *   As in bounce.h: 0 on success, a negative errno value on failure. bounce_tbb_last_error() has the sentence that goes
 *   with a failure of the functions here (bounce_last_error() has not).
 *   threads        how many processors work at once, the calling one included. 0: all of the memory's node (or of the
 *                  machine, where the memory has no node, or oneTBB cannot bind threads because its tbbbind library is
 *                  missing); more than that counts as that. 1: the calling thread alone, where it is; oneTBB is not
 *                  called. With several, the calling thread is bound to the node until the call returns.
 *   Thread-safety  every function may be called by any number of threads at once, while the pool is in use.
 *   Blocking       each returns when all is done. No system call but those of oneTBB, of page faults and, for
 *                  prefaulting, madvise(2).
 *   Fork           -EOWNERDEAD in a forked child, as everywhere. */
#ifndef BOUNCE_TBB_H
#define BOUNCE_TBB_H

#include <bounce/bounce.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The last failure of a function of this header in this thread, as one sentence without a newline. Never NULL; "" when
 * nothing failed yet. Valid until the next failure in this thread. */
BOUNCE_API const char *bounce_tbb_last_error(void);

/* Gives every page of region `region` (its index in the pool) memory and maps it, so that no later access faults. What
 * is in the pages stays as it is, also while devices and other threads write there; it may run at any time. Pages that
 * have memory already cost little. Where the pages come from is decided by the region's node (BOUNCE_REGION_NODE), not
 * by who touches them; without one they come from the nodes of the threads that do.
 * -EINVAL: no such region. -ENOMEM: there is no memory for all of it (what was had stays), or none for the work itself.
 * Source: madvise(2), MADV_POPULATE_WRITE; before Linux 5.14 each page is touched, and a hugepage that cannot be had
 * raises SIGBUS then. */
BOUNCE_API int bounce_tbb_prefault(bounce_pool *pool, uint32_t region, uint32_t threads);

/* Writes zeros to [hva, hva + bytes), which must lie in one region of the pool and belong to the caller (a born-shared
 * buffer, a coherent block); bytes > 0, of any alignment. -EFAULT: not in one region. -EINVAL: an argument is wrong.
 * -ENOMEM: none for the work itself; not all is zeroed. */
BOUNCE_API int bounce_tbb_zero(bounce_pool *pool, void *hva, size_t bytes, uint32_t threads);

/* Copies bytes > 0, of any alignment, between private memory and the pool, in either direction, or inside the pool. At
 * least one of the two must lie in one region of the pool (-EFAULT); the threads run on its node, or on that of `to`
 * when both do. They must not overlap (-EINVAL). -ENOMEM: as above, not all is copied. The device may write the pool's
 * side meanwhile: then what was copied is a mixture, as with any copy. */
BOUNCE_API int bounce_tbb_copy(bounce_pool *pool, void *to, const void *from, size_t bytes, uint32_t threads);

#ifdef __cplusplus
}
#endif
#endif
