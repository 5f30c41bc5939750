// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/dma_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include "bounce/dma_pool.hpp"
#include "tests/support/emulator.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

class DmaPoolAbiTest : public AbiTest {
protected:
    static bounce_dma_pool_options options(std::uint64_t bytes = 64) {
        bounce_dma_pool_options options{};
        options.size = sizeof options;
        options.block_bytes = bytes;
        return options;
    }
    bounce_dma_pool* create(std::uint64_t bytes = 64) {
        const auto of_pool = options(bytes);
        bounce_dma_pool* pool = nullptr;
        EXPECT_EQ(bounce_dma_pool_create(device_, &of_pool, &pool), 0) << bounce_last_error();
        return pool;
    }
};

TEST_F(DmaPoolAbiTest, TakenAndGivenBack) {
    bounce_dma_pool* pool = create(48);
    void* ptr = nullptr;
    std::uint64_t addr = 0;
    ASSERT_EQ(bounce_dma_pool_alloc(pool, BOUNCE_DMA_POOL_ZERO, &ptr, &addr), 0) << bounce_last_error();
    void* hva = nullptr;
    EXPECT_EQ(bounce_pool_gpa_to_hva(pool_, addr, 48, &hva), 0);
    EXPECT_EQ(hva, ptr);
    bounce_dma_pool_info info{};
    EXPECT_EQ(bounce_dma_pool_get_info(pool, &info), 0);
    EXPECT_EQ(info.block_bytes, 48u);
    EXPECT_EQ(info.stride, 48u);
    EXPECT_EQ(info.blocks_out, 1u);
    EXPECT_EQ(info.pieces, 1u);
    EXPECT_EQ(info.piece_bytes, 4096u);
    expect_error(bounce_dma_pool_destroy(pool), EBUSY, "1 blocks");
    expect_error(bounce_device_destroy(device_), EBUSY);
    EXPECT_EQ(bounce_dma_pool_free(pool, ptr, addr), 0);
    expect_error(bounce_dma_pool_free(pool, ptr, addr), EALREADY);
    expect_error(bounce_dma_pool_free(pool, ptr, addr + 8), EFAULT);
    EXPECT_EQ(bounce_dma_pool_destroy(pool), 0);
    EXPECT_EQ(bounce_dma_pool_destroy(nullptr), 0);
}

TEST_F(DmaPoolAbiTest, BulkIsAllOrNothing) {
    bounce_dma_pool* pool = create(1u << 20);
    void* ptrs[8] = {};
    std::uint64_t addrs[8] = {};
    expect_error(bounce_dma_pool_alloc_bulk(pool, 0, ptrs, addrs, 8), ENOSPC);
    bounce_dma_pool_info info{};
    EXPECT_EQ(bounce_dma_pool_get_info(pool, &info), 0);
    EXPECT_EQ(info.blocks_out, 0u);
    ASSERT_EQ(bounce_dma_pool_alloc_bulk(pool, 0, ptrs, addrs, 3), 0) << bounce_last_error();
    EXPECT_EQ(bounce_dma_pool_free(pool, ptrs[1], addrs[1]), 0);
    expect_error(bounce_dma_pool_free_bulk(pool, ptrs, addrs, 3), EALREADY);
    EXPECT_EQ(bounce_dma_pool_destroy(pool), 0) << "the others went back";
}

TEST_F(DmaPoolAbiTest, BadArguments) {
    auto of_pool = options();
    bounce_dma_pool* pool = nullptr;
    expect_error(bounce_dma_pool_create(nullptr, &of_pool, &pool), EINVAL, "device");
    expect_error(bounce_dma_pool_create(device_, nullptr, &pool), EINVAL, "options");
    expect_error(bounce_dma_pool_create(device_, &of_pool, nullptr), EINVAL, "pool");
    of_pool.size = 8;
    expect_error(bounce_dma_pool_create(device_, &of_pool, &pool), EINVAL, "options.size");
    of_pool = options(0);
    expect_error(bounce_dma_pool_create(device_, &of_pool, &pool), EINVAL, "0 bytes");
    of_pool = options();
    const std::string name(64, 'n');
    of_pool.name = name.c_str();
    expect_error(bounce_dma_pool_create(device_, &of_pool, &pool), EINVAL, "options.name");
    pool = create();
    void* ptr = nullptr;
    std::uint64_t addr = 0;
    expect_error(bounce_dma_pool_alloc(nullptr, 0, &ptr, &addr), EINVAL, "pool");
    expect_error(bounce_dma_pool_alloc(pool, 0, nullptr, &addr), EINVAL, "ptr");
    expect_error(bounce_dma_pool_alloc(pool, 0, &ptr, nullptr), EINVAL, "addr");
    expect_error(bounce_dma_pool_alloc(pool, 2, &ptr, &addr), EINVAL, "flags");
    expect_error(bounce_dma_pool_alloc_bulk(pool, 0, &ptr, &addr, 0), EINVAL, "0 blocks");
    expect_error(bounce_dma_pool_free(nullptr, ptr, addr), EINVAL, "pool");
    expect_error(bounce_dma_pool_free(pool, ptr, addr), EFAULT);
    expect_error(bounce_dma_pool_free_bulk(pool, &ptr, &addr, 0), EINVAL);
    expect_error(bounce_dma_pool_get_info(pool, nullptr), EINVAL, "info");
    expect_error(bounce_dma_pool_get_info(nullptr, nullptr), EINVAL, "pool");
    EXPECT_EQ(bounce_dma_pool_destroy(pool), 0);
}

TEST_F(DmaPoolAbiTest, AForkedChildHasNone) {
    if (test::kEmulated) GTEST_SKIP() << test::kNoForkAdvice;
    bounce_dma_pool* pool = create();
    void* ptr = nullptr;
    std::uint64_t addr = 0;
    ASSERT_EQ(bounce_dma_pool_alloc(pool, 0, &ptr, &addr), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const auto dead = [](int status) { return status == -EOWNERDEAD; };
        void* other = nullptr;
        std::uint64_t other_addr = 0;
        const bool good = dead(bounce_dma_pool_alloc(pool, 0, &other, &other_addr)) &&
                          dead(bounce_dma_pool_free(pool, ptr, addr)) && dead(bounce_dma_pool_destroy(pool));
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(bounce_dma_pool_free(pool, ptr, addr), 0);
    EXPECT_EQ(bounce_dma_pool_destroy(pool), 0);
}

TEST_F(DmaPoolAbiTest, SharedAndBulkAcrossTheAbi) {
    bounce_block blocks[4];
    ASSERT_EQ(bounce_buffer_alloc_bulk(device_, 256, 0, blocks, 4), 0) << bounce_last_error();
    bounce_mapping mapping{};
    expect_error(bounce_device_map(device_, blocks[0].ptr, 256, BOUNCE_FROM_DEVICE, BOUNCE_MAP_SHARED, &mapping), EPERM,
                 "BOUNCE_MAP_SHARED_IN");
    ASSERT_EQ(bounce_device_map(device_, blocks[0].ptr, 256, BOUNCE_TO_DEVICE, BOUNCE_MAP_SHARED, &mapping), 0);
    EXPECT_EQ(mapping.addr, blocks[0].addr);
    EXPECT_EQ(stats().mappings, 0u) << "no slot";
    expect_error(bounce_buffer_free(device_, &blocks[0]), EBUSY, "mappings of the buffer");
    expect_error(bounce_device_destroy(device_), EBUSY, "1 mappings");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_EQ(bounce_buffer_free_bulk(device_, blocks, 4), 0) << bounce_last_error();
    expect_error(bounce_buffer_free_bulk(device_, blocks, 4), EALREADY);
    ASSERT_EQ(bounce_coherent_alloc_bulk(device_, 64, 0, blocks, 4), 0);
    EXPECT_EQ(bounce_coherent_free_bulk(device_, blocks, 4), 0);
    expect_error(bounce_coherent_alloc_bulk(nullptr, 64, 0, blocks, 4), EINVAL, "device");
    expect_error(bounce_coherent_alloc_bulk(device_, 64, 0, nullptr, 4), EINVAL, "blocks");
    expect_error(bounce_coherent_free_bulk(device_, nullptr, 4), EINVAL, "blocks");
    expect_error(bounce_coherent_free_bulk(nullptr, blocks, 4), EINVAL, "device");
}

TEST_F(DmaPoolAbiTest, RestrictedRegions) {
    auto region = region_options(1u << 20, 2 * kBase);
    region.flags = BOUNCE_REGION_RESTRICTED;
    ASSERT_EQ(bounce_pool_add_region(pool_, &region), 0) << bounce_last_error();
    bounce_region_info info{};
    ASSERT_EQ(bounce_pool_region(pool_, 1, &info), 0);
    EXPECT_EQ(info.restricted, 1u);
    auto of_device = device_options();
    bounce_device* device = nullptr;
    of_device.regions = 1;
    expect_error(bounce_device_create(pool_, &of_device, &device), EINVAL, "not restricted");
    of_device.regions = 4;
    expect_error(bounce_device_create(pool_, &of_device, &device), EINVAL, "region 2");
    of_device.regions = 2;
    ASSERT_EQ(bounce_device_create(pool_, &of_device, &device), 0) << bounce_last_error();
    bounce_block block{};
    ASSERT_EQ(bounce_coherent_alloc(device, 64, 0, &block), 0);
    EXPECT_EQ(block.addr / kBase, 2u);
    EXPECT_EQ(bounce_coherent_free(device, &block), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
}

TEST(DmaPoolWrapper, BlocksGoBackByThemselves) {
    auto pool = Pool::create({.region = {.bytes = 1u << 20, .base_gpa = kBase}});
    ASSERT_TRUE(pool);
    auto device = pool->create_device();
    ASSERT_TRUE(device);
    auto blocks = DmaPool::create(*device, {.block_bytes = 64, .align = 64});
    ASSERT_TRUE(blocks) << bounce_last_error();
    {
        auto block = blocks->alloc(BOUNCE_DMA_POOL_ZERO);
        ASSERT_TRUE(block);
        EXPECT_EQ(block->addr() % 64, 0u);
        DmaBlock moved = std::move(*block);
        EXPECT_FALSE(*block);
        EXPECT_EQ(blocks->info()->blocks_out, 1u);
    }
    EXPECT_EQ(blocks->info()->blocks_out, 0u);
    EXPECT_EQ(DmaPool::create(*device, {}).code(), EINVAL);
}

}  // namespace
}  // namespace bounce
