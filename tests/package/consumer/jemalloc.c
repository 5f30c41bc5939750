/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A program of somebody else's that uses the component jemalloc. */
#include <bounce/jemalloc.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

int main(void) {
    bounce_pool_options options;
    bounce_device_options device_options;
    bounce_pool *pool = NULL;
    bounce_device *device = NULL;
    bounce_jemalloc_heap *heap = NULL;
    uint64_t addr = 0;
    char *text;

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = 4 << 20;
    options.region.base_gpa = 1 << 30;
    memset(&device_options, 0, sizeof device_options);
    device_options.size = sizeof device_options;
    if (bounce_pool_create(&options, &pool) < 0) return failed("bounce_pool_create", bounce_last_error());
    if (bounce_device_create(pool, &device_options, &device) < 0)
        return failed("bounce_device_create", bounce_last_error());
    if (bounce_jemalloc_create(pool, device, NULL, &heap) < 0)
        return failed("bounce_jemalloc_create", bounce_jemalloc_last_error());
    text = (char *)bounce_jemalloc_malloc(heap, 100, &addr);
    if (text == NULL) return failed("bounce_jemalloc_malloc", bounce_jemalloc_last_error());
    if (addr < 1 << 30) return failed("bounce_jemalloc_malloc", "the address is not one of the pool");
    strcpy(text, "text");
    if (bounce_jemalloc_free(heap, text) < 0) return failed("bounce_jemalloc_free", bounce_jemalloc_last_error());
    if (bounce_jemalloc_free(heap, text) == 0) return failed("bounce_jemalloc_free", "freed twice");
    if (bounce_jemalloc_destroy(heap) < 0) return failed("bounce_jemalloc_destroy", bounce_jemalloc_last_error());
    if (bounce_device_destroy(device) < 0) return failed("bounce_device_destroy", bounce_last_error());
    if (bounce_pool_destroy(pool) < 0) return failed("bounce_pool_destroy", bounce_last_error());
    printf("allocated\n");
    return 0;
}
