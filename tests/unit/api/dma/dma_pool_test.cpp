// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/dma_pool.hpp"

#include <set>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

class DmaPoolTest : public DeviceTest {
protected:
    std::unique_ptr<DmaPool> pool_of(const DmaPoolConfig& config, Device* device = nullptr) {
        auto made = DmaPool::create(device == nullptr ? *device_ : *device, config);
        if (!made) throw std::runtime_error(last_error());
        return std::move(*made);
    }
    static DmaPool::Block take(DmaPool& pool, bool zeroed = false) {
        auto block = pool.alloc(zeroed);
        EXPECT_TRUE(block) << last_error();
        return block ? *block : DmaPool::Block{};
    }
};

TEST_F(DmaPoolTest, BlocksAreAlignedKeepTheBoundaryAndDoNotOverlap) {
    for (const std::uint64_t bytes : {1u, 8u, 24u, 100u, 500u, 3000u, 4096u, 5000u, 300000u}) {
        for (const std::uint64_t align : {0u, 1u, 64u, 4096u}) {
            const std::uint64_t stride = (bytes + std::max<std::uint64_t>(align, 8) - 1) /
                                         std::max<std::uint64_t>(align, 8) * std::max<std::uint64_t>(align, 8);
            for (const std::uint64_t boundary : {std::uint64_t{0}, std::bit_ceil(stride), 4 * std::bit_ceil(stride)}) {
                SCOPED_TRACE(testing::Message() << bytes << " " << align << " " << boundary);
                auto pool = pool_of({.bytes = bytes, .align = align, .boundary = boundary});
                std::set<std::uint64_t> seen;
                std::vector<DmaPool::Block> blocks;
                for (int i = 0; i < (bytes > 100000 ? 3 : 30); ++i) {
                    const auto block = take(*pool);
                    ASSERT_NE(block.ptr, nullptr);
                    EXPECT_EQ(block.addr % std::max<std::uint64_t>(align, 1), 0u);
                    if (boundary != 0) {
                        EXPECT_EQ(block.addr / boundary, (block.addr + bytes - 1) / boundary);
                    }
                    EXPECT_EQ(at(block.addr, bytes), block.ptr);
                    const auto next = seen.lower_bound(block.addr);
                    if (next != seen.end()) {
                        EXPECT_GE(*next, block.addr + bytes);
                    }
                    if (next != seen.begin()) {
                        EXPECT_LE(*std::prev(next) + bytes, block.addr);
                    }
                    seen.insert(block.addr);
                    blocks.push_back(block);
                }
                EXPECT_EQ(pool->blocks_out(), blocks.size());
                for (const auto& block : blocks) EXPECT_TRUE(pool->free(block)) << last_error();
                EXPECT_EQ(pool->blocks_out(), 0u);
            }
        }
    }
}

TEST_F(DmaPoolTest, SmallBlocksArePacked) {
    auto pool = pool_of({.bytes = 32});
    std::vector<DmaPool::Block> blocks;
    for (int i = 0; i < 128; ++i) blocks.push_back(take(*pool));
    EXPECT_EQ(pool->pieces(), 1u);
    EXPECT_EQ(pool->piece_bytes(), 4096u);
    blocks.push_back(take(*pool));
    EXPECT_EQ(pool->pieces(), 2u);
    EXPECT_EQ(device_->outstanding_blocks(), 2u);
    for (const auto& block : blocks) EXPECT_TRUE(pool->free(block));
    EXPECT_EQ(pool->pieces(), 2u) << "they stay";
    pool.reset();
    EXPECT_EQ(device_->outstanding_blocks(), 0u);
}

TEST_F(DmaPoolTest, ZeroedOnDemand) {
    auto pool = pool_of({.bytes = 100});
    auto block = take(*pool);
    std::memset(block.ptr, 'x', 100);
    EXPECT_TRUE(pool->free(block));
    const auto dirty = take(*pool);
    ASSERT_EQ(dirty.ptr, block.ptr);
    EXPECT_EQ(*dirty.ptr, std::byte{'x'});
    EXPECT_TRUE(pool->free(dirty));
    const auto clean = take(*pool, true);
    ASSERT_EQ(clean.ptr, block.ptr);
    EXPECT_TRUE(std::all_of(clean.ptr, clean.ptr + 100, [](std::byte byte) { return byte == std::byte{0}; }));
    EXPECT_TRUE(pool->free(clean));
}

TEST_F(DmaPoolTest, ForeignAndDoubleFreesChangeNothing) {
    auto pool = pool_of({.bytes = 100, .boundary = 1024});
    auto other = pool_of({.bytes = 100});
    EXPECT_EQ(pool->free({nullptr, 0}).code(), EFAULT) << "nothing was ever taken";
    const auto block = take(*pool);
    const auto foreign = take(*other);
    EXPECT_EQ(pool->free(foreign).code(), EFAULT);
    EXPECT_EQ(pool->free({block.ptr + 1, block.addr + 1}).code(), EFAULT) << "inside";
    EXPECT_EQ(pool->free({block.ptr + 8, block.addr}).code(), EFAULT) << "pointer and address differ";
    EXPECT_EQ(pool->free({block.ptr, block.addr + 104}).code(), EFAULT);
    EXPECT_EQ(pool->free({block.ptr + 104, block.addr + 104}).code(), EALREADY) << "a block that is not out";
    EXPECT_EQ(pool->free({block.ptr + 9 * 104, block.addr + 9 * 104}).code(), EFAULT) << "what a boundary cuts off";
    EXPECT_EQ(pool->free({block.ptr, ~std::uint64_t{0}}).code(), EFAULT);
    EXPECT_EQ(pool->blocks_out(), 1u);
    EXPECT_TRUE(pool->free(block));
    EXPECT_EQ(pool->free(block).code(), EALREADY);
    EXPECT_TRUE(other->free(foreign));
}

TEST_F(DmaPoolTest, BadOptions) {
    const auto code = [&](const DmaPoolConfig& config) { return DmaPool::create(*device_, config).code(); };
    EXPECT_EQ(code({.bytes = 0}), EINVAL);
    EXPECT_EQ(code({.bytes = 8, .align = 3}), EINVAL);
    EXPECT_EQ(code({.bytes = 8, .align = 4u << 20}), EINVAL);
    EXPECT_EQ(code({.bytes = 100, .boundary = 100}), EINVAL);
    EXPECT_EQ(code({.bytes = 100, .boundary = 64}), EINVAL);
    EXPECT_EQ(code({.bytes = 60, .align = 64, .boundary = 32}), EINVAL);
    EXPECT_EQ(code({.bytes = SIZE_MAX}), E2BIG);
}

TEST_F(DmaPoolTest, AFullPoolIsAnErrorAndMaskAndDomainAreKept) {
    auto pool = pool_of({.bytes = 1u << 20});
    std::vector<DmaPool::Block> blocks;
    for (;;) {
        const auto block = pool->alloc(false);
        if (!block) {
            EXPECT_EQ(block.code(), ENOSPC) << last_error();
            break;
        }
        blocks.push_back(*block);
    }
    EXPECT_GE(blocks.size(), 3u);
    for (const auto& block : blocks) EXPECT_TRUE(pool->free(block));
    auto low = make({.coherent_dma_mask = kBase - 1});
    auto of_low = pool_of({.bytes = 64}, low.get());
    EXPECT_EQ(of_low->alloc(false).code(), ERANGE);
}

TEST_F(DmaPoolTest, ThreadsNeverHaveOneBlockTwice) {
    auto pool = pool_of({.bytes = 64});
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            std::vector<DmaPool::Block> mine;
            for (unsigned i = 0; i < 30000; ++i) {
                if (mine.size() < 300 && (i * 2654435761u >> 13) % 5 < 3) {
                    const auto block = pool->alloc(false);
                    if (!block) {
                        errors.fetch_add(1);
                        continue;
                    }
                    std::memset(block->ptr, static_cast<int>(t), 64);
                    mine.push_back(*block);
                } else if (!mine.empty()) {
                    const auto block = mine[i % mine.size()];
                    mine[i % mine.size()] = mine.back();
                    mine.pop_back();
                    if (block.ptr[0] != std::byte(t) || block.ptr[63] != std::byte(t)) errors.fetch_add(1);
                    if (!pool->free(block)) errors.fetch_add(1);
                }
            }
            for (const auto& block : mine) {
                if (!pool->free(block)) errors.fetch_add(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(errors.load(), 0);
    EXPECT_EQ(pool->blocks_out(), 0u);
}

}  // namespace
}  // namespace bounce
