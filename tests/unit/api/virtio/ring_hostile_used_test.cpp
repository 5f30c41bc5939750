// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device of either layout that lies about completions: ids and lengths.
#include "tests/unit/api/virtio/hostile_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

TEST_P(HostileTest, Point3AnIdOutOfRange) {
    make(kConfig);
    expect_refused(16);
}

TEST_P(HostileTest, Point3AnIdOfNothing) {
    make(kConfig);
    expect_refused(15);
}

TEST_P(HostileTest, Point3AReplayInTheSameBatch) {
    make(kConfig);
    outstanding(3);
    const auto request = pop();
    model_->put_used(request.head, 0);
    model_->put_used(request.head, 64);
    model_->show_used();
    const auto done = collect();  // what came before the lie is handed out first
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].cookie, cookie_of(0));
    expect_broken(BOUNCE_VIOLATION_USED_ID, request.head, 2);
}

TEST_P(HostileTest, Point3AReplayLater) {
    make(kConfig);
    outstanding(2);
    const auto request = pop();
    model_->complete(request.head, 0);
    ASSERT_EQ(collect().size(), 1U);
    model_->complete(request.head, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, request.head, 1);
}

TEST_P(HostileTest, Point3ARequestThatWasNotPublished) {
    make(kConfig);
    outstanding(1);
    const auto shown = pop();
    ASSERT_TRUE(add({sg_of(out_), sg_of(in_)}, 1, 9));
    const std::uint32_t hidden = shown.head + (packed_ ? 1U : 2U);  // the next chain of a fresh ring
    model_->complete(hidden, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, hidden, 2);
}

TEST_P(HostileTest, Point5LengthsAreClampedAndBothValuesReported) {
    make(kConfig);
    outstanding(2);
    for (const std::uint32_t len : {65U, 0xffffffffU}) {
        const auto request = pop();
        std::memset(request.pieces[1].hva, 7, 64);
        model_->complete(request.head, len);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        EXPECT_EQ(done[0].status, 0);
        EXPECT_EQ(done[0].written, 64U);
        EXPECT_EQ(done[0].reported, len);
        EXPECT_EQ(reported_.back().kind, BOUNCE_VIOLATION_USED_LENGTH);
        EXPECT_EQ(reported_.back().got, len);
        EXPECT_EQ(reported_.back().expected, 64U);
        EXPECT_EQ(in_, bytes_of(64, 7));
    }
    EXPECT_EQ(queue_->stats().violations, 2U);
    EXPECT_EQ(queue_->stats().broken, 0U);
    EXPECT_EQ(callbacks_.violations(), 2U);
    expect_all_given_back();
}

TEST_P(HostileTest, Point13AShortLengthLeavesLaterSegmentsAtZero) {
    make(kConfig);
    for (const std::uint32_t len : {0U, 1U, 11U, 12U}) {
        Bytes header = bytes_of(12, 1);
        Bytes data = bytes_of(1500, 1);
        ASSERT_TRUE(add({sg_of(header), sg_of(data)}, 0, 1));
        queue_->publish();
        const auto request = pop();
        for (const auto& piece : request.pieces) std::memset(piece.hva, 8, piece.len);
        model_->complete(request.head, len);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        EXPECT_EQ(done[0].written, len);
        EXPECT_EQ(data, bytes_of(1500, 1));
        for (std::size_t i = 0; i < 12; ++i)
            EXPECT_EQ(header[i], std::byte{i < len ? std::uint8_t{8} : std::uint8_t{1}});
    }
    expect_all_given_back();
}

}  // namespace
}  // namespace bounce
