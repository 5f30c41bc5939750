/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "bench/peers/index_ring.h"

#include <ck_ring.h>
#include <stdlib.h>

struct index_ring {
    ck_ring_t ring;
    ck_ring_buffer_t* entries;
};

index_ring* index_ring_create(uint32_t items) {
    unsigned int size = 4; /* a ring of n entries holds n - 1 */
    while (size <= items) size *= 2;
    index_ring* ring = aligned_alloc(128, (sizeof *ring + 127) / 128 * 128);
    if (ring == NULL) return NULL;
    ring->entries = calloc(size, sizeof *ring->entries);
    if (ring->entries == NULL) {
        free(ring);
        return NULL;
    }
    ck_ring_init(&ring->ring, size);
    return ring;
}

void index_ring_destroy(index_ring* ring) {
    free(ring->entries);
    free(ring);
}

bool index_ring_put(index_ring* ring, uint32_t index) {
    return ck_ring_enqueue_mpmc(&ring->ring, ring->entries, (void*)(uintptr_t)index);
}

bool index_ring_get(index_ring* ring, uint32_t* index) {
    void* entry = NULL;
    if (!ck_ring_dequeue_mpmc(&ring->ring, ring->entries, &entry)) return false;
    *index = (uint32_t)(uintptr_t)entry;
    return true;
}
