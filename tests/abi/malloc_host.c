/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A host with libbounce-jemalloc: its malloc is the one that it had before, and finds nothing shared. */
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include <bounce/jemalloc.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 2000, THREADS = 4, BYTES = 8 << 20 };

static bounce_jemalloc_heap *heap;
static char *shared;
static int failures;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);             \
        }                                                                   \
    } while (0)

static int inside(const void *ptr) {
    return (uintptr_t)ptr - (uintptr_t)shared < BYTES;
}

/* Of the C library, or of a sanitizer's runtime, and never of ours. */
static void check_owner(const char *name) {
    Dl_info info;
    void *const function = dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL && dladdr(function, &info) != 0);
    if (function == NULL || strstr(info.dli_fname, "bounce-jemalloc") != NULL || strstr(info.dli_fname, "libjemalloc") != NULL) {
        fprintf(stderr, "%s is that of %s\n", name, function == NULL ? "nobody" : info.dli_fname);
        CHECK(0);
    }
}

static void *work(void *unused) {
    void *mine[ROUNDS];
    size_t i;
    (void)unused;
    for (i = 0; i < ROUNDS; ++i) {
        void *const of_heap = bounce_jemalloc_malloc(heap, 1 + i % 1000, NULL);
        CHECK(of_heap != NULL && inside(of_heap));
        CHECK(bounce_jemalloc_free(heap, of_heap) == 0);
        mine[i] = malloc(1 + i % 1000);
        CHECK(mine[i] != NULL && !inside(mine[i]));
    }
    for (i = 0; i < ROUNDS; ++i) free(mine[i]);
    return NULL;
}

int main(void) {
    bounce_pool_options options;
    bounce_device_options device_options;
    bounce_region_info region;
    bounce_pool *pool = NULL;
    bounce_device *device = NULL;
    pthread_t threads[THREADS];
    size_t i;

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = BYTES;
    memset(&device_options, 0, sizeof device_options);
    device_options.size = sizeof device_options;
    CHECK(bounce_pool_create(&options, &pool) == 0);
    CHECK(bounce_device_create(pool, &device_options, &device) == 0);
    CHECK(bounce_pool_region(pool, 0, &region) == 0);
    shared = (char *)region.hva;
    CHECK(bounce_jemalloc_create(pool, device, NULL, &heap) == 0);
    check_owner("malloc");
    check_owner("free");
    check_owner("calloc");
    check_owner("realloc");
    check_owner("posix_memalign");
    CHECK(dlsym(RTLD_DEFAULT, "mallctl") == NULL);
    CHECK(dlsym(RTLD_DEFAULT, "mallocx") == NULL);
    for (i = 0; i < THREADS; ++i) CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (i = 0; i < THREADS; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(bounce_jemalloc_destroy(heap) == 0);
    CHECK(bounce_device_destroy(device) == 0);
    CHECK(bounce_pool_destroy(pool) == 0);
    return failures == 0 ? 0 : 1;
}
