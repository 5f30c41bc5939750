// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A guest, its memory as the device side sees it, and a queue, through the C functions.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "bounce/virtio_device.h"
#include "tests/support/guest.hpp"

namespace bounce::test {

class DeviceSideTest : public testing::Test {
protected:
    struct Reported {
        int kind;
        std::uint32_t ring;
        std::uint64_t got, expected;
        std::string device;
    };

    void SetUp() override { open(); }
    void TearDown() override { close(); }

    void open() {
        ASSERT_EQ(bounce_guest_memory_create(&memory_), 0) << bounce_last_error();
        ASSERT_EQ(bounce_guest_memory_add(memory_, guest_.regions().data(), guest_.regions().size()), 0);
    }
    void close() {
        ASSERT_EQ(bounce_virtqueue_destroy(queue_), 0) << bounce_last_error();
        queue_ = nullptr;
        ASSERT_EQ(bounce_guest_memory_destroy(memory_), 0) << bounce_last_error();
        memory_ = nullptr;
    }
    void make(bounce_virtqueue_options options) {
        options.name = "device-test";
        options.violation = [](void* user, const bounce_violation* violation) {
            static_cast<DeviceSideTest*>(user)->reported_.push_back(
                {violation->kind, violation->ring, violation->got, violation->expected, violation->device});
        };
        options.violation_user = this;
        ASSERT_EQ(bounce_virtqueue_destroy(queue_), 0);
        queue_ = nullptr;
        ASSERT_EQ(bounce_virtqueue_create(memory_, &options, &queue_), 0) << bounce_last_error();
        options_ = options;
    }
    int pop(Popped& popped) { return bounce_virtqueue_pop(queue_, &popped.element); }
    bounce_virtqueue_info info() {
        bounce_virtqueue_info info{};
        EXPECT_EQ(bounce_virtqueue_get_info(queue_, &info), 0);
        return info;
    }

    /// The driver did that: it is reported once, the queue is broken until a reset, and nothing is out.
    void expect_violation(int kind, std::uint64_t got) {
        Popped popped;
        EXPECT_EQ(pop(popped), -EPROTO) << kind;
        const std::string text = bounce_last_error();
        EXPECT_NE(text.find("queue 5 is broken"), std::string::npos) << text;
        ASSERT_EQ(reported_.size(), 1U) << text;
        EXPECT_EQ(reported_[0].kind, kind) << text;
        EXPECT_EQ(reported_[0].got, got) << text;
        EXPECT_EQ(reported_[0].ring, 5U);
        EXPECT_EQ(reported_[0].device, "device-test");
        EXPECT_EQ(pop(popped), -EPROTO);
        EXPECT_EQ(bounce_virtqueue_flush(queue_), -EPROTO);
        EXPECT_EQ(bounce_virtqueue_needs_call(queue_), -EPROTO);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), -EPROTO);
        EXPECT_EQ(bounce_virtqueue_disable_kicks(queue_), -EPROTO);
        EXPECT_EQ(reported_.size(), 1U);
        EXPECT_EQ(static_cast<int>(info().broken), kind);
        EXPECT_EQ(info().got, got);
        EXPECT_EQ(info().outstanding, 0U);
        ASSERT_EQ(bounce_virtqueue_reset(queue_, &options_), 0) << bounce_last_error();
        EXPECT_EQ(info().broken, 0U);
        reported_.clear();
    }

    Guest guest_;
    bounce_guest_memory* memory_ = nullptr;
    bounce_virtqueue* queue_ = nullptr;
    bounce_virtqueue_options options_{};
    std::vector<Reported> reported_;
};

}  // namespace bounce::test
