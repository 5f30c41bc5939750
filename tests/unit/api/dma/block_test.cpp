// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kCoherent = SlotKind::kCoherent;
constexpr auto kBuffer = SlotKind::kBuffer;

class BlockTest : public DeviceTest {};

TEST_F(BlockTest, CoherentMemoryIsZeroedAlsoWhenItWasUsedBefore) {
    // Dirty the whole pool first.
    std::vector<char> dirt(64u << 10, 'D');
    std::vector<bounce_mapping> tokens;
    bounce_mapping token;
    while (device_->map(dirt.data(), dirt.size(), Direction::kToDevice, 0, token)) tokens.push_back(token);
    for (auto& each : tokens) ASSERT_TRUE(device_->unmap(each, 0));
    for (const std::size_t bytes : {1u, 64u, 100u, 4096u, 70000u}) {
        bounce_block block;
        ASSERT_TRUE(device_->alloc_block(kCoherent, bytes, 0, block)) << last_error();
        const auto* first = static_cast<const char*>(block.ptr);
        EXPECT_TRUE(std::all_of(first, first + bytes, [](char c) { return c == '\0'; })) << bytes;
        ASSERT_TRUE(device_->free_block(kCoherent, block));
    }
}

TEST_F(BlockTest, PointerAndAddressAreTheSameMemory) {
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kBuffer, 100, 0, block));
    EXPECT_EQ(block.bytes, 100u);
    EXPECT_EQ(static_cast<void*>(at(block.addr, block.bytes)), block.ptr);
    EXPECT_EQ(device_->outstanding_blocks(), 1u);
    EXPECT_TRUE(device_->free_block(kBuffer, block));
    EXPECT_EQ(device_->outstanding_blocks(), 0u);
}

TEST_F(BlockTest, AddressesAreAligned) {
    for (std::size_t align = 1; align <= (2u << 20); align *= 2) {
        bounce_block block;
        ASSERT_TRUE(device_->alloc_block(kCoherent, 100, align, block)) << align << ": " << last_error();
        EXPECT_EQ(block.addr % align, 0u);
        ASSERT_TRUE(device_->free_block(kCoherent, block));
    }
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kCoherent, 1, 0, block));
    EXPECT_EQ(block.addr % 64, 0u);
    ASSERT_TRUE(device_->free_block(kCoherent, block));
}

TEST_F(BlockTest, BadArguments) {
    bounce_block block;
    EXPECT_EQ(device_->alloc_block(kCoherent, 0, 0, block).code(), EINVAL);
    for (const std::size_t align : {std::size_t{3}, std::size_t{4u << 20}, SIZE_MAX})
        EXPECT_EQ(device_->alloc_block(kCoherent, 64, align, block).code(), EINVAL) << align;
    EXPECT_EQ(device_->alloc_block(kCoherent, SIZE_MAX, 0, block).code(), E2BIG) << last_error();
    EXPECT_EQ(device_->alloc_block(kBuffer, 5u << 20, 0, block).code(), E2BIG) << last_error();
    EXPECT_EQ(device_->free_block(kBuffer, block).code(), EALREADY) << "a failed allocation leaves no live block";
}

TEST_F(BlockTest, FreedOnceByItsDeviceAndKind) {
    auto other = make({});
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kCoherent, 64, 0, block));
    bounce_block copy = block;
    EXPECT_EQ(other->free_block(kCoherent, block).code(), EXDEV);
    EXPECT_EQ(device_->free_block(kBuffer, block).code(), EPERM);
    bounce_block forged = block;
    forged.kind = static_cast<std::uint8_t>(kBuffer);
    EXPECT_EQ(device_->free_block(kBuffer, forged).code(), EPERM);
    EXPECT_TRUE(device_->free_block(kCoherent, block));
    EXPECT_EQ(device_->free_block(kCoherent, block).code(), EALREADY);
    const int of_copy = device_->free_block(kCoherent, copy).code();
    EXPECT_TRUE(of_copy == ESTALE || of_copy == EALREADY) << of_copy;
}

TEST_F(BlockTest, CoherentMemoryCannotBeUnmapped) {
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kCoherent, 64, 0, block));
    char byte = 'x';
    bounce_mapping forged;
    ASSERT_TRUE(device_->map(&byte, 1, Direction::kToDevice, 0, forged));
    bounce_mapping real = forged;
    forged.addr = block.addr;
    forged.slot = block.ptr;
    forged.handle = block.handle;
    EXPECT_EQ(device_->unmap(forged, 0).code(), EPERM) << last_error();
    EXPECT_TRUE(device_->unmap(real, 0));
    EXPECT_TRUE(device_->free_block(kCoherent, block)) << last_error();
}

TEST_F(BlockTest, BlocksOutliveARenewal) {
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kCoherent, 64, 0, block));
    ASSERT_TRUE(pool_->renew());
    EXPECT_TRUE(device_->free_block(kCoherent, block)) << last_error();
}

TEST_F(BlockTest, SharedAddressesLieInOneLiveBuffer) {
    for (const std::size_t bytes : {100u, 4096u, 20000u, 300000u, (2u << 20) + 4096u}) {
        SCOPED_TRACE(bytes);
        bounce_block block;
        ASSERT_TRUE(device_->alloc_block(kBuffer, bytes, 0, block)) << last_error();
        auto* ptr = static_cast<std::byte*>(block.ptr);
        for (const auto& [offset, part] : std::vector<std::pair<std::size_t, std::size_t>>{
                 {0, bytes}, {0, 1}, {bytes - 1, 1}, {bytes / 2, bytes / 4}}) {
            const auto addr = device_->shared_address(ptr + offset, part);
            ASSERT_TRUE(addr) << last_error();
            EXPECT_EQ(*addr, block.addr + offset);
        }
        EXPECT_EQ(device_->shared_address(ptr, 4u << 20).code(), EFAULT);
        EXPECT_EQ(device_->shared_address(ptr, SIZE_MAX).code(), EFAULT);
        EXPECT_EQ(device_->shared_address(ptr, 0).code(), EINVAL);
        ASSERT_TRUE(device_->free_block(kBuffer, block));
        EXPECT_FALSE(device_->shared_address(ptr, 1)) << "a freed buffer is not shared any more";
    }
}

TEST_F(BlockTest, OtherMemoryIsNotShared) {
    std::string text = "private";
    EXPECT_EQ(device_->shared_address(text.data(), 1).code(), EFAULT);
    EXPECT_EQ(device_->shared_address(nullptr, 1).code(), EINVAL);
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kCoherent, 64, 0, block));
    EXPECT_EQ(device_->shared_address(block.ptr, 64).code(), EPERM) << "coherent";
    ASSERT_TRUE(device_->free_block(kCoherent, block));
    bounce_mapping token;
    ASSERT_TRUE(device_->map(text.data(), 7, Direction::kToDevice, 0, token));
    EXPECT_EQ(device_->shared_address(token.slot, 7).code(), EPERM) << "streaming";
    ASSERT_TRUE(device_->unmap(token, 0));
}

TEST_F(BlockTest, SharedAddressesKeepTheLimits) {
    auto strict = make({.max_segment_bytes = 50});
    auto low = make({.dma_mask = 0xffff});
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(kBuffer, 100, 0, block));
    EXPECT_TRUE(strict->shared_address(block.ptr, 50));
    EXPECT_EQ(strict->shared_address(block.ptr, 51).code(), E2BIG);
    EXPECT_EQ(low->shared_address(block.ptr, 1).code(), ERANGE);
    ASSERT_TRUE(device_->free_block(kBuffer, block));
}

}  // namespace
}  // namespace bounce
