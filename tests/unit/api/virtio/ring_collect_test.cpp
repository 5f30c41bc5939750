// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Completions of an honest device, and taking back what one that is gone has left.
#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class RingCollectTest : public LayoutTest {
protected:
    void fill(const DeviceModel::Request& request, unsigned value) {
        for (const auto& piece : request.pieces) {
            if (piece.write) std::memset(piece.hva, static_cast<int>(value), piece.len);
        }
    }
};

TEST_P(RingCollectTest, WhatTheDeviceWroteComesBackWithTheCookie) {
    make({.queue_size = 8});
    Bytes header = bytes_of(16, 1);
    Bytes data = bytes_of(4096, 2);
    Bytes status = bytes_of(1, 3);
    ASSERT_TRUE(add({sg_of(header), sg_of(data), sg_of(status)}, 1, 42));
    EXPECT_EQ(collect().size(), 0U);
    queue_->publish();
    EXPECT_EQ(collect().size(), 0U);
    const auto request = pop();
    fill(request, 0x77);
    model_->complete(request.head, 4097);
    const auto done = collect();
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].cookie, cookie_of(42));
    EXPECT_EQ(done[0].status, 0);
    EXPECT_EQ(done[0].written, 4097U);
    EXPECT_EQ(done[0].reported, 4097U);
    EXPECT_EQ(done[0].reserved, 0U);
    EXPECT_EQ(data, bytes_of(4096, 0x77));
    EXPECT_EQ(status, bytes_of(1, 0x77));
    EXPECT_EQ(header, bytes_of(16, 1));
    EXPECT_EQ(queue_->stats().free_descriptors, 8U);
    EXPECT_EQ(queue_->stats().completed, 1U);
    expect_all_given_back();
}

TEST_P(RingCollectTest, CompletionsInAnyOrderAndInPortions) {
    make({.queue_size = 8});
    std::vector<Bytes> in(6, bytes_of(64, 0));
    for (std::uintptr_t i = 0; i < 6; ++i) ASSERT_TRUE(add({sg_of(in[i])}, 0, i));
    queue_->publish();
    std::vector<DeviceModel::Request> requests(6);
    for (auto& request : requests) request = pop();
    for (const std::size_t i : {3U, 0U, 5U, 1U, 4U, 2U}) {
        fill(requests[i], static_cast<unsigned>(i) + 1);
        model_->complete(requests[i].head, 64);
    }
    EXPECT_EQ(collect(0).size(), 0U);
    const auto first = collect(4);
    const auto second = collect(4);
    ASSERT_EQ(first.size(), 4U);
    ASSERT_EQ(second.size(), 2U);
    EXPECT_EQ(first[0].cookie, cookie_of(3));
    EXPECT_EQ(first[3].cookie, cookie_of(1));
    EXPECT_EQ(second[1].cookie, cookie_of(2));
    for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(in[i], bytes_of(64, i + 1));
    expect_all_given_back();
}

TEST_P(RingCollectTest, TheReportedLengthIsSharedOutInOrderSharedSegmentsIncluded) {
    make({.queue_size = 16, .indirect = true});
    bounce_block block{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 4096, 0, block));
    for (const std::uint32_t len : {0U, 50U, 100U, 150U, 300U, 301U, 399U, 400U}) {
        Bytes first = bytes_of(100, 1);
        Bytes last = bytes_of(100, 1);
        ASSERT_TRUE(add({sg_of(first), shared_sg(block, 0, 200), sg_of(last)}, 0, 1));
        queue_->publish();
        const auto request = pop();
        fill(request, 9);
        model_->complete(request.head, len);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        EXPECT_EQ(done[0].written, len);
        const auto written = [](const Bytes& bytes) {
            std::size_t n = 0;
            while (n < bytes.size() && bytes[n] == std::byte{9}) ++n;
            for (std::size_t i = n; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], std::byte{1});
            return n;
        };
        EXPECT_EQ(written(first), std::min(len, 100U)) << len;
        EXPECT_EQ(written(last), len > 300 ? len - 300 : 0) << len;
    }
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
}

TEST_P(RingCollectTest, AbortGivesBackInTheOrderOfSubmissionAndCopiesNothing) {
    make({.queue_size = 32, .indirect = true});
    std::vector<Bytes> in(20, bytes_of(64, 1));
    Bytes out = bytes_of(64, 2);
    for (std::uintptr_t i = 0; i < 12; ++i) ASSERT_TRUE(add({sg_of(out), sg_of(in[i])}, 1, i));
    queue_->publish();
    // Ends some in the middle, so that heads and submissions are in different orders.
    std::vector<DeviceModel::Request> requests(12);
    for (auto& request : requests) request = pop();
    for (const std::size_t i : {7U, 2U, 5U}) model_->complete(requests[i].head, 0);
    ASSERT_EQ(collect().size(), 3U);
    for (std::uintptr_t i = 12; i < 18; ++i) ASSERT_TRUE(add({sg_of(out), sg_of(in[i])}, 1, i));
    for (const auto& request : requests) fill(request, 9);
    model_->complete(requests[0].head, 64);  // never collected

    std::vector<std::uintptr_t> cookies;
    std::vector<bounce_completion> completions(4);
    EXPECT_EQ(queue_->abort({}), 0U);
    while (const std::size_t n = queue_->abort(completions)) {
        for (std::size_t i = 0; i < n; ++i) {
            EXPECT_EQ(completions[i].status, -ECONNRESET);
            EXPECT_EQ(completions[i].written, 0U);
            cookies.push_back(reinterpret_cast<std::uintptr_t>(completions[i].cookie));
        }
    }
    EXPECT_EQ(cookies, (std::vector<std::uintptr_t>{0, 1, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
    for (const Bytes& bytes : in) EXPECT_EQ(bytes, bytes_of(64, 1));
    EXPECT_EQ(queue_->stats().aborted, 15U);
    EXPECT_EQ(queue_->stats().free_descriptors, 32U);
    expect_all_given_back();
}

TEST_P(RingCollectTest, AfterTheMemoryWasRenewedOnlyAbortIsLeft) {
    make({.queue_size = 8});
    Bytes in = bytes_of(64, 1);
    ASSERT_TRUE(add({sg_of(in)}, 0, 1));
    queue_->publish();
    fill(pop(), 9);
    ASSERT_TRUE(pool_->renew()) << last_error();
    EXPECT_EQ(collect_error(), ESTALE);
    abort_all();
    EXPECT_EQ(in, bytes_of(64, 1));
    ASSERT_TRUE(queue_->reset());
    connect(false);
    ASSERT_TRUE(add({sg_of(in)}, 0, 2));
    queue_->publish();
    const auto request = pop();
    fill(request, 5);
    model_->complete(request.head, 64);
    ASSERT_EQ(collect().size(), 1U);
    EXPECT_EQ(in, bytes_of(64, 5));
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingCollectTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
