// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Driver and device in a thread each, and both sleep when there is nothing to do: no kick and no call is lost, by flags
// and by events, split and packed. One that were lost would leave both asleep.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>
#include <vector>

#include "bounce/virtio_device.h"
#include "tests/support/emulator.hpp"

namespace bounce {
namespace {

constexpr std::uint32_t kRequests = test::kEmulated ? 2000 : 20000;

/// What an eventfd is between processes. A wait that lasts a minute has lost its wake-up.
class Doorbell {
public:
    void ring() { rung_.release(); }
    bool wait() {
        if (!rung_.try_acquire_for(std::chrono::minutes(1))) return false;
        while (rung_.try_acquire()) {
        }
        return true;
    }

private:
    std::counting_semaphore<> rung_{0};
};

struct Load {
    std::uint32_t ring_flags;
    std::uint32_t queue_flags;
    std::uint32_t size;
    std::uint32_t depth;
};

class DeviceWakeupTest : public testing::TestWithParam<Load> {
protected:
    void SetUp() override {
        const Load load = GetParam();
        bounce_pool_options pool{};
        pool.size = sizeof pool;
        pool.region.size = sizeof pool.region;
        pool.region.bytes = 4U << 20;
        pool.region.base_gpa = std::uint64_t{1} << 32;
        ASSERT_EQ(bounce_pool_create(&pool, &pool_), 0) << bounce_last_error();
        bounce_device_options device{};
        device.size = sizeof device;
        ASSERT_EQ(bounce_device_create(pool_, &device, &device_), 0);
        bounce_ring_options ring{};
        ring.size = sizeof ring;
        ring.queue_size = load.size;
        ring.flags = load.ring_flags;
        ASSERT_EQ(bounce_ring_create(device_, &ring, &ring_), 0) << bounce_last_error();
        bounce_region_info region{};
        bounce_ring_layout layout{};
        ASSERT_EQ(bounce_pool_region(pool_, 0, &region), 0);
        ASSERT_EQ(bounce_ring_get_layout(ring_, &layout), 0);
        ASSERT_EQ(bounce_guest_memory_create(&memory_), 0);
        const bounce_guest_region guest{region.base_gpa, region.bytes, region.hva, 0, 0};
        ASSERT_EQ(bounce_guest_memory_add(memory_, &guest, 1), 0);
        bounce_virtqueue_options options{};
        options.size = sizeof options;
        options.queue_size = load.size;
        options.flags = load.queue_flags;
        options.desc_addr = layout.desc_addr;
        options.driver_addr = layout.avail_addr;
        options.device_addr = layout.used_addr;
        options.avail_index = layout.avail_index;
        options.used_index = layout.used_index;
        ASSERT_EQ(bounce_virtqueue_create(memory_, &options, &queue_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_virtqueue_destroy(queue_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_guest_memory_destroy(memory_), 0);
        bounce_completion completions[8];
        while (bounce_ring_abort(ring_, completions, 8) > 0) {
        }
        EXPECT_EQ(bounce_ring_destroy(ring_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }

    /// Answers with the byte that it read, plus one, until it is told to stop.
    void serve() {
        bounce_element_segment segments[4];
        bounce_element element{};
        element.segments = segments;
        element.max_segments = 4;
        while (!stop_.load(std::memory_order_acquire)) {
            (void)bounce_virtqueue_disable_kicks(queue_);
            int n = 0;
            while ((n = bounce_virtqueue_pop(queue_, &element)) == 1) {
                unsigned char byte = 0;
                (void)bounce_virtqueue_read(queue_, &element, 0, &byte, 1);
                ++byte;
                (void)bounce_virtqueue_write(queue_, &element, 0, &byte, 1);
                EXPECT_EQ(bounce_virtqueue_push(queue_, &element, 1), 0) << bounce_last_error();
                if (bounce_virtqueue_needs_call(queue_) == 1) call_.ring();
            }
            EXPECT_EQ(n, 0) << bounce_last_error();
            if (bounce_virtqueue_enable_kicks(queue_) == 1) continue;
            if (n < 0 || !kick_.wait()) {
                lost_.store(true, std::memory_order_release);
                call_.ring();
                return;
            }
        }
    }

    Doorbell kick_, call_;
    std::atomic<bool> stop_{false};  // release and acquire: with what was done before
    std::atomic<bool> lost_{false};  // likewise
    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
    bounce_ring* ring_ = nullptr;
    bounce_guest_memory* memory_ = nullptr;
    bounce_virtqueue* queue_ = nullptr;
};

TEST_P(DeviceWakeupTest, NobodySleepsForEver) {
    struct Slot {
        unsigned char out = 0;
        unsigned char in = 0;
    };
    std::vector<Slot> slots(GetParam().depth);
    std::vector<Slot*> idle;
    for (Slot& slot : slots) idle.push_back(&slot);
    std::thread device([this] { serve(); });
    std::uint32_t submitted = 0;
    std::uint32_t done = 0;
    while (done < kRequests && !HasFailure() && !lost_.load(std::memory_order_acquire)) {
        for (; !idle.empty(); idle.pop_back()) {
            Slot& slot = *idle.back();
            slot.out = static_cast<unsigned char>(submitted++);
            const bounce_sg sg[] = {{&slot.out, 1, 0, 0}, {&slot.in, 1, 0, 0}};
            EXPECT_EQ(bounce_ring_add(ring_, sg, 1, 1, &slot), 0) << bounce_last_error();
        }
        if (bounce_ring_publish(ring_) == 1) kick_.ring();
        bounce_completion completions[8];
        int n = 0;
        while ((n = bounce_ring_collect(ring_, completions, 8)) == 0) {
            if (bounce_ring_arm(ring_) == 1) continue;
            if (!call_.wait()) {
                ADD_FAILURE() << "a call was lost after " << done << " requests";
                break;
            }
            if (lost_.load(std::memory_order_acquire)) break;
        }
        EXPECT_GE(n, 0) << bounce_last_error();
        (void)bounce_ring_disarm(ring_);
        for (int i = 0; i < n; ++i, ++done) {
            auto* const slot = static_cast<Slot*>(completions[i].cookie);
            EXPECT_EQ(slot->in, static_cast<unsigned char>(slot->out + 1));
            idle.push_back(slot);
        }
    }
    stop_.store(true, std::memory_order_release);
    kick_.ring();
    device.join();
    EXPECT_FALSE(lost_.load()) << "a kick was lost after " << done << " requests";
}

constexpr std::uint32_t kPackedQueue = BOUNCE_VIRTQUEUE_PACKED, kPackedRing = BOUNCE_RING_PACKED;
constexpr std::uint32_t kEventQueue = BOUNCE_VIRTQUEUE_EVENT_IDX, kEventRing = BOUNCE_RING_EVENT_IDX;

INSTANTIATE_TEST_SUITE_P(Notification, DeviceWakeupTest,
                         testing::Values(Load{0, 0, 8, 1}, Load{kEventRing, kEventQueue, 8, 1},
                                         Load{kEventRing, kEventQueue, 8, 4}, Load{kPackedRing, kPackedQueue, 3, 1},
                                         Load{kPackedRing | kEventRing, kPackedQueue | kEventQueue, 3, 1},
                                         Load{kPackedRing | kEventRing, kPackedQueue | kEventQueue, 8, 4}));

}  // namespace
}  // namespace bounce
