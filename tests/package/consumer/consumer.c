/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A program of somebody else's that uses the installed library from C: maps a private buffer, looks at what the device
 * would see, lets "the device" answer, and gets the answer back. */
#include <bounce/bounce.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, bounce_last_error());
    return 1;
}

int main(void) {
    bounce_pool_options options;
    bounce_device_options device_options;
    bounce_pool *pool = NULL;
    bounce_device *device = NULL;
    bounce_mapping mapping;
    char question[64] = "question";
    void *seen = NULL;

    if (bounce_version() != (uint32_t)(BOUNCE_VERSION_MAJOR << 16 | BOUNCE_VERSION_MINOR << 8 | BOUNCE_VERSION_PATCH)) {
        fprintf(stderr, "library %#x and header differ\n", (unsigned)bounce_version());
        return 1;
    }
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = 4 << 20;
    options.region.base_gpa = 1 << 30;
    if (bounce_pool_create(&options, &pool) < 0) return failed("bounce_pool_create");
    memset(&device_options, 0, sizeof device_options);
    device_options.size = sizeof device_options;
    if (bounce_device_create(pool, &device_options, &device) < 0) return failed("bounce_device_create");
    if (bounce_device_map(device, question, sizeof question, BOUNCE_BIDIRECTIONAL, 0, &mapping) < 0) {
        return failed("bounce_device_map");
    }
    if (mapping.addr < 1 << 30 || mapping.addr >= (1 << 30) + (4 << 20)) return failed("address outside of the pool");
    if (bounce_pool_gpa_to_hva(pool, mapping.addr, sizeof question, &seen) < 0) return failed("bounce_pool_gpa_to_hva");
    if (strcmp((const char *)seen, "question") != 0) return failed("the device sees something else");
    strcpy((char *)seen, "answer");
    if (strcmp(question, "question") != 0) return failed("the private buffer changed before unmap");
    if (bounce_device_unmap(device, &mapping, sizeof question) < 0) return failed("bounce_device_unmap");
    if (bounce_device_destroy(device) < 0) return failed("bounce_device_destroy");
    if (bounce_pool_destroy(pool) < 0) return failed("bounce_pool_destroy");
    printf("%s\n", question);
    return strcmp(question, "answer") != 0;
}
