// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that lies about completions: ids, the index, lengths.
#include <atomic>
#include <thread>

#include "tests/unit/api/virtio/hostile_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

TEST_F(SplitHostileTest, Point3AnIdIsComparedBeforeItIsNarrowed) {
    make(kConfig);
    outstanding(2);
    const auto request = pop();
    ASSERT_LT(request.head, 16);
    const std::uint32_t id = 0x10000U + request.head;
    model_->complete(id, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, id, 2);
}

TEST_F(SplitHostileTest, Point3AnIdOutOfRange) {
    make(kConfig);
    expect_refused(16);
}

TEST_F(SplitHostileTest, Point3AnIdOfNothing) {
    make(kConfig);
    expect_refused(15);
}

TEST_F(SplitHostileTest, Point3AnIdInsideOfAChain) {
    make(kConfig);
    outstanding(1);
    const auto request = pop();
    // Direct chains of a fresh ring go up by one: the second descriptor follows the head.
    ASSERT_EQ(request.table_len, 0U);
    model_->complete(request.head + 1U, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, request.head + 1U, 1);
}

TEST_F(SplitHostileTest, Point3AReplayInTheSameBatch) {
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

TEST_F(SplitHostileTest, Point3AReplayLater) {
    make(kConfig);
    outstanding(2);
    const auto request = pop();
    model_->complete(request.head, 0);
    ASSERT_EQ(collect().size(), 1U);
    model_->complete(request.head, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, request.head, 1);
}

TEST_F(SplitHostileTest, Point3ARequestThatWasNotPublished) {
    make(kConfig);
    outstanding(1);
    const auto shown = pop();
    ASSERT_TRUE(add({sg_of(out_), sg_of(in_)}, 1, 9));
    const std::uint32_t hidden = shown.head + 2U;  // the next chain of a fresh ring
    model_->complete(hidden, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, hidden, 2);
}

TEST_F(SplitHostileTest, Point4TheUsedIndexMayNotRunAhead) {
    for (const std::uint32_t ahead : {4U, 16U, 17U, 0x8000U, 0xffffU}) {
        SetUp();
        reported_.clear();
        make(kConfig);
        outstanding(3);
        ASSERT_TRUE(add({sg_of(out_)}, 1, 3));  // not published: the device cannot have done it
        for (std::uint16_t i = 0; i < 16; ++i) model_->write_used(i, 0, 64);
        model_->set_used_index(static_cast<std::uint16_t>(ahead));
        EXPECT_EQ(collect_error(), EPROTO);
        expect_broken(BOUNCE_VIOLATION_USED_INDEX, ahead, 4);
    }
}

TEST_F(SplitHostileTest, Point4ADeviceThatNeverStopsCannotKeepAPollBusy) {
    make(kConfig);
    outstanding(4);
    std::atomic<bool> stop{false};
    std::thread liar([&] {
        for (std::uint16_t index = 0; !stop.load(std::memory_order_relaxed); ++index) model_->set_used_index(index);
    });
    // Each look ends, with at most what is outstanding, whatever the index does meanwhile.
    std::size_t collected = 0;
    int code = 0;
    while (code == 0) {
        bounce_completion completions[64];
        const auto n = queue_->collect(completions);
        code = n.code();
        if (n) {
            ASSERT_LE(*n, 4U);
            collected += *n;
        }
        ASSERT_LE(collected, 4U);
    }
    stop.store(true, std::memory_order_relaxed);
    liar.join();
    EXPECT_EQ(code, EPROTO);
    abort_all();
    expect_all_given_back();
}

TEST_F(SplitHostileTest, Point5LengthsAreClampedAndBothValuesReported) {
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

TEST_F(SplitHostileTest, Point13AShortLengthLeavesLaterSegmentsAtZero) {
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

TEST_F(SplitHostileTest, Point17TheMaskNeverStandsInForTheCheck) {
    make({.queue_size = 4, .index = 5});
    // The last index is as good as the first, and no id beyond it is taken for another, whatever it is masked to.
    Bytes in = bytes_of(64, 4);
    for (std::uintptr_t i = 0; i < 4; ++i) ASSERT_TRUE(add({sg_of(in)}, 0, i));
    queue_->publish();
    model_->complete(3, 0);
    ASSERT_EQ(collect().size(), 1U);
    abort_all();
    for (std::uint64_t id = 4; id <= 0xffffffff; id = id * 2 + id % 3) {
        ASSERT_TRUE(queue_->reset());
        connect(false);
        for (std::uintptr_t i = 0; i < 4; ++i) ASSERT_TRUE(add({sg_of(in)}, 0, i));
        queue_->publish();
        model_->complete(static_cast<std::uint32_t>(id), 64);
        ASSERT_EQ(collect_error(), EPROTO) << id;
        ASSERT_EQ(queue_->outstanding(), 4U);
        abort_all();
    }
    EXPECT_EQ(in, bytes_of(64, 4));
    expect_all_given_back();
}

}  // namespace
}  // namespace bounce
