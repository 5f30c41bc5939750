// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Putting requests into a ring of either layout: what the device sees, what is refused, and that a refusal leaves
// nothing behind.
#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class RingAddTest : public LayoutTest {
protected:
    /// What a refused add() may not change.
    struct Before {
        std::uint64_t slots;
        std::uint32_t free_descriptors;
        std::uint32_t outstanding;
        friend bool operator==(const Before&, const Before&) = default;
    };
    [[nodiscard]] Before now() const {
        const auto stats = queue_->stats();
        return {pool_->stats().slots, stats.free_descriptors, stats.outstanding};
    }
};

TEST_P(RingAddTest, TheDeviceSeesSegmentsInOrderThroughThePoolOnly) {
    make({.queue_size = 8});
    Bytes header = bytes_of(16, 0x11);
    Bytes data = bytes_of(5000, 0x22);
    Bytes status = bytes_of(1, 0x33);
    ASSERT_TRUE(add({sg_of(header), sg_of(data), sg_of(status)}, 2, 1));
    queue_->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model_->pop(request));
    EXPECT_EQ(request.table_len, 0U);
    ASSERT_EQ(request.pieces.size(), 3U);
    EXPECT_FALSE(request.pieces[0].write);
    EXPECT_FALSE(request.pieces[1].write);
    EXPECT_TRUE(request.pieces[2].write);
    EXPECT_EQ(request.pieces[0].len, 16U);
    EXPECT_EQ(request.pieces[1].len, 5000U);
    EXPECT_EQ(request.pieces[2].len, 1U);
    EXPECT_EQ(std::memcmp(request.pieces[0].hva, header.data(), 16), 0);
    EXPECT_EQ(std::memcmp(request.pieces[1].hva, data.data(), 5000), 0);
    EXPECT_NE(request.pieces[1].hva, data.data());
    EXPECT_EQ(queue_->stats().free_descriptors, 5U);
    EXPECT_EQ(queue_->outstanding(), 1U);
    expect_all_given_back();
}

TEST_P(RingAddTest, RefusesListsThatAreWrongInThemselves) {
    make({.queue_size = 8, .max_chain = 4});
    Bytes out = bytes_of(64, 1);
    const Before before = now();
    const bounce_sg good = sg_of(out);
    EXPECT_EQ(add({}, 0, 1).code(), EINVAL);
    EXPECT_EQ(add({good}, 2, 1).code(), EINVAL);
    EXPECT_EQ(add({good, good, good, good, good}, 5, 1).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("5 segments, expected 1 to 4"), std::string::npos) << last_error();
    EXPECT_EQ(add({good, {nullptr, 5, 0, 0}}, 2, 1).code(), EINVAL);
    EXPECT_EQ(add({good, {out.data(), 0, 0, 0}}, 2, 1).code(), EINVAL);
    EXPECT_EQ(add({good, {out.data(), std::size_t{1} << 32, 0, 0}}, 2, 1).code(), EINVAL);
    EXPECT_EQ(add({good, {out.data(), 64, 2, 0}}, 2, 1).code(), EINVAL);
    EXPECT_EQ(add({good, {out.data(), 64, 0, 1}}, 2, 1).code(), EINVAL);
    // Each is short enough, together they are not: the length of a chain has to fit into 32 bits.
    EXPECT_EQ(add({{out.data(), 0x80000000, 0, 0}, {out.data(), 0x80000000, 0, 0}}, 1, 1).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("4294967296"), std::string::npos) << last_error();
    EXPECT_EQ(now(), before);
    EXPECT_FALSE(queue_->publish());
}

TEST_P(RingAddTest, AFailureInTheMiddleRollsEverythingBack) {
    make({.queue_size = 32, .indirect = true});
    Bytes out = bytes_of(300, 1);
    Bytes in = bytes_of(300, 2);
    Bytes huge = bytes_of(std::size_t{9} << 20, 3);  // more than the pool is
    const Before before = now();
    for (const std::size_t n :
         {1U, 4U, 5U, 6U, 10U, 11U, 20U}) {  // around the blocks of tokens; direct and with tables
        std::vector<bounce_sg> list(n, sg_of(out));
        for (std::size_t i = n / 2; i < n; ++i) list[i] = sg_of(in);
        list[n - 1] = sg_of(huge);
        EXPECT_EQ(add(list, n / 2, 1).code(), E2BIG) << n;
        EXPECT_EQ(now(), before) << n;
    }
    std::vector<bounce_sg> full(1, sg_of(out));
    for (std::uintptr_t i = 0; i < 32; ++i) EXPECT_TRUE(add(full, 1, i)) << i;
    EXPECT_EQ(in, bytes_of(300, 2));
    abort_all();
    expect_all_given_back();
}

TEST_P(RingAddTest, AFailureAtAnySegmentGivesEveryBlockOfTokensBack) {
    make({.queue_size = 16});
    Bytes out = bytes_of(64, 1);
    for (std::size_t bad = 0; bad < 16; ++bad) {
        std::vector<bounce_sg> list(16, sg_of(out));
        list[bad].flags = BOUNCE_SG_SHARED;  // but it is private memory
        // One block lost each time would use all of them up.
        for (int i = 0; i < 64; ++i)
            ASSERT_EQ(queue_->add(list, 16, nullptr).code(), EFAULT) << bad << ": " << last_error();
    }
    std::vector<bounce_sg> longest(16, sg_of(out));
    EXPECT_TRUE(queue_->add(longest, 16, nullptr)) << last_error();
    abort_all();
    expect_all_given_back();
}

TEST_P(RingAddTest, AFullPoolIsNotAFullRing) {
    open(65536);
    make({.queue_size = 16});
    Bytes out = bytes_of(20000, 1);
    int code = 0;
    std::uintptr_t n = 0;
    while (code == 0 && n < 16) code = add({sg_of(out)}, 1, ++n).code();
    EXPECT_EQ(code, ENOSPC);
    const Before before = now();
    EXPECT_EQ(add({sg_of(out)}, 1, 99).code(), ENOSPC);
    EXPECT_EQ(now(), before);
    abort_all();
    expect_all_given_back();
}

TEST_P(RingAddTest, AFullRingSaysTryAgain) {
    make({.queue_size = 4});
    Bytes out = bytes_of(10, 1);
    ASSERT_TRUE(add({sg_of(out), sg_of(out), sg_of(out)}, 3, 1));
    const Before before = now();
    EXPECT_EQ(add({sg_of(out), sg_of(out)}, 2, 2).code(), EAGAIN);
    EXPECT_EQ(now(), before);
    ASSERT_TRUE(add({sg_of(out)}, 1, 3));
    EXPECT_EQ(add({sg_of(out)}, 1, 4).code(), EAGAIN);
    queue_->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model_->pop(request));
    model_->complete(request.head, 0);
    ASSERT_EQ(collect().size(), 1U);
    EXPECT_EQ(queue_->stats().free_descriptors, 3U);
    ASSERT_TRUE(add({sg_of(out), sg_of(out), sg_of(out)}, 3, 5));
    abort_all();
    expect_all_given_back();
}

TEST_P(RingAddTest, TablesKeepARingFromFillingUp) {
    make({.queue_size = 16, .indirect = true});
    Bytes out = bytes_of(10, 1);
    DeviceModel::Request request;
    std::uint32_t direct = 0;
    std::uint32_t indirect = 0;
    for (std::uintptr_t i = 0; i < 8; ++i) {  // 24 segments in 16 descriptors
        ASSERT_TRUE(add({sg_of(out), sg_of(out), sg_of(out)}, 2, i)) << last_error();
        queue_->publish();
        ASSERT_TRUE(model_->pop(request));
        ASSERT_EQ(request.pieces.size(), 3U);
        (request.table_len == 0 ? direct : indirect) += 1;
    }
    EXPECT_GT(direct, 0U);
    EXPECT_GT(indirect, 0U);
    abort_all();
    expect_all_given_back();
}

TEST_P(RingAddTest, LongChainsGoThroughATableOfTheirOwn) {
    make({.queue_size = 4, .indirect = true, .max_chain = 1024});
    Bytes out = bytes_of(1024, 0);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7);
    std::vector<bounce_sg> list;
    for (std::size_t i = 0; i < 1024; ++i) list.push_back({out.data() + i, 1, 0, 0});
    ASSERT_TRUE(add(list, 1000, 1)) << last_error();
    EXPECT_EQ(queue_->stats().free_descriptors, 3U);
    queue_->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model_->pop(request));
    EXPECT_EQ(request.table_len, 1024U);
    ASSERT_EQ(request.pieces.size(), 1024U);
    for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(*request.pieces[i].hva, out[i]) << i;
    for (std::size_t i = 1000; i < 1024; ++i) *request.pieces[i].hva = std::byte{0x5a};
    model_->complete(request.head, 20);
    ASSERT_EQ(collect().size(), 1U);
    EXPECT_EQ(out[1019], std::byte{0x5a});
    EXPECT_EQ(out[1020], static_cast<std::byte>(1020 * 7 % 256));
    expect_all_given_back();
}

TEST_P(RingAddTest, WithoutRoomForATableTheRingItselfIsUsed) {
    open(65536);
    make({.queue_size = 32, .indirect = true});
    // Fill the pool, then leave room for the segments (in slots that exist) but not for a table of 9 descriptors.
    std::vector<bounce_block> blocks;
    for (const std::size_t bytes : {32768U, 4096U, 256U, 192U, 160U, 144U}) {
        for (;;) {
            bounce_block block{};
            if (!device_->alloc_block(SlotKind::kBuffer, bytes, 0, block)) break;
            blocks.push_back(block);
        }
    }
    bounce_block shared = blocks.back();
    std::vector<bounce_sg> list(9, shared_sg(shared, 0, 8));
    ASSERT_TRUE(add(list, 9, 1)) << last_error();
    queue_->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model_->pop(request));
    EXPECT_EQ(request.pieces.size(), 9U);
    EXPECT_EQ(request.table_len, 0U);
    abort_all();
    for (bounce_block& block : blocks) EXPECT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
}

TEST_P(RingAddTest, SharedSegmentsAreUsedInPlace) {
    make({.queue_size = 8});
    bounce_block block{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 8192, 0, block));
    const auto slots = pool_->stats().slots;
    ASSERT_TRUE(add({shared_sg(block, 100, 200), shared_sg(block, 4096, 300)}, 1, 1)) << last_error();
    EXPECT_EQ(pool_->stats().slots, slots);
    queue_->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model_->pop(request));
    ASSERT_EQ(request.pieces.size(), 2U);
    EXPECT_EQ(request.pieces[0].addr, block.addr + 100);
    EXPECT_EQ(request.pieces[1].addr, block.addr + 4096);
    EXPECT_EQ(request.pieces[1].hva, static_cast<std::byte*>(block.ptr) + 4096);
    Bytes outside = bytes_of(64, 1);
    bounce_sg foreign = sg_of(outside);
    foreign.flags = BOUNCE_SG_SHARED;
    const Before before = now();
    EXPECT_EQ(add({foreign}, 1, 2).code(), EFAULT);
    EXPECT_EQ(add({shared_sg(block, 8192 - 10, 4096)}, 1, 2).code(), EFAULT);
    // For incoming data it takes a flag more, which alone says nothing.
    bounce_sg incoming = shared_sg(block, 0, 64);
    incoming.flags = BOUNCE_SG_SHARED;
    EXPECT_EQ(add({incoming}, 0, 2).code(), EPERM) << last_error();
    incoming.flags = BOUNCE_SG_SHARED_IN;
    EXPECT_EQ(add({incoming}, 0, 2).code(), EINVAL);
    EXPECT_EQ(now(), before);
    abort_all();
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
}

TEST_P(RingAddTest, TokensAreBoundedAndALongestChainAlwaysFitsAnEmptyRing) {
    make({.queue_size = 8, .indirect = true, .max_chain = 200});
    Bytes out = bytes_of(200, 1);
    std::vector<bounce_sg> list;
    for (std::size_t i = 0; i < 200; ++i) list.push_back({out.data() + i, 1, 0, 0});
    std::uintptr_t n = 0;
    while (n < 8) {
        if (const int code = add(list, 200, n).code(); code != 0) {
            EXPECT_EQ(code, EAGAIN);
            break;
        }
        ++n;
    }
    EXPECT_GE(n, 1U);
    EXPECT_LT(n, 8U);
    abort_all();
    ASSERT_TRUE(queue_->reset());
    ASSERT_TRUE(add(list, 200, 1));
    abort_all();
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingAddTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
