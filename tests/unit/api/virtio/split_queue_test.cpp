// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Making, resetting and describing a ring; kicks and calls.
#include "api/virtio/split_queue.hpp"

#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class SplitQueueTest : public RingTest {};

TEST_F(SplitQueueTest, RefusesConfigurationsThatCannotBe) {
    for (const std::uint32_t n : {0U, 1U, 3U, 100U, 65536U, 0xffffffffU}) {
        EXPECT_EQ(SplitQueue::create(*device_, {.queue_size = n}).code(), EINVAL) << n;
        EXPECT_NE(std::string(last_error()).find("power of two from 2 to 32768"), std::string::npos) << last_error();
    }
    EXPECT_EQ(SplitQueue::create(*device_, {.queue_size = 8, .max_chain = 9}).code(), EINVAL);
    EXPECT_EQ(SplitQueue::create(*device_, {.queue_size = 8, .indirect = true, .max_chain = 1025}).code(), EINVAL);
    EXPECT_TRUE(SplitQueue::create(*device_, {.queue_size = 8, .indirect = true, .max_chain = 1024}));
    EXPECT_TRUE(SplitQueue::create(*device_, {.queue_size = 8, .max_chain = 8}));
    expect_all_given_back();
}

TEST_F(SplitQueueTest, EverySizeHasAnAlignedLayoutAndGivesItsMemoryBack) {
    for (std::uint32_t n = 2; n <= 32768; n *= 2) {
        for (const bool indirect : {false, true}) {
            make({.queue_size = n, .indirect = indirect});  // the model checks alignment and that all is in the pool
            const auto layout = queue_->layout();
            EXPECT_EQ(layout.queue_size, n);
            EXPECT_EQ(layout.avail_index, 0);
            EXPECT_EQ(queue_->stats().free_descriptors, n);
        }
    }
    expect_all_given_back();
}

TEST_F(SplitQueueTest, APoolThatIsTooSmallIsSaidAndNothingIsLost) {
    open(65536);
    EXPECT_EQ(SplitQueue::create(*device_, {.queue_size = 32768}).code(), E2BIG);
    EXPECT_EQ(SplitQueue::create(*device_, {.queue_size = 4096, .indirect = true}).code(), E2BIG);  // after its tables
    expect_all_given_back();
}

TEST_F(SplitQueueTest, ARingCountsAsSomethingOfItsDevice) {
    make({});
    EXPECT_GT(device_->outstanding(), 0U);
    expect_all_given_back();
}

TEST_F(SplitQueueTest, DestructionGivesBackWhatIsOutstanding) {
    make({.queue_size = 16, .indirect = true});
    Bytes out = bytes_of(100, 1);
    Bytes in = bytes_of(9000, 2);
    ASSERT_TRUE(add({sg_of(out), sg_of(in)}, 1, 1));
    std::vector<bounce_sg> many(12, sg_of(out));
    ASSERT_TRUE(add(many, 12, 2));
    queue_->publish();
    expect_all_given_back();
    EXPECT_EQ(in, bytes_of(9000, 2));
}

TEST_F(SplitQueueTest, PublishSaysWhetherAKickIsWanted) {
    make({.queue_size = 8});
    Bytes out = bytes_of(16, 1);
    EXPECT_FALSE(queue_->publish());  // nothing was added
    ASSERT_TRUE(add({sg_of(out)}, 1, 1));
    EXPECT_EQ(split().avail_index(), 0);
    EXPECT_TRUE(queue_->publish());
    EXPECT_EQ(split().avail_index(), 1);
    EXPECT_FALSE(queue_->publish());
    model_->disarm_kicks();
    ASSERT_TRUE(add({sg_of(out)}, 1, 2));
    EXPECT_FALSE(queue_->publish());
    EXPECT_EQ(queue_->stats().kicks_wanted, 1U);
    abort_all();
}

TEST_F(SplitQueueTest, EventIndexAsksForTheKickOfOneRequest) {
    make({.queue_size = 8, .event_idx = true});
    Bytes out = bytes_of(16, 1);
    split().set_used_flags(1);  // has no meaning with event idx
    split().set_avail_event(2);
    for (std::uintptr_t i = 0; i < 5; ++i) {
        ASSERT_TRUE(add({sg_of(out)}, 1, i));
        EXPECT_EQ(queue_->publish(), i == 2) << i;
    }
    split().set_avail_event(6);
    ASSERT_TRUE(add({sg_of(out)}, 1, 5));
    ASSERT_TRUE(add({sg_of(out)}, 1, 6));
    ASSERT_TRUE(add({sg_of(out)}, 1, 7));
    EXPECT_TRUE(queue_->publish());  // inside a batch
    EXPECT_EQ(queue_->stats().kicks_wanted, 2U);
    abort_all();
}

TEST_F(SplitQueueTest, ARingBeginsWithoutCallsAndArmsForTheNext) {
    for (const bool event_idx : {false, true}) {
        make({.queue_size = 8, .event_idx = event_idx});
        Bytes out = bytes_of(16, 1);
        DeviceModel::Request request;
        ASSERT_TRUE(add({sg_of(out)}, 1, 1));
        ASSERT_TRUE(add({sg_of(out)}, 1, 2));
        ASSERT_TRUE(add({sg_of(out)}, 1, 3));
        queue_->publish();
        EXPECT_EQ(split().avail_flags(), event_idx ? 0 : 1);
        ASSERT_TRUE(model_->pop(request));
        model_->complete(request.head, 0);
        EXPECT_FALSE(model_->wants_call(0));
        EXPECT_TRUE(queue_->arm());  // one is there already
        EXPECT_EQ(collect().size(), 1U);
        EXPECT_FALSE(queue_->arm());
        ASSERT_TRUE(model_->pop(request));
        model_->complete(request.head, 0);
        EXPECT_TRUE(model_->wants_call(1));
        EXPECT_EQ(collect().size(), 1U);
        queue_->disarm();
        ASSERT_TRUE(model_->pop(request));
        model_->complete(request.head, 0);
        EXPECT_FALSE(model_->wants_call(2));
        EXPECT_EQ(collect().size(), 1U);
    }
    expect_all_given_back();
}

TEST_F(SplitQueueTest, ResetBeginsAnewOnceNothingIsOutstanding) {
    make({.queue_size = 4});
    Bytes out = bytes_of(16, 1);
    DeviceModel::Request request;
    for (std::uintptr_t i = 0; i < 3; ++i) ASSERT_TRUE(add({sg_of(out)}, 1, i));
    queue_->publish();
    ASSERT_TRUE(model_->pop(request));
    model_->complete(request.head, 0);
    EXPECT_EQ(queue_->reset().code(), EBUSY);
    EXPECT_EQ(queue_->set_features(true, true).code(), EBUSY);
    EXPECT_EQ(collect().size(), 1U);
    EXPECT_EQ(queue_->outstanding(), 2U);
    abort_all();
    EXPECT_EQ(add({sg_of(out)}, 1, 9).code(), EPROTO);  // the device may still know the old requests
    EXPECT_EQ(collect_error(), EPROTO);
    EXPECT_FALSE(queue_->publish());
    ASSERT_TRUE(queue_->reset());
    EXPECT_EQ(split().avail_index(), 0);
    EXPECT_EQ(queue_->layout().avail_index, 0);
    EXPECT_EQ(queue_->stats().added, 3U);
    EXPECT_EQ(queue_->stats().completed, 1U);
    EXPECT_EQ(queue_->stats().aborted, 2U);
    connect(false);
    ASSERT_TRUE(add({sg_of(out)}, 1, 7));
    EXPECT_TRUE(queue_->publish());
    ASSERT_TRUE(model_->pop(request));
    model_->complete(request.head, 0);
    const auto done = collect();
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].cookie, cookie_of(7));
    expect_all_given_back();
}

TEST_F(SplitQueueTest, AnIdleRingSaysWhereADeviceGoesOn) {
    make({.queue_size = 4});
    Bytes out = bytes_of(16, 1);
    DeviceModel::Request request;
    for (std::uintptr_t i = 0; i < 10; ++i) {
        ASSERT_TRUE(add({sg_of(out)}, 1, i));
        queue_->publish();
        ASSERT_TRUE(model_->pop(request));
        model_->complete(request.head, 0);
        ASSERT_EQ(collect().size(), 1U);
    }
    EXPECT_EQ(queue_->layout().avail_index, 10);
    connect(false);  // a new device that is told the layout
    ASSERT_TRUE(add({sg_of(out)}, 1, 11));
    queue_->publish();
    ASSERT_TRUE(model_->pop(request));
    EXPECT_FALSE(model_->pop(request));
    abort_all();
}

TEST_F(SplitQueueTest, FeaturesChangeWithAReset) {
    make({.queue_size = 8});
    Bytes out = bytes_of(16, 1);
    std::vector<bounce_sg> nine(9, sg_of(out));
    EXPECT_EQ(add(nine, 9, 1).code(), EINVAL);
    ASSERT_TRUE(queue_->set_features(true, true));
    ASSERT_TRUE(queue_->reset());
    connect(true);
    EXPECT_EQ(split().avail_flags(), 0);
    std::vector<bounce_sg> eight(8, sg_of(out));
    DeviceModel::Request request;
    for (std::uintptr_t i = 0; i < 3; ++i) ASSERT_TRUE(add(eight, 8, i));
    queue_->publish();
    ASSERT_TRUE(model_->pop(request));
    EXPECT_EQ(request.table_len, 8U);
    abort_all();
    ASSERT_TRUE(queue_->set_features(false, false));
    ASSERT_TRUE(queue_->reset());
    connect(false);
    ASSERT_TRUE(add(eight, 8, 1));
    queue_->publish();
    ASSERT_TRUE(model_->pop(request));
    EXPECT_EQ(request.table_len, 0U);
    expect_all_given_back();

    make({.queue_size = 8, .indirect = true, .max_chain = 20});
    EXPECT_EQ(queue_->set_features(false, false).code(), ENOTSUP);  // chains were promised that need tables
    EXPECT_EQ(queue_->stats().broken, 0U);
}

}  // namespace
}  // namespace bounce
