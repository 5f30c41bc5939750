// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A host for tests of bouncectl: a pool that can grow, a control, and threads whose maps wait for memory. The device is
// in the same thread: it looks at each byte that it is given, and writes the opposite.
//
// Usage: control_host SOCKET [THREADS]. Says "ready" on its standard output. Ends when its standard input does, with a
// line of JSON: requests that completed, requests that were refused (by a ceiling) and tried again, bytes that were
// wrong, and errors, of which there should be none.
//
// Devices: "load", whose requests those are; "own", with a mapping in region 1, which only it may use; "leaky", with
// one mapping of 777 bytes from_device that lasts.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bounce/bounce.h"
#include "bounce/control.h"
#include "bounce/waiting.h"

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::size_t kMostBytes = 256 << 10;

std::atomic<bool> g_stop{false};
std::atomic<std::uint64_t> g_requests{0};
std::atomic<std::uint64_t> g_refused{0};
std::atomic<std::uint64_t> g_wrong{0};
std::atomic<std::uint64_t> g_errors{0};

void check(int code, const char* what) {
    if (code >= 0) return;
    std::fprintf(stderr, "%s: %s\n", what, bounce_last_error());
    std::exit(1);
}

void note_error(const char* what) {
    g_errors.fetch_add(1);
    std::fprintf(stderr, "%s: %s\n", what, bounce_last_error());
}

bounce_pool* make_pool() {
    bounce_pool_options options{};
    options.size = sizeof options;
    options.name = "host";
    options.region.size = sizeof options.region;
    options.region.bytes = 8 * kMiB;
    options.region.base_gpa = std::uint64_t{4} << 30;
    options.limit_bytes = 64 * kMiB;
    bounce_pool* pool = nullptr;
    check(bounce_pool_create(&options, &pool), "the pool");
    bounce_region_options own{};
    own.size = sizeof own;
    own.bytes = 2 * kMiB;
    own.base_gpa = std::uint64_t{8} << 30;
    own.flags = BOUNCE_REGION_RESTRICTED;
    check(bounce_pool_add_region(pool, &own), "a region");
    return pool;
}

bounce_device* make_device(bounce_pool* pool, const char* name, std::uint64_t regions) {
    bounce_device_options options{};
    options.size = sizeof options;
    options.name = name;
    options.regions = regions;
    bounce_device* device = nullptr;
    check(bounce_device_create(pool, &options, &device), name);
    return device;
}

/// Whoever is to be called for the control and for growth.
void serve(bounce_pool* pool, bounce_control* control) {
    pollfd waits[] = {{bounce_control_fd(control), POLLIN, 0}, {bounce_pool_event_fd(pool), POLLIN, 0}};
    while (!g_stop.load()) {
        if (::poll(waits, 2, 20) < 0 && errno != EINTR) std::abort();
        while (bounce_control_process(control) == 1) {
        }
        while (bounce_pool_service(pool) == 1) {
        }
    }
}

/// False: it was refused, and nothing was done.
bool request(bounce_device* device, std::vector<unsigned char>& buffer, std::mt19937& random) {
    const std::size_t bytes = 1 + random() % (random() % 4 == 0 ? kMostBytes : 8192);
    const auto seed = static_cast<unsigned char>(random());
    for (std::size_t i = 0; i < bytes; ++i) buffer[i] = static_cast<unsigned char>(seed + i * 7);
    bounce_mapping mapping;
    const int mapped =
        bounce_device_map_wait(device, buffer.data(), bytes, BOUNCE_BIDIRECTIONAL, 0, UINT32_MAX, &mapping);
    if (mapped == -EDQUOT) return false;
    if (mapped < 0) {
        note_error("map");
        return false;
    }
    auto* const slot = static_cast<unsigned char*>(mapping.slot);
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        wrong += slot[i] != static_cast<unsigned char>(seed + i * 7) ? 1U : 0U;
        slot[i] = static_cast<unsigned char>(~slot[i]);
    }
    if (bounce_device_unmap(device, &mapping, bytes) < 0) note_error("unmap");
    for (std::size_t i = 0; i < bytes; ++i)
        wrong += buffer[i] != static_cast<unsigned char>(~static_cast<unsigned char>(seed + i * 7)) ? 1U : 0U;
    g_wrong.fetch_add(wrong);
    return true;
}

void work(bounce_device* device, unsigned seed) {
    std::vector<unsigned char> buffer(kMostBytes);
    std::mt19937 random(seed);
    while (!g_stop.load(std::memory_order_relaxed)) {
        if (request(device, buffer, random)) {
            g_requests.fetch_add(1, std::memory_order_relaxed);
        } else {
            g_refused.fetch_add(1, std::memory_order_relaxed);
            std::this_thread::yield();
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const int threads = argc > 2 ? std::atoi(argv[2]) : 3;
    bounce_pool* const pool = make_pool();
    bounce_control_options options{};
    options.size = sizeof options;
    options.path = argv[1];
    options.vm_name = "host-vm";
    options.publish_ms = 20;
    bounce_control* control = nullptr;
    check(bounce_control_create(pool, &options, &control), "the control");
    bounce_device* const load = make_device(pool, "load", 0);
    bounce_device* const own = make_device(pool, "own", 1u << 1);
    bounce_device* const leaky = make_device(pool, "leaky", 0);
    std::vector<char> kept(4096);
    bounce_mapping own_mapping;
    bounce_mapping leak;
    check(bounce_device_map(own, kept.data(), 4096, BOUNCE_TO_DEVICE, 0, &own_mapping), "own");
    check(bounce_device_map(leaky, kept.data(), 777, BOUNCE_FROM_DEVICE, 0, &leak), "leaky");
    std::vector<std::thread> all;
    all.emplace_back(serve, pool, control);
    for (int i = 0; i < threads; ++i) all.emplace_back(work, load, static_cast<unsigned>(i));
    std::puts("ready");
    std::fflush(stdout);
    for (char c = 0; ::read(STDIN_FILENO, &c, 1) > 0;) {
    }
    g_stop.store(true);
    for (std::thread& thread : all) thread.join();
    std::printf("{\"requests\": %llu, \"refused\": %llu, \"wrong\": %llu, \"errors\": %llu}\n",
                static_cast<unsigned long long>(g_requests), static_cast<unsigned long long>(g_refused),
                static_cast<unsigned long long>(g_wrong), static_cast<unsigned long long>(g_errors));
    static_cast<void>(bounce_device_unmap(own, &own_mapping, 0));
    static_cast<void>(bounce_device_unmap(leaky, &leak, 0));
    for (bounce_device* device : {load, own, leaky}) static_cast<void>(bounce_device_destroy(device));
    static_cast<void>(bounce_control_destroy(control));
    check(bounce_pool_destroy(pool), "the pool's end");
    return g_wrong == 0 && g_errors == 0 ? 0 : 1;
}
