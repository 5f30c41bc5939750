/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A device with NVMe's alignment and 16 descriptors reads a header and a payload that lie apart: one list. */
#include <bounce/streaming.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what) {
    fprintf(stderr, "streaming: %s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options pool_options = {.size = sizeof pool_options,
                                        .region = {.size = sizeof pool_options.region,
                                                   .bytes = 4u << 20,
                                                   .base_gpa = UINT64_C(0x100000000)}};
    bounce_device_options device_options = {.size = sizeof device_options,
                                            .name = "nvme0",
                                            .min_align_mask = 4095,
                                            .max_segments = 16,
                                            .scrub_at_map = BOUNCE_SCRUB_TAIL};
    static char payload[100000];
    char header[32] = "header";
    bounce_pool *pool;
    bounce_device *device;

    memset(payload, 'p', sizeof payload);
    if (bounce_pool_create(&pool_options, &pool) < 0) return failed("pool");
    if (bounce_device_create(pool, &device_options, &device) < 0) return failed("device");

    bounce_sg pieces[2] = {{header, sizeof header, 0, 0}, {payload, sizeof payload, 0, 0}};
    bounce_mapping tokens[2 + 16];
    bounce_segment segments[16];
    bounce_list list = {.size = sizeof list,
                        .mappings = tokens,
                        .max_mappings = 2 + 16,
                        .segments = segments,
                        .max_segments = 16};
    if (bounce_device_map_list(device, pieces, 2, BOUNCE_TO_DEVICE, NULL, &list) < 0) return failed("map");
    for (size_t i = 0; i < list.n_segments; i++)
        printf("descriptor %zu: %llu bytes at GPA 0x%llx\n", i, (unsigned long long)segments[i].bytes,
               (unsigned long long)segments[i].addr);
    /* ... the device reads them ... */
    if (bounce_device_unmap_list(device, &list, 0) < 0) return failed("unmap");
    if (bounce_device_destroy(device) < 0) return failed("device");
    return bounce_pool_destroy(pool) < 0 ? failed("pool") : 0;
}
