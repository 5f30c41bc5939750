// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What is known of the heap is not in the shared memory, and what is private does not get there.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/unit/allocator/components/jemalloc/heap_fixture.hpp"

namespace bounce {
namespace {

class JemallocSeparation : public HeapTest {
protected:
    /// Bytes of the region that are not 0. Reading fills no hole of a memfd for good: pages() is asked first.
    std::size_t nonzero() {
        const bounce_region_info info = region();
        const auto* const first = static_cast<const char*>(info.hva);
        return info.bytes - static_cast<std::size_t>(std::count(first, first + info.bytes, '\0'));
    }
    /// Pages of the memfd that have memory.
    std::size_t pages() {
        const bounce_region_info info = region();
        std::size_t found = 0;
        for (off_t at = 0; (at = ::lseek(info.fd, at, SEEK_DATA)) >= 0;) {
            const off_t hole = ::lseek(info.fd, at, SEEK_HOLE);
            found += static_cast<std::size_t>(hole - at) / 4096;
            at = hole;
        }
        return found;
    }
};

TEST_F(JemallocSeparation, NoMetadataIsInTheRegion) {
    EXPECT_EQ(pages(), 0u) << "a heap that nobody uses has nothing there";
    std::vector<void*> all;
    std::vector<std::thread> threads;
    std::mutex lock;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (std::size_t i = 0; i < 1000; ++i) {
                // In turn: of two that want a block at once, one may give its own back, which has its pages still.
                const std::lock_guard guard(lock);
                all.push_back(bounce_jemalloc_malloc(heap_, 1 + i * 7 % 800, nullptr));
            }
        });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(std::count(all.begin(), all.end(), nullptr), 0);
    EXPECT_LE(pages(), info().block_bytes / 4096) << "its blocks, and no page more";
    EXPECT_EQ(nonzero(), 0u) << "nothing was written but by us";
    for (std::size_t i = 0; i < all.size(); i += 2) EXPECT_EQ(bounce_jemalloc_free(heap_, all[i]), 0);
    EXPECT_EQ(nonzero(), 0u) << "no list of what is free";
    for (std::size_t i = 1; i < all.size(); i += 2) EXPECT_EQ(bounce_jemalloc_free(heap_, all[i]), 0);
    bounce_jemalloc_trim(heap_);
    EXPECT_EQ(nonzero(), 0u);
}

TEST_F(JemallocSeparation, AHostileDeviceHarmsTheContentOnly) {
    const bounce_region_info shared = region();
    std::vector<void*> all;
    for (std::size_t round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < 200; ++i) all.push_back(bounce_jemalloc_malloc(heap_, 1 + i * 31 % 6000, nullptr));
        std::memset(shared.hva, static_cast<int>(0xa5 + round), shared.bytes);
        for (std::size_t i = all.size() / 2; i < all.size(); ++i) EXPECT_EQ(bounce_jemalloc_free(heap_, all[i]), 0);
        all.resize(all.size() / 2);
    }
    for (void* ptr : all) EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    bounce_jemalloc_trim(heap_);
    EXPECT_EQ(info().blocks, 0u);
}

TEST_F(JemallocSeparation, PrivateMemoryIsNeverSharedMemory) {
    std::atomic<int> strays{0};
    std::atomic<int> outside{0};
    const bounce_region_info shared = region();
    const auto inside = [&](const void* ptr) {
        return reinterpret_cast<std::uintptr_t>(ptr) - reinterpret_cast<std::uintptr_t>(shared.hva) < shared.bytes;
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t) {
        threads.emplace_back([&] {
            std::vector<void*> mine;
            for (std::size_t i = 0; i < 2000; ++i) {
                // What is freed here is what a cache of a thread would hand out next.
                void* const of_heap = bounce_jemalloc_malloc(heap_, 1 + i % 500, nullptr);
                if (of_heap != nullptr && !inside(of_heap)) outside.fetch_add(1);
                bounce_jemalloc_free(heap_, of_heap);
                void* const own = std::malloc(1 + i % 500);
                auto* const object = new std::size_t[1 + i % 100];
                if (inside(own) || inside(object)) strays.fetch_add(1);
                delete[] object;
                mine.push_back(own);
            }
            for (void* ptr : mine) std::free(ptr);
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(strays.load(), 0);
    EXPECT_EQ(outside.load(), 0);
}

TEST_F(JemallocSeparation, TheEnvironmentOfTheHostIsNotAsked) {
    // MALLOC_CONF would have been read when the library was loaded; this process was started with one.
    const char* const conf = std::getenv("MALLOC_CONF");
    if (conf == nullptr) GTEST_SKIP() << "MALLOC_CONF is not set; ctest sets it";
    EXPECT_STREQ(conf, "stats_print:true,retain:true,tcache:true,background_thread:true");
    void* const ptr = bounce_jemalloc_malloc(heap_, 20000, nullptr);
    EXPECT_LE(info().block_bytes, 24576u) << "with retain it would have taken 2 MiB";
    EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    EXPECT_EQ(info().blocks, 0u);
}

}  // namespace
}  // namespace bounce
