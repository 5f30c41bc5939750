// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Regions that come and go, and who is waited for.
#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class GuestMemoryTest : public DeviceSideTest {
protected:
    void SetUp() override {
        DeviceSideTest::SetUp();
        make(driver_.options());
    }
    int offer_and_pop(std::uint16_t head, std::uint64_t addr, Popped& popped) {
        driver_.desc(head, addr, 8, kWrite);
        driver_.offer(head);
        return pop(popped);
    }
    std::uint64_t remove(std::uint64_t gpa, std::uint64_t bytes) {
        std::uint64_t ticket = 0;
        EXPECT_EQ(bounce_guest_memory_remove(memory_, gpa, bytes, &ticket), 0) << bounce_last_error();
        return ticket;
    }
    void add(std::uint64_t gpa) {
        for (const auto& one : guest_.regions())
            if (one.gpa == gpa) {
                ASSERT_EQ(bounce_guest_memory_add(memory_, &one, 1), 0) << bounce_last_error();
            }
    }
    SplitDriver driver_{guest_, 8};
};

TEST_F(GuestMemoryTest, RegionsThatCannotBe) {
    std::byte byte{};
    const auto refused = [&](int code, bounce_guest_region region) {
        EXPECT_EQ(bounce_guest_memory_add(memory_, &region, 1), -code) << bounce_last_error();
        EXPECT_STRNE(bounce_last_error(), "");
    };
    refused(EINVAL, {0, 0, &byte, 0, 0});
    refused(EINVAL, {0, 8, nullptr, 0, 0});
    refused(EINVAL, {~std::uint64_t{0}, 2, &byte, 0, 0});
    refused(EINVAL, {0, 8, &byte, 2, 0});
    refused(EINVAL, {0, 8, &byte, 0, 1});
    refused(EEXIST, {Guest::kLow - 1, 2, &byte, 0, 0});
    refused(EEXIST, {Guest::kLow + 1, 1, &byte, 0, 0});
    refused(EEXIST, {0, ~std::uint64_t{0}, &byte, 0, 0});
    refused(EEXIST, {Guest::kHigh + 0xf'ffff, 1, &byte, 0, 0});
    // One of several that does not fit: none is added.
    const bounce_guest_region two[] = {{0, 1, &byte, 0, 0}, {Guest::kLow, 1, &byte, 0, 0}};
    EXPECT_EQ(bounce_guest_memory_add(memory_, two, 2), -EEXIST);
    const bounce_guest_region one{0, 1, &byte, 0, 0};
    EXPECT_EQ(bounce_guest_memory_add(memory_, &one, 1), 0);
    const bounce_guest_region last{Guest::kLow - 1, 1, &byte, 0, 0};
    EXPECT_EQ(bounce_guest_memory_add(memory_, &last, 1), 0) << "up to its neighbour";
}

TEST_F(GuestMemoryTest, WhatIsRemovedIsFoundNoMore) {
    EXPECT_EQ(bounce_guest_memory_remove(memory_, Guest::kNowhere, 4096, nullptr), -ENOENT);
    EXPECT_EQ(bounce_guest_memory_remove(memory_, Guest::kHigh, 4096, nullptr), -EINVAL) << "a part of it";
    EXPECT_EQ(bounce_guest_memory_remove(memory_, Guest::kHigh, 0, nullptr), -EINVAL);
    EXPECT_EQ(bounce_guest_memory_remove(memory_, Guest::kHigh, ~std::uint64_t{0}, nullptr), -EINVAL);
    Popped popped;
    ASSERT_EQ(offer_and_pop(0, Guest::kHigh, popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
    remove(Guest::kNext, Guest::kLast - Guest::kNext);  // all but the first and the last
    ASSERT_EQ(offer_and_pop(0, Guest::kLast, popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
    EXPECT_EQ(offer_and_pop(0, Guest::kHigh, popped), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_ADDRESS);
    ASSERT_EQ(bounce_virtqueue_reset(queue_, nullptr), 0);
}

TEST_F(GuestMemoryTest, AQueueThatIsIdleIsNotWaitedFor) {
    const std::uint64_t ticket = remove(Guest::kHigh, 0x10'0000);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, ticket, 0), 0) << bounce_last_error();
    EXPECT_EQ(bounce_guest_memory_wait(memory_, ticket + 1, 0), -EINVAL);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, 0, 0), -EINVAL);
}

TEST_F(GuestMemoryTest, AnElementThatIsOutIsWaitedFor) {
    Popped old, fresh;
    ASSERT_EQ(offer_and_pop(0, Guest::kHigh, old), 1);
    const std::uint64_t first = remove(Guest::kRom, 4096);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, first, 0), -ETIMEDOUT);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, first, 3), -ETIMEDOUT);
    ASSERT_EQ(offer_and_pop(1, Guest::kHigh, fresh), 1);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, first, 0), -ETIMEDOUT);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &old.element, 0), 0);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, first, 0), 0) << "the other one was popped after the change";
    const std::uint64_t second = remove(Guest::kLast, 4096);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, second, 0), -ETIMEDOUT);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, first, 0), 0);
    ASSERT_EQ(bounce_virtqueue_drop(queue_, &fresh.element), 0);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, second, 0), 0);
}

// More changes than are told apart: what is out keeps its own change waiting and lets none pass that it should not.
TEST_F(GuestMemoryTest, ManyChangesWithElementsOut) {
    Popped out[8];
    std::uint64_t tickets[8];
    for (std::uint16_t i = 0; i < 8; ++i) {
        ASSERT_EQ(offer_and_pop(i, Guest::kHigh, out[i]), 1) << i;
        for (int n = 0; n < 3; ++n) {
            tickets[i] = remove(Guest::kRom, 4096);
            add(Guest::kRom);
        }
    }
    for (std::uint16_t i = 0; i < 8; ++i) {
        EXPECT_EQ(bounce_guest_memory_wait(memory_, tickets[i], 0), -ETIMEDOUT) << i;
        ASSERT_EQ(bounce_virtqueue_push(queue_, &out[i].element, 0), 0);
        EXPECT_EQ(bounce_guest_memory_wait(memory_, tickets[i], 0), 0) << i << ' ' << bounce_last_error();
    }
}

TEST_F(GuestMemoryTest, EpochsBeyondTheBinsAreCountedWithOlderOnes) {
    make(SplitDriver(guest_, 32).options());
    SplitDriver driver(guest_, 32);
    Popped out[12];
    std::uint64_t last = 0;
    for (std::uint16_t i = 0; i < 12; ++i) {
        driver.desc(i, Guest::kHigh, 8, kWrite);
        driver.offer(i);
        ASSERT_EQ(pop(out[i]), 1) << bounce_last_error();
        last = remove(Guest::kRom, 4096);
        add(Guest::kRom);
    }
    for (int i = 11; i >= 0; --i) {
        EXPECT_EQ(bounce_guest_memory_wait(memory_, last, 0), -ETIMEDOUT) << i;
        ASSERT_EQ(bounce_virtqueue_push(queue_, &out[i].element, 0), 0);
    }
    EXPECT_EQ(bounce_guest_memory_wait(memory_, last, 0), 0);
}

// Under a load that never ends, what was popped after the last change is told apart again once the old ones are gone.
TEST_F(GuestMemoryTest, ManyEpochsUnderALoadThatNeverEnds) {
    make(SplitDriver(guest_, 32).options());
    SplitDriver driver(guest_, 32);
    Popped out[24];
    std::uint64_t last = 0;
    const auto take = [&](std::uint16_t i) {
        driver.desc(i, Guest::kHigh, 8, kWrite);
        driver.offer(i);
        ASSERT_EQ(pop(out[i]), 1) << bounce_last_error();
    };
    for (std::uint16_t i = 0; i < 12; ++i) {
        take(i);
        last = remove(Guest::kRom, 4096);
        add(Guest::kRom);
    }
    take(12);  // counted with older ones: no bin is left
    for (std::uint16_t i = 0; i < 11; ++i) {
        ASSERT_EQ(bounce_virtqueue_push(queue_, &out[i].element, 0), 0);
        take(static_cast<std::uint16_t>(13 + i));
    }
    EXPECT_EQ(bounce_guest_memory_wait(memory_, last, 0), -ETIMEDOUT);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &out[11].element, 0), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &out[12].element, 0), 0);
    EXPECT_EQ(bounce_guest_memory_wait(memory_, last, 0), 0) << bounce_last_error();
    for (std::uint16_t i = 13; i < 24; ++i) ASSERT_EQ(bounce_virtqueue_drop(queue_, &out[i].element), 0);
}

TEST_F(GuestMemoryTest, TheRingItselfIsTakenAwayAndComesBack) {
    Popped popped;
    ASSERT_EQ(offer_and_pop(0, Guest::kHigh, popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    // Elsewhere in this process, with the same content: the queue goes on there.
    alignas(64) static std::byte other[0x1'0000];
    std::memcpy(other, guest_.at(Guest::kLow), sizeof other);
    remove(Guest::kLow, 0x1'0000);
    const bounce_guest_region moved{Guest::kLow, sizeof other, other, 0, 0};
    ASSERT_EQ(bounce_guest_memory_add(memory_, &moved, 1), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_.used_index(), 0U);
    EXPECT_EQ(std::to_integer<int>(other[driver_.used_area() - Guest::kLow + 2]), 1);
    remove(Guest::kLow, 0x1'0000);
    EXPECT_EQ(pop(popped), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_RING_ADDRESS);
    EXPECT_EQ(reported_.at(0).got, Guest::kLow);
    EXPECT_EQ(bounce_virtqueue_reset(queue_, nullptr), -EFAULT);
    ASSERT_EQ(bounce_guest_memory_add(memory_, &moved, 1), 0);
    EXPECT_EQ(pop(popped), -EPROTO) << "until a reset";
    EXPECT_EQ(bounce_virtqueue_reset(queue_, nullptr), 0) << bounce_last_error();
}

TEST_F(GuestMemoryTest, MemoryOutlivesItsQueues) {
    EXPECT_EQ(bounce_guest_memory_destroy(memory_), -EBUSY);
    Popped popped;
    ASSERT_EQ(offer_and_pop(0, Guest::kHigh, popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
}

}  // namespace
}  // namespace bounce
