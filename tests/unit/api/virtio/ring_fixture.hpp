// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, a device and a ring of either layout with a model of its device, and small helpers for the tests of rings.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "api/dma/callbacks.hpp"
#include "api/virtio/virtqueue.hpp"
#include "tests/support/packed_device.hpp"
#include "tests/support/split_device.hpp"

namespace bounce::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::size_t n, unsigned fill) {
    return Bytes(n, static_cast<std::byte>(fill));
}
inline bounce_sg sg_of(Bytes& bytes) {
    return {bytes.data(), bytes.size(), 0, 0};
}
inline bounce_sg shared_sg(const bounce_block& block, std::size_t offset, std::size_t bytes) {
    return {static_cast<std::byte*>(block.ptr) + offset, bytes, BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN, 0};
}
inline void* cookie_of(std::uintptr_t number) {
    return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr)
}

class RingTest : public testing::Test {
protected:
    struct Reported {
        int kind;
        std::uint32_t ring;
        std::uint64_t got, expected;
        std::string device;
    };
    static constexpr std::uint64_t kBaseGpa = 0x1'0000'0000;

    void SetUp() override { open(std::uint64_t{8} << 20); }

    void open(std::uint64_t pool_bytes) {
        queue_.reset();
        device_.reset();
        pool_.reset();
        auto pool = Pool::create({.bytes = pool_bytes, .base_gpa = Gpa{kBaseGpa}});
        ASSERT_TRUE(pool) << last_error();
        pool_ = std::move(*pool);
        auto device = Device::create(*pool_, callbacks_, {.name = "ring-test"});
        ASSERT_TRUE(device) << last_error();
        device_ = std::move(*device);
    }

    void make(QueueConfig config) {
        model_.reset();
        queue_.reset();
        packed_ = config.packed = config.packed || packed_;
        auto queue = Virtqueue::create(*device_, config);
        ASSERT_TRUE(queue) << last_error();
        queue_ = std::move(*queue);
        connect(config.event_idx);
    }
    /// A new device, which is told the layout.
    void connect(bool event_idx) {
        if (packed_)
            model_ = std::make_unique<PackedDevice>(*pool_, queue_->layout(), event_idx);
        else
            model_ = std::make_unique<SplitDevice>(*pool_, queue_->layout(), event_idx);
    }
    [[nodiscard]] SplitDevice& split() const { return dynamic_cast<SplitDevice&>(*model_); }
    [[nodiscard]] PackedDevice& packed() const { return dynamic_cast<PackedDevice&>(*model_); }
    DeviceModel::Request pop() {
        DeviceModel::Request request;
        EXPECT_TRUE(model_->pop(request));
        return request;
    }

    Result<void> add(std::vector<bounce_sg> sg, std::size_t n_out, std::uintptr_t cookie) {
        return queue_->add(sg, n_out, cookie_of(cookie));
    }
    /// All that is there, at most `max`.
    std::vector<bounce_completion> collect(std::size_t max = 64) {
        std::vector<bounce_completion> completions(max);
        auto n = queue_->collect(completions);
        EXPECT_TRUE(n) << last_error();
        completions.resize(n ? *n : 0);
        return completions;
    }
    int collect_error() {
        std::vector<bounce_completion> completions(64);
        return queue_->collect(completions).code();
    }
    void abort_all() {
        std::vector<bounce_completion> completions(7);
        while (queue_->abort(completions) != 0) {
        }
    }
    /// Nothing of a ring is left in the pool.
    void expect_all_given_back() {
        model_.reset();
        queue_.reset();
        EXPECT_EQ(device_->outstanding(), 0U);
        EXPECT_EQ(pool_->stats().slots, 0U);
        EXPECT_EQ(pool_->stats().used_bytes, 0U);
    }

    std::vector<Reported> reported_;
    Callbacks callbacks_{
        nullptr, nullptr,
        [](void* user, const bounce_violation* violation) {
            static_cast<RingTest*>(user)->reported_.push_back(
                {violation->kind, violation->ring, violation->got, violation->expected, violation->device});
        },
        this};
    std::unique_ptr<Pool> pool_;
    std::unique_ptr<Device> device_;
    std::unique_ptr<Virtqueue> queue_;
    std::unique_ptr<DeviceModel> model_;
    bool packed_ = false;
};

/// The same for both layouts.
class LayoutTest : public RingTest, public testing::WithParamInterface<bool> {
protected:
    void SetUp() override {
        packed_ = GetParam();
        RingTest::SetUp();
    }
};
inline std::string layout_name(const testing::TestParamInfo<bool>& about) {
    return about.param ? "Packed" : "Split";
}

}  // namespace bounce::test
