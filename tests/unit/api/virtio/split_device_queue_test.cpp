// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// An honest driver and a split queue from the device side.
#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class SplitDeviceTest : public DeviceSideTest {
protected:
    void begin(std::uint32_t flags = 0, std::uint32_t size = 8) {
        driver_ = std::make_unique<SplitDriver>(guest_, size);
        make(driver_->options(flags));
    }
    /// One descriptor with a buffer of its own.
    void offer(std::uint16_t head, std::uint16_t flags = kWrite) {
        driver_->desc(head, Guest::kHigh + 64 * std::uint64_t{head}, 64, flags);
        driver_->offer(head);
    }
    std::unique_ptr<SplitDriver> driver_;
};

TEST_F(SplitDeviceTest, AChainBecomesSegmentsAndAUsedElement) {
    begin();
    Popped popped;
    EXPECT_EQ(pop(popped), 0);
    driver_->desc(3, Guest::kHigh, 16, kNext, 6);
    driver_->desc(6, Guest::kHigh + 100, 200, kNext | kWrite, 0);
    driver_->desc(0, Guest::kHigh + 4096, 1, kWrite);
    driver_->offer(3);
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.id, 3U);
    EXPECT_EQ(popped.element.n_out, 1U);
    EXPECT_EQ(popped.element.n_in, 2U);
    EXPECT_EQ(popped.element.out_bytes, 16U);
    EXPECT_EQ(popped.element.in_bytes, 201U);
    EXPECT_EQ(popped.segments[0].hva, guest_.at(Guest::kHigh));
    EXPECT_EQ(popped.segments[0].gpa, Guest::kHigh);
    EXPECT_EQ(popped.in(0).hva, guest_.at(Guest::kHigh + 100));
    EXPECT_EQ(popped.in(0).bytes, 200U);
    EXPECT_EQ(popped.in(1).gpa, Guest::kHigh + 4096);
    EXPECT_EQ(pop(popped), 0);
    EXPECT_EQ(info().outstanding, 1U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 150), 0) << bounce_last_error();
    EXPECT_EQ(driver_->used_index(), 0) << "shown before it was flushed";
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 1);
    EXPECT_EQ(driver_->used_id(0), 3U);
    EXPECT_EQ(driver_->used_len(0), 150U);
    EXPECT_EQ(info().outstanding, 0U);
    EXPECT_EQ(info().avail_index, 1U);
    EXPECT_EQ(info().used_index, 1U);
}

TEST_F(SplitDeviceTest, ASegmentIsCutWhereRegionsMeet) {
    begin();
    driver_->desc(0, Guest::kNext - 10, 30, 0);
    driver_->offer(0);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    ASSERT_EQ(popped.element.n_out, 2U);
    EXPECT_EQ(popped.segments[0].hva, guest_.at(Guest::kNext - 10));
    EXPECT_EQ(popped.segments[0].bytes, 10U);
    EXPECT_EQ(popped.segments[1].hva, guest_.at(Guest::kNext));
    EXPECT_EQ(popped.segments[1].gpa, Guest::kNext);
    EXPECT_EQ(popped.segments[1].bytes, 20U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
}

TEST_F(SplitDeviceTest, TheLastByteOfTheAddressSpaceIsMemory) {
    begin();
    driver_->desc(0, Guest::kLast, 4096, kWrite);
    driver_->offer(0);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.in(0).bytes, 4096U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 4096), 0);
}

TEST_F(SplitDeviceTest, TablesAreFollowedWhereverTheyLie) {
    begin(BOUNCE_VIRTQUEUE_INDIRECT);
    // Across two regions and at an odd address, behind a direct descriptor (section 2.7.5.3.2), with WRITE, which means
    // nothing.
    const std::uint64_t table = Guest::kNext - 24;
    std::byte bytes[48] = {};
    SplitDriver scratch(guest_, 8, Guest::kHigh + 0x8000);
    scratch.describe(Guest::kHigh + 0x4000, 0, Guest::kHigh + 8, 8, kNext, 2);
    scratch.describe(Guest::kHigh + 0x4000, 1, Guest::kHigh + 64, 32, kWrite, 0);
    scratch.describe(Guest::kHigh + 0x4000, 2, Guest::kHigh + 16, 8, kNext, 1);
    std::memcpy(bytes, guest_.at(Guest::kHigh + 0x4000), 48);
    for (std::uint32_t i = 0; i < 48; ++i) *guest_.at(table + i) = bytes[i];
    driver_->desc(1, Guest::kHigh, 8, kNext, 2);
    driver_->desc(2, table, 48, kIndirect | kWrite);
    driver_->offer(1);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.n_out, 3U);
    EXPECT_EQ(popped.element.n_in, 1U);
    EXPECT_EQ(popped.segments[1].gpa, Guest::kHigh + 8);
    EXPECT_EQ(popped.segments[2].gpa, Guest::kHigh + 16);
    EXPECT_EQ(popped.in(0).bytes, 32U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 32), 0);
}

TEST_F(SplitDeviceTest, TooLittleRoomTakesNothing) {
    begin();
    driver_->desc(0, Guest::kHigh, 16, kNext, 1);
    driver_->desc(1, Guest::kNext - 10, 30, kWrite);
    driver_->offer(0);
    Popped small(1);
    EXPECT_EQ(pop(small), -ENOBUFS);
    EXPECT_EQ(small.element.n_out + small.element.n_in, 3U);
    EXPECT_EQ(info().outstanding, 0U);
    EXPECT_EQ(info().avail_index, 0U);
    Popped popped(3);
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 30), 0);
}

TEST_F(SplitDeviceTest, ElementsAreGivenBackInAnyOrderAndOnce) {
    begin();
    for (std::uint16_t i = 0; i < 3; ++i) offer(i);
    Popped a, b, c, none;
    bounce_element many[4] = {a.element, b.element, c.element, none.element};
    ASSERT_EQ(bounce_virtqueue_pop_many(queue_, many, 4), 3);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &many[2], 65), -EINVAL);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &many[2], 64), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &many[0], 1), 0);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &many[0], 1), -EALREADY);
    EXPECT_EQ(bounce_virtqueue_destroy(queue_), -EBUSY);
    EXPECT_EQ(bounce_virtqueue_reset(queue_, nullptr), -EBUSY);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &many[1], 2), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 3);
    EXPECT_EQ(driver_->used_id(0), 2U);
    EXPECT_EQ(driver_->used_id(1), 0U);
    EXPECT_EQ(driver_->used_id(2), 1U);
    // The same head once more: the element of before is not taken for this one.
    const bounce_element before = many[0];
    offer(0);
    ASSERT_EQ(pop(a), 1);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &before, 0), -EALREADY);
    bounce_element garbage = a.element;
    garbage.id = 0xffff'ffff;
    EXPECT_EQ(bounce_virtqueue_push(queue_, &garbage, 0), -EALREADY);
    ASSERT_EQ(bounce_virtqueue_drop(queue_, &a.element), 0);
    EXPECT_EQ(bounce_virtqueue_drop(queue_, &a.element), -EALREADY);
    ASSERT_EQ(bounce_virtqueue_reset(queue_, nullptr), 0);
    EXPECT_EQ(info().avail_index, 0U);
}

TEST_F(SplitDeviceTest, SeveralArePushedAtOnceAndOneIsCompleted) {
    begin();
    for (std::uint16_t i = 0; i < 3; ++i) offer(i);
    Popped a, b, c;
    bounce_element many[3] = {a.element, b.element, c.element};
    ASSERT_EQ(bounce_virtqueue_pop_many(queue_, many, 3), 3);
    const std::uint32_t written[3] = {1, 65, 3};
    EXPECT_EQ(bounce_virtqueue_push_many(queue_, many, written, 3), 1) << "the second is more than it has";
    EXPECT_EQ(bounce_virtqueue_push_many(queue_, many + 1, written + 1, 2), -EINVAL);
    EXPECT_EQ(driver_->used_index(), 0);
    EXPECT_EQ(bounce_virtqueue_complete(queue_, &many[1], 65), -EINVAL);
    ASSERT_EQ(bounce_virtqueue_complete(queue_, &many[2], 3), 0);
    EXPECT_EQ(driver_->used_index(), 2);
    EXPECT_EQ(driver_->used_id(1), 2U);
    EXPECT_EQ(bounce_virtqueue_complete(queue_, &many[2], 3), -EALREADY);
    ASSERT_EQ(bounce_virtqueue_complete(queue_, &many[1], 64), 0);
    EXPECT_EQ(driver_->used_index(), 3);
}

TEST_F(SplitDeviceTest, InOrderOneUsedElementStandsForABatch) {
    begin(BOUNCE_VIRTQUEUE_IN_ORDER);
    for (std::uint16_t i = 0; i < 4; ++i) offer(i);
    Popped p[4];
    for (auto& one : p) ASSERT_EQ(pop(one), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[1].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[2].element, 10), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 0) << "the first is not there yet";
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[0].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 3);
    EXPECT_EQ(driver_->used_id(0), 2U) << "the last of the batch, in the place of its first";
    EXPECT_EQ(driver_->used_len(0), 10U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[3].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 4);
    EXPECT_EQ(driver_->used_id(3), 3U);
}

TEST_F(SplitDeviceTest, InOrderAShortOneEndsItsBatch) {
    begin(BOUNCE_VIRTQUEUE_IN_ORDER);
    for (std::uint16_t i = 0; i < 3; ++i) offer(i);
    Popped p[3];
    for (auto& one : p) ASSERT_EQ(pop(one), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[0].element, 63), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[1].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[2].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 3);
    EXPECT_EQ(driver_->used_id(0), 0U);
    EXPECT_EQ(driver_->used_len(0), 63U);
    EXPECT_EQ(driver_->used_id(1), 2U);
}

TEST_F(SplitDeviceTest, InOrderNothingIsUsedBehindWhatWasDropped) {
    begin(BOUNCE_VIRTQUEUE_IN_ORDER);
    offer(0);
    offer(1);
    Popped a, b;
    ASSERT_EQ(pop(a), 1);
    ASSERT_EQ(pop(b), 1);
    ASSERT_EQ(bounce_virtqueue_drop(queue_, &a.element), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &b.element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 0);
    ASSERT_EQ(bounce_virtqueue_reset(queue_, &options_), 0);
    ASSERT_EQ(pop(a), 1) << "the driver's ring is as it was";
    ASSERT_EQ(pop(b), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &b.element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &a.element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 2);
}

TEST_F(SplitDeviceTest, CallsByFlags) {
    begin();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0) << "nothing was used";
    Popped popped;
    offer(0);
    ASSERT_EQ(pop(popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1);
    EXPECT_EQ(driver_->used_index(), 1) << "needs_call flushes";
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0) << "asked before";
    driver_->set_flags(1);
    offer(0);
    ASSERT_EQ(pop(popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0);
}

TEST_F(SplitDeviceTest, CallsByEventIndex) {
    begin(BOUNCE_VIRTQUEUE_EVENT_IDX);
    Popped popped;
    const auto use = [&] {
        offer(0);
        ASSERT_EQ(pop(popped), 1);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
        ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    };
    driver_->set_used_event(1);
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0);
    use();
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1) << "of two that were flushed the first was the event";
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0);
}

TEST_F(SplitDeviceTest, KicksByFlagsAndByEventIndex) {
    for (const std::uint32_t flags : {0U, std::uint32_t{BOUNCE_VIRTQUEUE_EVENT_IDX}}) {
        begin(flags);
        driver_->set_index(0);
        Popped popped;
        ASSERT_EQ(bounce_virtqueue_disable_kicks(queue_), 0);
        if (flags == 0)
            EXPECT_EQ(driver_->used_flags(), 1U);
        else
            EXPECT_EQ(driver_->avail_event(), 0xffffU);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 0);
        offer(0);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 1) << "one is there already";
        EXPECT_EQ(driver_->used_flags(), 0U);
        ASSERT_EQ(pop(popped), 1);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 0);
        if (flags != 0) {
            EXPECT_EQ(driver_->avail_event(), 1U);
        }
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    }
}

TEST_F(SplitDeviceTest, NotificationData) {
    begin();
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 3U << 16), 3);
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 4 | 3U << 16), -EINVAL) << "another queue";
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 9U << 16), -EINVAL) << "more than there are";
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 0xffffU << 16), -EINVAL);
}

TEST_F(SplitDeviceTest, GoesOnWhereItWasSaved) {
    begin();
    Popped popped;
    for (int i = 0; i < 5; ++i) {
        offer(0);
        ASSERT_EQ(pop(popped), 1);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
        ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    }
    auto options = driver_->options();
    options.avail_index = info().avail_index;
    options.used_index = info().used_index;
    make(options);
    EXPECT_EQ(pop(popped), 0);
    offer(1);
    ASSERT_EQ(pop(popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_->used_index(), 6);
    EXPECT_EQ(driver_->used_id(5), 1U);
}

TEST_F(SplitDeviceTest, OptionsThatCannotBe) {
    driver_ = std::make_unique<SplitDriver>(guest_, 8);
    const auto refused = [&](int code, auto change) {
        auto options = driver_->options();
        change(options);
        bounce_virtqueue* queue = nullptr;
        EXPECT_EQ(bounce_virtqueue_create(memory_, &options, &queue), -code) << bounce_last_error();
        EXPECT_EQ(queue, nullptr);
        EXPECT_STRNE(bounce_last_error(), "");
    };
    refused(EINVAL, [](auto& o) { o.queue_size = 0; });
    refused(EINVAL, [](auto& o) { o.queue_size = 1; });
    refused(EINVAL, [](auto& o) { o.queue_size = 12; });
    refused(EINVAL, [](auto& o) { o.queue_size = 65536; });
    refused(EINVAL, [](auto& o) { o.max_chain = 4; });
    refused(EINVAL, [](auto& o) { o.max_chain = 16; });
    refused(EINVAL, [](auto& o) { o.flags = 1u << 9; });
    refused(EINVAL, [](auto& o) { o.desc_addr += 8; });
    refused(EINVAL, [](auto& o) { o.driver_addr += 1; });
    refused(EINVAL, [](auto& o) { o.device_addr += 2; });
    refused(EINVAL, [](auto& o) { o.avail_index = 9; });
    refused(EFAULT, [](auto& o) { o.desc_addr = Guest::kNowhere; });
    refused(EFAULT, [](auto& o) { o.device_addr = Guest::kRom; });
    refused(ENOTSUP, [](auto& o) { o.desc_addr = Guest::kNext - 64; });
}

}  // namespace
}  // namespace bounce
