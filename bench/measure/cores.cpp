// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bench/measure/cores.hpp"

#include <sched.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "bench/harness/report.hpp"
#include "bench/measure/summary.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kRounds = 200;
constexpr std::uint32_t kChunks = 100;

cpu_set_t allowed() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_ZERO(&set);  // more processors than fit: nothing is pinned
    return set;
}

// What the process could use when it started: a pinned thread does not see it any more.
const cpu_set_t g_allowed = allowed();

void wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t value) {
    // A3: acquire, pairs with the release stores of the other thread. A core that is shared with others gets its turn.
    for (unsigned n = 1; word.load(std::memory_order_acquire) != value; ++n) {
        relax();
        if (n % 4096 == 0) std::this_thread::yield();
    }
}

}  // namespace

unsigned usable_cpus() {
    return static_cast<unsigned>(CPU_COUNT(&g_allowed));
}

Pinned::Pinned(unsigned i) : before_(sizeof(cpu_set_t) / sizeof(unsigned long)) {
    const cpu_set_t now = allowed();
    std::memcpy(before_.data(), &now, sizeof now);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &g_allowed) || i-- != 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) throw Skipped("a thread cannot be pinned to a processor");
        return;
    }
    throw Skipped("needs a second processor");
}

Pinned::~Pinned() {
    cpu_set_t set;
    std::memcpy(&set, before_.data(), sizeof set);
    static_cast<void>(sched_setaffinity(0, sizeof set, &set));
}

double ping_pong_ns() {
    if (usable_cpus() < 2) throw Skipped("needs a second processor");
    alignas(128) std::atomic<std::uint32_t> ping{0};
    alignas(128) std::atomic<std::uint32_t> pong{0};
    std::thread peer([&] {
        const Pinned pinned(1);
        for (std::uint32_t i = 1; i <= kRounds * kChunks; ++i) {
            wait_for(ping, i);
            pong.store(i, std::memory_order_release);  // pairs with A3
        }
    });
    std::vector<double> times;
    {
        const Pinned pinned(0);
        for (std::uint32_t i = 0; i < kChunks; ++i) {
            const Ticks begin = ticks();
            for (std::uint32_t j = 1; j <= kRounds; ++j) {
                ping.store(i * kRounds + j, std::memory_order_release);  // pairs with A3
                wait_for(pong, i * kRounds + j);
            }
            times.push_back(ns_between(begin, ticks()) / kRounds);
        }
    }
    peer.join();
    return median(times);
}

std::string Distance::text() const {
    char line[80];
    std::snprintf(line, sizeof line, "ping-pong %.0f ns before, %.0f ns after", before, after);
    return line;
}

}  // namespace bench
