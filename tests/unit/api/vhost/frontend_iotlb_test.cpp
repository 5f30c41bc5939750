// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Translated addresses: what a back-end asks for is looked up in a private table; whatever makes no sense is refused.
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

constexpr std::uint32_t kSetBackendFd = 21;
constexpr std::uint32_t kIotlb = 22;
constexpr std::uint64_t kAccessPlatformBit = 1ULL << 33;

/// As it is on the wire, by another hand than the library's.
struct Ask {
    std::uint64_t iova = 0;
    std::uint64_t size = 0;
    std::uint64_t user = 0;
    std::uint8_t access = 1;
    std::uint8_t type = 1;
    std::uint8_t padding[6] = {};
};
static_assert(sizeof(Ask) == 32);

class Translated : public FrontendTest {
protected:
    Translated() {
        config_.features.translated = true;
        config_.timeout_ms = 20000;
        backend_.features = backend_.features | kAccessPlatformBit;
    }
    ~Translated() override {
        if (frontend_ != nullptr) (void)frontend_->close();
        backend_.stop();
    }
    void connect_well() {
        backend_.start();
        ASSERT_TRUE(connect()) << last_error();
        const auto given = backend_.log(kSetBackendFd);
        ASSERT_EQ(given.size(), 1U);
        ASSERT_EQ(given[0].fds.size(), 1U);
        asks_ = std::make_unique<Peer>(::dup(given[0].fds[0]));
    }
    void ask(const Ask& message, std::uint32_t flags = 1) {
        asks_->send(1, flags, sizeof message, &message, sizeof message);
    }
    std::vector<Ask> told() {
        std::vector<Ask> all;
        for (const Message& message : backend_.log(kIotlb)) {
            Ask one;
            EXPECT_EQ(message.payload.size(), sizeof one);
            std::memcpy(&one, message.payload.data(), sizeof one);
            all.push_back(one);
        }
        return all;
    }
    std::unique_ptr<Peer> asks_;
};

TEST_F(Translated, AMissIsAnsweredFromTheTable) {
    connect_well();
    EXPECT_NE(frontend_->info().features & kAccessPlatformBit, 0U);
    EXPECT_EQ(*frontend_->process(), 0U);
    ask({.iova = kTestGpa + 5000, .access = 3});
    EXPECT_EQ(*frontend_->process(), 1U) << last_error();
    const auto answers = told();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].type, 2);  // update
    EXPECT_EQ(answers[0].iova, kTestGpa);
    EXPECT_EQ(answers[0].size, 4U << 20);
    EXPECT_EQ(answers[0].user, kTestGpa);
    EXPECT_EQ(answers[0].access, 3);
    const auto info = frontend_->iotlb_info();
    EXPECT_EQ(info->misses, 1U);
    EXPECT_EQ(info->updates, 1U);
    EXPECT_EQ(info->denied, 0U);
}

TEST_F(Translated, WhatIsUnmappedIsInvalidatedAndDeniedAfterThat) {
    connect_well();
    ASSERT_TRUE(frontend_->unmap_iova(kTestGpa + 0x1000, 0x1000)) << last_error();
    auto answers = told();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].type, 3);  // invalidate
    EXPECT_EQ(answers[0].iova, kTestGpa + 0x1000);
    EXPECT_EQ(answers[0].size, 0x1000U);
    ask({.iova = kTestGpa + 0x1800}, 1 | 8);
    EXPECT_EQ(*frontend_->process(), 1U);
    EXPECT_EQ(told().size(), 1U) << "nothing was told";
    EXPECT_EQ(frontend_->iotlb_info()->denied, 1U);
    EXPECT_EQ(frontend_->iotlb_info()->denied_address, kTestGpa + 0x1800);
    EXPECT_EQ(callbacks_.violations(), 1U);
    Message reply;
    ASSERT_TRUE(asks_->receive(reply));
    EXPECT_NE(reply.u64(0), 0U) << "it wanted to know";
    // What is around it goes on.
    ask({.iova = kTestGpa + 0x2000});
    EXPECT_EQ(*frontend_->process(), 1U);
    answers = told();
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[1].iova, kTestGpa + 0x2000);
    EXPECT_EQ(frontend_->unmap_iova(kTestGpa + 0x1000, 0x1000).code(), EFAULT);
}

TEST_F(Translated, WhatIsMappedForReadingIsNotForWriting) {
    connect_well();
    ASSERT_TRUE(frontend_->unmap_iova(kTestGpa, 4U << 20));
    ask({.iova = kTestGpa + 0x1000});
    EXPECT_EQ(*frontend_->process(), 1U);
    ASSERT_TRUE(frontend_->map_iova(kTestGpa + 0x1000, 0x1000, IotlbAccess::kRead)) << last_error();
    const auto answers = told();
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[1].access, 1) << "who was denied is told now";
    ask({.iova = kTestGpa + 0x1000, .access = 2});
    EXPECT_EQ(*frontend_->process(), 1U);
    EXPECT_EQ(told().size(), 2U);
    EXPECT_EQ(frontend_->map_iova(kTestGpa + 0x1000, 1, IotlbAccess::kBoth).code(), EEXIST);
    EXPECT_EQ(frontend_->map_iova(kTestGpa - 1, 2, IotlbAccess::kBoth).code(), EFAULT);
    EXPECT_EQ(frontend_->map_iova(kTestGpa + (4U << 20) - 1, 2, IotlbAccess::kBoth).code(), EFAULT);
    EXPECT_EQ(frontend_->map_iova(kTestGpa + 1, ~std::uint64_t{0}, IotlbAccess::kBoth).code(), EFAULT);
}

TEST_F(Translated, AllIsMappedAgainAfterAReconnect) {
    connect_well();
    ASSERT_TRUE(frontend_->unmap_iova(kTestGpa, 4U << 20));
    EXPECT_EQ(frontend_->iotlb_info()->translations, 0U);
    asks_.reset();
    ASSERT_TRUE(frontend_->disconnect());
    EXPECT_EQ(frontend_->process().code(), ECONNRESET);
    backend_.forget();
    ASSERT_TRUE(frontend_->reconnect()) << last_error();
    EXPECT_EQ(frontend_->iotlb_info()->translations, 1U);
}

TEST_F(Translated, OneCallAnswersABoundedNumber) {
    connect_well();
    // All in one piece: a socket holds few small ones.
    const Ask message{.iova = kTestGpa};
    const std::uint32_t header[3] = {1, 1, sizeof message};
    std::vector<unsigned char> all(300 * (sizeof header + sizeof message));
    for (std::size_t at = 0; at < all.size(); at += sizeof header + sizeof message) {
        std::memcpy(&all[at], header, sizeof header);
        std::memcpy(&all[at + sizeof header], &message, sizeof message);
    }
    ASSERT_TRUE(asks_->raw(all.data(), all.size()));
    EXPECT_EQ(*frontend_->process(), 256U);
    EXPECT_EQ(*frontend_->process(), 44U);
    EXPECT_EQ(*frontend_->process(), 0U);
}

TEST_F(Translated, HalfARequestWaitsForItsRest) {
    connect_well();
    Ask message{.iova = kTestGpa};
    unsigned char bytes[12 + sizeof message];
    const std::uint32_t header[3] = {1, 1, sizeof message};
    std::memcpy(bytes, header, 12);
    std::memcpy(bytes + 12, &message, sizeof message);
    for (std::size_t i = 0; i < sizeof bytes; ++i) {
        EXPECT_EQ(*frontend_->process(), 0U) << i;
        ASSERT_TRUE(asks_->raw(bytes + i, 1));
    }
    EXPECT_EQ(*frontend_->process(), 1U);
}

TEST_F(Translated, RequestsThatMakeNoSenseAreRefusedButHarmless) {
    connect_well();
    for (const Ask& message :
         {Ask{.iova = kTestGpa, .type = 0}, Ask{.iova = kTestGpa, .type = 2}, Ask{.iova = kTestGpa, .type = 3},
          Ask{.iova = kTestGpa, .type = 200}, Ask{.iova = kTestGpa, .access = 0}, Ask{.iova = kTestGpa, .access = 4}}) {
        ask(message, 1 | 8);
        EXPECT_EQ(*frontend_->process(), 1U);
        Message reply;
        ASSERT_TRUE(asks_->receive(reply));
        EXPECT_EQ(reply.u64(0), 1U);
    }
    EXPECT_TRUE(told().empty());
    EXPECT_EQ(frontend_->iotlb_info()->misses, 0U);
    EXPECT_EQ(frontend_->info().connected, 1U);
}

struct Nonsense {
    const char* name;
    std::function<void(Peer&)> act;
};
const char kZeros[256] = {};
const Nonsense kNonsense[] = {
    {"another request", [](Peer& p) { p.send(3, 1, 32, kZeros, 32); }},
    {"an unknown request", [](Peer& p) { p.send(77, 1, 0, kZeros, 0); }},
    {"too long", [](Peer& p) { p.send(1, 1, 33, kZeros, 33); }},
    {"too short", [](Peer& p) { p.send(1, 1, 31, kZeros, 31); }},
    {"huge", [](Peer& p) { p.send(1, 1, 0xfffffff0, kZeros, 32); }},
    {"another version", [](Peer& p) { p.send(1, 2, 32, kZeros, 32); }},
    {"an answer", [](Peer& p) { p.send(1, 1 | 4, 32, kZeros, 32); }},
    {"descriptors", [](Peer& p) { p.send(1, 1, 32, kZeros, 32, std::vector<int>(20, p.fd())); }},
};

TEST_F(Translated, WhatBreaksTheProtocolEndsTheConnection) {
    for (const Nonsense& nonsense : kNonsense) {
        SCOPED_TRACE(nonsense.name);
        const std::uint64_t before = callbacks_.violations();
        const std::size_t descriptors = test::open_descriptors();
        backend_.forget();
        connect_well();
        nonsense.act(*asks_);
        EXPECT_EQ(frontend_->process().code(), EPROTO) << last_error();
        EXPECT_EQ(callbacks_.violations(), before + 1);
        EXPECT_EQ(frontend_->info().connected, 0U);
        EXPECT_EQ(frontend_->process().code(), ECONNRESET);
        asks_.reset();
        ASSERT_TRUE(close()) << last_error();
        backend_.stop();  // whose thread has hung up by now too
        EXPECT_EQ(test::open_descriptors(), descriptors);
    }
    expect_clean();
}

TEST_F(Translated, ABackendThatDoesNotTakeItsAnswersIsHungUpOn) {
    connect_well();
    int code = 0;
    // Until the answers do not fit into the socket any more.
    for (int i = 0; i < 100000 && code == 0; ++i) {
        ask({.iova = kTestGpa, .type = 0}, 1 | 8);
        code = frontend_->process().code();
    }
    EXPECT_EQ(code, EPROTO) << last_error();
    EXPECT_EQ(frontend_->info().connected, 0U);
}

TEST_F(Translated, AClosedChannelIsNoMoreThanThat) {
    connect_well();
    backend_.drop_fds();
    asks_.reset();
    EXPECT_EQ(frontend_->process().code(), ECONNRESET) << last_error();
}

TEST_F(Translated, NeedsWhatItNeeds) {
    backend_.features = backend_.features & ~kAccessPlatformBit;
    backend_.start();
    EXPECT_EQ(connect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("ACCESS_PLATFORM"), std::string::npos);
    backend_.features = backend_.features | kAccessPlatformBit;
    backend_.protocol = backend_.protocol & ~std::uint64_t{1U << 5};
    EXPECT_EQ(connect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("BACKEND_REQ"), std::string::npos) << last_error();
    backend_.protocol = (backend_.protocol | 1U << 5) & ~std::uint64_t{1U << 3};
    EXPECT_EQ(connect().code(), ENOTSUP);
    EXPECT_NE(std::string(last_error()).find("REPLY_ACK"), std::string::npos) << last_error();
    expect_clean();
}

TEST_F(FrontendTest, WithoutATranslationThereIsNoneOfIt) {
    backend_.features = backend_.features | kAccessPlatformBit;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(frontend_->info().features & kAccessPlatformBit, 0U);
    EXPECT_TRUE(backend_.log(kSetBackendFd).empty());
    EXPECT_EQ(frontend_->process().code(), ENOTSUP);
    EXPECT_EQ(frontend_->requests_fd().code(), ENOTSUP);
    EXPECT_EQ(frontend_->map_iova(kTestGpa, 1, IotlbAccess::kBoth).code(), ENOTSUP);
    EXPECT_EQ(frontend_->unmap_iova(kTestGpa, 1).code(), ENOTSUP);
    EXPECT_EQ(frontend_->iotlb_info().code(), ENOTSUP);
    ASSERT_TRUE(close());
}

TEST_F(FrontendTest, ANetworkDeviceCountsPairs) {
    config_.device_type = FrontendConfig::kNetwork;
    config_.queues = 4;
    backend_.queues = 2;
    backend_.start();
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(frontend_->info().max_queues, 4U);
    EXPECT_EQ(frontend_->info().queues, 4U);
    ASSERT_TRUE(close());
    backend_.queues = 1;
    EXPECT_EQ(connect().code(), ENOTSUP);
    backend_.queues = ~std::uint64_t{0};
    ASSERT_TRUE(connect()) << last_error();
    EXPECT_EQ(frontend_->info().max_queues, 256U);
    ASSERT_TRUE(close());
}

}  // namespace
}  // namespace bounce::vhost
