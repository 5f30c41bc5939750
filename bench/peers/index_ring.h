/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * Concurrency Kit's ring of indices behind four functions: its header is not C++. Link-time optimisation inlines them.
 */
#ifndef BENCH_INDEX_RING_H
#define BENCH_INDEX_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct index_ring index_ring;

/* For `items` indices; NULL without memory. */
index_ring* index_ring_create(uint32_t items);
void index_ring_destroy(index_ring* ring);
/* False: full, empty. Any number of threads. */
bool index_ring_put(index_ring* ring, uint32_t index);
bool index_ring_get(index_ring* ring, uint32_t* index);

#ifdef __cplusplus
}
#endif
#endif
