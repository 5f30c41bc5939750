// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// One queue of a front-end is stopped and started anew while the others go on.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace bounce::vhost {
namespace {

using test::Message;

constexpr std::uint32_t kGetVringBase = 11;
constexpr std::uint32_t kSetVringKick = 12;
constexpr std::uint32_t kSetVringCall = 13;

class QueueReset : public FrontendTest {
protected:
    QueueReset() { config_.queues = 3; }
    ~QueueReset() override {
        if (frontend_ != nullptr) (void)frontend_->close();
    }
    void connect_well() {
        backend_.start();
        ASSERT_TRUE(connect()) << last_error();
        backend_.forget();
    }
    Result<void> add(std::uint32_t queue) {
        const bounce_sg sg{&data_, sizeof data_, 0, 0};
        auto added = frontend_->ring(queue).add({&sg, 1}, 0, nullptr);
        if (!added) return added;
        return frontend_->submit(queue);
    }
    std::size_t abort(std::uint32_t queue) {
        bounce_completion completions[8];
        return frontend_->ring(queue).abort(completions);
    }
    /// A kick of the queue comes through this descriptor.
    static bool kicked(int fd) {
        pollfd entry{fd, POLLIN, 0};
        return ::poll(&entry, 1, 0) == 1;
    }
    std::uint64_t data_ = 7;
};

TEST_F(QueueReset, ConcernsThatQueueOnly) {
    connect_well();
    ASSERT_TRUE(add(0)) << last_error();
    ASSERT_TRUE(frontend_->stop_queue(1)) << last_error();
    std::vector<Message> log = backend_.log();
    ASSERT_EQ(log.size(), 1U);
    EXPECT_EQ(log[0].request, kGetVringBase);
    EXPECT_EQ(log[0].u32(0), 1U);
    EXPECT_EQ(frontend_->stop_queue(1).code(), EALREADY);
    backend_.forget();

    ASSERT_TRUE(frontend_->start_queue(1)) << last_error();
    log = backend_.log();
    std::vector<std::uint32_t> requests;
    for (const Message& message : log) {
        requests.push_back(message.request);
        const bool descriptor = message.request == kSetVringKick || message.request == kSetVringCall;
        EXPECT_EQ(descriptor ? message.u64(0) & 0xff : message.u32(0), 1U) << "of request " << message.request;
    }
    EXPECT_EQ(requests, (std::vector<std::uint32_t>{8, 10, 9, 13, 12, 18}));
    EXPECT_EQ(log[1].u32(4), 0U) << "it begins at index 0";
    EXPECT_EQ(frontend_->start_queue(1).code(), EALREADY);

    // It works, by its new eventfd; and nothing happened to the others.
    ASSERT_TRUE(add(1)) << last_error();
    ASSERT_TRUE(frontend_->kick(1));
    EXPECT_TRUE(kicked(log[4].fds.at(0)));
    EXPECT_EQ(frontend_->ring(0).outstanding(), 1U);
    ASSERT_TRUE(add(0)) << last_error();
    ASSERT_TRUE(add(2)) << last_error();
    backend_.forget();
    ASSERT_TRUE(close()) << last_error();
    EXPECT_EQ(backend_.log(kGetVringBase).size(), 3U);
    expect_clean();
}

TEST_F(QueueReset, APackedRingBeginsAnew) {
    backend_.features = backend_.features | kRingPacked;
    config_.features.wanted = kRingPacked;
    connect_well();
    ASSERT_TRUE(add(2));
    ASSERT_TRUE(frontend_->stop_queue(2));
    EXPECT_EQ(abort(2), 1U);
    backend_.forget();
    ASSERT_TRUE(frontend_->start_queue(2)) << last_error();
    EXPECT_EQ(backend_.log(10).at(0).u32(4), 0x80008000U);
}

TEST_F(QueueReset, TheWordOfABackEndIsNoProof) {
    connect_well();
    ASSERT_TRUE(add(1));
    EXPECT_FALSE(frontend_->out_of_reach(frontend_->ring(1)));
    ASSERT_TRUE(frontend_->stop_queue(1));
    EXPECT_FALSE(frontend_->out_of_reach(frontend_->ring(1))) << "it may still write to what it has";
    EXPECT_EQ(frontend_->start_queue(1).code(), EBUSY) << last_error();
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_TRUE(frontend_->out_of_reach(frontend_->ring(1)));
    EXPECT_EQ(backend_.log(kGetVringBase).size(), 3U) << "the one that had stopped was not asked again";
    EXPECT_EQ(abort(1), 1U);
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    EXPECT_EQ(frontend_->start_queue(1).code(), EALREADY) << "all queues run";
}

TEST_F(QueueReset, OfATrustedOneItIs) {
    config_.trusted = true;
    connect_well();
    ASSERT_TRUE(add(1));
    ASSERT_TRUE(frontend_->stop_queue(1));
    EXPECT_TRUE(frontend_->out_of_reach(frontend_->ring(1)));
    EXPECT_FALSE(frontend_->out_of_reach(frontend_->ring(0)));
    EXPECT_EQ(abort(1), 1U);
    ASSERT_TRUE(frontend_->start_queue(1)) << last_error();
    ASSERT_TRUE(add(1)) << last_error();
}

TEST_F(QueueReset, SaysWhatIsWrong) {
    connect_well();
    EXPECT_EQ(frontend_->stop_queue(3).code(), EINVAL);
    EXPECT_EQ(frontend_->start_queue(3).code(), EINVAL);
    EXPECT_EQ(frontend_->start_queue(0).code(), EALREADY);
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_EQ(frontend_->stop_queue(0).code(), ECONNRESET);
    EXPECT_EQ(frontend_->start_queue(0).code(), ECONNRESET);
}

TEST_F(QueueReset, AnAnswerForAnotherQueueEndsTheConnection) {
    backend_.instead[kGetVringBase] = [](test::Peer& peer, Message& message) {
        const std::uint32_t state[2] = {message.u32(0) + 1, 0};
        peer.reply(message, state, sizeof state);
    };
    connect_well();
    EXPECT_EQ(frontend_->stop_queue(1).code(), EPROTO) << last_error();
    EXPECT_EQ(frontend_->info().connected, 0U);
    EXPECT_EQ(callbacks_.violations(), 1U);
}

TEST_F(QueueReset, AQueueThatIsRefusedStaysStopped) {
    std::atomic<std::uint64_t> answer{0};
    backend_.instead[12] = [&answer](test::Peer& peer, Message& message) { peer.reply(message, answer); };
    connect_well();
    ASSERT_TRUE(frontend_->stop_queue(1));
    answer = 1;
    EXPECT_EQ(frontend_->start_queue(1).code(), ENOTSUP) << last_error();
    EXPECT_EQ(frontend_->stop_queue(1).code(), EALREADY);
    answer = 0;
    ASSERT_TRUE(frontend_->start_queue(1)) << last_error();
    ASSERT_TRUE(close()) << last_error();
    backend_.stop();
}

}  // namespace
}  // namespace bounce::vhost
