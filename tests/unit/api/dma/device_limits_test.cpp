// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

class Limits : public DeviceTest {};

TEST_F(Limits, MaxSegmentIsNamed) {
    auto device = make({.max_segment_bytes = 4096});
    std::vector<char> buf(8192);
    bounce_mapping token;
    EXPECT_TRUE(device->map(buf.data(), 4096, Direction::kToDevice, 0, token));
    EXPECT_TRUE(device->unmap(token, 0));
    EXPECT_EQ(device->map(buf.data(), 4097, Direction::kToDevice, 0, token).code(), E2BIG);
    EXPECT_NE(std::string(last_error()).find("max_segment_bytes is 4096"), std::string::npos) << last_error();
}

TEST_F(Limits, AMaskBelowThePoolIsARangeError) {
    auto device = make({.dma_mask = 0xffff'ffff});
    char byte = 0;
    bounce_mapping token;
    EXPECT_EQ(device->map(&byte, 1, Direction::kToDevice, 0, token).code(), ERANGE) << last_error();
    bounce_block block;
    EXPECT_EQ(device->alloc_block(SlotKind::kBuffer, 64, 0, block).code(), ERANGE);
    // Coherent memory has a mask of its own.
    ASSERT_TRUE(device->alloc_block(SlotKind::kCoherent, 64, 0, block)) << last_error();
    EXPECT_TRUE(device->free_block(SlotKind::kCoherent, block));
}

TEST_F(Limits, TheCoherentMaskDoesNotLimitMappings) {
    auto device = make({.coherent_dma_mask = 0xffff'ffff});
    char byte = 0;
    bounce_mapping token;
    bounce_block block;
    EXPECT_EQ(device->alloc_block(SlotKind::kCoherent, 64, 0, block).code(), ERANGE) << last_error();
    EXPECT_TRUE(device->map(&byte, 1, Direction::kToDevice, 0, token));
    EXPECT_TRUE(device->unmap(token, 0));
    EXPECT_EQ(device->outstanding(), 0u);
}

TEST_F(Limits, AMaskInsideThePoolIsKeptByEveryMapping) {
    const std::uint64_t mask = kBase + (2u << 20) - 1;
    auto device = make({.dma_mask = mask});
    std::vector<char> buf(64u << 10);
    std::vector<bounce_mapping> tokens;
    for (;;) {
        bounce_mapping token;
        const auto mapped = device->map(buf.data(), buf.size(), Direction::kToDevice, 0, token);
        if (!mapped) {
            EXPECT_TRUE(mapped.code() == ENOSPC || mapped.code() == ERANGE) << last_error();
            break;
        }
        EXPECT_LE(token.addr + token.bytes - 1, mask);
        tokens.push_back(token);
        ASSERT_LE(tokens.size(), 32u);
    }
    EXPECT_GE(tokens.size(), 16u);
    for (auto& token : tokens) EXPECT_TRUE(device->unmap(token, 0));
}

TEST_F(Limits, ALowRegionServesALowMask) {
    RegionConfig low;
    low.bytes = 1u << 20;
    low.base_gpa = Gpa{0x1000'0000};
    ASSERT_TRUE(pool_->add_region(low)) << last_error();
    auto device = make({.dma_mask = 0xffff'ffff});
    char byte = 'x';
    bounce_mapping token;
    ASSERT_TRUE(device->map(&byte, 1, Direction::kToDevice, 0, token)) << last_error();
    EXPECT_LT(token.addr, 0x1'0000'0000u);
    EXPECT_EQ(SlotHandle(token.handle).region().value, 1u);
    EXPECT_TRUE(device->unmap(token, 0));
}

}  // namespace
}  // namespace bounce
