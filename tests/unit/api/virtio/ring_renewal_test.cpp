// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The memory of a ring is replaced under it: nothing is taken for a completion, and no device is accused.
#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class RingRenewalTest : public LayoutTest {
protected:
    /// n requests, each a status byte for the device to write, of which the device completes `completed`.
    void begin(std::uint32_t n, std::uint32_t completed) {
        make({.queue_size = 16});
        for (std::uint32_t i = 0; i < n; ++i) {
            bounce_sg sg{&status_[i], 1, 0, 0};
            ASSERT_TRUE(queue_->add({&sg, 1}, 0, cookie_of(i + 1))) << last_error();
        }
        queue_->publish();
        DeviceModel::Request request;
        for (std::uint32_t i = 0; i < completed; ++i) {
            ASSERT_TRUE(model_->pop(request));
            model_->complete(request.head, 1);
        }
    }
    void expect_stale_until_reset() {
        EXPECT_EQ(collect_error(), ESTALE) << last_error();
        EXPECT_EQ(queue_->stats().violations, 0U);
        EXPECT_EQ(queue_->stats().broken, 0U);
        abort_all();
        ASSERT_TRUE(queue_->reset()) << last_error();
        EXPECT_TRUE(collect().empty());
        connect(false);
        bounce_sg sg{&status_[0], 1, 0, 0};
        ASSERT_TRUE(queue_->add({&sg, 1}, 0, cookie_of(9))) << last_error();
        queue_->publish();
        DeviceModel::Request request;
        ASSERT_TRUE(model_->pop(request));
        model_->complete(request.head, 1);
        const auto done = collect();
        ASSERT_EQ(done.size(), 1U);
        EXPECT_EQ(done[0].status, 0);
        expect_all_given_back();
        EXPECT_TRUE(reported_.empty());
    }

    std::uint8_t status_[8] = {};
};

TEST_P(RingRenewalTest, RequestsThatWereOutstanding) {
    begin(8, 0);
    ASSERT_TRUE(pool_->renew()) << last_error();
    expect_stale_until_reset();
}

TEST_P(RingRenewalTest, RequestsThatWereCompleted) {
    begin(8, 3);
    EXPECT_EQ(collect(2).size(), 2U);
    // Index 0 in fresh memory is 65534 ahead of what was collected.
    ASSERT_TRUE(pool_->renew()) << last_error();
    expect_stale_until_reset();
}

// The one moment that can be chosen: the report of a violation comes after the used element was read, and before the
// status byte is. (The device said error, and fresh memory says ok.)
TEST_P(RingRenewalTest, BetweenTheUsedElementAndTheData) {
    struct Moment {
        Pool* pool = nullptr;
        int reports = 0;
    } moment;
    Callbacks callbacks(
        nullptr, nullptr,
        [](void* user, const bounce_violation*) {
            auto* now = static_cast<Moment*>(user);
            ++now->reports;
            EXPECT_TRUE(now->pool->renew()) << last_error();
        },
        &moment);
    moment.pool = pool_.get();
    auto device = Device::create(*pool_, callbacks, {});
    ASSERT_TRUE(device) << last_error();
    auto queue = Virtqueue::create(**device, {.queue_size = 4, .packed = GetParam()});
    ASSERT_TRUE(queue) << last_error();
    std::unique_ptr<DeviceModel> of_device;
    if (GetParam())
        of_device = std::make_unique<PackedDevice>(*pool_, (*queue)->layout(), false);
    else
        of_device = std::make_unique<SplitDevice>(*pool_, (*queue)->layout(), false);
    DeviceModel& model = *of_device;
    std::uint8_t status = 0xff;
    bounce_sg sg{&status, 1, 0, 0};
    ASSERT_TRUE((*queue)->add({&sg, 1}, 0, nullptr)) << last_error();
    (*queue)->publish();
    DeviceModel::Request request;
    ASSERT_TRUE(model.pop(request));
    model.complete(request.head, 2);  // one more than there is: reported
    bounce_completion completion{};
    auto n = (*queue)->collect({&completion, 1});
    ASSERT_TRUE(n) << last_error();
    ASSERT_EQ(*n, 1U);
    EXPECT_EQ(moment.reports, 1);
    EXPECT_EQ(completion.status, -ESTALE);
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingRenewalTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
