// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Copies into and out of elements, the dirty log, and translated addresses.
#include <map>
#include <set>

#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class DeviceElementTest : public DeviceSideTest {
protected:
    /// 10 + 20 bytes to read (the second across two regions), 5 + 30 to write (likewise).
    void offer() {
        driver_.desc(0, Guest::kHigh, 10, kNext, 1);
        driver_.desc(1, Guest::kNext - 7, 20, kNext, 2);
        driver_.desc(2, Guest::kHigh + 64, 5, kNext | kWrite, 3);
        driver_.desc(3, Guest::kNext - 1000, 30, kWrite);
        driver_.offer(0);
    }
    SplitDriver driver_{guest_, 8};
};

TEST_F(DeviceElementTest, CopiesAtEveryOffset) {
    make(driver_.options());
    for (std::uint32_t i = 0; i < 30; ++i)
        *guest_.at(i < 10 ? Guest::kHigh + i : Guest::kNext - 7 + i - 10) = static_cast<std::byte>(i + 1);
    offer();
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    ASSERT_EQ(popped.element.out_bytes, 30U);
    ASSERT_EQ(popped.element.in_bytes, 35U);
    for (std::uint32_t offset = 0; offset <= 30; ++offset) {
        for (std::uint32_t bytes = 0; offset + bytes <= 30; ++bytes) {
            std::byte got[32] = {};
            ASSERT_EQ(bounce_virtqueue_read(queue_, &popped.element, offset, got, bytes), 0);
            for (std::uint32_t i = 0; i < 32; ++i)
                ASSERT_EQ(std::to_integer<std::uint32_t>(got[i]), i < bytes ? offset + i + 1 : 0)
                    << offset << ' ' << bytes;
        }
    }
    std::byte byte{0x77};
    EXPECT_EQ(bounce_virtqueue_read(queue_, &popped.element, 0, &byte, 31), -ERANGE);
    EXPECT_EQ(bounce_virtqueue_read(queue_, &popped.element, 31, &byte, 0), -ERANGE);
    EXPECT_EQ(bounce_virtqueue_read(queue_, &popped.element, ~std::uint64_t{0}, &byte, 2), -ERANGE);
    EXPECT_EQ(bounce_virtqueue_write(queue_, &popped.element, 35, &byte, 1), -ERANGE);
    EXPECT_EQ(byte, std::byte{0x77});
    std::byte reply[35];
    for (std::uint32_t i = 0; i < 35; ++i) reply[i] = static_cast<std::byte>(100 + i);
    for (std::uint32_t i = 0; i < 35; i += 5)
        ASSERT_EQ(bounce_virtqueue_write(queue_, &popped.element, i, reply + i, 5), 0);
    for (std::uint32_t i = 0; i < 35; ++i)
        ASSERT_EQ(*guest_.at(i < 5 ? Guest::kHigh + 64 + i : Guest::kNext - 1000 + i - 5), reply[i]);
    EXPECT_EQ(*guest_.at(Guest::kHigh + 69), std::byte{0});
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 35), 0);
    EXPECT_EQ(bounce_virtqueue_read(queue_, &popped.element, 0, &byte, 1), -EALREADY);
    EXPECT_EQ(bounce_virtqueue_write(queue_, &popped.element, 0, &byte, 1), -EALREADY);
    EXPECT_EQ(bounce_virtqueue_mark_dirty(queue_, &popped.element, 0, 1), -EALREADY);
}

// ---- Dirty log ---------------------------------------------------------------------------------------------------

class DeviceDirtyTest : public DeviceSideTest, public testing::WithParamInterface<std::uint32_t> {
protected:
    static void note(void* user, std::uint64_t gpa, std::uint64_t bytes) {
        for (std::uint64_t i = 0; i < bytes; ++i) static_cast<std::set<std::uint64_t>*>(user)->insert(gpa + i);
    }
    std::set<std::uint64_t> differing(const std::vector<std::vector<std::byte>>& before) {
        std::set<std::uint64_t> found;
        const auto after = guest_.snapshot();
        for (std::size_t r = 0; r < after.size(); ++r) {
            for (std::size_t i = 0; i < after[r].size(); ++i)
                if (after[r][i] != before[r][i]) found.insert(guest_.regions()[r].gpa + i);
        }
        return found;
    }
};

// The device fills with what was nowhere before, so every byte that it writes differs.
TEST_P(DeviceDirtyTest, TheLogHasWhatDiffers) {
    const bool packed = (GetParam() & BOUNCE_VIRTQUEUE_PACKED) != 0;
    SplitDriver split(guest_, 8);
    PackedDriver ring(guest_, 8);
    make(packed ? ring.options(GetParam()) : split.options(GetParam()));
    std::set<std::uint64_t> dirty;
    std::uint64_t ticket = 0;
    ASSERT_EQ(bounce_guest_memory_log_dirty(memory_, note, &dirty, &ticket), 0);
    ASSERT_EQ(bounce_guest_memory_wait(memory_, ticket, 0), 0);
    for (int round = 0; round < 40; ++round) {
        for (std::uint32_t i = 0; i < 3000; ++i) *guest_.at(Guest::kNext - 1500 + i) = std::byte{0};
        for (std::uint16_t i = 0; i < 2; ++i) {
            const auto len = static_cast<std::uint32_t>(100 + 50 * i);
            if (packed) {
                ring.offer({{Guest::kHigh, 8, 0}, {Guest::kNext - 50 + 200 * i, len, kWrite}}, i);
            } else {
                const auto head = static_cast<std::uint16_t>(2 * i);
                split.desc(head, Guest::kHigh, 8, kNext, static_cast<std::uint16_t>(head + 1));
                split.desc(head + 1U, Guest::kNext - 50 + 200 * i, len, kWrite);
                split.offer(head);
            }
        }
        const auto before = guest_.snapshot();
        dirty.clear();
        Popped popped[2];
        for (auto& one : popped) ASSERT_EQ(pop(one), 1) << bounce_last_error();
        std::vector<std::byte> fill(200, static_cast<std::byte>(round + 1));
        // One by the copies, past the number that is pushed; one where the bytes are.
        ASSERT_EQ(bounce_virtqueue_write(queue_, &popped[0].element, 0, fill.data(), 70), 0);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped[0].element, 60), 0);
        for (std::uint32_t i = 0; i < popped[1].element.n_in; ++i)
            std::memset(popped[1].in(i).hva, round + 1, popped[1].in(i).bytes);
        ASSERT_EQ(bounce_virtqueue_mark_dirty(queue_, &popped[1].element, 130, 20), 0);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped[1].element, 130), 0);
        ASSERT_GE(bounce_virtqueue_needs_call(queue_), 0);
        if (round % 2 == 0) {
            ASSERT_EQ(bounce_virtqueue_disable_kicks(queue_), 0);
        }
        if (round % 2 == 1) {
            ASSERT_GE(bounce_virtqueue_enable_kicks(queue_), 0);
        }
        const auto differ = differing(before);
        EXPECT_TRUE(std::includes(dirty.begin(), dirty.end(), differ.begin(), differ.end())) << round;
        // Bytes of ring fields that happened to be written as they were are the only ones more.
        for (const std::uint64_t gpa : dirty) {
            if (!differ.contains(gpa)) {
                ASSERT_LT(gpa, std::max(split.end(), ring.end())) << std::hex << gpa;
            }
        }
        ASSERT_GE(differ.size(), 220U);
        if (packed) {
            ring.skip(2);
            ring.skip(2);
        }
    }
    ASSERT_EQ(bounce_guest_memory_log_dirty(memory_, nullptr, nullptr, &ticket), 0);
    dirty.clear();
    ASSERT_GE(bounce_virtqueue_enable_kicks(queue_), 0);
    EXPECT_TRUE(dirty.empty());
    EXPECT_EQ(bounce_guest_memory_wait(memory_, ticket, 0), 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceDirtyTest,
                         testing::Values(0U, BOUNCE_VIRTQUEUE_EVENT_IDX, BOUNCE_VIRTQUEUE_IN_ORDER,
                                         BOUNCE_VIRTQUEUE_PACKED, BOUNCE_VIRTQUEUE_PACKED | BOUNCE_VIRTQUEUE_EVENT_IDX,
                                         BOUNCE_VIRTQUEUE_PACKED | BOUNCE_VIRTQUEUE_IN_ORDER));

// ---- Translation -------------------------------------------------------------------------------------------------

/// IOVA pages of 4 KiB; the driver's addresses are all of these.
class DeviceTranslateTest : public DeviceSideTest {
protected:
    struct Page {
        std::uint64_t gpa;
        std::uint32_t permission;
    };
    static constexpr std::uint64_t kIova = 0x7000'0000'0000;

    static int translate(void* user, std::uint64_t iova, std::uint64_t bytes, std::uint32_t permission,
                         bounce_iova_piece* pieces, std::uint32_t max) {
        auto& self = *static_cast<DeviceTranslateTest*>(user);
        ++self.asked_;
        std::uint32_t n = 0;
        while (n < max && bytes != 0) {
            const auto page = self.pages_.find(iova & ~std::uint64_t{4095});
            if (page == self.pages_.end()) return n != 0 ? static_cast<int>(n) : -EAGAIN;
            if ((permission & ~page->second.permission) != 0) return n != 0 ? static_cast<int>(n) : -EACCES;
            const std::uint64_t here = std::min(bytes, 4096 - iova % 4096);
            pieces[n++] = {page->second.gpa + iova % 4096, here};
            iova += here;
            bytes -= here;
        }
        return static_cast<int>(n);
    }
    void SetUp() override {
        DeviceSideTest::SetUp();
        for (std::uint64_t i = 0; i < 16; ++i) pages_[kIova + 4096 * i] = {Guest::kLow + 4096 * i, 3};
        options_to_use_ = driver_.options(BOUNCE_VIRTQUEUE_INDIRECT);
        options_to_use_.desc_addr += kIova - Guest::kLow;
        options_to_use_.driver_addr += kIova - Guest::kLow;
        options_to_use_.device_addr += kIova - Guest::kLow;
        options_to_use_.translate = translate;
        options_to_use_.translate_user = this;
    }
    std::map<std::uint64_t, Page> pages_;
    int asked_ = 0;
    SplitDriver driver_{guest_, 8};
    bounce_virtqueue_options options_to_use_{};
};

TEST_F(DeviceTranslateTest, PiecesBecomeSegments) {
    make(options_to_use_);
    constexpr std::uint64_t kData = 0x100'0000;
    // Twelve pages, in the guest's memory from the last to the first: more than one call has room for.
    for (std::uint64_t i = 0; i < 12; ++i) pages_[kData + 4096 * i] = {Guest::kHigh + 4096 * (11 - i), 3};
    driver_.desc(0, kData + 100, 11 * 4096, kWrite);
    driver_.offer(0);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    ASSERT_EQ(popped.element.n_in, 12U);
    EXPECT_EQ(popped.in(0).gpa, Guest::kHigh + 4096 * 11 + 100);
    EXPECT_EQ(popped.in(0).bytes, 3996U);
    EXPECT_EQ(popped.in(11).gpa, Guest::kHigh);
    EXPECT_EQ(popped.in(11).bytes, 100U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 4), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_.used_index(), 1);
}

TEST_F(DeviceTranslateTest, AMissIsTriedAgain) {
    make(options_to_use_);
    constexpr std::uint64_t kData = 0x100'0000;
    pages_[kData] = {Guest::kHigh, 3};
    driver_.desc(0, kData + 4000, 200, kNext, 1);
    driver_.desc(1, 0x5000, 16, kIndirect);
    driver_.offer(0);
    Popped popped;
    EXPECT_EQ(pop(popped), -EAGAIN);
    EXPECT_EQ(info().miss_iova, kData + 4096);
    EXPECT_EQ(info().miss_bytes, 104U);
    EXPECT_EQ(info().miss_permission, 1U);
    EXPECT_EQ(info().outstanding, 0U);
    pages_[kData + 4096] = {Guest::kHigh + 0x4000, 1};
    EXPECT_EQ(pop(popped), -EAGAIN);
    EXPECT_EQ(info().miss_iova, 0x5000U) << "the table";
    driver_.describe(Guest::kHigh + 0x5000, 0, kData, 8, kWrite);
    pages_[0x5000] = {Guest::kHigh + 0x5000, 1};
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.n_out, 2U);
    EXPECT_EQ(popped.element.n_in, 1U);
    EXPECT_TRUE(reported_.empty());
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
}

TEST_F(DeviceTranslateTest, WhatTheDriverMayNotUse) {
    make(options_to_use_);
    pages_[0x5000] = {Guest::kHigh, 1};
    driver_.desc(0, 0x5000, 8, kWrite);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_ADDRESS, 0x5000);
    pages_[0x5000] = {Guest::kNowhere, 3};
    expect_violation(BOUNCE_DRIVER_ADDRESS, Guest::kNowhere);
}

TEST_F(DeviceTranslateTest, HooksThatMakeNoSense) {
    options_to_use_.translate = [](void* user, std::uint64_t iova, std::uint64_t bytes, std::uint32_t permission,
                                   bounce_iova_piece* pieces, std::uint32_t max) {
        const int n = translate(user, iova, bytes, permission, pieces, max);
        if (iova == 0x5000) pieces[0].bytes = 0;
        if (iova == 0x6000) pieces[0].bytes = bytes + 1;
        return iova == 0x7000 ? static_cast<int>(max) + 1 : iova == 0x8000 ? 0 : n;
    };
    make(options_to_use_);
    for (std::uint64_t iova = 0x5000; iova <= 0x8000; iova += 0x1000) {
        pages_[iova] = {Guest::kHigh, 3};
        driver_.desc(0, iova, 8, kWrite);
        if (iova == 0x5000) driver_.offer(0);
        Popped popped;
        EXPECT_EQ(pop(popped), -EINVAL) << bounce_last_error();
        EXPECT_TRUE(reported_.empty()) << "not the driver's fault";
    }
}

TEST_F(DeviceTranslateTest, TheRingIsTranslatedAnewWhenAsked) {
    const auto page = pages_[kIova];
    pages_.erase(kIova);
    bounce_virtqueue* none = nullptr;
    EXPECT_EQ(bounce_virtqueue_create(memory_, &options_to_use_, &none), -EAGAIN);
    pages_[kIova] = page;
    make(options_to_use_);
    driver_.desc(0, kIova + 0x8000, 8, kWrite);
    driver_.offer(0);
    pages_.erase(kIova);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << "nobody said that the translation is gone";
    ASSERT_EQ(bounce_virtqueue_retranslate(queue_), 0);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), -EAGAIN);
    EXPECT_EQ(info().outstanding, 1U);
    EXPECT_EQ(info().miss_iova, kIova);
    EXPECT_EQ(bounce_virtqueue_flush(queue_), -EAGAIN);
    pages_[kIova] = page;
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_.used_index(), 1);
    pages_[kIova].gpa = Guest::kNowhere;
    ASSERT_EQ(bounce_virtqueue_retranslate(queue_), 0);
    EXPECT_EQ(pop(popped), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_RING_ADDRESS);
}

}  // namespace
}  // namespace bounce
