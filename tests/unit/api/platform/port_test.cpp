// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that does not speak as DeviceEnd does.
#include "api/platform/port.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

namespace bounce::emulated {
namespace {

class PortTest : public testing::Test {
protected:
    static constexpr std::uint64_t kGpa = 0x1000'0000;
    static constexpr std::uint64_t kBytes = 8192;

    void SetUp() override { start(BOUNCE_EMULATED_SEV); }
    void TearDown() override {
        ::close(device_);
        ::munmap(memory_, kBytes);
    }
    void start(std::uint32_t model) {
        int pair[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        if (device_ >= 0) ::close(device_);
        if (memory_ != nullptr) ::munmap(memory_, kBytes);
        device_ = pair[0];
        port_.reset();
        machine_ = std::make_unique<Machine>(*find_model(model), 4096, 7);
        port_ = std::make_unique<Port>(*machine_, pair[1], bounce_audience{}, 3);
        memory_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_TRUE(machine_->add_memory(kGpa, memory_, kBytes));
        std::memset(memory_, 0x33, kBytes);
    }
    /// False: the port ends the connection.
    bool say(const Request& request, std::size_t bytes) {
        EXPECT_EQ(::send(device_, &request, bytes, 0), static_cast<ssize_t>(bytes));
        return port_->answer(on_violation, this);
    }
    ssize_t hear(Reply& reply) { return ::recv(device_, &reply, sizeof reply, MSG_DONTWAIT); }
    static void on_violation(void* user, const bounce_violation* violation) {
        auto& it = *static_cast<PortTest*>(user);
        ++it.violations_;
        EXPECT_EQ(violation->kind, BOUNCE_VIOLATION_ACCESS);
        EXPECT_STREQ(violation->device, "port 3");
        EXPECT_EQ(violation->ring, UINT32_MAX);
        it.last_ = violation->got;
    }
    static Request request_of(Op op, std::uint32_t bytes, std::uint64_t address) {
        Request request{};
        request.op = static_cast<std::uint32_t>(op);
        request.bytes = bytes;
        request.address = address;
        return request;
    }

    std::unique_ptr<Machine> machine_;
    std::unique_ptr<Port> port_;
    void* memory_ = nullptr;
    int device_ = -1;
    int violations_ = 0;
    std::uint64_t last_ = 0;
};

TEST_F(PortTest, EndsTheConnectionOfWhoSpeaksNonsense) {
    EXPECT_TRUE(port_->answer(on_violation, this));  // nothing is there: nothing happens
    const Request good = request_of(Op::kRead, 16, kGpa);
    Request unknown = good;
    EXPECT_FALSE(say(good, kRequestHead - 1)) << "too short";
    EXPECT_FALSE(say(good, kRequestHead + 1)) << "data where none belong";
    for (const std::uint32_t op : {0u, 5u, ~0u}) {
        unknown.op = op;
        EXPECT_FALSE(say(unknown, kRequestHead)) << op;
    }
    for (const std::uint32_t bytes : {0u, kMostData + 1, ~0u})
        EXPECT_FALSE(say(request_of(Op::kRead, bytes, kGpa), kRequestHead)) << bytes;
    EXPECT_FALSE(say(request_of(Op::kWrite, 16, kGpa), kRequestHead + 15)) << "less data than it says";
    EXPECT_FALSE(say(request_of(Op::kWrite, 16, kGpa), kRequestHead + 17)) << "more data than it says";
    EXPECT_FALSE(say(request_of(Op::kFindToRead, 16, kGpa), kRequestHead + 1)) << "data where none belong";
    Reply reply;
    EXPECT_LT(hear(reply), 0) << "an answer to nonsense";
    EXPECT_EQ(violations_, 0);
    ::shutdown(device_, SHUT_RDWR);
    EXPECT_FALSE(port_->answer(on_violation, this)) << "it is gone";
}

TEST_F(PortTest, AnswersWithNothingButWhatWasAskedFor) {
    Reply reply;
    EXPECT_TRUE(say(request_of(Op::kFindToRead, 100, kGpa + 5), kRequestHead));
    EXPECT_EQ(hear(reply), static_cast<ssize_t>(kReplyHead));
    EXPECT_EQ(reply.status, 0);
    EXPECT_EQ(reply.window, 0u);
    EXPECT_EQ(reply.bytes, kBytes - 5);
    EXPECT_TRUE(say(request_of(Op::kRead, 10, kGpa + 5), kRequestHead));
    EXPECT_EQ(hear(reply), static_cast<ssize_t>(kReplyHead + 10));
    EXPECT_EQ(machine_->stats().ciphertext_reads, 10u);
}

TEST_F(PortTest, ReadsNoFurtherThanTheMemory) {
    Reply reply;
    EXPECT_TRUE(say(request_of(Op::kRead, 10, kGpa + kBytes - 9), kRequestHead));
    EXPECT_EQ(hear(reply), static_cast<ssize_t>(kReplyHead));
    EXPECT_EQ(reply.status, -EFAULT);
    EXPECT_EQ(violations_, 1);
    EXPECT_EQ(last_, kGpa + kBytes - 9);
    Request request = request_of(Op::kWrite, kMostData, kGpa + kBytes - kMostData + 1);
    EXPECT_TRUE(say(request, kRequestHead + kMostData));
    EXPECT_GT(hear(reply), 0);
    EXPECT_EQ(reply.status, -EFAULT);
    EXPECT_EQ(machine_->stats().garbled_writes, 0u);
    // The most that there can be in one, at the odd addresses of a block.
    for (const std::uint64_t offset : {1u, 15u, 16u}) {
        request = request_of(Op::kWrite, kMostData, kGpa + offset);
        EXPECT_TRUE(say(request, kRequestHead + kMostData));
        EXPECT_GT(hear(reply), 0);
        EXPECT_EQ(reply.status, 0);
        EXPECT_TRUE(say(request_of(Op::kRead, kMostData, kGpa + offset), kRequestHead));
        EXPECT_EQ(hear(reply), static_cast<ssize_t>(kReplyHead + kMostData));
        // The device reads back what it wrote: it sees ciphertext, and wrote ciphertext.
        EXPECT_EQ(std::memcmp(reply.data, request.data, kMostData), 0);
    }
}

TEST_F(PortTest, RefusesWithoutAsking) {
    start(BOUNCE_EMULATED_TDX);
    Reply reply;
    // A device that leaves the question out is not believed.
    EXPECT_TRUE(say(request_of(Op::kRead, 16, kGpa), kRequestHead));
    EXPECT_GT(hear(reply), 0);
    EXPECT_EQ(reply.status, -EFAULT);
    Request request = request_of(Op::kWrite, 16, kGpa);
    EXPECT_TRUE(say(request, kRequestHead + 16));
    EXPECT_GT(hear(reply), 0);
    EXPECT_EQ(reply.status, -EFAULT);
    EXPECT_EQ(violations_, 2);
    EXPECT_EQ(machine_->stats().faults, 2u);
    const std::vector<std::byte> before(kBytes, std::byte{0x33});
    EXPECT_EQ(std::memcmp(memory_, before.data(), kBytes), 0);
}

TEST_F(PortTest, DoesNotWaitForADeviceThatDoesNotListen) {
    const Request request = request_of(Op::kFindToRead, 1, kGpa);
    bool open = true;
    for (int i = 0; i < 100000 && open; ++i) open = say(request, kRequestHead);
    EXPECT_FALSE(open) << "its answers pile up";
}

}  // namespace
}  // namespace bounce::emulated
