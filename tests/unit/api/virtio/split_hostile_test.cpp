// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device of a split ring that lies about completions: 32-bit ids, the used index.
#include <atomic>
#include <thread>

#include "tests/unit/api/virtio/hostile_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class SplitHostileTest : public HostileTest {};

TEST_P(SplitHostileTest, Point3AnIdIsComparedBeforeItIsNarrowed) {
    make(kConfig);
    outstanding(2);
    const auto request = pop();
    ASSERT_LT(request.head, 16);
    const std::uint32_t id = 0x10000U + request.head;
    model_->complete(id, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, id, 2);
}

TEST_P(SplitHostileTest, Point3AnIdInsideOfAChain) {
    make(kConfig);
    outstanding(1);
    const auto request = pop();
    // Direct chains of a fresh ring go up by one: the second descriptor follows the head.
    ASSERT_EQ(request.table_len, 0U);
    model_->complete(request.head + 1U, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    expect_broken(BOUNCE_VIOLATION_USED_ID, request.head + 1U, 1);
}

TEST_P(SplitHostileTest, Point4TheUsedIndexMayNotRunAhead) {
    for (const std::uint32_t ahead : {4U, 16U, 17U, 0x8000U, 0xffffU}) {
        SetUp();
        reported_.clear();
        make(kConfig);
        outstanding(3);
        ASSERT_TRUE(add({sg_of(out_)}, 1, 3));  // not published: the device cannot have done it
        for (std::uint16_t i = 0; i < 16; ++i) split().write_used(i, 0, 64);
        split().set_used_index(static_cast<std::uint16_t>(ahead));
        EXPECT_EQ(collect_error(), EPROTO);
        expect_broken(BOUNCE_VIOLATION_USED_INDEX, ahead, 4);
    }
}

TEST_P(SplitHostileTest, Point4ADeviceThatNeverStopsCannotKeepAPollBusy) {
    make(kConfig);
    outstanding(4);
    std::atomic<bool> stop{false};
    std::thread liar([&] {
        for (std::uint16_t index = 0; !stop.load(std::memory_order_relaxed); ++index) split().set_used_index(index);
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

TEST_P(SplitHostileTest, Point17TheMaskNeverStandsInForTheCheck) {
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

INSTANTIATE_TEST_SUITE_P(Layouts, SplitHostileTest, testing::Values(false), layout_name);

}  // namespace
}  // namespace bounce
