// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// `rte_mempool`: DPDK's mempool over a ring with the per-lcore cache of 512 objects, without hugepages and devices. It
// checks nothing, and its object headers are in the memory that a device would see.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mempool.h>
#include <sched.h>

#include <atomic>
#include <string>

#include "bench/cases/pool_cases.hpp"

namespace bench {
namespace {

/// Starts the EAL once. It pins the calling thread; that is undone, so that all subjects run under the same conditions.
void start_eal() {
    static const bool started = [] {
        cpu_set_t before;
        CPU_ZERO(&before);
        expect(sched_getaffinity(0, sizeof before, &before) == 0, "sched_getaffinity() failed");
        unsigned cpu = 0;
        while (!CPU_ISSET(cpu, &before)) ++cpu;
        std::string lcores = "--lcores=0@" + std::to_string(cpu);
        std::string arguments[] = {"bench",
                                   "--no-huge",
                                   "--no-pci",
                                   "--no-telemetry",
                                   "--no-shconf",
                                   "--iova-mode=va",
                                   "--log-level=lib.eal:emerg",
                                   "-m1024",
                                   lcores};
        constexpr int kArguments = sizeof arguments / sizeof *arguments;
        char* argv[kArguments + 1] = {};
        for (int i = 0; i < kArguments; ++i) argv[i] = arguments[i].data();
        if (rte_eal_init(kArguments, argv) < 0)
            throw Skipped(std::string("rte_eal_init() failed: ") + rte_strerror(rte_errno));
        static_cast<void>(sched_setaffinity(0, sizeof before, &before));
        return true;
    }();
    static_cast<void>(started);
}

class RteMempool {
public:
    static constexpr const char* kName = "rte_mempool";
    static constexpr const char* kNote = "per-lcore cache of 512, no checks, object headers in the pool";
    static constexpr bool kAnySize = false;
    static constexpr bool kBulk = true;
    static constexpr std::uint64_t kMaxItem = kMiB;
    static constexpr std::uint64_t kMinPool = 16 * kMiB;
    static constexpr std::uint64_t kMaxPool = 256 * kMiB;
    static constexpr unsigned kCache = 512;
    using Handle = void*;
    // The cache belongs to an lcore: other threads than the main one register as such.
    class Context {
    public:
        explicit Context(RteMempool&) {
            if (rte_lcore_id() != LCORE_ID_ANY) return;
            registered_ = rte_thread_register() == 0;
            if (!registered_) throw Skipped(std::string("rte_thread_register() failed: ") + rte_strerror(rte_errno));
        }
        ~Context() {
            if (registered_) rte_thread_unregister();
        }
        Context(const Context&) = delete;
        Context& operator=(const Context&) = delete;

    private:
        bool registered_ = false;
    };

    explicit RteMempool(const Shape& shape) {
        start_eal();
        static std::atomic<unsigned> count{0};
        const std::string name = "bench" + std::to_string(count.fetch_add(1, std::memory_order_relaxed));
        const auto items = static_cast<unsigned>(shape.pool_bytes / shape.item_bytes);
        // The cache must be smaller than the pool by a factor of 1.5.
        const unsigned cache = items >= kCache * 3 / 2 ? kCache : items / 2;
        pool_ = rte_mempool_create(name.c_str(), items, static_cast<unsigned>(shape.item_bytes), cache, 0, nullptr,
                                   nullptr, nullptr, nullptr, SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
        if (pool_ == nullptr) throw Skipped(std::string("rte_mempool_create() failed: ") + rte_strerror(rte_errno));
    }
    RteMempool(const RteMempool&) = delete;
    RteMempool& operator=(const RteMempool&) = delete;
    ~RteMempool() { rte_mempool_free(pool_); }

    bool alloc(Context&, std::uint64_t, Handle& handle) { return rte_mempool_get(pool_, &handle) == 0; }
    void free(Context&, Handle& handle, std::uint64_t) { rte_mempool_put(pool_, handle); }
    bool alloc_bulk(Context&, std::uint64_t, Handle* handles, std::uint32_t n) {
        return rte_mempool_get_bulk(pool_, handles, n) == 0;
    }
    void free_bulk(Context&, std::uint64_t, Handle* handles, std::uint32_t n) {
        rte_mempool_put_bulk(pool_, handles, n);
    }

private:
    rte_mempool* pool_ = nullptr;
};
static_assert(Subject<RteMempool>);

}  // namespace

void register_cases() {
    add_pool_cases<RteMempool>();
}

}  // namespace bench
