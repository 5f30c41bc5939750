// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device of a packed ring that lies about completions: whose a descriptor is, ids where there is no power of two.
#include <atomic>
#include <thread>

#include "tests/unit/api/virtio/hostile_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class PackedHostileTest : public HostileTest {};

TEST_P(PackedHostileTest, Point3AnIdIsComparedBeforeItIsMasked) {
    // 13 descriptors: the mask is 15, and ids 13 to 15 pass it.
    make({.queue_size = 13, .index = 5});
    outstanding(2);
    const auto request = pop();
    for (const std::uint32_t id : {13U, 14U, 15U, request.head + 16U, request.head + 0x8000U}) {
        packed().write_used(static_cast<std::uint16_t>(id), 64);
        packed().mark_used();
        EXPECT_EQ(collect_error(), EPROTO) << id;
        EXPECT_EQ(reported_.back().kind, BOUNCE_VIOLATION_USED_ID);
        EXPECT_EQ(reported_.back().got, id);
        EXPECT_EQ(queue_->outstanding(), 2U);
        abort_all();
        ASSERT_TRUE(queue_->reset());
        connect(false);
        outstanding(2);
    }
    EXPECT_EQ(in_, bytes_of(64, 2));
    abort_all();
    expect_all_given_back();
}

TEST_P(PackedHostileTest, Point4ARingThatIsAllUsedEndsWithWhatIsOutstanding) {
    make(kConfig);
    outstanding(3);
    const auto first = pop();
    // Every descriptor of the lap is used, and all of them by the first request.
    for (std::uint32_t i = 0; i < 16; ++i) {
        packed().write_used_at(i, first.head, 64);
        packed().mark_used_at(i);
    }
    std::memset(first.pieces[1].hva, 9, 64);
    const auto done = collect();
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].cookie, cookie_of(0));
    EXPECT_EQ(collect_error(), EPROTO);
    EXPECT_EQ(queue_->outstanding(), 2U);
    abort_all();
    expect_all_given_back();
}

TEST_P(PackedHostileTest, Point4NothingIsTakenForUsedWhenNothingIsOutstanding) {
    make(kConfig);
    packed().write_used(0, 64);
    packed().mark_used();
    EXPECT_EQ(collect_error(), EPROTO);
    EXPECT_EQ(reported_.back().kind, BOUNCE_VIOLATION_USED_ID);
    ASSERT_TRUE(queue_->reset());
    expect_all_given_back();
}

TEST_P(PackedHostileTest, Point4ADeviceThatNeverStopsCannotKeepAPollBusy) {
    make(kConfig);
    outstanding(4);
    std::atomic<bool> stop{false};
    std::thread liar([&] {
        for (std::uint32_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
            packed().write_used_at(i % 16, static_cast<std::uint16_t>(i % 5), 64);
            packed().mark_used_at(i % 16);
        }
    });
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

TEST_P(PackedHostileTest, Point1TheWrapCountersAndTheLengthOfAChainAreNeverReadBack) {
    // Chains of two in a ring of five: each lap ends inside of one. The device writes over all that the driver may not
    // rely on, and over what says where a chain goes on.
    make({.queue_size = 5, .index = 5});
    for (std::uint32_t round = 0; round < 200; ++round) {
        outstanding(2);
        const auto first = pop();
        const auto second = pop();
        model_->scribble(round * 0x01030507);
        const auto& served = round % 2 != 0 ? first : second;
        const auto& other = round % 2 != 0 ? second : first;
        model_->complete(served.head, 0);
        model_->complete(other.head, 0);
        const auto done = collect();
        ASSERT_EQ(done.size(), 2U);
        EXPECT_EQ(done[0].cookie, cookie_of(round % 2 != 0 ? 0 : 1));
        ASSERT_EQ(queue_->stats().free_descriptors, 5U);
    }
    EXPECT_TRUE(reported_.empty());
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, PackedHostileTest, testing::Values(true), layout_name);

}  // namespace
}  // namespace bounce
