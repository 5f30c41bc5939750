// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The C functions of the device side: arguments that are missing, and structs of other versions.
#include "bounce/virtio_device.h"
#include "tests/support/guest.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

using test::Guest;
using test::Popped;
using test::SplitDriver;

class VirtioDeviceAbi : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_EQ(bounce_guest_memory_create(&memory_), 0);
        ASSERT_EQ(bounce_guest_memory_add(memory_, guest_.regions().data(), guest_.regions().size()), 0);
        const auto options = driver_.options();
        ASSERT_EQ(bounce_virtqueue_create(memory_, &options, &queue_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_virtqueue_destroy(queue_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_guest_memory_destroy(memory_), 0) << bounce_last_error();
    }
    Guest guest_;
    SplitDriver driver_{guest_, 8};
    bounce_guest_memory* memory_ = nullptr;
    bounce_virtqueue* queue_ = nullptr;
};

TEST_F(VirtioDeviceAbi, NothingIsDestroyed) {
    EXPECT_EQ(bounce_virtqueue_destroy(nullptr), 0);
    EXPECT_EQ(bounce_guest_memory_destroy(nullptr), 0);
}

TEST_F(VirtioDeviceAbi, MissingArguments) {
    const auto options = driver_.options();
    bounce_virtqueue* queue = nullptr;
    bounce_virtqueue_info info{};
    Popped popped;
    char byte = 0;
    expect_error(bounce_guest_memory_create(nullptr), EINVAL, "memory");
    expect_error(bounce_guest_memory_add(nullptr, guest_.regions().data(), 1), EINVAL, "memory");
    expect_error(bounce_guest_memory_add(memory_, nullptr, 1), EINVAL, "regions");
    expect_error(bounce_guest_memory_set(nullptr, guest_.regions().data(), 1, nullptr), EINVAL, "memory");
    expect_error(bounce_guest_memory_set(memory_, nullptr, 1, nullptr), EINVAL, "regions");
    expect_error(bounce_guest_memory_remove(nullptr, 0, 1, nullptr), EINVAL, "memory");
    expect_error(bounce_guest_memory_log_dirty(nullptr, nullptr, nullptr, nullptr), EINVAL, "memory");
    expect_error(bounce_guest_memory_wait(nullptr, 2, 0), EINVAL, "memory");
    expect_error(bounce_virtqueue_create(memory_, &options, nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_create(nullptr, &options, &queue), EINVAL, "memory");
    expect_error(bounce_virtqueue_create(memory_, nullptr, &queue), EINVAL, "options");
    expect_error(bounce_virtqueue_reset(nullptr, nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_pop(nullptr, &popped.element), EINVAL, "queue");
    expect_error(bounce_virtqueue_pop(queue_, nullptr), EINVAL, "element");
    expect_error(bounce_virtqueue_push(nullptr, &popped.element, 0), EINVAL, "queue");
    expect_error(bounce_virtqueue_push(queue_, nullptr, 0), EINVAL, "element");
    expect_error(bounce_virtqueue_push_many(queue_, &popped.element, nullptr, 1), EINVAL, "written");
    expect_error(bounce_virtqueue_complete(queue_, nullptr, 0), EINVAL, "element");
    expect_error(bounce_virtqueue_drop(queue_, nullptr), EINVAL, "element");
    expect_error(bounce_virtqueue_flush(nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_needs_call(nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_enable_kicks(nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_disable_kicks(nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_notified(nullptr, 0), EINVAL, "queue");
    expect_error(bounce_virtqueue_retranslate(nullptr), EINVAL, "queue");
    expect_error(bounce_virtqueue_read(queue_, &popped.element, 0, nullptr, 1), EINVAL, "to");
    expect_error(bounce_virtqueue_read(queue_, nullptr, 0, &byte, 1), EINVAL, "element");
    expect_error(bounce_virtqueue_write(queue_, &popped.element, 0, nullptr, 1), EINVAL, "from");
    expect_error(bounce_virtqueue_mark_dirty(queue_, nullptr, 0, 1), EINVAL, "element");
    expect_error(bounce_virtqueue_get_info(queue_, nullptr), EINVAL, "info");
    expect_error(bounce_virtqueue_get_info(nullptr, &info), EINVAL, "queue");
}

TEST_F(VirtioDeviceAbi, OptionsOfOtherVersions) {
    struct Newer {
        bounce_virtqueue_options known;
        std::uint64_t more;
    } newer{driver_.options(), 0};
    newer.known.size = sizeof newer;
    ASSERT_EQ(bounce_virtqueue_reset(queue_, &newer.known), 0) << bounce_last_error();
    newer.more = 1;
    expect_error(bounce_virtqueue_reset(queue_, &newer.known), EINVAL, "nonzero");
    auto options = driver_.options();
    options.size = 16;
    expect_error(bounce_virtqueue_reset(queue_, &options), EINVAL, "size");
    options = driver_.options();
    options.reserved = 1;
    expect_error(bounce_virtqueue_reset(queue_, &options), EINVAL, "reserved");
    const std::string name(64, 'n');
    options = driver_.options();
    options.name = name.c_str();
    expect_error(bounce_virtqueue_reset(queue_, &options), EINVAL, "name");
    options = driver_.options(BOUNCE_VIRTQUEUE_PACKED);
    options.avail_index = options.used_index = 0x8000;
    expect_error(bounce_virtqueue_reset(queue_, &options), EINVAL, "anew");
}

TEST_F(VirtioDeviceAbi, AResetThatFailsLeavesTheQueueAsItWas) {
    driver_.desc(0, Guest::kHigh, 8, test::kWrite);
    driver_.offer(0);
    auto options = driver_.options();
    options.desc_addr = Guest::kNowhere;
    expect_error(bounce_virtqueue_reset(queue_, &options), EFAULT, "ring");
    Popped popped;
    ASSERT_EQ(bounce_virtqueue_pop(queue_, &popped.element), 1) << bounce_last_error();
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    EXPECT_EQ(driver_.used_index(), 1U);
}

TEST_F(VirtioDeviceAbi, AnotherSizeAfterAReset) {
    SplitDriver larger(guest_, 64);
    const auto options = larger.options();
    ASSERT_EQ(bounce_virtqueue_reset(queue_, &options), 0) << bounce_last_error();
    larger.desc(60, Guest::kHigh, 8, test::kWrite);
    larger.offer(60);
    Popped popped;
    ASSERT_EQ(bounce_virtqueue_pop(queue_, &popped.element), 1) << bounce_last_error();
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
    const bounce_element before = popped.element;
    ASSERT_EQ(bounce_virtqueue_reset(queue_, nullptr), 0);
    ASSERT_EQ(bounce_virtqueue_pop(queue_, &popped.element), 1) << "the avail ring is as it was";
    expect_error(bounce_virtqueue_push(queue_, &before, 8), EALREADY, "60");
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 8), 0);
}

}  // namespace
}  // namespace bounce
