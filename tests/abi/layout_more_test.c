/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * As layout_test.c, for the headers besides bounce.h. */
#include <bounce/dma_pool.h>
#include <bounce/jemalloc.h>

#define IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

IS(bounce_dma_pool_options, 40);
AT(bounce_dma_pool_options, name, 8);
AT(bounce_dma_pool_options, block_bytes, 16);
AT(bounce_dma_pool_options, align, 24);
AT(bounce_dma_pool_options, boundary, 32);

IS(bounce_dma_pool_info, 40);
AT(bounce_dma_pool_info, stride, 8);
AT(bounce_dma_pool_info, blocks_out, 16);
AT(bounce_dma_pool_info, pieces, 24);
AT(bounce_dma_pool_info, piece_bytes, 32);

IS(bounce_jemalloc_options, 24);
AT(bounce_jemalloc_options, flags, 8);
AT(bounce_jemalloc_options, reserved, 12);
AT(bounce_jemalloc_options, limit_bytes, 16);

IS(bounce_jemalloc_info, 24);
AT(bounce_jemalloc_info, blocks, 8);
AT(bounce_jemalloc_info, block_bytes, 16);

int main(void) {
    return bounce_version() != 0 ? 0 : 1;
}
