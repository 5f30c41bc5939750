// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The whole life of a pool, a device and a ring, again and again: each time another request for private memory fails.
#include <dirent.h>
#include <pthread.h>

#include <cstdio>

#include "bounce/records.h"
#include "bounce/save.h"
#include "tests/abi/failing_memory.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

using test::Fail;

// What went wrong, for the thread that may use GTest. No memory is asked for while requests fail.
struct Verdict {
    const char* step = nullptr;
    int status = 0;
    bool silent = false;
    std::uint64_t injected = 0;
    int refused = 0;
};

class Life {
public:
    Life(Fail how, std::uint64_t n) : how_(how) {
        test::watch_this_thread();
        test::fail_request(how, n);
    }

    Verdict run() {
        static_cast<void>(begin() && use() && renew());
        end();
        verdict_.injected = test::failed_requests();
        return verdict_;
    }

private:
    /// True: go on. A step may fail with -ENOMEM; then it must succeed when it is tried again and memory is back.
    template <class Call>
    bool step(const char* name, Call call) {
        int status = call();
        if (status == 0) return true;
        if (status != -ENOMEM) return complain(name, status);
        if (*bounce_last_error() == '\0') verdict_.silent = true;
        ++verdict_.refused;
        if (how_ == Fail::kFromThenOn) return false;
        status = call();
        return status == 0 || complain(name, status);
    }
    /// What may never fail for want of memory.
    void must(const char* name, int status) {
        if (status != 0) complain(name, status);
    }
    bool complain(const char* name, int status) {
        if (verdict_.step == nullptr) {
            verdict_.step = name;
            verdict_.status = status;
        }
        return false;
    }

    bool begin() {
        const auto of_pool = pool_options(1u << 20);
        const auto of_region = region_options(256u << 10, 2 * kBase);
        const auto of_device = device_options();
        auto of_ring = ring_options(16);
        of_ring.flags = BOUNCE_RING_INDIRECT | BOUNCE_RING_EVENT_IDX;
        return step("bounce_pool_create", [&] { return bounce_pool_create(&of_pool, &pool_); }) &&
               step("bounce_pool_add_region", [&] { return bounce_pool_add_region(pool_, &of_region); }) &&
               step("bounce_device_create", [&] { return bounce_device_create(pool_, &of_device, &device_); }) &&
               step("bounce_ring_create", [&] { return bounce_ring_create(device_, &of_ring, &ring_); }) && watch();
    }
    // A device with records that is debugged; each new table is another request.
    bool watch() {
        auto of_watched = device_options();
        of_watched.name = "watched";
        of_watched.flags = BOUNCE_DEVICE_RECORDS | BOUNCE_DEVICE_DEBUG;
        bounce_mapping mapping;
        std::size_t bytes = 0;
        if (!step("bounce_device_create (watched)",
                  [&] { return bounce_device_create(pool_, &of_watched, &watched_); }) ||
            !step("bounce_device_map (watched)",
                  [&] { return bounce_device_map(watched_, text_, 8, BOUNCE_TO_DEVICE, 0, &mapping); }))
            return false;
        // What cannot be watched for want of memory is mapped all the same.
        must("bounce_device_unmap_addr", bounce_device_unmap_addr(watched_, mapping.addr, 8, BOUNCE_TO_DEVICE, 0));
        return step("bounce_pool_save", [&] {
            const int status = bounce_pool_save(pool_, nullptr, 0, &bytes);
            return status == -EBUSY ? 0 : status;  // the ring has no record
        });
    }
    bool use() {
        const bounce_sg sg[] = {{text_, 8, 0, 0}, {text_ + 8, 8, 0, 0}, {text_ + 16, 8, 0, 0}};
        bounce_block block;
        must("bounce_device_map", bounce_device_map(device_, text_, 8, BOUNCE_BIDIRECTIONAL, 0, &mapping_));
        must("bounce_device_unmap", bounce_device_unmap(device_, &mapping_, 8));
        must("bounce_coherent_alloc", bounce_coherent_alloc(device_, 100, 0, &block));
        must("bounce_coherent_free", bounce_coherent_free(device_, &block));
        must("bounce_buffer_alloc", bounce_buffer_alloc(device_, 300u << 10, 0, &block));
        must("bounce_buffer_free", bounce_buffer_free(device_, &block));
        must("bounce_ring_add", bounce_ring_add(ring_, sg, 1, 2, this));
        bounce_completion completion;
        if (bounce_ring_publish(ring_) < 0) complain("bounce_ring_publish", -1);
        must("bounce_ring_collect", bounce_ring_collect(ring_, &completion, 1));
        if (bounce_ring_abort(ring_, &completion, 1) != 1) complain("bounce_ring_abort", 0);
        must("bounce_ring_reset", bounce_ring_reset(ring_));
        return verdict_.step == nullptr;
    }
    bool renew() {
        return step("bounce_pool_renew", [&] { return bounce_pool_renew(pool_); });
    }
    void end() {
        bounce_pool_stats stats{};
        must("bounce_ring_destroy", bounce_ring_destroy(ring_));
        must("bounce_device_destroy (watched)", bounce_device_destroy(watched_));
        if (pool_ != nullptr) must("bounce_pool_get_stats", bounce_pool_get_stats(pool_, &stats));
        if (stats.slots != 0) complain("slots left", static_cast<int>(stats.slots));
        must("bounce_device_destroy", bounce_device_destroy(device_));
        must("bounce_pool_destroy", bounce_pool_destroy(pool_));
    }

    Fail how_;
    Verdict verdict_;
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    bounce_device* watched_ = nullptr;
    bounce_ring* ring_ = nullptr;
    bounce_mapping mapping_{};
    char text_[24] = {};
};

int open_descriptors() {
    DIR* directory = opendir("/proc/self/fd");
    if (directory == nullptr) return -1;
    int count = 0;
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
}

/// A thread of its own for each life, so that the memory for its last error is also asked for anew.
Verdict live(Fail how, std::uint64_t n) {
    struct Job {
        Fail how;
        std::uint64_t n;
        Verdict verdict;
    } job{how, n, {}};
    // Not a std::thread: that frees in the new thread what it allocated in the old one.
    pthread_t thread;
    const auto body = [](void* argument) -> void* {
        auto* mine = static_cast<Job*>(argument);
        mine->verdict = Life(mine->how, mine->n).run();
        return nullptr;
    };
    EXPECT_EQ(pthread_create(&thread, nullptr, body, &job), 0);
    EXPECT_EQ(pthread_join(thread, nullptr), 0);
    return job.verdict;
}

void every_request_fails(Fail how) {
    ASSERT_EQ(live(Fail::kNever, 0).step, nullptr);
    const int descriptors = open_descriptors();
    std::uint64_t n = 1;
    int refused = 0;
    for (;; ++n) {
        ASSERT_LT(n, 1000u);
        const Verdict verdict = live(how, n);
        ASSERT_EQ(verdict.step, nullptr) << "request " << n << ": " << verdict.step << " gave " << verdict.status;
        EXPECT_FALSE(verdict.silent) << "request " << n;
        EXPECT_EQ(test::live_blocks(), 0) << "request " << n;
        EXPECT_EQ(test::live_mapped_bytes(), 0) << "request " << n;
        EXPECT_EQ(open_descriptors(), descriptors) << "request " << n;
        refused += verdict.refused;
        if (verdict.injected == 0) break;
    }
    // A handle and tables for each object, three regions made twice: fewer would mean that nothing was intercepted.
    EXPECT_GT(n, 15u);
    EXPECT_GT(refused, 10);

    std::printf("%d requests for memory, %d of them refused a call\n", static_cast<int>(n - 1), refused);
}

TEST(MemoryFailure, OnceThenItIsBack) {
    every_request_fails(Fail::kOnce);
}

TEST(MemoryFailure, FromThenOnNothing) {
    every_request_fails(Fail::kFromThenOn);
}

}  // namespace
}  // namespace bounce
