// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The two store-load points of a ring, each as a litmus test: two threads meet, each stores its own word and then loads
// the other's. At least one has to see the other, or both would go to sleep. Point 10: no kick and no call is lost.
#include <atomic>
#include <thread>

#include "tests/support/emulator.hpp"
#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

constexpr std::uint32_t kRounds = kEmulated ? 5000 : 100000;

/// Lets two threads go on at about the same time.
class Meeting {
public:
    void arrive() {
        const std::uint32_t target = (arrived_.fetch_add(1, std::memory_order_acq_rel) / 2 + 1) * 2;
        for (std::uint32_t spins = 0; arrived_.load(std::memory_order_acquire) < target; ++spins) {
            if (spins > 2000) std::this_thread::yield();
        }
    }

private:
    std::atomic<std::uint32_t> arrived_{0};  // acq_rel and acquire: what was done before a meeting is seen after it
};

/// A few nanoseconds more each time, so that all ways to overlap come up.
void linger(std::uint32_t steps) {
    std::atomic<std::uint32_t> left{steps};
    while (left.load(std::memory_order_relaxed) != 0) left.fetch_sub(1, std::memory_order_relaxed);
}

/// Whether what runs this keeps the order of the language: the same meeting with two bare seq_cst words. qemu-user on
/// x86 does not for arm64: it makes no barrier between a store-release and a load-acquire. Slow, so asked after a loss.
bool keeps_store_load_order() {
    constexpr std::uint32_t kTries = 40 * kRounds;
    alignas(64) std::atomic<std::uint32_t> mine{0};
    alignas(64) std::atomic<std::uint32_t> other{0};
    Meeting meeting;
    bool other_saw = false;
    std::thread peer([&] {
        for (std::uint32_t round = 1; round <= kTries; ++round) {
            meeting.arrive();
            linger(round * 7 % 32);
            other.store(round, std::memory_order_seq_cst);              // pairs with the load below
            other_saw = mine.load(std::memory_order_seq_cst) == round;  // pairs with the store below
            meeting.arrive();
        }
    });
    std::uint32_t lost = 0;
    for (std::uint32_t round = 1; round <= kTries; ++round) {
        meeting.arrive();
        linger(round * 11 % 32);
        mine.store(round, std::memory_order_seq_cst);                     // pairs with the load above
        const bool saw = other.load(std::memory_order_seq_cst) == round;  // pairs with the store above
        meeting.arrive();
        lost += !saw && !other_saw ? 1 : 0;
    }
    peer.join();
    return lost == 0;
}

/// None may be lost. Under an emulator a loss counts only when the emulator keeps the order that the ring asks for.
void expect_none_lost(std::uint32_t lost) {
    if (lost != 0 && kEmulated && !keeps_store_load_order()) {
        GTEST_SKIP() << "this emulator reorders a seq_cst store and a later seq_cst load: " << lost << " lost";
    }
    EXPECT_EQ(lost, 0U);
}

struct Notification {
    bool packed;
    bool event_idx;
};
class RingLitmusTest : public RingTest, public testing::WithParamInterface<Notification> {};

TEST_P(RingLitmusTest, PublishAndAskingForKicks) {
    make({.queue_size = 4, .event_idx = GetParam().event_idx, .packed = GetParam().packed});
    bounce_block block{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 64, 0, block));
    const bounce_sg one = shared_sg(block, 0, 64);
    Meeting meeting;
    bool seen = false;
    std::thread device([&] {
        DeviceModel::Request request;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            model_->disarm_kicks();
            meeting.arrive();
            linger(round * 7 % 32);
            model_->arm_kicks();
            seen = model_->has_request();
            meeting.arrive();
            if (model_->pop(request)) model_->complete(request.head, 0);
            meeting.arrive();
        }
    });
    std::uint32_t lost = 0;
    std::uint32_t completed = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        const bool added = static_cast<bool>(queue_->add({&one, 1}, 1, nullptr));
        meeting.arrive();
        linger(round * 11 % 32);
        const bool wanted = queue_->publish();
        meeting.arrive();
        lost += !added || (!wanted && !seen) ? 1 : 0;
        meeting.arrive();
        bounce_completion completion{};
        const auto n = queue_->collect({&completion, 1});
        completed += n ? static_cast<std::uint32_t>(*n) : 0;
    }
    device.join();
    EXPECT_EQ(completed, kRounds);
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
    expect_none_lost(lost);
}

TEST_P(RingLitmusTest, CompletingAndAskingForCalls) {
    make({.queue_size = 4, .event_idx = GetParam().event_idx, .packed = GetParam().packed});
    bounce_block block{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 64, 0, block));
    const bounce_sg one = shared_sg(block, 0, 64);
    Meeting meeting;
    bool called = false;
    std::thread device([&] {
        DeviceModel::Request request;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            meeting.arrive();
            const std::uint16_t before = model_->used_index();
            if (model_->pop(request)) model_->put_used(request.head, 0);
            meeting.arrive();
            linger(round * 7 % 32);
            model_->show_used();
            called = model_->wants_call(before);
            meeting.arrive();
        }
    });
    std::uint32_t lost = 0;
    std::uint32_t completed = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        const bool added = static_cast<bool>(queue_->add({&one, 1}, 1, nullptr));
        queue_->publish();
        queue_->disarm();
        meeting.arrive();
        meeting.arrive();
        linger(round * 11 % 32);
        const bool ready = queue_->arm();
        meeting.arrive();
        lost += !added || (!ready && !called) ? 1 : 0;
        bounce_completion completion{};
        const auto n = queue_->collect({&completion, 1});
        completed += n ? static_cast<std::uint32_t>(*n) : 0;
    }
    device.join();
    EXPECT_EQ(completed, kRounds);
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
    expect_none_lost(lost);
}

INSTANTIATE_TEST_SUITE_P(Notification, RingLitmusTest,
                         testing::Values(Notification{false, false}, Notification{false, true},
                                         Notification{true, false}, Notification{true, true}),
                         [](const auto& about) {
                             return std::string(about.param.packed ? "Packed" : "Split") +
                                    (about.param.event_idx ? "EventIndex" : "Flags");
                         });

}  // namespace
}  // namespace bounce
