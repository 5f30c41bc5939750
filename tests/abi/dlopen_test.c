/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
 * A C program that knows nothing of the library until it loads it (a plug-in host). argv[1]: libbounce.so */
#define _POSIX_C_SOURCE 200809L /* barriers */
#include <bounce/bounce.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *library;
static int failures;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            ++failures;                                                     \
        }                                                                   \
    } while (0)

/* ISO C has no cast from void * to a function pointer. */
static void load(const char *name, void *function) {
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    memcpy(function, &found, sizeof found);
}

static void *fail_once(void *unused) {
    int (*pool_create)(const bounce_pool_options *, bounce_pool **);
    const char *(*last_error)(void);
    (void)unused;
    load("bounce_pool_create", &pool_create);
    load("bounce_last_error", &last_error);
    CHECK(strcmp(last_error(), "") == 0); /* this thread's own */
    CHECK(pool_create(NULL, NULL) < 0);
    CHECK(strcmp(last_error(), "") != 0);
    return NULL;
}

static pthread_barrier_t unloaded;

/* Fails, and ends only when the library was closed. */
static void *outlive(void *unused) {
    fail_once(unused);
    pthread_barrier_wait(&unloaded);
    pthread_barrier_wait(&unloaded);
    return NULL;
}

static void use(void) {
    int (*pool_create)(const bounce_pool_options *, bounce_pool **);
    int (*pool_destroy)(bounce_pool *);
    int (*device_create)(bounce_pool *, const bounce_device_options *, bounce_device **);
    int (*device_destroy)(bounce_device *);
    int (*map)(bounce_device *, void *, size_t, int, uint32_t, bounce_mapping *);
    int (*unmap)(bounce_device *, bounce_mapping *, size_t);
    bounce_pool_options pool_options;
    bounce_device_options device_options;
    bounce_mapping mapping;
    bounce_pool *pool = NULL;
    bounce_device *device = NULL;
    char text[] = "text";

    load("bounce_pool_create", &pool_create);
    load("bounce_pool_destroy", &pool_destroy);
    load("bounce_device_create", &device_create);
    load("bounce_device_destroy", &device_destroy);
    load("bounce_device_map", &map);
    load("bounce_device_unmap", &unmap);
    if (failures != 0) return;
    memset(&pool_options, 0, sizeof pool_options);
    pool_options.size = sizeof pool_options;
    pool_options.region.size = sizeof pool_options.region;
    pool_options.region.bytes = 1u << 20;
    memset(&device_options, 0, sizeof device_options);
    device_options.size = sizeof device_options;
    CHECK(pool_create(&pool_options, &pool) == 0);
    CHECK(device_create(pool, &device_options, &device) == 0);
    CHECK(map(device, text, sizeof text, BOUNCE_BIDIRECTIONAL, 0, &mapping) == 0);
    memcpy(mapping.slot, "TEXT", 4);
    CHECK(unmap(device, &mapping, sizeof text) == 0);
    CHECK(strcmp(text, "TEXT") == 0);
    CHECK(device_destroy(device) == 0);
    CHECK(pool_destroy(pool) == 0);
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 2) {
        fprintf(stderr, "usage: %s libbounce.so\n", argv[0]);
        return 2;
    }
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    use();
    CHECK(pthread_create(&thread, NULL, fail_once, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_barrier_init(&unloaded, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, outlive, NULL) == 0);
    pthread_barrier_wait(&unloaded);
    CHECK(dlclose(library) == 0);
    pthread_barrier_wait(&unloaded);
    CHECK(pthread_join(thread, NULL) == 0);
    return failures == 0 ? 0 : 1;
}
