/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A driver that makes two mistakes, and a device that is watched. */
#include <bounce/bounce.h>
#include <bounce/debug.h>
#include <stdio.h>
#include <string.h>

static int mistakes;

static void on_report(void *user, const bounce_debug_report *report) {
    (void)user;
    printf("%s by %s, at %p; mapped at %p, %llu us ago\n", bounce_debug_kind_name(report->kind), report->function,
           report->site, report->map_site, (unsigned long long)report->age_ns / 1000);
    mistakes |= 1 << report->kind;
}

static int failed(const char *what) {
    fprintf(stderr, "debugging: %s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options pool_options = {.size = sizeof pool_options,
                                        .region = {.size = sizeof pool_options.region,
                                                   .bytes = 4u << 20,
                                                   .base_gpa = UINT64_C(0x100000000)}};
    bounce_debug_options debug_options = {.size = sizeof debug_options, .report = on_report};
    bounce_device_options device_options = {
        .size = sizeof device_options, .name = "careless", .flags = BOUNCE_DEVICE_DEBUG, .debug = &debug_options};
    bounce_pool *pool;
    bounce_device *device;
    bounce_mapping mapping;
    char text[] = "a request";

    if (bounce_pool_create(&pool_options, &pool) < 0) return failed("pool");
    if (bounce_device_create(pool, &device_options, &device) < 0) return failed("device");
    if (bounce_device_map(device, text, sizeof text, BOUNCE_TO_DEVICE, 0, &mapping) < 0) return failed("map");
    text[0] = 'A'; /* the device has it, and does not see this */
    if (bounce_device_unmap(device, &mapping, 0) < 0) return failed("unmap");
    if (bounce_device_unmap(device, &mapping, 0) == 0) return failed("the second unmap succeeded"); /* once too often */

    if (bounce_device_destroy(device) < 0) return failed("device");
    if (bounce_pool_destroy(pool) < 0) return failed("pool");
    return mistakes == (1 << BOUNCE_DEBUG_PRIVATE_WRITE | 1 << BOUNCE_DEBUG_DOUBLE_UNMAP) ? 0 : 1;
}
