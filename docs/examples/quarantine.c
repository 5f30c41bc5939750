/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A device is found to lie and cannot be reset at once: what it has serves nobody else until it was. */
#include <bounce/quarantine.h>
#include <stdio.h>

static int failed(const char *what) {
    fprintf(stderr, "quarantine: %s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options pool_options = {.size = sizeof pool_options,
                                        .region = {.size = sizeof pool_options.region,
                                                   .bytes = 4u << 20,
                                                   .base_gpa = UINT64_C(0x100000000)}};
    bounce_device_options device_options = {.size = sizeof device_options, .name = "liar"};
    bounce_pool *pool;
    bounce_device *device;
    bounce_mapping mapping;
    bounce_pool_stats stats;
    char buffer[4096];

    if (bounce_pool_create(&pool_options, &pool) < 0) return failed("pool");
    if (bounce_device_create(pool, &device_options, &device) < 0) return failed("device");
    if (bounce_device_map(device, buffer, sizeof buffer, BOUNCE_FROM_DEVICE, 0, &mapping) < 0) return failed("map");

    /* The device breaks the protocol. */
    if (bounce_device_quarantine(device) < 0) return failed("quarantine");
    if (bounce_device_unmap(device, &mapping, 0) < 0) return failed("unmap"); /* nothing of it is believed */
    if (bounce_pool_get_stats(pool, &stats) < 0) return failed("stats");
    printf("%llu slot is held back, %llu bytes\n", (unsigned long long)stats.quarantined,
           (unsigned long long)stats.quarantined_bytes);
    /* ... the device is reset ... */
    printf("%d went home\n", bounce_device_release(device));
    if (bounce_device_destroy(device) < 0) return failed("device");
    return bounce_pool_destroy(pool) < 0 ? failed("pool") : 0;
}
