// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

#include "bounce/jemalloc.hpp"
#include "tests/unit/allocator/components/jemalloc/heap_fixture.hpp"

namespace bounce {
namespace {

class JemallocHeap : public HeapTest {};

TEST_F(JemallocHeap, PointerAndAddressAreTheSameMemory) {
    for (const std::size_t bytes : {0u, 1u, 16u, 100u, 4096u, 5000u, 100000u, 3u << 20}) {
        SCOPED_TRACE(bytes);
        std::uint64_t addr = 0;
        void* const ptr = bounce_jemalloc_malloc(heap_, bytes, &addr);
        ASSERT_NE(ptr, nullptr) << bounce_jemalloc_last_error();
        void* hva = nullptr;
        ASSERT_EQ(bounce_pool_gpa_to_hva(pool_, addr, bytes == 0 ? 1 : bytes, &hva), 0) << bounce_last_error();
        EXPECT_EQ(hva, ptr);
        EXPECT_EQ(addr % 16, 0u);
        EXPECT_GE(bounce_jemalloc_usable_size(heap_, ptr), bytes);
        std::uint64_t again = 0;
        EXPECT_EQ(bounce_jemalloc_address(heap_, ptr, &again), 0);
        EXPECT_EQ(again, addr);
        std::memset(ptr, 'x', bytes);
        EXPECT_EQ(info().allocations, 1u);
        EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0) << bounce_jemalloc_last_error();
    }
    EXPECT_EQ(info().allocations, 0u);
    EXPECT_EQ(bounce_jemalloc_free(heap_, nullptr), 0);
}

TEST_F(JemallocHeap, BlocksGoBackWhenTheyAreEmpty) {
    std::vector<void*> all;
    for (std::size_t i = 0; i < 3000; ++i) all.push_back(bounce_jemalloc_malloc(heap_, 1 + i % 900, nullptr));
    EXPECT_GT(info().blocks, 10u);
    EXPECT_EQ(info().blocks, stats().coherent);
    for (void* ptr : all) EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    EXPECT_EQ(bounce_jemalloc_trim(heap_), 0);
    EXPECT_EQ(info().blocks, 0u);
    EXPECT_EQ(info().block_bytes, 0u);
    EXPECT_EQ(stats().coherent, 0u);
    // Large ones at once.
    void* const large = bounce_jemalloc_malloc(heap_, 1u << 20, nullptr);
    ASSERT_NE(large, nullptr);
    EXPECT_EQ(info().blocks, 1u);
    EXPECT_EQ(bounce_jemalloc_free(heap_, large), 0);
    EXPECT_EQ(info().blocks, 0u);
}

TEST_F(JemallocHeap, Aligned) {
    for (std::size_t align = 1; align <= 2u << 20; align *= 2) {
        std::uint64_t addr = 1;
        void* const ptr = bounce_jemalloc_aligned_alloc(heap_, align, 100, &addr);
        ASSERT_NE(ptr, nullptr) << align << bounce_jemalloc_last_error();
        EXPECT_EQ(addr % align, 0u);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ptr) % align, 0u);
        EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    }
    for (const std::size_t align : {std::size_t{0}, std::size_t{3}, std::size_t{4u << 20}, SIZE_MAX})
        expect_no_memory(bounce_jemalloc_aligned_alloc(heap_, align, 100, nullptr), EINVAL, "alignment");
}

TEST_F(JemallocHeap, CallocIsZeroedAndReallocKeepsTheContent) {
    for (const std::size_t bytes : {100u, 5000u, 200000u}) {
        void* dirty = bounce_jemalloc_malloc(heap_, bytes, nullptr);
        ASSERT_NE(dirty, nullptr);
        std::memset(dirty, 'x', bytes);
        EXPECT_EQ(bounce_jemalloc_free(heap_, dirty), 0);
        auto* const clean = static_cast<char*>(bounce_jemalloc_calloc(heap_, bytes / 4, 4, nullptr));
        ASSERT_NE(clean, nullptr);
        EXPECT_EQ(std::string(clean, bytes / 4 * 4), std::string(bytes / 4 * 4, '\0'));
        std::memset(clean, 'y', bytes);
        std::uint64_t addr = 0;
        auto* const moved = static_cast<char*>(bounce_jemalloc_realloc(heap_, clean, 3 * bytes, &addr));
        ASSERT_NE(moved, nullptr) << bounce_jemalloc_last_error();
        EXPECT_EQ(std::string(moved, bytes), std::string(bytes, 'y'));
        std::uint64_t expected = 0;
        EXPECT_EQ(bounce_jemalloc_address(heap_, moved, &expected), 0);
        EXPECT_EQ(addr, expected);
        EXPECT_EQ(info().allocations, 1u);
        EXPECT_EQ(bounce_jemalloc_free(heap_, moved), 0);
    }
    void* const fresh = bounce_jemalloc_realloc(heap_, nullptr, 10, nullptr);
    ASSERT_NE(fresh, nullptr);
    EXPECT_EQ(bounce_jemalloc_free(heap_, fresh), 0);
    expect_no_memory(bounce_jemalloc_calloc(heap_, SIZE_MAX / 2, 3, nullptr), E2BIG);
}

TEST_F(JemallocHeap, ForeignAndDoubleFreesChangeNothing) {
    auto* const ptr = static_cast<char*>(bounce_jemalloc_malloc(heap_, 200, nullptr));
    ASSERT_NE(ptr, nullptr);
    int local = 0;
    bounce_block block{};
    ASSERT_EQ(bounce_coherent_alloc(device_, 4096, 4096, &block), 0);
    bounce_jemalloc_heap* const other = create({});
    void* const others = bounce_jemalloc_malloc(other, 200, nullptr);
    for (void* const foreign : {static_cast<void*>(&local), block.ptr, static_cast<void*>(ptr + 1), others}) {
        expect_heap_error(bounce_jemalloc_free(heap_, foreign), EFAULT);
        EXPECT_EQ(bounce_jemalloc_usable_size(heap_, foreign), 0u);
        expect_no_memory(bounce_jemalloc_realloc(heap_, foreign, 10, nullptr), EFAULT);
    }
    expect_heap_error(bounce_jemalloc_free(heap_, ptr + 16), EALREADY, "inside");
    std::uint64_t addr = 0;
    expect_heap_error(bounce_jemalloc_address(heap_, ptr + 32, &addr), EALREADY);
    EXPECT_EQ(info().allocations, 1u);
    void* const keeper = bounce_jemalloc_malloc(heap_, 200, nullptr);  // of the same block
    EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    expect_heap_error(bounce_jemalloc_free(heap_, ptr), EALREADY);
    EXPECT_EQ(bounce_jemalloc_free(heap_, keeper), 0);
    EXPECT_EQ(bounce_jemalloc_free(other, others), 0);
    EXPECT_EQ(bounce_jemalloc_destroy(other), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
}

TEST_F(JemallocHeap, AFullPoolIsAnErrorAndRecovers) {
    std::vector<void*> all;
    for (;;) {
        void* const ptr = bounce_jemalloc_malloc(heap_, 30000, nullptr);
        if (ptr == nullptr) break;
        all.push_back(ptr);
    }
    expect_no_memory(nullptr, ENOSPC, "30000 bytes");
    EXPECT_GT(all.size(), 110u) << "most of 4 MiB";
    // What caches keep is given up before anybody is refused.
    std::vector<void*> small;
    EXPECT_EQ(bounce_jemalloc_free(heap_, all.back()), 0);
    all.pop_back();
    for (int i = 0; i < 100; ++i) small.push_back(bounce_jemalloc_malloc(heap_, 200, nullptr));
    for (void* ptr : small) EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    void* const again = bounce_jemalloc_malloc(heap_, 30000, nullptr);
    EXPECT_NE(again, nullptr) << bounce_jemalloc_last_error();
    all.push_back(again);
    expect_no_memory(bounce_jemalloc_realloc(heap_, all[0], 2u << 20, nullptr), ENOSPC);
    for (void* ptr : all) EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    expect_no_memory(bounce_jemalloc_malloc(heap_, 64u << 20, nullptr), E2BIG);
    expect_no_memory(bounce_jemalloc_malloc(heap_, SIZE_MAX, nullptr), ENOMEM);
    expect_no_memory(bounce_jemalloc_malloc(heap_, SIZE_MAX / 2, nullptr), ENOMEM);
}

TEST_F(JemallocHeap, TheLimitHolds) {
    bounce_jemalloc_heap* const heap = create({.size = 0, .flags = 0, .reserved = 0, .limit_bytes = 100000});
    void* const first = bounce_jemalloc_malloc(heap, 60000, nullptr);
    ASSERT_NE(first, nullptr);
    expect_no_memory(bounce_jemalloc_malloc(heap, 60000, nullptr), ENOSPC);
    EXPECT_EQ(bounce_jemalloc_free(heap, first), 0);
    void* const second = bounce_jemalloc_malloc(heap, 60000, nullptr);
    EXPECT_NE(second, nullptr);
    EXPECT_EQ(bounce_jemalloc_free(heap, second), 0);
    EXPECT_EQ(bounce_jemalloc_destroy(heap), 0);
}

TEST_F(JemallocHeap, ItIsNotDestroyedUnderItsAllocations) {
    void* const ptr = bounce_jemalloc_malloc(heap_, 10, nullptr);
    expect_heap_error(bounce_jemalloc_destroy(heap_), EBUSY, "1 allocations");
    EXPECT_EQ(bounce_device_destroy(device_), -EBUSY) << "it has a block";
    EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
    EXPECT_EQ(bounce_jemalloc_destroy(nullptr), 0);
}

TEST_F(JemallocHeap, BuffersCanBeMappedInPlace) {
    bounce_jemalloc_heap* const heap =
        create({.size = 0, .flags = BOUNCE_JEMALLOC_BUFFERS, .reserved = 0, .limit_bytes = 0});
    std::uint64_t addr = 0;
    void* const ptr = bounce_jemalloc_calloc(heap, 1, 5000, &addr);
    ASSERT_NE(ptr, nullptr);
    EXPECT_EQ(stats().buffers, 1u);
    bounce_mapping mapping{};
    ASSERT_EQ(bounce_device_map(device_, ptr, 5000, BOUNCE_TO_DEVICE, BOUNCE_MAP_SHARED, &mapping), 0)
        << bounce_last_error();
    EXPECT_EQ(mapping.addr, addr);
    // A free under a mapping: the block stays until it can go.
    EXPECT_EQ(bounce_jemalloc_free(heap, ptr), 0);
    EXPECT_EQ(stats().buffers, 1u);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    void* const next = bounce_jemalloc_malloc(heap, 5000, nullptr);
    EXPECT_EQ(next, ptr) << "it was kept for use";
    EXPECT_EQ(bounce_jemalloc_free(heap, next), 0);
    EXPECT_EQ(bounce_jemalloc_destroy(heap), 0);
}

TEST_F(JemallocHeap, BadArguments) {
    bounce_jemalloc_heap* heap = nullptr;
    bounce_jemalloc_options options{};
    options.size = sizeof options;
    expect_heap_error(bounce_jemalloc_create(nullptr, device_, nullptr, &heap), EINVAL, "pool");
    expect_heap_error(bounce_jemalloc_create(pool_, nullptr, nullptr, &heap), EINVAL, "device");
    expect_heap_error(bounce_jemalloc_create(pool_, device_, nullptr, nullptr), EINVAL, "heap");
    options.flags = 2;
    expect_heap_error(bounce_jemalloc_create(pool_, device_, &options, &heap), EINVAL, "options.flags");
    options = {};
    expect_heap_error(bounce_jemalloc_create(pool_, device_, &options, &heap), EINVAL, "options.size");
    options.size = sizeof options;
    options.reserved = 1;
    expect_heap_error(bounce_jemalloc_create(pool_, device_, &options, &heap), EINVAL, "options.reserved");
    unsigned char longer[sizeof options + 1] = {};
    const std::size_t size = sizeof longer;
    std::memcpy(longer, &size, sizeof size);
    longer[sizeof options] = 1;
    expect_heap_error(bounce_jemalloc_create(pool_, device_, reinterpret_cast<bounce_jemalloc_options*>(longer), &heap),
                      EINVAL, "nonzero byte");
    const auto of_pool = pool_options();
    bounce_pool* stranger = nullptr;
    ASSERT_EQ(bounce_pool_create(&of_pool, &stranger), 0);
    expect_heap_error(bounce_jemalloc_create(stranger, device_, nullptr, &heap), EXDEV);
    EXPECT_EQ(bounce_pool_destroy(stranger), 0);
    expect_no_memory(bounce_jemalloc_malloc(nullptr, 1, nullptr), EINVAL, "heap");
    expect_heap_error(bounce_jemalloc_free(nullptr, nullptr), EINVAL);
    expect_heap_error(bounce_jemalloc_trim(nullptr), EINVAL);
    expect_heap_error(bounce_jemalloc_get_info(heap_, nullptr), EINVAL, "info");
    expect_heap_error(bounce_jemalloc_address(heap_, nullptr, nullptr), EINVAL, "addr");
    EXPECT_EQ(bounce_jemalloc_usable_size(nullptr, nullptr), 0u);
}

TEST_F(JemallocHeap, MasksAndRegionsOfTheDeviceHold) {
    auto region = region_options(1u << 20, 2 * kBase);
    region.flags = BOUNCE_REGION_RESTRICTED;
    ASSERT_EQ(bounce_pool_add_region(pool_, &region), 0);
    auto of_device = device_options();
    of_device.regions = 2;
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &of_device, &device), 0) << bounce_last_error();
    bounce_jemalloc_heap* heap = nullptr;
    ASSERT_EQ(bounce_jemalloc_create(pool_, device, nullptr, &heap), 0) << bounce_jemalloc_last_error();
    std::uint64_t addr = 0;
    void* const ptr = bounce_jemalloc_malloc(heap, 100, &addr);
    EXPECT_EQ(addr / kBase, 2u);
    EXPECT_EQ(bounce_jemalloc_free(heap, ptr), 0);
    EXPECT_EQ(bounce_jemalloc_destroy(heap), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
    of_device = device_options();
    of_device.coherent_dma_mask = 0xffff;
    ASSERT_EQ(bounce_device_create(pool_, &of_device, &device), 0);
    ASSERT_EQ(bounce_jemalloc_create(pool_, device, nullptr, &heap), 0);
    expect_no_memory(bounce_jemalloc_malloc(heap, 100, nullptr), ERANGE);
    EXPECT_EQ(bounce_jemalloc_destroy(heap), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
}

TEST_F(JemallocHeap, AForkedChildHasNone) {
    void* const ptr = bounce_jemalloc_malloc(heap_, 100, nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool good = bounce_jemalloc_malloc(heap_, 1, nullptr) == nullptr && errno == EOWNERDEAD &&
                          bounce_jemalloc_free(heap_, ptr) == -EOWNERDEAD &&
                          bounce_jemalloc_trim(heap_) == -EOWNERDEAD && bounce_jemalloc_destroy(heap_) == -EOWNERDEAD;
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
}

TEST_F(JemallocHeap, RandomOperationsKeepEveryByte) {
    for (const unsigned seed : {1u, 2u, 3u}) {
        std::mt19937 random(seed);
        std::map<unsigned char*, std::pair<std::size_t, unsigned char>> live;
        for (int i = 0; i < 20000; ++i) {
            const unsigned action = random() % 4;
            if (action < 2 && live.size() < 400) {
                const std::size_t bytes = 1 + (random() % 8 == 0 ? random() % 20000 : random() % 600);
                auto* const ptr = static_cast<unsigned char*>(bounce_jemalloc_malloc(heap_, bytes, nullptr));
                if (ptr == nullptr) continue;
                const auto next = live.lower_bound(ptr);
                ASSERT_TRUE(next == live.end() || ptr + bytes <= next->first);
                ASSERT_TRUE(next == live.begin() || std::prev(next)->first + std::prev(next)->second.first <= ptr);
                const auto letter = static_cast<unsigned char>(random());
                std::memset(ptr, letter, bytes);
                live[ptr] = {bytes, letter};
            } else if (!live.empty()) {
                auto at = live.lower_bound(reinterpret_cast<unsigned char*>(region().hva) + random() % (4u << 20));
                if (at == live.end()) at = live.begin();
                const auto [bytes, letter] = at->second;
                ASSERT_EQ(at->first[0], letter);
                ASSERT_EQ(at->first[bytes - 1], letter);
                if (action == 2) {
                    ASSERT_EQ(bounce_jemalloc_free(heap_, at->first), 0) << bounce_jemalloc_last_error();
                    live.erase(at);
                } else {
                    const std::size_t more = 1 + random() % 9000;
                    auto* const moved =
                        static_cast<unsigned char*>(bounce_jemalloc_realloc(heap_, at->first, more, nullptr));
                    if (moved == nullptr) continue;
                    ASSERT_EQ(moved[std::min(bytes, more) - 1], letter);
                    std::memset(moved, letter, more);
                    live.erase(at);
                    live[moved] = {more, letter};
                }
            }
        }
        for (const auto& [ptr, what] : live) ASSERT_EQ(bounce_jemalloc_free(heap_, ptr), 0);
        bounce_jemalloc_trim(heap_);
        EXPECT_EQ(info().blocks, 0u);
    }
}

TEST_F(JemallocHeap, ThreadsHandMemoryToEachOther) {
    constexpr int kThreads = 8;
    std::atomic<unsigned char*> mailbox[64] = {};
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(t);
            for (int i = 0; i < 10000; ++i) {
                const std::size_t bytes = 2 + random() % 3000;
                auto* ptr = static_cast<unsigned char*>(bounce_jemalloc_malloc(heap_, bytes, nullptr));
                if (ptr != nullptr) {
                    ptr[0] = ptr[1] = static_cast<unsigned char>(t);
                    ptr = mailbox[random() % 64].exchange(ptr, std::memory_order_acq_rel);
                }
                if (ptr == nullptr) continue;
                if (ptr[0] != ptr[1]) errors.fetch_add(1);
                if (bounce_jemalloc_free(heap_, ptr) != 0) errors.fetch_add(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (auto& box : mailbox) EXPECT_EQ(bounce_jemalloc_free(heap_, box.load()), 0);
    EXPECT_EQ(errors.load(), 0);
    EXPECT_EQ(info().allocations, 0u);
}

TEST(JemallocWrapper, OwnsHeapAndMemory) {
    auto pool = Pool::create({.region = {.bytes = 4u << 20, .base_gpa = kBase}});
    ASSERT_TRUE(pool);
    auto device = pool->create_device();
    ASSERT_TRUE(device);
    auto heap = Heap::create(*pool, *device, {});
    ASSERT_TRUE(heap) << bounce_jemalloc_last_error();
    {
        auto memory = heap->alloc(100, 64);
        ASSERT_TRUE(memory);
        auto addr = heap->addr(memory->get());
        ASSERT_TRUE(addr);
        EXPECT_EQ(*addr % 64, 0u);
        EXPECT_EQ(heap->info()->allocations, 1u);
    }
    EXPECT_EQ(heap->info()->allocations, 0u);
    EXPECT_EQ(heap->alloc(100, 3).code(), EINVAL);
}

}  // namespace
}  // namespace bounce
