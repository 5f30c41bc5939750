// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Making, resetting and describing a packed ring; kicks and calls; what is made available and when.
#include "api/virtio/packed_queue.hpp"

#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class PackedQueueTest : public RingTest {
protected:
    void SetUp() override {
        packed_ = true;
        RingTest::SetUp();
    }
    void round_trip(Bytes& out, std::uintptr_t cookie) {
        ASSERT_TRUE(add({sg_of(out)}, 1, cookie)) << last_error();
        queue_->publish();
        model_->complete(pop().head, 0);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        ASSERT_EQ(done[0].cookie, cookie_of(cookie));
    }
};

TEST_F(PackedQueueTest, RefusesConfigurationsThatCannotBe) {
    for (const std::uint32_t n : {0U, 32769U, 65536U, 0xffffffffU}) {
        EXPECT_EQ(PackedQueue::create(*device_, {.queue_size = n}).code(), EINVAL) << n;
        EXPECT_NE(std::string(last_error()).find("1 to 32768"), std::string::npos) << last_error();
    }
    EXPECT_EQ(PackedQueue::create(*device_, {.queue_size = 7, .max_chain = 8}).code(), EINVAL);
    EXPECT_EQ(PackedQueue::create(*device_, {.queue_size = 7, .indirect = true, .max_chain = 1025}).code(), EINVAL);
    EXPECT_TRUE(PackedQueue::create(*device_, {.queue_size = 1, .indirect = true, .max_chain = 1024}));
    EXPECT_TRUE(PackedQueue::create(*device_, {.queue_size = 7, .max_chain = 7}));
    expect_all_given_back();
}

TEST_F(PackedQueueTest, AnySizeHasAnAlignedLayoutAndGivesItsMemoryBack) {
    for (const std::uint32_t n : {1U, 2U, 3U, 5U, 100U, 256U, 1023U, 32767U, 32768U}) {
        for (const bool indirect : {false, true}) {
            make({.queue_size = n, .indirect = indirect});  // the model checks alignment and that all is in the pool
            const auto layout = queue_->layout();
            EXPECT_EQ(layout.queue_size, n);
            EXPECT_EQ(layout.avail_index, 0x8000);
            EXPECT_EQ(layout.used_index, 0x8000);
            EXPECT_EQ(queue_->stats().free_descriptors, n);
        }
    }
    expect_all_given_back();
}

TEST_F(PackedQueueTest, APoolThatIsTooSmallIsSaidAndNothingIsLost) {
    open(65536);
    EXPECT_EQ(PackedQueue::create(*device_, {.queue_size = 32768}).code(), E2BIG);
    EXPECT_EQ(PackedQueue::create(*device_, {.queue_size = 4096, .indirect = true}).code(), E2BIG);
    expect_all_given_back();
}

TEST_F(PackedQueueTest, NothingIsAvailableBeforePublish) {
    make({.queue_size = 8});
    Bytes out = bytes_of(16, 1);
    for (std::uintptr_t i = 0; i < 2; ++i) {
        ASSERT_TRUE(add({sg_of(out), sg_of(out)}, 2, i));
        EXPECT_FALSE(model_->has_request());
    }
    EXPECT_TRUE(queue_->publish());
    EXPECT_EQ(pop().pieces.size(), 2U);
    EXPECT_EQ(pop().pieces.size(), 2U);
    EXPECT_FALSE(model_->has_request());
    abort_all();
    expect_all_given_back();
}

// A request that failed after some of its descriptors were written leaves nothing available behind a shorter one.
TEST_F(PackedQueueTest, AFailedRequestLeavesNothingAvailable) {
    make({.queue_size = 8});
    Bytes out = bytes_of(100, 1);
    std::vector<bounce_sg> list(6, sg_of(out));
    list[5].flags = BOUNCE_SG_SHARED;  // but it is private memory
    EXPECT_EQ(add(list, 6, 1).code(), EFAULT);
    ASSERT_TRUE(add({sg_of(out)}, 1, 2));
    queue_->publish();
    EXPECT_EQ(pop().pieces.size(), 1U);
    EXPECT_FALSE(model_->has_request());
    abort_all();
    expect_all_given_back();
}

TEST_F(PackedQueueTest, PublishSaysWhetherAKickIsWanted) {
    make({.queue_size = 8});
    Bytes out = bytes_of(16, 1);
    EXPECT_FALSE(queue_->publish());  // nothing was added
    ASSERT_TRUE(add({sg_of(out)}, 1, 1));
    EXPECT_TRUE(queue_->publish());
    EXPECT_FALSE(queue_->publish());
    model_->disarm_kicks();
    ASSERT_TRUE(add({sg_of(out)}, 1, 2));
    EXPECT_FALSE(queue_->publish());
    packed().set_device_event(2U << 16);  // an index, which was not negotiated: asked for at all
    ASSERT_TRUE(add({sg_of(out)}, 1, 3));
    EXPECT_TRUE(queue_->publish());
    EXPECT_EQ(queue_->stats().kicks_wanted, 2U);
    abort_all();
}

TEST_F(PackedQueueTest, EventIndexAsksForTheKickOfOneDescriptorInEitherLap) {
    make({.queue_size = 5, .event_idx = true});
    Bytes out = bytes_of(16, 1);
    // Descriptor 3 of each lap, by requests of one descriptor.
    for (std::uint32_t i = 0; i < 40; ++i) {
        const bool wrap = i / 5 % 2 == 0;
        packed().set_device_event(3 | (wrap ? 0x8000U : 0U) | 2U << 16);
        ASSERT_TRUE(add({sg_of(out)}, 1, i));
        EXPECT_EQ(queue_->publish(), i % 5 == 3) << i;
        model_->complete(pop().head, 0);
        ASSERT_EQ(collect().size(), 1U);
    }
    // Requests of three: the event is inside of a batch, at its beginning, and behind it.
    std::uint32_t at = 0;
    for (std::uint32_t i = 0; i < 40; ++i, at += 3) {
        for (std::uint32_t event = 0; event < 5; ++event) {
            const std::uint32_t place = at + event;
            const bool wrap = place / 5 % 2 == 0;
            if (event != i % 5) continue;
            packed().set_device_event(place % 5 | (wrap ? 0x8000U : 0U) | 2U << 16);
            ASSERT_TRUE(add({sg_of(out), sg_of(out), sg_of(out)}, 3, i));
            EXPECT_EQ(queue_->publish(), event < 3) << i;
        }
        model_->complete(pop().head, 0);
        ASSERT_EQ(collect().size(), 1U);
    }
    packed().set_device_event(1U << 16);
    ASSERT_TRUE(add({sg_of(out)}, 1, 99));
    EXPECT_FALSE(queue_->publish());
    abort_all();
}

TEST_F(PackedQueueTest, ARingBeginsWithoutCallsAndArmsForTheNext) {
    for (const bool event_idx : {false, true}) {
        make({.queue_size = 3, .event_idx = event_idx});
        EXPECT_EQ(packed().driver_event(), 1U << 16);
        Bytes out = bytes_of(16, 1);
        for (std::uintptr_t i = 0; i < 20; ++i) {
            ASSERT_TRUE(add({sg_of(out)}, 1, i));
            ASSERT_TRUE(add({sg_of(out)}, 1, i));
            queue_->publish();
            EXPECT_FALSE(queue_->arm());
            std::uint16_t before = model_->used_index();
            model_->complete(pop().head, 0);
            EXPECT_TRUE(model_->wants_call(before));
            EXPECT_TRUE(queue_->arm());  // one is there already
            EXPECT_EQ(collect().size(), 1U);
            queue_->disarm();
            before = model_->used_index();
            model_->complete(pop().head, 0);
            EXPECT_FALSE(model_->wants_call(before));
            EXPECT_EQ(collect().size(), 1U);
        }
    }
    expect_all_given_back();
}

TEST_F(PackedQueueTest, ResetBeginsAnewOnceNothingIsOutstanding) {
    make({.queue_size = 3});
    Bytes out = bytes_of(16, 1);
    for (std::uintptr_t i = 0; i < 3; ++i) ASSERT_TRUE(add({sg_of(out)}, 1, i));
    queue_->publish();
    model_->complete(pop().head, 0);
    EXPECT_EQ(queue_->reset().code(), EBUSY);
    EXPECT_EQ(collect().size(), 1U);
    abort_all();
    EXPECT_EQ(add({sg_of(out)}, 1, 9).code(), EPROTO);  // the device may still know the old requests
    EXPECT_FALSE(queue_->publish());
    ASSERT_TRUE(queue_->reset());
    EXPECT_EQ(queue_->layout().avail_index, 0x8000);
    connect(false);
    EXPECT_FALSE(model_->has_request());
    for (std::uintptr_t i = 0; i < 10; ++i) round_trip(out, i);
    EXPECT_EQ(queue_->stats().aborted, 2U);
    expect_all_given_back();
}

TEST_F(PackedQueueTest, AnIdleRingSaysWhereADeviceGoesOn) {
    make({.queue_size = 3});
    Bytes out = bytes_of(16, 1);
    for (std::uintptr_t i = 0; i < 20; ++i) {
        const auto layout = queue_->layout();
        EXPECT_EQ(layout.avail_index, i % 3 | (i / 3 % 2 == 0 ? 0x8000U : 0U));
        EXPECT_EQ(layout.used_index, layout.avail_index);
        connect(false);
        round_trip(out, i);
    }
    expect_all_given_back();
}

TEST_F(PackedQueueTest, NotificationsCarryThePlaceOfTheNextDescriptor) {
    make({.queue_size = 3, .index = 7});
    EXPECT_EQ(queue_->notification_data(), 7U | 0x8000U << 16);
    Bytes out = bytes_of(16, 1);
    ASSERT_TRUE(add({sg_of(out), sg_of(out)}, 2, 1));
    EXPECT_EQ(queue_->notification_data(), 7U | 0x8000U << 16);  // it is not published yet
    queue_->publish();
    EXPECT_EQ(queue_->notification_data(), 7U | 0x8002U << 16);
    ASSERT_TRUE(add({sg_of(out)}, 1, 2));
    queue_->publish();
    EXPECT_EQ(queue_->notification_data(), 7U);  // the wrap counter has flipped
    abort_all();
}

}  // namespace
}  // namespace bounce
