// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The first and only process of a guest with four NUMA nodes, CPU i at node i, and the distances that numa_test.py
// gives it. Maps from each CPU under each policy, and asks the kernel with move_pages(2) where the pages are. Says what
// it found on the serial line and ends the guest.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "bounce/bounce.hpp"

namespace {

constexpr unsigned kNodes = 4;
constexpr std::uint64_t kRegion = 8u << 20;
constexpr std::uint64_t kBase = 0x1'0000'0000;
constexpr std::size_t kPage = 4096;
using Order = std::vector<int>;

// By distance, as numa_test.py has them.
const Order kFromNode[kNodes] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 1, 3, 0}, {3, 1, 0, 2}};

unsigned g_checks = 0;
unsigned g_failed = 0;

[[gnu::format(printf, 2, 3)]] void check(bool good, const char* format, ...) {
    ++g_checks;
    if (!good) ++g_failed;
    std::printf("%s: ", good ? "ok" : "FAILED");
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
}

bool pin(unsigned cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return ::sched_setaffinity(0, sizeof one, &one) == 0;
}

/// Runs `body` in a thread of its own that stays on this CPU.
template <class Body>
void on_cpu(unsigned cpu, Body body) {
    std::thread([&] {
        if (pin(cpu)) return body();
        check(false, "a thread cannot be pinned to CPU %u", cpu);
    }).join();
}

std::string text_of(const Order& order) {
    std::string text;
    for (const int node : order) text += (text.empty() ? "" : " ") + std::to_string(node);
    return text;
}

/// The node of every page that has bytes of [data, data + bytes); a negative errno value where there is none.
Order nodes_of(const void* data, std::size_t bytes) {
    std::vector<void*> pages;
    const auto first = reinterpret_cast<std::uintptr_t>(data) / kPage * kPage;
    const auto end = reinterpret_cast<std::uintptr_t>(data) + bytes;
    for (std::uintptr_t page = first; page < end; page += kPage) pages.push_back(reinterpret_cast<void*>(page));
    Order nodes(pages.size(), -EFAULT);
    if (::syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, nodes.data(), 0) != 0)
        nodes.assign(1, -errno);
    return nodes;
}

/// Mappings of one device that live together; every page of each is looked up.
class Mappings {
public:
    explicit Mappings(bounce::Device& device) : device_(device) {}

    bool map(std::size_t bytes) {
        data_.resize(bytes, 'x');
        bounce_mapping mapping;
        status_ = bounce_device_map(device_.handle(), data_.data(), bytes, BOUNCE_TO_DEVICE, 0, &mapping);
        if (status_ != 0) return false;
        live_.push_back(mapping);
        for (const int node : nodes_of(mapping.slot, bytes)) {
            if (node < 0 || node >= static_cast<int>(kNodes)) {
                ++strays_;
                continue;
            }
            ++pages_[static_cast<unsigned>(node)];
            if (sequence_.empty() || sequence_.back() != node) sequence_.push_back(node);
        }
        return true;
    }
    void map_many(unsigned count, std::size_t bytes) {
        while (count-- > 0 && map(bytes)) {
        }
    }
    void fill(std::size_t bytes) {
        while (map(bytes)) {
        }
    }
    void unmap_all() {
        for (bounce_mapping& mapping : live_) bounce_device_unmap(device_.handle(), &mapping, 0);
        live_.clear();
    }
    ~Mappings() { unmap_all(); }
    Mappings(const Mappings&) = delete;
    Mappings& operator=(const Mappings&) = delete;

    [[nodiscard]] std::size_t on(unsigned node) const { return pages_[node]; }
    [[nodiscard]] std::size_t elsewhere(unsigned node) const {
        return pages_[0] + pages_[1] + pages_[2] + pages_[3] + strays_ - pages_[node];
    }
    /// Nodes in the order in which they were taken from.
    [[nodiscard]] const Order& sequence() const { return sequence_; }
    [[nodiscard]] int status() const { return status_; }
    [[nodiscard]] std::size_t strays() const { return strays_; }

private:
    bounce::Device& device_;
    std::vector<char> data_;
    std::vector<bounce_mapping> live_;
    std::array<std::size_t, kNodes> pages_{};
    std::size_t strays_ = 0;
    Order sequence_;
    int status_ = 0;
};

bounce::Pool make_pool() {
    auto pool = bounce::Pool::create(
        {.name = "numa", .region = {.bytes = kRegion, .base_gpa = kBase}, .flags = BOUNCE_POOL_EACH_NODE});
    if (!pool) std::printf("no pool: %s\n", bounce::Error::message());
    return *std::move(pool);
}

bounce::Device make_device(bounce::Pool& pool, bounce_numa_policy policy, int node = -1) {
    bounce::DeviceOptions options{.flags = BOUNCE_DEVICE_NUMA_POLICY, .numa_policy = policy};
    if (node >= 0) {
        options.flags |= BOUNCE_DEVICE_NODE;
        options.node = static_cast<unsigned>(node);
    }
    auto device = pool.create_device(options);
    if (!device) std::printf("no device: %s\n", bounce::Error::message());
    return *std::move(device);
}

void small_and_large(Mappings& mappings) {
    mappings.map_many(64, 1500);
    mappings.map_many(64, kPage);
    mappings.map_many(16, 64 * 1024);
    mappings.map_many(1, 1 << 20);
}

void local_takes_from_the_threads_node(bounce::Pool& pool) {
    bounce::Device device = make_device(pool, BOUNCE_NUMA_LOCAL);
    for (unsigned cpu = 0; cpu < kNodes; ++cpu) {
        on_cpu(cpu, [&] {
            Mappings mappings(device);
            small_and_large(mappings);
            check(mappings.on(cpu) >= 512 && mappings.elsewhere(cpu) == 0,
                  "local, CPU %u: %zu pages there, %zu elsewhere", cpu, mappings.on(cpu), mappings.elsewhere(cpu));
        });
    }
}

void a_full_node_gives_way_to_the_nearest(bounce::Pool& pool, bounce_numa_policy policy, int node) {
    bounce::Device device = make_device(pool, policy, node);
    for (unsigned cpu = 0; cpu < kNodes; ++cpu) {
        on_cpu(cpu, [&] {
            Mappings mappings(device);
            mappings.fill(256 * 1024);
            const Order& expected = kFromNode[node < 0 ? cpu : static_cast<unsigned>(node)];
            check(mappings.sequence() == expected && mappings.strays() == 0 && mappings.status() == -ENOSPC,
                  "%s until the pool is full, CPU %u: nodes %s, expected %s", node < 0 ? "local" : "preferred", cpu,
                  text_of(mappings.sequence()).c_str(), text_of(expected).c_str());
        });
    }
}

void preferred_takes_from_the_devices_node(bounce::Pool& pool) {
    bounce::Device device = make_device(pool, BOUNCE_NUMA_PREFERRED, 2);
    for (unsigned cpu = 0; cpu < kNodes; ++cpu) {
        on_cpu(cpu, [&] {
            Mappings mappings(device);
            small_and_large(mappings);
            check(mappings.on(2) >= 512 && mappings.elsewhere(2) == 0,
                  "preferred node 2, CPU %u: %zu pages there, %zu elsewhere", cpu, mappings.on(2),
                  mappings.elsewhere(2));
        });
    }
}

// How many are taken at one turn is the pool's affair: each node must have its part, about.
void interleave_takes_from_all(bounce::Pool& pool) {
    bounce::Device device = make_device(pool, BOUNCE_NUMA_INTERLEAVE);
    for (const std::size_t bytes : {kPage, 16 * kPage}) {
        on_cpu(1, [&] {
            Mappings mappings(device);
            mappings.map_many(256, bytes);
            const std::size_t least = 256 * bytes / kPage / 8;
            bool good = mappings.strays() == 0;
            for (unsigned node = 0; node < kNodes; ++node) good = good && mappings.on(node) >= least;
            check(good,
                  "interleave, 256 x %zu bytes: %zu %zu %zu %zu pages on the nodes, expected at least %zu on each",
                  bytes, mappings.on(0), mappings.on(1), mappings.on(2), mappings.on(3), least);
        });
    }
}

void strict_is_full_when_the_node_is(bounce::Pool& pool) {
    bounce::Device device = make_device(pool, BOUNCE_NUMA_STRICT);
    bounce::Device at_three = make_device(pool, BOUNCE_NUMA_STRICT, 3);
    const auto fill = [](bounce::Device& with, unsigned cpu, unsigned node) {
        on_cpu(cpu, [&] {
            Mappings mappings(with);
            mappings.fill(64 * 1024);
            check(mappings.status() == -ENOSPC && mappings.on(node) >= kRegion / kPage * 9 / 10 &&
                      mappings.elsewhere(node) == 0,
                  "strict node %u, CPU %u: %zu of %zu pages there, %zu elsewhere, then error %d", node, cpu,
                  mappings.on(node), static_cast<std::size_t>(kRegion / kPage), mappings.elsewhere(node),
                  -mappings.status());
        });
    };
    for (unsigned cpu = 0; cpu < kNodes; ++cpu) fill(device, cpu, cpu);
    fill(at_three, 0, 3);
}

void strict_without_a_region_is_never() {
    auto pool =
        bounce::Pool::create({.region = {.bytes = kRegion, .base_gpa = kBase, .flags = BOUNCE_REGION_NODE, .node = 1}});
    bounce::Device device = make_device(*pool, BOUNCE_NUMA_STRICT);
    for (unsigned cpu = 0; cpu < 2; ++cpu) {
        on_cpu(cpu, [&] {
            Mappings mappings(device);
            mappings.map_many(8, kPage);
            const bool home = cpu == 1;
            check(mappings.status() == (home ? 0 : -E2BIG) && mappings.on(1) == (home ? 8U : 0U) &&
                      mappings.elsewhere(1) == 0,
                  "strict with a region on node 1 only, CPU %u: %zu pages there, error %d", cpu, mappings.on(1),
                  -mappings.status());
        });
    }
}

// What was kept for the thread may serve it once more; the rest follows it.
void a_thread_that_moves_takes_from_its_new_node(bounce::Pool& pool) {
    bounce::Device device = make_device(pool, BOUNCE_NUMA_LOCAL);
    on_cpu(0, [&] {
        Mappings before(device);
        before.map_many(32, kPage);
        before.unmap_all();
        if (!pin(3)) return check(false, "a thread cannot be pinned to CPU 3");
        Mappings after(device);
        after.map_many(256, kPage);
        check(after.on(3) >= 192 && after.on(1) == 0 && after.on(2) == 0,
              "local, thread moved from CPU 0 to 3: %zu pages there, %zu elsewhere", after.on(3), after.elsewhere(3));
    });
}

void renewed_memory_is_where_the_old_was(bounce::Pool& pool) {
    if (!pool.renew()) return check(false, "the pool cannot be renewed: %s", bounce::Error::message());
    local_takes_from_the_threads_node(pool);
}

void run() {
    bounce::Pool pool = make_pool();
    const auto stats = pool.stats();
    check(stats && stats->regions == kNodes, "the pool has %u regions", stats ? stats->regions : 0);
    local_takes_from_the_threads_node(pool);
    a_full_node_gives_way_to_the_nearest(pool, BOUNCE_NUMA_LOCAL, -1);
    preferred_takes_from_the_devices_node(pool);
    a_full_node_gives_way_to_the_nearest(pool, BOUNCE_NUMA_PREFERRED, 2);
    interleave_takes_from_all(pool);
    strict_is_full_when_the_node_is(pool);
    strict_without_a_region_is_never();
    a_thread_that_moves_takes_from_its_new_node(pool);
    renewed_memory_is_where_the_old_was(pool);
}

/// The kernel starts the first process with nothing but what is in the archive.
void set_up() {
    ::mkdir("/proc", 0755);
    ::mkdir("/sys", 0755);
    ::mkdir("/dev", 0755);
    ::mount("proc", "/proc", "proc", 0, nullptr);
    ::mount("sys", "/sys", "sysfs", 0, nullptr);
    ::mount("dev", "/dev", "devtmpfs", 0, nullptr);
    const int serial = ::open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    for (int fd = 0; fd < 3 && serial >= 0; ++fd) ::dup2(serial, fd);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
}

}  // namespace

int main() {
    if (::getpid() != 1) {
        std::fprintf(stderr, "numa_guest is the first process of a guest; tests/e2e/numa_test.py starts it\n");
        return 2;
    }
    set_up();
    std::printf("\n");
    if (::access("/sys/devices/system/node/node3", F_OK) != 0) {
        std::printf("verdict: skipped: the kernel shows no four NUMA nodes\n");
    } else {
        run();
        std::printf("verdict: %s: %u checks, %u failed\n", g_failed == 0 ? "passed" : "failed", g_checks, g_failed);
    }
    ::sync();
    ::sleep(1);  // until the serial line has sent it all
    ::reboot(RB_AUTOBOOT);
    return 1;
}
