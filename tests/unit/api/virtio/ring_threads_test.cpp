// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The driver in one thread, the device in another: ordering of data and index, and no lost kick or call when both wait.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/support/emulator.hpp"
#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
constexpr std::uint32_t kRequests = 5000;  // that take as long as a hundred times as many
#else
constexpr std::uint32_t kRequests = test::kEmulated ? 20000 : 100000;
#endif

/// What an eventfd is between processes. A wait that lasts a minute has lost its wake-up.
class Doorbell {
public:
    void ring() {
        const std::lock_guard lock(mutex_);
        ++rung_;
        changed_.notify_one();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        const bool came = changed_.wait_for(lock, std::chrono::minutes(1), [this] { return rung_ != 0; });
        rung_ = 0;
        return came;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t rung_ = 0;
};

class RingThreadsTest : public LayoutTest {
protected:
    /// Answers with the bytes that it read, increased by one.
    static std::uint32_t serve(const DeviceModel::Request& request) {
        std::byte value{};
        for (const auto& piece : request.pieces) {
            if (!piece.write) value = *piece.hva;
        }
        std::uint32_t len = 0;
        for (const auto& piece : request.pieces) {
            if (!piece.write) continue;
            std::memset(piece.hva, std::to_integer<int>(value) + 1, piece.len);
            len += piece.len;
        }
        return len;
    }

    struct Slot {
        Bytes out = Bytes(40);
        Bytes in = Bytes(40);
        unsigned value = 0;
    };
    void submit(Slot& slot, unsigned number) {
        slot.value = number % 251;
        std::fill(slot.out.begin(), slot.out.end(), static_cast<std::byte>(slot.value));
        const bounce_sg sg[] = {sg_of(slot.out), sg_of(slot.in)};
        ASSERT_TRUE(queue_->add(sg, 1, &slot)) << last_error();
    }
    static void verify(const bounce_completion& completion) {
        const auto& slot = *static_cast<Slot*>(completion.cookie);
        ASSERT_EQ(completion.written, 40U);
        for (const std::byte byte : slot.in) ASSERT_EQ(byte, static_cast<std::byte>(slot.value + 1));
    }

    void poll(const QueueConfig& config);
    void ping_pong(const QueueConfig& config, std::size_t depth);
};

void RingThreadsTest::poll(const QueueConfig& config) {
    make(config);
    std::atomic<bool> stop{false};
    std::thread device([&] {
        DeviceModel::Request request;
        while (!stop.load(std::memory_order_relaxed)) {
            while (model_->pop(request)) model_->complete(request.head, serve(request));
            std::this_thread::yield();
        }
    });
    std::vector<Slot> slots(5);
    std::vector<Slot*> idle;
    for (Slot& slot : slots) idle.push_back(&slot);
    unsigned submitted = 0;
    std::uint32_t done = 0;
    while (done < kRequests && !HasFatalFailure()) {
        while (!idle.empty()) {
            submit(*idle.back(), submitted++);
            idle.pop_back();
            if (submitted % 3 == 0) break;
        }
        queue_->publish();
        bounce_completion completions[8];
        const auto n = queue_->collect(completions);
        if (!n) {
            ADD_FAILURE() << last_error();
            break;
        }
        for (std::size_t i = 0; i < *n; ++i) {
            verify(completions[i]);
            idle.push_back(static_cast<Slot*>(completions[i].cookie));
        }
        if (*n == 0) std::this_thread::yield();
        done += static_cast<std::uint32_t>(*n);
    }
    stop.store(true, std::memory_order_relaxed);
    device.join();
    EXPECT_EQ(queue_->stats().violations, 0U);
    abort_all();
    expect_all_given_back();
}

TEST_P(RingThreadsTest, PollingDirect) {
    poll({.queue_size = 32});
}
TEST_P(RingThreadsTest, PollingWithTables) {
    poll({.queue_size = 8, .indirect = true, .event_idx = true});
}

/// Both sides sleep whenever there is nothing to do and the other side promised to wake them. Point 10: a store-load
/// reordering on either side would leave both asleep.
void RingThreadsTest::ping_pong(const QueueConfig& config, std::size_t depth) {
    make(config);
    Doorbell kick;
    Doorbell call;
    std::atomic<bool> stop{false};
    std::atomic<bool> lost{false};
    std::thread device([&] {
        DeviceModel::Request request;
        for (;;) {
            model_->disarm_kicks();
            const std::uint16_t before = model_->used_index();
            while (model_->pop(request)) model_->put_used(request.head, serve(request));
            if (model_->used_index() != before) {
                model_->show_used();
                if (model_->wants_call(before)) call.ring();
                continue;
            }
            if (stop.load(std::memory_order_relaxed)) break;
            model_->arm_kicks();
            if (model_->has_request() && model_->pop(request)) {
                const std::uint16_t used = model_->used_index();
                model_->complete(request.head, serve(request));
                if (model_->wants_call(used)) call.ring();
                continue;
            }
            if (!kick.wait()) {
                lost.store(true, std::memory_order_relaxed);
                break;
            }
        }
    });
    std::vector<Slot> slots(depth);
    std::vector<Slot*> idle;
    for (Slot& slot : slots) idle.push_back(&slot);
    unsigned submitted = 0;
    std::uint32_t done = 0;
    while (done < kRequests && !lost.load(std::memory_order_relaxed) && !HasFailure()) {
        while (!idle.empty()) {
            submit(*idle.back(), submitted++);
            idle.pop_back();
        }
        if (queue_->publish()) kick.ring();
        bounce_completion completions[8];
        std::size_t n = 0;
        for (;;) {
            const auto collected = queue_->collect(completions);
            n = collected ? *collected : 0;
            EXPECT_TRUE(collected) << last_error();
            if (n != 0 || !collected) break;
            if (queue_->arm()) continue;
            if (!call.wait()) {
                ADD_FAILURE() << "a call was lost after " << done << " requests";
                break;
            }
        }
        queue_->disarm();
        for (std::size_t i = 0; i < n; ++i) {
            verify(completions[i]);
            idle.push_back(static_cast<Slot*>(completions[i].cookie));
        }
        done += static_cast<std::uint32_t>(n);
    }
    stop.store(true, std::memory_order_relaxed);
    kick.ring();
    device.join();
    EXPECT_FALSE(lost.load()) << "a kick was lost after " << done << " requests";
    abort_all();
    expect_all_given_back();
}

TEST_P(RingThreadsTest, NoWakeUpIsLostWithFlags) {
    ping_pong({.queue_size = 8}, 1);
}
TEST_P(RingThreadsTest, NoWakeUpIsLostWithEventIndex) {
    ping_pong({.queue_size = 8, .event_idx = true}, 1);
}
TEST_P(RingThreadsTest, NoWakeUpIsLostWithEventIndexAndSeveralOutstanding) {
    ping_pong({.queue_size = 8, .indirect = true, .event_idx = true}, 5);
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingThreadsTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
