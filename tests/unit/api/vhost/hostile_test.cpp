// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Back-ends that answer wrongly, at every request that has an answer: a clear error, a report, no connection, nothing
// left behind.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/api/vhost/frontend_fixture.hpp"

namespace bounce::vhost {
namespace {

using test::Message;
using test::Peer;

struct Lie {
    const char* name;
    int code;
    bool reported;
    std::function<void(Peer&, Message&, std::size_t)> act;  // with the size that the answer should have
};

const char kBytes[512] = {};
constexpr std::uint32_t kShortTimeout = 1000;

const Lie kLies[] = {
    {"another_request", EPROTO, true,
     [](Peer& p, Message& m, std::size_t n) { p.send(m.request + 1, 5, static_cast<std::uint32_t>(n), kBytes, n); }},
    {"no_reply_flag", EPROTO, true, [](Peer& p, Message& m, std::size_t n) { p.reply(m, kBytes, n, 1); }},
    {"wrong_version", EPROTO, true, [](Peer& p, Message& m, std::size_t n) { p.reply(m, kBytes, n, 4 | 3); }},
    {"too_long", EPROTO, true, [](Peer& p, Message& m, std::size_t n) { p.reply(m, kBytes, n + 1); }},
    {"too_short", EPROTO, true, [](Peer& p, Message& m, std::size_t n) { p.reply(m, kBytes, n - 1); }},
    {"huge", EPROTO, true, [](Peer& p, Message& m, std::size_t n) { p.send(m.request, 5, 0xfffffff0, kBytes, n); }},
    {"with_descriptors", EPROTO, true,
     [](Peer& p, Message& m, std::size_t n) {
         p.send(m.request, 5, static_cast<std::uint32_t>(n), kBytes, n, std::vector<int>(20, p.fd()));
     }},
    {"cut_off", ECONNRESET, false,
     [](Peer& p, Message& m, std::size_t n) {
         p.send(m.request, 5, static_cast<std::uint32_t>(n), kBytes, n / 2);
         p.close();
     }},
    {"hang_up", ECONNRESET, false, [](Peer& p, Message&, std::size_t) { p.close(); }},
    {"silence", ETIMEDOUT, true, [](Peer&, Message&, std::size_t) {}},
    {"half_an_answer", ETIMEDOUT, true,
     [](Peer& p, Message& m, std::size_t n) { p.send(m.request, 5, static_cast<std::uint32_t>(n), kBytes, n / 2); }},
};

class Hostile : public FrontendTest, public ::testing::WithParamInterface<Lie> {};

TEST_P(Hostile, ConnectingFailsClearly) {
    const Lie& lie = GetParam();
    const std::size_t descriptors = test::open_descriptors();
    std::uint64_t reports = 0;
    // Each request up to running queues that has an answer; with REPLY_ACK nearly all have.
    std::vector<std::uint32_t> requests = {1, 15, 17, 36, 2, 37, 8, 10, 9, 13, 12, 18};
    if (lie.code == ETIMEDOUT) {  // a long time each: the timeout must not hit the right answers before
        requests = {1, 37, 18};
        config_.timeout_ms = kShortTimeout;
    }
    for (const std::uint32_t request : requests) {
        SCOPED_TRACE(request);
        const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
        backend_.instead = {{request, [&lie](Peer& p, Message& m) { lie.act(p, m, 8); }}};
        backend_.start();
        ASSERT_EQ(connect().code(), lie.code) << last_error();
        EXPECT_NE(std::string(last_error()).find(request_name(Request{request})), std::string::npos) << last_error();
        reports += lie.reported ? 1 : 0;
        EXPECT_EQ(callbacks_.violations(), reports);
        backend_.stop();
        backend_.forget();
        EXPECT_EQ(test::open_descriptors(), descriptors);
        // Whoever has seen the memory has seen the last of it.
        const bool shown = request != 1 && request != 15 && request != 17 && request != 36 && request != 2;
        EXPECT_EQ(pool_->region(RegionId{0}).epoch() != epoch, shown);
        expect_clean();
    }
}

TEST_P(Hostile, AControlCallEndsTheConnection) {
    const Lie& lie = GetParam();
    config_.timeout_ms = lie.code == ETIMEDOUT ? kShortTimeout : 20000;
    backend_.instead = {{24, [&lie](Peer& p, Message& m) { lie.act(p, m, 12 + 8); }}};
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    unsigned char out[8] = {};
    ASSERT_EQ(frontend_->read_config(0, out, 8).code(), lie.code) << last_error();
    EXPECT_EQ(callbacks_.violations(), lie.reported ? 1U : 0U);
    EXPECT_EQ(frontend_->info().connected, 0U);
    EXPECT_EQ(frontend_->check().code(), ECONNRESET);
    EXPECT_EQ(frontend_->submit(0).code(), ECONNRESET);
    EXPECT_EQ(frontend_->read_config(0, out, 8).code(), ECONNRESET);
    EXPECT_EQ(frontend_->reconnect().code(), EBUSY);
    // A decent successor is welcome.
    ASSERT_TRUE(frontend_->disconnect()) << last_error();
    backend_.stop();
    backend_.instead.clear();
    backend_.start();
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    ASSERT_TRUE(frontend_->read_config(0, out, 8)) << last_error();
    ASSERT_TRUE(close()) << last_error();
    expect_clean();
}

TEST_P(Hostile, ClosingIsBounded) {
    const Lie& lie = GetParam();
    config_.timeout_ms = lie.code == ETIMEDOUT ? kShortTimeout : 20000;
    config_.queues = 4;
    backend_.instead = {{11, [&lie](Peer& p, Message& m) { lie.act(p, m, 8); }}};
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
    ASSERT_TRUE(close()) << last_error();
    EXPECT_NE(pool_->region(RegionId{0}).epoch(), epoch);
    // Being slow to stop breaks no rule.
    EXPECT_EQ(callbacks_.violations(), lie.reported && lie.code != ETIMEDOUT ? 1U : 0U);
    expect_clean();
}

INSTANTIATE_TEST_SUITE_P(Lies, Hostile, ::testing::ValuesIn(kLies),
                         [](const auto& about) { return std::string(about.param.name); });

TEST_F(FrontendTest, WrongContentOfRightReplies) {
    const std::size_t descriptors = test::open_descriptors();
    const struct {
        std::uint32_t request;
        std::uint64_t answer;
        int code;
        const char* words;
    } cases[] = {
        {1, 0, ENOTSUP, "VERSION_1"},
        {17, 0, EPROTO, "0 queues"},
        {36, 0, EPROTO, "0 memory slots"},
        {2, 1, ENOTSUP, "SET_FEATURES: the back-end refused"},
        {37, ~std::uint64_t{0}, ENOTSUP, "ADD_MEM_REG: the back-end refused"},
        {12, 5, ENOTSUP, "SET_VRING_KICK: the back-end refused (answer 5"},
    };
    for (const auto& one : cases) {
        backend_.instead = {{one.request, [&one](Peer& p, Message& m) { p.reply(m, one.answer); }}};
        backend_.start();
        EXPECT_EQ(connect().code(), one.code) << last_error();
        EXPECT_NE(std::string(last_error()).find(one.words), std::string::npos) << last_error();
        backend_.stop();
        backend_.forget();
        EXPECT_EQ(test::open_descriptors(), descriptors);
        expect_clean();
    }
    EXPECT_EQ(callbacks_.violations(), 2U);
}

TEST_F(FrontendTest, ImpossiblyManyQueuesAndSlotsAreHarmless) {
    backend_.queues = ~std::uint64_t{0};
    backend_.slots = ~std::uint64_t{0};
    backend_.features = ~std::uint64_t{0};
    backend_.protocol = ~std::uint64_t{0};
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(frontend_->info().max_queues, kMaxQueues);
    EXPECT_EQ(frontend_->info().max_memory_slots, 0xffffffffU);
    EXPECT_EQ(frontend_->info().features, kVersion1 | kEventIdx | kIndirectDesc);
    EXPECT_EQ(frontend_->info().protocol_features, kKnownProtocolFeatures);
    ASSERT_TRUE(close());
}

TEST_F(FrontendTest, AnswersOfTheWrongPlace) {
    backend_.instead[24] = [](Peer& p, Message& m) {
        const std::uint32_t offset = 1;  // not the one that was asked for
        std::memcpy(m.payload.data(), &offset, sizeof offset);
        p.reply(m, m.payload.data(), m.payload.size());
    };
    backend_.instead[11] = [](Peer& p, Message& m) {
        const std::uint32_t state[2] = {m.u32(0) + 1, 0};
        p.reply(m, state, sizeof state);
    };
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    unsigned char out[4] = {9, 9, 9, 9};
    ASSERT_EQ(frontend_->read_config(0, out, 4).code(), EPROTO);
    EXPECT_NE(std::string(last_error()).find("4 bytes at offset 1, expected 4 at 0"), std::string::npos)
        << last_error();
    EXPECT_EQ(out[0], 9);
    EXPECT_EQ(callbacks_.violations(), 1U);
    ASSERT_TRUE(frontend_->disconnect());
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    ASSERT_TRUE(close());
    EXPECT_EQ(callbacks_.violations(), 2U);
    expect_clean();
}

TEST_F(FrontendTest, DataThatNobodyAskedForEndsTheConnection) {
    backend_.before[25] = [](Peer& p, Message& m) { p.reply(m, 0); };  // and once more
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_TRUE(frontend_->check());
    const unsigned char in = 1;
    ASSERT_TRUE(frontend_->write_config(0, &in, 1)) << last_error();
    Result<void> found;
    while ((found = frontend_->check())) std::this_thread::yield();
    EXPECT_EQ(found.code(), EPROTO) << last_error();
    EXPECT_EQ(callbacks_.violations(), 1U);
    EXPECT_EQ(frontend_->info().connected, 0U);
    ASSERT_TRUE(close());
    expect_clean();
}

TEST_F(FrontendTest, AWriteThatIsRefusedLeavesTheConnection) {
    backend_.instead[25] = [](Peer& p, Message& m) { p.reply(m, 1); };
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    const unsigned char in = 1;
    EXPECT_EQ(frontend_->write_config(0, &in, 1).code(), ENOTSUP);
    EXPECT_TRUE(frontend_->check());
    EXPECT_EQ(callbacks_.violations(), 0U);
    ASSERT_TRUE(close());
}

}  // namespace
}  // namespace bounce::vhost
