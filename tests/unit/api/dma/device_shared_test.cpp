// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Born-shared buffers, mapped.
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kShared = BOUNCE_MAP_SHARED;
constexpr std::uint32_t kSharedIn = BOUNCE_MAP_SHARED | BOUNCE_MAP_SHARED_IN;

class SharedTest : public DeviceTest {
protected:
    void SetUp() override { ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 10000, 0, buffer_)); }
    void TearDown() override { EXPECT_TRUE(device_->free_block(SlotKind::kBuffer, buffer_)) << last_error(); }
    [[nodiscard]] char* data(std::size_t offset = 0) const { return static_cast<char*>(buffer_.ptr) + offset; }

    bounce_block buffer_{};
};

TEST_F(SharedTest, IsMappedInPlaceAndReused) {
    const std::uint64_t slots = pool_->stats().slots;
    for (const char letter : {'a', 'b', 'c'}) {
        std::memset(data(), letter, 10000);
        bounce_mapping mapping;
        ASSERT_TRUE(device_->map(data(100), 5000, Direction::kToDevice, kShared, mapping)) << last_error();
        EXPECT_EQ(mapping.addr, buffer_.addr + 100);
        EXPECT_EQ(mapping.bytes, 5000u);
        EXPECT_EQ(mapping.slot, data(100));
        EXPECT_EQ(seen(mapping), std::string(5000, letter));
        EXPECT_EQ(pool_->stats().slots, slots) << "no slot";
        EXPECT_EQ(device_->outstanding_mappings(), 1u);
        EXPECT_TRUE(device_->unmap(mapping, SIZE_MAX)) << last_error();
        EXPECT_EQ(device_->outstanding_mappings(), 0u);
    }
}

TEST_F(SharedTest, IncomingDataWantsTheFlag) {
    bounce_mapping mapping;
    for (const Direction direction : {Direction::kFromDevice, Direction::kBidirectional}) {
        EXPECT_EQ(device_->map(data(), 100, direction, kShared, mapping).code(), EPERM);
        EXPECT_NE(std::string(last_error()).find("BOUNCE_MAP_SHARED_IN"), std::string::npos) << last_error();
        EXPECT_EQ(device_->unmap(mapping, 0).code(), EALREADY) << "no live token is left";
        ASSERT_TRUE(device_->map(data(), 100, direction, kSharedIn, mapping)) << last_error();
        write(mapping, "in place");
        EXPECT_EQ(std::string(data(), 8), "in place");
        EXPECT_TRUE(device_->unmap(mapping, 8));
    }
}

TEST_F(SharedTest, EndsOnceOfAllCopies) {
    bounce_mapping mapping;
    ASSERT_TRUE(device_->map(data(), 100, Direction::kToDevice, kShared, mapping));
    bounce_mapping copy = mapping;
    auto other = make({});
    EXPECT_EQ(other->unmap(mapping, 0).code(), EXDEV);
    EXPECT_TRUE(device_->unmap(mapping, 0));
    EXPECT_EQ(device_->unmap(mapping, 0).code(), EALREADY);
    EXPECT_EQ(device_->unmap(copy, 0).code(), EALREADY);
    bounce_mapping next;
    ASSERT_TRUE(device_->map(data(), 100, Direction::kToDevice, kShared, next));
    EXPECT_EQ(device_->unmap(copy, 0).code(), ESTALE);
    EXPECT_EQ(device_->discard(copy).code(), ESTALE);
    EXPECT_TRUE(device_->discard(next));
    EXPECT_EQ(device_->outstanding(), 1u) << "the buffer";
}

TEST_F(SharedTest, ABufferThatIsMappedIsNotFreed) {
    bounce_mapping mapping;
    ASSERT_TRUE(device_->map(data(9999), 1, Direction::kToDevice, kShared, mapping));
    EXPECT_EQ(device_->free_block(SlotKind::kBuffer, buffer_).code(), EBUSY) << last_error();
    bounce_block other;
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 100, 0, other));
    EXPECT_TRUE(device_->free_block(SlotKind::kBuffer, other)) << "it is not that one's business";
    EXPECT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(SharedTest, SyncsAreCheckedAndDoNothing) {
    bounce_mapping mapping;
    std::memset(data(), 'x', 100);
    ASSERT_TRUE(device_->map(data(), 100, Direction::kBidirectional, kSharedIn, mapping));
    for (const Direction direction : {Direction::kBidirectional, Direction::kToDevice, Direction::kFromDevice}) {
        EXPECT_TRUE(device_->sync_for_cpu(mapping, 0, 100, direction)) << last_error();
        EXPECT_TRUE(device_->sync_for_device(mapping, 50, 50, direction)) << last_error();
    }
    EXPECT_EQ(std::string(data(), 100), std::string(100, 'x'));
    EXPECT_EQ(device_->sync_for_cpu(mapping, 50, 51, Direction::kFromDevice).code(), EINVAL);
    EXPECT_EQ(device_->sync_for_cpu(mapping, 0, 0, Direction::kFromDevice).code(), EINVAL);
    auto other = make({});
    EXPECT_EQ(other->sync_for_cpu(mapping, 0, 1, Direction::kFromDevice).code(), EXDEV);
    bounce_mapping copy = mapping;
    EXPECT_TRUE(device_->unmap(mapping, 0));
    EXPECT_EQ(device_->sync_for_cpu(mapping, 0, 1, Direction::kFromDevice).code(), EALREADY);
    EXPECT_EQ(device_->sync_for_device(copy, 0, 1, Direction::kToDevice).code(), EALREADY);
    ASSERT_TRUE(device_->map(data(), 100, Direction::kToDevice, kShared, mapping));
    EXPECT_EQ(device_->sync_for_cpu(mapping, 0, 1, Direction::kFromDevice).code(), EPERM);
    EXPECT_TRUE(device_->sync_for_cpu(mapping, 0, 1, Direction::kToDevice)) << "a legal no-op";
    EXPECT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(SharedTest, OnlyInsideABuffer) {
    bounce_mapping mapping;
    std::string text = "private";
    EXPECT_EQ(device_->map(text.data(), 7, Direction::kToDevice, kShared, mapping).code(), EFAULT);
    EXPECT_EQ(device_->map(data(9999), 4096, Direction::kToDevice, kShared, mapping).code(), EFAULT);
    EXPECT_EQ(device_->map(data(), 0, Direction::kToDevice, kShared, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map(nullptr, 1, Direction::kToDevice, kShared, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map(data(), SIZE_MAX, Direction::kToDevice, kShared, mapping).code(), EFAULT);
    EXPECT_EQ(device_->map(data(), 1, Direction::kToDevice, BOUNCE_MAP_SHARED_IN, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map(data(), 1, Direction::kToDevice, kShared | BOUNCE_MAP_PRESERVE, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map(data(), 1, Direction::kToDevice, kShared | 1u << 20, mapping).code(), EINVAL);
    bounce_block coherent;
    ASSERT_TRUE(device_->alloc_block(SlotKind::kCoherent, 64, 0, coherent));
    EXPECT_EQ(device_->map(coherent.ptr, 64, Direction::kToDevice, kShared, mapping).code(), EPERM);
    ASSERT_TRUE(device_->free_block(SlotKind::kCoherent, coherent));
}

TEST_F(SharedTest, WithoutTheFlagItIsBouncedAsAnyMemory) {
    bounce_mapping mapping;
    std::memset(data(), 'x', 100);
    ASSERT_TRUE(device_->map(data(), 100, Direction::kBidirectional, 0, mapping));
    EXPECT_NE(mapping.addr, buffer_.addr);
    EXPECT_EQ(seen(mapping), std::string(100, 'x'));
    write(mapping, "new");
    EXPECT_EQ(data()[0], 'x');
    EXPECT_TRUE(device_->unmap(mapping, 3));
    EXPECT_EQ(std::string(data(), 4), "newx");
}

TEST_F(SharedTest, ScatterListsAreAllOrNothing) {
    std::string text = "private";
    std::vector<bounce_sg> sg = {{data(), 100, 0, 0}, {data(5000), 5000, 0, 0}, {text.data(), 7, 0, 0}};
    std::vector<bounce_mapping> mappings(3);
    EXPECT_EQ(device_->map_sg(sg, Direction::kToDevice, kShared, mappings.data()).code(), EFAULT);
    EXPECT_EQ(device_->outstanding_mappings(), 0u);
    sg.pop_back();
    sg[1].flags = 1;
    EXPECT_EQ(device_->map_sg(sg, Direction::kToDevice, kShared, mappings.data()).code(), EINVAL);
    sg[1].flags = 0;
    EXPECT_EQ(device_->outstanding_mappings(), 0u);
    ASSERT_TRUE(device_->map_sg(sg, Direction::kToDevice, kShared, mappings.data())) << last_error();
    EXPECT_EQ(mappings[1].addr, buffer_.addr + 5000);
    EXPECT_EQ(device_->outstanding_mappings(), 2u);
    // Together with a bounced one.
    ASSERT_TRUE(device_->map(text.data(), 7, Direction::kFromDevice, 0, mappings[2]));
    write(mappings[2], "PRIVATE");
    EXPECT_TRUE(device_->unmap_sg(mappings, 5107)) << last_error();
    EXPECT_EQ(text, "PRIVATE");
    EXPECT_EQ(device_->unmap_sg(mappings, 0).code(), EALREADY);
}

TEST_F(SharedTest, ManyBlocksAtOnce) {
    std::vector<bounce_block> blocks(50);
    ASSERT_TRUE(device_->alloc_blocks(SlotKind::kCoherent, {.bytes = 100, .align = 128}, blocks)) << last_error();
    for (const auto& block : blocks) {
        EXPECT_EQ(block.addr % 128, 0u);
        EXPECT_EQ(std::string(static_cast<const char*>(block.ptr), 100), std::string(100, '\0'));
        EXPECT_EQ(at(block.addr, 100), block.ptr);
    }
    EXPECT_EQ(device_->outstanding_blocks(), 51u);
    bounce_block copy = blocks[7];
    EXPECT_TRUE(device_->free_block(SlotKind::kCoherent, copy));
    EXPECT_NE(device_->free_blocks(SlotKind::kCoherent, blocks).code(), 0) << "one of them was freed before";
    EXPECT_EQ(device_->outstanding_blocks(), 1u) << "all others are";
    std::vector<bounce_block> many(100);
    EXPECT_EQ(device_->alloc_blocks(SlotKind::kBuffer, {.bytes = 100000}, many).code(), ENOSPC);
    EXPECT_EQ(device_->outstanding_blocks(), 1u) << "none was kept";
    for (const auto& block : many) EXPECT_EQ(block.ptr, nullptr);
    EXPECT_EQ(device_->alloc_blocks(SlotKind::kBuffer, {.bytes = 100}, {}).code(), EINVAL);
    EXPECT_EQ(device_->free_blocks(SlotKind::kBuffer, {}).code(), EINVAL);
    EXPECT_EQ(device_->alloc_blocks(SlotKind::kBuffer, {.bytes = 0}, many).code(), EINVAL);
    EXPECT_EQ(device_->alloc_blocks(SlotKind::kBuffer, {.bytes = 8, .align = 3}, many).code(), EINVAL);
}

}  // namespace
}  // namespace bounce
