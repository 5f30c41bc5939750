/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A program of somebody else's that uses the component tbb. */
#include <bounce/tbb.h>
#include <stdio.h>
#include <string.h>

enum { BYTES = 8 << 20 };

static int failed(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

int main(void) {
    bounce_pool_options options;
    bounce_region_info info;
    bounce_pool *pool = NULL;
    size_t i;

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = BYTES;
    options.region.base_gpa = 1 << 30;
    if (bounce_pool_create(&options, &pool) < 0) return failed("bounce_pool_create", bounce_last_error());
    if (bounce_pool_region(pool, 0, &info) < 0) return failed("bounce_pool_region", bounce_last_error());
    if (bounce_tbb_prefault(pool, 0, 0) < 0) return failed("bounce_tbb_prefault", bounce_tbb_last_error());
    memset(info.hva, 1, BYTES);
    if (bounce_tbb_zero(pool, info.hva, BYTES, 0) < 0) return failed("bounce_tbb_zero", bounce_tbb_last_error());
    for (i = 0; i < BYTES; ++i) {
        if (((const char *)info.hva)[i] != 0) return failed("bounce_tbb_zero", "a byte is not zero");
    }
    if (bounce_tbb_zero(pool, NULL, 1, 0) == 0) return failed("bounce_tbb_zero", "took NULL");
    if (bounce_pool_destroy(pool) < 0) return failed("bounce_pool_destroy", bounce_last_error());
    printf("zeroed\n");
    return 0;
}
