// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/vhost/channel.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "tests/unit/api/vhost/fake_backend.hpp"

namespace bounce::vhost {
namespace {

using test::Message;
using test::Peer;

/// A channel with somebody at the other end who reads one request and then does what the test says.
class ChannelTest : public ::testing::Test {
protected:
    using Act = std::function<void(Peer&, Message&)>;

    /// Sends GET_FEATURES, expects eight bytes.
    Result<std::size_t> ask(const Act& act, std::uint32_t timeout_ms = 5000, bool may_be_empty = false) {
        connect();
        std::thread other([this, &act] {
            Message message;
            if (peer_->receive(message)) act(*peer_, message);
        });
        auto result = channel_.exchange(Request::kGetFeatures, 0, {}, {}, std::as_writable_bytes(std::span(&value_, 1)),
                                        may_be_empty, Deadline(timeout_ms));
        if (!result) channel_.hang_up();  // so that a peer that still sends comes to an end
        other.join();
        return result;
    }
    void expect_broken(const Act& act, const char* words, std::uint64_t got, std::uint64_t expected) {
        connect();
        const std::size_t before = test::open_descriptors();
        ASSERT_EQ(ask(act).code(), EPROTO) << last_error();
        EXPECT_NE(std::string(last_error()).find(words), std::string::npos) << last_error();
        EXPECT_NE(std::string(last_error()).find("GET_FEATURES"), std::string::npos) << last_error();
        EXPECT_EQ(channel_.fault().got, got);
        EXPECT_EQ(channel_.fault().expected, expected);
        EXPECT_EQ(test::open_descriptors(), before);
    }
    void connect() {
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ASSERT_TRUE(channel_.adopt(Fd(ends[0])));
        peer_.emplace(ends[1]);
    }

    Channel channel_;
    std::optional<Peer> peer_;
    std::uint64_t value_ = 0;
};

TEST_F(ChannelTest, SendsTheRequestAndTakesTheReply) {
    auto result = ask([](Peer& peer, Message& message) {
        EXPECT_EQ(message.request, 1U);
        EXPECT_EQ(message.flags, 1U);
        EXPECT_TRUE(message.payload.empty());
        peer.reply(message, 0x123456789abcdef0);
    });
    ASSERT_TRUE(result) << last_error();
    EXPECT_EQ(*result, 8U);
    EXPECT_EQ(value_, 0x123456789abcdef0U);
    EXPECT_TRUE(channel_.check());
}

TEST_F(ChannelTest, AReplyInPiecesIsAReply) {
    auto result = ask([](Peer& peer, Message&) {
        const std::uint32_t words[5] = {1, 5, 8, 42, 0};
        const auto* bytes = reinterpret_cast<const char*>(words);
        for (std::size_t i = 0; i < sizeof words; ++i) peer.raw(bytes + i, 1);
    });
    ASSERT_TRUE(result) << last_error();
}

TEST_F(ChannelTest, PassesDescriptorsAndPayload) {
    connect();
    const std::uint64_t payload = 7;
    const int fds[2] = {0, 1};
    ASSERT_TRUE(channel_.send(Request::kSetVringCall, std::as_bytes(std::span(&payload, 1)), fds, Deadline(1000)));
    Message message;
    ASSERT_TRUE(peer_->receive(message));
    EXPECT_EQ(message.request, 13U);
    EXPECT_EQ(message.u64(0), 7U);
    ASSERT_EQ(message.fds.size(), 2U);
    for (const int fd : message.fds) ::close(fd);
}

TEST_F(ChannelTest, RejectsWrongReplies) {
    const std::uint64_t eight = 8;
    expect_broken([&](Peer& p, Message&) { p.send(2, 5, 8, &eight, 8); }, "another request", 2, 1);
    expect_broken([&](Peer& p, Message&) { p.send(1, 1, 8, &eight, 8); }, "not marked", 1, 5);
    expect_broken([&](Peer& p, Message&) { p.send(1, 4 | 2, 8, &eight, 8); }, "another version", 2, 1);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 4, &eight, 4); }, "wrong size", 4, 8);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 0, nullptr, 0); }, "wrong size", 0, 8);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 12, &eight, 8); }, "wrong size", 12, 8);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 0xffffffff, &eight, 8); }, "wrong size", 0xffffffff, 8);
}

TEST_F(ChannelTest, ClosesDescriptorsThatNobodyAskedFor) {
    const std::uint64_t eight = 8;
    const std::vector<int> one{0};
    const std::vector<int> many(200, 0);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 8, &eight, 8, one); }, "descriptors", 1, 0);
    expect_broken([&](Peer& p, Message&) { p.send(1, 5, 8, &eight, 8, many); }, "descriptors", 200, 0);
    // With the payload instead of the header.
    expect_broken(
        [&](Peer& p, Message&) {
            const std::uint32_t header[3] = {1, 5, 8};
            p.raw(header, sizeof header);
            p.raw(&eight, sizeof eight, one);
        },
        "descriptors", 1, 0);
}

TEST_F(ChannelTest, AnEmptyReplyCountsWhereItMay) {
    auto result = ask([](Peer& peer, Message& message) { peer.reply(message, nullptr, 0); }, 5000, true);
    ASSERT_TRUE(result) << last_error();
    EXPECT_EQ(*result, 0U);
}

// It takes nothing more and says that it will send nothing more: that is over at once, and not a busy wait.
TEST_F(ChannelTest, APeerThatClosesItsSideWhileItIsFullIsGone) {
    connect();
    const std::uint64_t payload = 7;
    Result<void> sent;
    while (sent) sent = channel_.send(Request::kSetFeatures, std::as_bytes(std::span(&payload, 1)), {}, Deadline(20));
    ASSERT_EQ(sent.code(), ETIMEDOUT) << last_error();
    std::thread peer([this] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        ::shutdown(peer_->fd(), SHUT_WR);
    });
    sent = channel_.send(Request::kSetFeatures, std::as_bytes(std::span(&payload, 1)), {}, Deadline(Deadline::kNever));
    EXPECT_EQ(sent.code(), ECONNRESET) << last_error();
    peer.join();
}

TEST_F(ChannelTest, SilenceEndsWithTheTimeout) {
    ASSERT_EQ(ask([](Peer&, Message&) {}, 30).code(), ETIMEDOUT) << last_error();
    EXPECT_EQ(channel_.fault().got, 0U);
    EXPECT_EQ(channel_.fault().expected, sizeof(Header));
}

TEST_F(ChannelTest, ADripDoesNotStretchTheTimeout) {
    // Every byte comes within the timeout; all of them together do not.
    auto result = ask(
        [](Peer& peer, Message&) {
            const std::uint32_t words[5] = {1, 5, 8, 42, 0};
            const auto* bytes = reinterpret_cast<const char*>(words);
            for (std::size_t i = 0; i < sizeof words && peer.raw(bytes + i, 1); ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
            }
        },
        400);
    ASSERT_EQ(result.code(), ETIMEDOUT) << last_error();
}

TEST_F(ChannelTest, AFloodIsNoticedAndBounded) {
    auto result = ask([](Peer& peer, Message& message) {
        peer.reply(message, 1);
        peer.reply(message, 2);
    });
    ASSERT_TRUE(result) << last_error();
    EXPECT_EQ(channel_.check().code(), EPROTO);
    auto next = channel_.exchange(Request::kGetFeatures, 0, {}, {}, std::as_writable_bytes(std::span(&value_, 1)),
                                  false, Deadline(1000));
    EXPECT_EQ(next.code(), EPROTO) << last_error();
    EXPECT_EQ(value_, 1U);
}

TEST_F(ChannelTest, ABackEndThatTakesNothingEndsWithTheTimeout) {
    connect();
    std::byte payload[kMaxPayloadBytes]{};
    int code = 0;
    for (int i = 0; i < 100000 && code == 0; ++i)
        code = channel_.send(Request::kSetConfig, payload, {}, Deadline(30)).code();
    EXPECT_EQ(code, ETIMEDOUT) << last_error();
    EXPECT_NE(std::string(last_error()).find("did not take"), std::string::npos) << last_error();
}

TEST_F(ChannelTest, ABackEndThatGoesAwayIsGone) {
    ASSERT_EQ(ask([](Peer& peer, Message&) { peer.close(); }).code(), ECONNRESET) << last_error();
    connect();
    EXPECT_TRUE(channel_.check());
    peer_->close();
    EXPECT_EQ(channel_.check().code(), ECONNRESET);
    EXPECT_EQ(channel_.send(Request::kSetOwner, {}, {}, Deadline(1000)).code(), ECONNRESET);
}

TEST_F(ChannelTest, KeepsItsNumberOverConnections) {
    connect();
    const int number = channel_.fd();
    const std::size_t before = test::open_descriptors();
    channel_.hang_up();
    EXPECT_EQ(channel_.check().code(), ECONNRESET);
    connect();
    EXPECT_EQ(channel_.fd(), number);
    EXPECT_TRUE(channel_.check());
    EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(test::open_descriptors(), before);
}

TEST_F(ChannelTest, CheckFromAnotherThreadDoesNotMistakeAnAnswer) {
    connect();
    std::atomic<bool> done{false};
    std::thread other([this] {
        Message message;
        while (peer_->receive(message)) peer_->reply(message, 5);
    });
    int wrong = 0;
    std::thread checker([this, &done, &wrong] {
        while (!done.load()) wrong += channel_.check() ? 0 : 1;
    });
    for (int i = 0; i < 3000; ++i) {
        auto result = channel_.exchange(Request::kGetFeatures, 0, {}, {}, std::as_writable_bytes(std::span(&value_, 1)),
                                        false, Deadline(5000));
        ASSERT_TRUE(result) << last_error();
    }
    done = true;
    checker.join();
    channel_.hang_up();
    other.join();
    EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace bounce::vhost
