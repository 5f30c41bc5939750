/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * Bounces one private buffer. Here nobody listens on the other side, so the program looks at the slot itself. */
#include <bounce/bounce.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what) {
    fprintf(stderr, "hello: %s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options pool_options = {.size = sizeof pool_options,
                                        .region = {.size = sizeof pool_options.region,
                                                   .bytes = 4u << 20,
                                                   .base_gpa = UINT64_C(0x100000000)}};
    bounce_device_options device_options = {.size = sizeof device_options, .name = "hello"};
    bounce_pool *pool;
    bounce_device *device;
    bounce_mapping mapping;
    char text[] = "hello, device";

    if (bounce_pool_create(&pool_options, &pool) < 0) return failed("pool");
    if (bounce_device_create(pool, &device_options, &device) < 0) return failed("device");
    if (bounce_device_map(device, text, sizeof text, BOUNCE_BIDIRECTIONAL, 0, &mapping) < 0) return failed("map");

    /* mapping.addr is what goes into a descriptor. The device finds the bytes there: */
    void *seen_by_device;
    if (bounce_pool_gpa_to_hva(pool, mapping.addr, sizeof text, &seen_by_device) < 0) return failed("translate");
    printf("at GPA 0x%llx the device reads \"%s\"\n", (unsigned long long)mapping.addr, (char *)seen_by_device);
    memcpy(seen_by_device, "HELLO", 5); /* ... and answers, as yet invisible to us */
    printf("before unmap: %s\n", text);
    if (bounce_device_unmap(device, &mapping, sizeof text) < 0) return failed("unmap");
    printf("after unmap:  %s\n", text);

    if (bounce_device_destroy(device) < 0) return failed("device");
    if (bounce_pool_destroy(pool) < 0) return failed("pool");
    return strcmp(text, "HELLO, device") == 0 ? 0 : 1;
}
