// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The path of a request makes no system call: a process that the kernel kills for the first one maps, syncs and unmaps
// a million times, and drives a ring. (A kick is the caller's here; a front-end's is one write.)
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iterator>

#include "bounce/bounce.h"
#include "bounce/waiting.h"

namespace {

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;  // their runtimes make system calls of their own
#else
constexpr bool kSanitized = false;
#endif

/// From here on only exit_group() is allowed, and what is given. False when the kernel has no filters.
bool forbid_system_calls(std::initializer_list<unsigned> but = {}) {
    sock_filter code[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    unsigned short n = 1;
    const auto allow = [&](unsigned call) {
        code[n++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
        code[n++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    };
    allow(SYS_exit_group);
    for (const unsigned call : but) allow(call);
    code[n++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    const sock_fprog program{n, code};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

constexpr int kNoFilter = 77;
constexpr std::uint64_t kGrownBytes = 64U << 20;
char g_buffer[1048576];  // not on the heap, which would be given back with a system call

/// Runs in a child, and returns its exit status; -1 when it was killed.
template <class Body>
int in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = -1;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return -2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct Host {
    bounce_pool* pool = nullptr;
    bounce_device* device = nullptr;
    bounce_ring* ring = nullptr;

    bool make(std::uint64_t limit_bytes = 0, std::uint32_t flags = 0, std::uint32_t numa_policy = BOUNCE_NUMA_LOCAL) {
        bounce_pool_options of_pool{};
        of_pool.limit_bytes = limit_bytes;
        of_pool.flags = flags;
        of_pool.shrink_delay_ms = limit_bytes != 0 ? 1 : 0;
        of_pool.size = sizeof of_pool;
        of_pool.region.size = sizeof of_pool.region;
        of_pool.region.bytes = 16U << 20;
        of_pool.region.base_gpa = std::uint64_t{1} << 32;
        of_pool.numa_policy = numa_policy;
        bounce_device_options of_device{};
        of_device.size = sizeof of_device;
        const bounce_ring_options of_ring{sizeof of_ring, 64, BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX, 0, 0, 0, 0};
        return bounce_pool_create(&of_pool, &pool) == 0 && bounce_device_create(pool, &of_device, &device) == 0 &&
               bounce_ring_create(device, &of_ring, &ring) == 0;
    }
};

/// 0, or which call failed.
int map_sync_unmap(const Host& host, int rounds) {
    static constexpr std::size_t kSizes[] = {64, 1500, 4096, 100, 65536, 9000, 512, 20000, 4096, 262144};
    bounce_mapping mappings[4];
    for (int round = 0; round < rounds; ++round) {
        for (int i = 0; i < 4; ++i) {
            const std::size_t bytes = kSizes[static_cast<std::size_t>(round + i * 3) % std::size(kSizes)];
            if (bounce_device_map(host.device, g_buffer, bytes, BOUNCE_BIDIRECTIONAL, 0, &mappings[i]) != 0) return 1;
        }
        for (bounce_mapping& mapping : mappings) {
            if (bounce_device_sync_for_cpu(host.device, &mapping, 16, 32, BOUNCE_FROM_DEVICE) != 0) return 2;
            if (bounce_device_sync_for_device(host.device, &mapping, 16, 32, BOUNCE_TO_DEVICE) != 0) return 3;
            if (bounce_device_unmap(host.device, &mapping, 64) != 0) return 4;
        }
    }
    return 0;
}

int add_and_abort(const Host& host, int rounds) {
    const bounce_sg list[] = {{g_buffer, 16, 0, 0}, {g_buffer, 4096, 0, 0}, {g_buffer, 1, 0, 0}};
    bounce_completion completions[8];
    for (int round = 0; round < rounds; ++round) {
        for (int i = 0; i < 8; ++i) {
            if (bounce_ring_add(host.ring, list, 1, 2, g_buffer) != 0) return 11;
        }
        if (bounce_ring_publish(host.ring) < 0) return 12;
        if (bounce_ring_collect(host.ring, completions, 8) != 0) return 13;
        if (bounce_ring_arm(host.ring) != 0 || bounce_ring_disarm(host.ring) != 0) return 14;
        if (bounce_ring_abort(host.ring, completions, 8) != 8) return 15;
        if (bounce_ring_reset(host.ring) != 0) return 16;
    }
    return 0;
}

TEST(NoSystemCall, AMillionMappingsAndARing) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime makes system calls";
    const int status = in_child([] {
        Host host;
        if (!host.make()) return 100;
        // A failure, whose record is made at the first.
        bounce_mapping none{};
        if (bounce_device_unmap(host.device, &none, 0) == 0) return 101;
        if (!forbid_system_calls()) return kNoFilter;
        if (const int failed = map_sync_unmap(host, 250'000); failed != 0) return failed;
        if (bounce_device_unmap(host.device, &none, 0) == 0) return 102;
        return add_and_abort(host, 10'000);
    });
    if (status == kNoFilter) GTEST_SKIP() << "this kernel has no seccomp filters";
    EXPECT_EQ(status, 0) << "-1: killed for a system call";
}

// Each has to know where the thread runs, and takes from another node in turn.
TEST(NoSystemCall, AcrossNumaNodes) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime makes system calls";
    for (const std::uint32_t policy : {BOUNCE_NUMA_LOCAL, BOUNCE_NUMA_INTERLEAVE}) {
        const int status = in_child([policy] {
            ::setenv("HWLOC_SYNTHETIC", "node:2 pu:256", 1);
            Host host;
            if (!host.make(0, BOUNCE_POOL_EACH_NODE, policy)) return 100;
            if (!forbid_system_calls()) return kNoFilter;
            return map_sync_unmap(host, 10'000);
        });
        if (status == kNoFilter) GTEST_SKIP() << "this kernel has no seccomp filters";
        EXPECT_EQ(status, 0) << "-1: killed for a system call";
    }
}

/// Grows to the limit, `in_line` or served, and shrinks again.
int grow_and_shrink(const Host& host, bool in_line) {
    static bounce_mapping mappings[56];
    for (bounce_mapping& mapping : mappings) {
        for (int more = in_line ? 0 : 1; more == 1;) more = bounce_pool_service(host.pool);
        if (bounce_device_map(host.device, g_buffer, sizeof g_buffer, BOUNCE_TO_DEVICE, 0, &mapping) != 0) return 21;
    }
    for (bounce_mapping& mapping : mappings) {
        if (bounce_device_unmap(host.device, &mapping, 0) != 0) return 22;
    }
    bounce_pool_stats stats{};
    for (long calls = 0; calls < 100'000'000; ++calls) {
        if (bounce_pool_service(host.pool) < 0 || bounce_pool_get_stats(host.pool, &stats) != 0) return 23;
        if (stats.grows == 2 && stats.shrinks == 2) return 0;
    }
    return 24;
}

// What bounce.h says of bounce_pool_service(), and what a heap does.
TEST(NoSystemCall, ButThoseOfGrowing) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime makes system calls";
    for (const bool in_line : {false, true}) {
        const int status = in_child([in_line] {
            Host host;
            if (!host.make(kGrownBytes, in_line ? std::uint32_t{BOUNCE_POOL_INLINE_GROWTH} : 0U)) return 100;
            bounce_mapping none{};
            if (bounce_device_unmap(host.device, &none, 0) == 0) return 101;
            if (!forbid_system_calls({SYS_read, SYS_write, SYS_memfd_create, SYS_ftruncate, SYS_fcntl, SYS_mmap,
                                      SYS_mprotect, SYS_madvise, SYS_munmap, SYS_fallocate, SYS_mremap, SYS_close,
                                      SYS_membarrier, SYS_brk}))
                return kNoFilter;
            return grow_and_shrink(host, in_line);
        });
        if (status == kNoFilter) GTEST_SKIP() << "this kernel has no seccomp filters";
        EXPECT_EQ(status, 0) << "-1: killed for a system call";
    }
}

// One for each that is woken, a write to its eventfd here; and none when nobody is any more.
TEST(NoSystemCall, ButThatOfAWakeUp) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime makes system calls";
    for (const bool allowed : {true, false}) {
        const int status = in_child([allowed] {
            Host host;
            if (!host.make()) return 100;
            static bounce_mapping mappings[16];
            std::size_t n = 0;
            while (n < std::size(mappings) &&
                   bounce_device_map(host.device, g_buffer, sizeof g_buffer, BOUNCE_TO_DEVICE, 0, &mappings[n]) == 0)
                ++n;
            bounce_wait_options options{};
            options.size = sizeof options;
            options.buf = g_buffer;
            options.bytes = sizeof g_buffer;
            options.direction = BOUNCE_TO_DEVICE;
            options.event_fd_plus_one = ::eventfd(0, EFD_NONBLOCK) + 1;
            bounce_wait* wait = nullptr;
            if (bounce_wait_begin(host.device, &options, &wait) != 0) return 102;
            if (!(allowed ? forbid_system_calls({SYS_write}) : forbid_system_calls())) return kNoFilter;
            // No heap of this process gives memory back for the handle of one wait.
            if (bounce_device_unmap(host.device, &mappings[0], 0) != 0) return 103;
            if (bounce_wait_finish(wait, &mappings[0]) != 0) return 104;
            while (n != 0) {
                if (bounce_device_unmap(host.device, &mappings[--n], 0) != 0) return 105;
            }
            return map_sync_unmap(host, 1000);
        });
        if (status == kNoFilter) GTEST_SKIP() << "this kernel has no seccomp filters";
        EXPECT_EQ(status, allowed ? 0 : -1) << "-1: killed for a system call";
    }
}

TEST(NoSystemCall, TheFilterKills) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer's runtime makes system calls";
    const int status = in_child([] {
        if (!forbid_system_calls()) return kNoFilter;
        ::getppid();
        return 0;
    });
    if (status == kNoFilter) GTEST_SKIP() << "this kernel has no seccomp filters";
    EXPECT_EQ(status, -1);
}

}  // namespace
