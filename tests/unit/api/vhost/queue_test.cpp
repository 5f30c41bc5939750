// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Kicks and calls: what a driver that waits may rely on, and what a back-end can do with the eventfds it was given.
#include "api/vhost/queue.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <thread>

#include "tests/support/emulator.hpp"
#include "tests/support/split_device.hpp"
#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace bounce::vhost {
namespace {

class QueueTest : public FrontendTest {
protected:
    void connect_waiting() {
        config_.calls = true;
        backend_.start();
        ASSERT_TRUE(connect()) << last_error();
        call_ = backend_.log(13).at(0).fds.at(0);
        kick_ = backend_.log(12).at(0).fds.at(0);
        device_.emplace(*pool_, frontend_->ring(0).layout(), true);
    }
    void add() {
        const bounce_sg sg{data_, sizeof data_, 0, 0};
        ASSERT_TRUE(frontend_->ring(0).add({&sg, 1}, 0, data_)) << last_error();
    }
    std::uint64_t taken(int fd) {
        std::uint64_t count = 0;
        return ::read(fd, &count, sizeof count) == sizeof count ? test::received_eventfd_count(count) : 0;
    }
    static void put(int fd, std::uint64_t count) {
        count = test::received_eventfd_count(count);
        ASSERT_EQ(::write(fd, &count, sizeof count), ssize_t{sizeof count});
    }
    std::size_t collect() {
        bounce_completion completions[8];
        auto n = frontend_->ring(0).collect(completions);
        return n ? *n : 999;
    }

    char data_[100] = {};
    int call_ = -1;
    int kick_ = -1;
    std::atomic<bool> stop_{false};
    std::optional<test::SplitDevice> device_;
};

TEST_F(QueueTest, KicksWhenTheDeviceWantsIt) {
    connect_waiting();
    EXPECT_EQ(taken(kick_), 0U);
    device_->arm_kicks();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(taken(kick_), 1U);
    device_->disarm_kicks();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(taken(kick_), 0U);
    ASSERT_TRUE(frontend_->submit(0));
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, AKickOfOnesOwnIsAlwaysSent) {
    connect_waiting();
    device_->disarm_kicks();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(taken(kick_), 0U);
    ASSERT_TRUE(frontend_->kick(0)) << last_error();
    EXPECT_EQ(taken(kick_), 1U);
    EXPECT_EQ(frontend_->kick(1).code(), EINVAL);
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_EQ(frontend_->kick(0).code(), ECONNRESET);
    ASSERT_TRUE(close());
}

// The device completes without a call, against what it was asked for: a wait without a limit notices all the same.
TEST_F(QueueTest, WaitEndsWithoutACall) {
    connect_waiting();
    device_->arm_kicks();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(taken(kick_), 1U);
    std::thread device([this] {
        pollfd entry{kick_, POLLIN, 0};  // the kick of a wait that has been going on for long
        EXPECT_EQ(::poll(&entry, 1, -1), 1);
        test::SplitDevice::Request request;
        EXPECT_TRUE(device_->pop(request));
        device_->complete(request.head, 0);
    });
    ASSERT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
    device.join();
    EXPECT_EQ(collect(), 1U);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, WaitEndsWithACompletionThatIsThere) {
    connect_waiting();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    test::SplitDevice::Request request;
    ASSERT_TRUE(device_->pop(request));
    device_->complete(request.head, 0);
    // No call was made: there was nobody to be called.
    ASSERT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
    EXPECT_EQ(collect(), 1U);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, WaitEndsWithACall) {
    connect_waiting();
    std::thread device([this] {
        for (int i = 0; i < 2000; ++i) {
            test::SplitDevice::Request request;
            while (!device_->pop(request)) std::this_thread::yield();
            const std::uint16_t before = device_->used_index();
            device_->complete(request.head, 0);
            if (device_->wants_call(before)) put(call_, 1);
        }
    });
    for (int i = 0; i < 2000; ++i) {
        add();
        ASSERT_TRUE(frontend_->submit(0));
        std::size_t n = 0;
        while (n == 0) {
            // A lost wake-up costs a second: more than a few end in the time limit of the test. (None is lost but where
            // an emulator reorders a store and a later load: ring_litmus_test.cpp looks for that.)
            ASSERT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
            n = collect();
        }
        ASSERT_EQ(n, 1U);
    }
    device.join();
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, WaitEndsWithTheTimeoutAndKicksOnceMore) {
    connect_waiting();
    EXPECT_EQ(frontend_->wait(0, 0).code(), ETIMEDOUT);
    EXPECT_EQ(taken(kick_), 0U);  // there is nothing to do for anybody
    device_->disarm_kicks();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(taken(kick_), 0U);
    EXPECT_EQ(frontend_->wait(0, 10).code(), ETIMEDOUT);
    EXPECT_EQ(taken(kick_), 1U);
    EXPECT_TRUE(frontend_->check());
    EXPECT_EQ(frontend_->info().connected, 1U);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, WaitEndsWhenTheBackEndIsGone) {
    connect_waiting();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    std::thread device([this] { backend_.stop(); });
    EXPECT_EQ(frontend_->wait(0, Deadline::kNever).code(), ECONNRESET);
    device.join();
    EXPECT_EQ(frontend_->info().connected, 0U);
    EXPECT_EQ(frontend_->check().code(), ECONNRESET);
    // What was completed before may still be collected.
    test::SplitDevice::Request request;
    ASSERT_TRUE(device_->pop(request));
    device_->complete(request.head, 0);
    EXPECT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
    EXPECT_EQ(collect(), 1U);
    EXPECT_EQ(frontend_->wait(0, Deadline::kNever).code(), ECONNRESET);
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_EQ(frontend_->wait(0, Deadline::kNever).code(), ECONNRESET);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, CallsForNothingCostNothing) {
    connect_waiting();
    put(call_, 0xfffffffffffffffe);
    EXPECT_EQ(frontend_->wait(0, 0).code(), ETIMEDOUT);  // a call from before the wait
    std::thread device([this] {
        while (!stop_.load()) {
            std::uint64_t one = 1;
            (void)!::write(call_, &one, sizeof one);
        }
    });
    for (int i = 0; i < 200; ++i) {
        const int code = frontend_->wait(0, 1).code();
        EXPECT_TRUE(code == 0 || code == ETIMEDOUT) << code;
        EXPECT_EQ(collect(), 0U);
    }
    stop_ = true;
    device.join();
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, ABackEndThatTakesNonblockAwayDoesNotHoldUpAWait) {
    connect_waiting();
    ASSERT_EQ(::fcntl(call_, F_SETFL, 0), 0);  // the flag of the open file, which both sides share
    EXPECT_EQ(frontend_->wait(0, 5).code(), ETIMEDOUT);
    put(call_, 1);
    add();
    ASSERT_TRUE(frontend_->submit(0));
    EXPECT_EQ(frontend_->wait(0, 5).code(), ETIMEDOUT);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, ABackEndThatTakesNoKicksIsKickedAllTheSame) {
    connect_waiting();
    put(kick_, 0xfffffffffffffffe);  // not one more fits
    device_->arm_kicks();
    add();
    EXPECT_TRUE(frontend_->submit(0)) << last_error();
    EXPECT_EQ(taken(kick_), 0xfffffffffffffffe);
    ASSERT_TRUE(close());
}

TEST_F(QueueTest, ABrokenRingDoesNotWait) {
    connect_waiting();
    add();
    ASSERT_TRUE(frontend_->submit(0));
    device_->complete(77, 0);
    ASSERT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
    bounce_completion completions[1];
    EXPECT_EQ(frontend_->ring(0).collect(completions).code(), EPROTO);
    ASSERT_TRUE(frontend_->wait(0, Deadline::kNever)) << last_error();
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_EQ(frontend_->reconnect().code(), EBUSY);
    EXPECT_EQ(frontend_->ring(0).abort(completions), 1U);
    EXPECT_EQ(completions[0].status, -ECONNRESET);
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    EXPECT_EQ(frontend_->wait(0, 0).code(), ETIMEDOUT);
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(QueueTest, BadQueuesAndPollers) {
    config_.calls = false;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(frontend_->submit(1).code(), EINVAL);
    EXPECT_EQ(frontend_->wait(1, 0).code(), EINVAL);
    EXPECT_EQ(frontend_->wait(0, 0).code(), EINVAL);
    ASSERT_TRUE(close());
}

}  // namespace
}  // namespace bounce::vhost
