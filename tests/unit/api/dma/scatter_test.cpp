// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

class Scatter : public DeviceTest {
protected:
    std::string a_ = "aaaa";
    std::string b_ = "bb";
    std::string c_ = "cccccc";
    std::vector<bounce_sg> sg_{{a_.data(), 4, 0, 0}, {b_.data(), 2, 0, 0}, {c_.data(), 6, 0, 0}};
    std::vector<bounce_mapping> tokens_{3};
};

TEST_F(Scatter, MapsEachSegment) {
    ASSERT_TRUE(device_->map_sg(sg_, Direction::kToDevice, 0, tokens_.data()));
    EXPECT_EQ(seen(tokens_[0]) + seen(tokens_[1]) + seen(tokens_[2]), "aaaabbcccccc");
    EXPECT_EQ(device_->outstanding_mappings(), 3u);
    EXPECT_TRUE(device_->unmap_sg(tokens_, SIZE_MAX));
}

TEST_F(Scatter, WrittenIsSharedOutInOrder) {
    for (std::size_t written = 0; written <= 13; ++written) {
        a_ = "aaaa", b_ = "bb", c_ = "cccccc";
        ASSERT_TRUE(device_->map_sg(sg_, Direction::kFromDevice, 0, tokens_.data()));
        write(tokens_[0], "0123"), write(tokens_[1], "45"), write(tokens_[2], "6789AB");
        ASSERT_TRUE(device_->unmap_sg(tokens_, written));
        const std::size_t part = std::min<std::size_t>(written, 12);
        EXPECT_EQ(a_ + b_ + c_, std::string("0123456789AB").substr(0, part) + std::string("aaaabbcccccc").substr(part));
    }
}

// More than are done at a time, of sizes that go by slots, and some by runs.
TEST_F(Scatter, ManySegmentsOfManySizes) {
    for (int round = 0; round < 4; ++round) {
        std::vector<std::string> buffers;
        for (std::size_t i = 0; i < 150; ++i)
            buffers.emplace_back(i % 7 == 6 ? 30000 : 1 + i * 37 % 6000, static_cast<char>('a' + i % 26));
        std::vector<bounce_sg> sg;
        for (auto& buffer : buffers) sg.push_back({buffer.data(), buffer.size(), 0, 0});
        std::vector<bounce_mapping> tokens(sg.size());
        ASSERT_TRUE(device_->map_sg(sg, Direction::kBidirectional, 0, tokens.data())) << last_error();
        for (std::size_t i = 0; i < sg.size(); ++i) {
            EXPECT_EQ(seen(tokens[i]), buffers[i]) << i;
            write(tokens[i], "X");
        }
        ASSERT_TRUE(device_->unmap_sg(tokens, SIZE_MAX)) << last_error();
        for (const auto& buffer : buffers) EXPECT_EQ(buffer[0], 'X');
        EXPECT_EQ(device_->outstanding(), 0U);
        EXPECT_EQ(device_->unmap_sg(tokens, SIZE_MAX).code(), EALREADY);
    }
}

TEST_F(Scatter, ABadTokenKeepsNoOther) {
    ASSERT_TRUE(device_->map_sg(sg_, Direction::kFromDevice, 0, tokens_.data()));
    write(tokens_[2], "6789AB");
    bounce_mapping damaged = tokens_[1];
    std::swap(tokens_[1], damaged);
    tokens_[1].addr += 8;
    EXPECT_EQ(device_->unmap_sg(tokens_, SIZE_MAX).code(), EFAULT);
    EXPECT_EQ(c_, "6789AB");
    EXPECT_EQ(device_->outstanding(), 1U);
    EXPECT_TRUE(device_->unmap(damaged, 0));
}

TEST_F(Scatter, AllOrNothing) {
    std::vector<char> big(8u << 20);
    sg_.push_back({big.data(), big.size(), 0, 0});
    tokens_.resize(4);
    for (auto& token : tokens_) std::memset(&token, 0xff, sizeof token);
    EXPECT_EQ(device_->map_sg(sg_, Direction::kToDevice, 0, tokens_.data()).code(), E2BIG);
    EXPECT_EQ(device_->outstanding(), 0u);
    for (auto& token : tokens_) EXPECT_EQ(device_->unmap(token, 0).code(), EALREADY);

    sg_[3] = {big.data(), 3u << 20, 0, 0};
    sg_.push_back({big.data(), 3u << 20, 0, 0});
    tokens_.resize(5);
    EXPECT_EQ(device_->map_sg(sg_, Direction::kToDevice, 0, tokens_.data()).code(), ENOSPC) << last_error();
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Scatter, AFailedMapDoesNotTouchPrivateBuffers) {
    sg_[2].base = nullptr;
    EXPECT_EQ(device_->map_sg(sg_, Direction::kBidirectional, 0, tokens_.data()).code(), EINVAL);
    EXPECT_EQ(a_ + b_, "aaaabb");
}

TEST_F(Scatter, FlagsAreNotForScatterLists) {
    sg_[1].flags = BOUNCE_SG_SHARED;
    EXPECT_EQ(device_->map_sg(sg_, Direction::kToDevice, 0, tokens_.data()).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("segment 1"), std::string::npos) << last_error();
    sg_[1].flags = 0;
    sg_[1].offset = 7;
    EXPECT_EQ(device_->map_sg(sg_, Direction::kToDevice, 0, tokens_.data()).code(), EINVAL);
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Scatter, EmptyListsAreErrors) {
    EXPECT_EQ(device_->map_sg({}, Direction::kToDevice, 0, tokens_.data()).code(), EINVAL);
    EXPECT_EQ(device_->unmap_sg({}, 0).code(), EINVAL);
}

TEST_F(Scatter, AllAreUnmappedAndTheFirstErrorIsReturned) {
    ASSERT_TRUE(device_->map_sg(sg_, Direction::kFromDevice, 0, tokens_.data()));
    write(tokens_[0], "0123"), write(tokens_[1], "45"), write(tokens_[2], "6789AB");
    ASSERT_TRUE(device_->unmap(tokens_[1], 0));
    EXPECT_EQ(device_->unmap_sg(tokens_, 12).code(), EALREADY);
    EXPECT_EQ(a_ + b_ + c_, "0123bb6789AB") << "the dead one keeps its place in the order";
    EXPECT_EQ(device_->outstanding(), 0u);
}

}  // namespace
}  // namespace bounce
