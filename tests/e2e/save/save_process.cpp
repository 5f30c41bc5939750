// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The processes of the save test: save_process old|new|device FD-of-handover FD-of-region0 FD-of-region1 FD-of-pipe
//   old     maps, saves, ends with everything outstanding
//   device  has a mapping of its own; reads what it was sent, answers; then writes a byte into the pipe
//   new     restores at other addresses, claims, waits for the device, ends everything
// Exit status 0, or 1 with a line on standard error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bounce/bounce.h"
#include "bounce/records.h"
#include "bounce/save.h"
#include "tests/e2e/save/pattern.hpp"

namespace {

using namespace save_test;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "save_process: %s (%s)\n", what.c_str(), bounce_last_error());
    std::exit(1);
}
void check(int status, const char* what) {
    if (status < 0) fail(what);
}
void require(bool good, const std::string& what) {
    if (!good) fail(what);
}

void* map_shared(int fd, std::uint64_t bytes) {
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) fail("mmap");
    return at;
}

std::string g_log;
void keep_log(void*, int, const char* line) {
    g_log += line;
    g_log += '\n';
}

struct Pool {
    explicit Pool(const int (&fds)[kRegions]) {
        for (std::uint64_t i = 0; i < kRegions; ++i) hva[i] = map_shared(fds[i], kRegionBytes);
        const auto region = [&](std::uint64_t i) {
            bounce_region_options options{};
            options.size = sizeof options;
            options.bytes = kRegionBytes;
            options.base_gpa = kBases[i];
            options.hva = hva[i];
            options.fd_plus_one = fds[i] + 1;
            return options;
        };
        bounce_pool_options options{};
        options.size = sizeof options;
        options.region = region(0);
        options.log = keep_log;
        check(bounce_pool_create(&options, &pool), "pool");
        const bounce_region_options second = region(1);
        check(bounce_pool_add_region(pool, &second), "second region");
    }
    bounce_device* device(const char* name) const {
        bounce_device_options options{};
        options.size = sizeof options;
        options.name = name;
        options.flags = BOUNCE_DEVICE_RECORDS;
        bounce_device* device = nullptr;
        check(bounce_device_create(pool, &options, &device), name);
        return device;
    }
    bounce_pool* pool = nullptr;
    void* hva[kRegions];
};

std::uint64_t g_random = 88172645463325252u;
std::uint64_t random_below(std::uint64_t limit) {
    g_random ^= g_random << 13;
    g_random ^= g_random >> 7;
    g_random ^= g_random << 17;
    return g_random % limit;
}

void old_process(Handover& handover, const int (&fds)[kRegions]) {
    Pool pool(fds);
    bounce_device* devices[3];
    for (int i = 0; i < 3; ++i) devices[i] = pool.device(kDevices[i]);
    std::vector<std::unique_ptr<unsigned char[]>> buffers;
    for (std::uint64_t i = 0; i < kMappings; ++i) {
        Request& request = handover.requests[handover.n++];
        // Slots of many classes, and some runs.
        request.bytes = i % 100 == 0 ? 20'481 + random_below(180'000) : 1 + random_below(9'000);
        request.direction = static_cast<int>(random_below(3));
        request.seed = i * 1'000'003 + 17;
        request.kind = 1;
        request.device = i >= kMappings - kGhosts ? 2 : static_cast<std::uint32_t>(i % 2);
        buffers.push_back(std::make_unique<unsigned char[]>(request.bytes));
        fill(buffers.back().get(), request.bytes, request.seed);
        bounce_mapping mapping;
        check(bounce_device_map(devices[request.device], buffers.back().get(), request.bytes, request.direction, 0,
                                &mapping),
              "map");
        request.addr = mapping.addr;
        // Some holes, as there are in a pool that has been used.
        if (i % 3 != 0) continue;
        check(bounce_device_unmap(devices[request.device], &mapping, 0), "unmap");
        check(bounce_device_map(devices[request.device], buffers.back().get(), request.bytes, request.direction, 0,
                                &mapping),
              "map again");
        request.addr = mapping.addr;
    }
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
        Request& request = handover.requests[handover.n++];
        request.bytes = i % 10 == 0 ? 100'000 : 64 + random_below(5'000);
        request.seed = i * 7'000'003 + 5;
        request.kind = i % 2 == 0 ? 2 : 3;
        request.device = static_cast<std::uint32_t>(i % 2);
        bounce_block block;
        check(request.kind == 2 ? bounce_coherent_alloc(devices[request.device], request.bytes, 0, &block)
                                : bounce_buffer_alloc(devices[request.device], request.bytes, 0, &block),
              "block");
        fill(block.ptr, request.bytes, request.seed);
        request.addr = block.addr;
    }
    for (std::uint64_t i = 0; i < kRegions; ++i) handover.old_hva[i] = reinterpret_cast<std::uintptr_t>(pool.hva[i]);
    std::size_t bytes = 0;
    check(bounce_pool_save(pool.pool, nullptr, 0, &bytes), "size of the form");
    require(bytes <= kMaxForm, "the form is too large for the test");
    check(bounce_pool_save(pool.pool, handover.form, kMaxForm, &bytes), "save");
    handover.form_bytes = bytes;
    std::printf("old: %llu mappings, %llu blocks outstanding, saved in %zu bytes\n",
                static_cast<unsigned long long>(kMappings), static_cast<unsigned long long>(kBlocks), bytes);
}

void device_process(const Handover& handover, const int (&fds)[kRegions], int pipe) {
    unsigned char* memory[kRegions];
    for (std::uint64_t i = 0; i < kRegions; ++i)
        memory[i] = static_cast<unsigned char*>(map_shared(fds[i], kRegionBytes));
    std::uint64_t bad = 0;
    std::uint64_t read = 0;
    for (std::uint64_t i = 0; i < handover.n; ++i) {
        const Request& request = handover.requests[i];
        const int region = request.addr - kBases[0] < kRegionBytes ? 0 : 1;
        unsigned char* const at = memory[region] + (request.addr - kBases[region]);
        if (request.kind != 1 || request.direction != BOUNCE_FROM_DEVICE) {
            bad += wrong(at, request.bytes, request.seed);
            read += request.bytes;
        }
        if (request.kind == 1 && request.direction != BOUNCE_TO_DEVICE)
            fill(at, request.bytes, answer_seed(request.seed));
    }
    if (bad != 0) fail(std::to_string(bad) + " bytes that the device read differ");
    std::printf("device: %llu bytes read, 0 differ\n", static_cast<unsigned long long>(read));
    require(::write(pipe, "d", 1) == 1, "pipe");
}

std::uint64_t n_ghosts_seen = 0;
void count_ghosts(void*, const bounce_saved* saved) {
    if (std::string(saved->device) == "ghost" && saved->state == BOUNCE_SAVED_QUARANTINED) ++n_ghosts_seen;
}

/// Nobody gets what is quarantined: maps until the pool is full, and looks.
std::uint64_t mappings_over_ghosts(const Handover& handover, bounce_device* device) {
    std::vector<bounce_mapping> all;
    std::vector<unsigned char> page(65'536);
    std::uint64_t hits = 0;
    for (const std::size_t bytes : {page.size(), std::size_t{4096}, std::size_t{64}}) {
        bounce_mapping mapping;
        while (bounce_device_map(device, page.data(), bytes, BOUNCE_TO_DEVICE, 0, &mapping) == 0) {
            all.push_back(mapping);
            for (std::uint64_t i = 0; i < handover.n; ++i) {
                const Request& request = handover.requests[i];
                if (request.device == 2 && request.addr < mapping.addr + bytes &&
                    mapping.addr < request.addr + request.bytes)
                    ++hits;
            }
        }
    }
    for (bounce_mapping& mapping : all) check(bounce_device_unmap(device, &mapping, 0), "unmap");
    return hits;
}

void new_process(const Handover& handover, const int (&fds)[kRegions], int pipe) {
    // Whatever lies where the old process had its memory, it is not this.
    for (const std::uint64_t old : handover.old_hva) {
        void* const taken = ::mmap(reinterpret_cast<void*>(old), kRegionBytes, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        require(taken != MAP_FAILED, "mmap");
    }
    Pool pool(fds);
    for (std::uint64_t i = 0; i < kRegions; ++i)
        require(reinterpret_cast<std::uintptr_t>(pool.hva[i]) != handover.old_hva[i], "the same address as before");
    bounce_restore* restore = nullptr;
    check(bounce_pool_restore(pool.pool, handover.form, handover.form_bytes, &restore), "restore");
    bounce_device* const devices[2] = {pool.device(kDevices[0]), pool.device(kDevices[1])};

    std::vector<std::unique_ptr<unsigned char[]>> buffers(handover.n);
    std::vector<bounce_mapping> mappings(handover.n);
    std::vector<bounce_block> blocks(handover.n);
    for (std::uint64_t i = 0; i < handover.n; ++i) {
        const Request& request = handover.requests[i];
        if (request.device == 2) continue;
        bounce_device* const device = devices[request.device];
        if (request.kind == 1) {
            buffers[i] = std::make_unique<unsigned char[]>(request.bytes);
            check(bounce_restore_claim(restore, device, request.addr, buffers[i].get(), request.bytes, &mappings[i]),
                  "claim");
        } else {
            check(bounce_restore_claim_block(restore, device, request.addr, &blocks[i]), "claim a block");
        }
    }
    const int left = bounce_restore_finish(restore);
    require(left == static_cast<int>(kGhosts), "quarantined: " + std::to_string(left));
    require(g_log.find("'ghost'") != std::string::npos && g_log.find("quarantined") != std::string::npos,
            "the log does not name who did not come: " + g_log);
    check(bounce_restore_visit(restore, count_ghosts, nullptr), "visit");
    require(n_ghosts_seen == kGhosts, "not all of what is quarantined is named");
    require(mappings_over_ghosts(handover, devices[0]) == 0, "what is quarantined was handed out");

    char done = 0;
    require(::read(pipe, &done, 1) == 1, "the device did not get to its end");
    std::uint64_t compared = 0;
    std::uint64_t bad = 0;
    for (std::uint64_t i = 0; i < handover.n; ++i) {
        const Request& request = handover.requests[i];
        if (request.device == 2) continue;
        bounce_device* const device = devices[request.device];
        compared += request.bytes;
        if (request.kind != 1) {
            bad += wrong(blocks[i].ptr, request.bytes, request.seed);
            check(request.kind == 2 ? bounce_coherent_free(device, &blocks[i]) : bounce_buffer_free(device, &blocks[i]),
                  "free");
            continue;
        }
        // One half by token, the other by address.
        check(i % 2 == 0 ? bounce_device_unmap(device, &mappings[i], request.bytes)
                         : bounce_device_unmap_addr(device, request.addr, request.bytes, request.direction, SIZE_MAX),
              "unmap");
        if (request.direction != BOUNCE_TO_DEVICE) {
            bad += wrong(buffers[i].get(), request.bytes, answer_seed(request.seed));
        } else {
            for (std::uint64_t j = 0; j < request.bytes; ++j) bad += buffers[i][j] != 0;
        }
    }
    if (bad != 0) fail(std::to_string(bad) + " bytes differ");
    bounce_pool_stats stats;
    check(bounce_pool_get_stats(pool.pool, &stats), "stats");
    require(stats.slots == kGhosts, "slots left: " + std::to_string(stats.slots));
    const int released = bounce_restore_release(restore, "ghost");
    require(released == static_cast<int>(kGhosts), "released: " + std::to_string(released));
    check(bounce_pool_get_stats(pool.pool, &stats), "stats");
    require(stats.slots == 0, "slots left: " + std::to_string(stats.slots));
    for (bounce_device* device : devices) check(bounce_device_destroy(device), "device");
    check(bounce_restore_destroy(restore), "restore");
    check(bounce_pool_destroy(pool.pool), "pool");
    std::printf("new: %llu requests ended, %llu bytes compared, 0 differ; quarantined: %d of ghost, then released\n%s",
                static_cast<unsigned long long>(handover.n - kGhosts), static_cast<unsigned long long>(compared), left,
                g_log.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) fail("usage: save_process old|new|device HANDOVER REGION0 REGION1 PIPE");
    const std::string role = argv[1];
    auto& handover = *static_cast<Handover*>(map_shared(std::atoi(argv[2]), sizeof(Handover)));
    const int fds[kRegions] = {std::atoi(argv[3]), std::atoi(argv[4])};
    if (role == "old") old_process(handover, fds);
    if (role == "device") device_process(handover, fds, std::atoi(argv[5]));
    if (role == "new") new_process(handover, fds, std::atoi(argv[5]));
    std::fflush(stdout);
    // As a process ends that is replaced: nothing is unmapped, nothing destroyed.
    std::_Exit(0);
}
