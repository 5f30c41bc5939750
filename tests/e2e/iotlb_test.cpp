// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A real device behind an IOTLB (dpdk-testpmd): it asks for each address; what is unmapped it cannot reach any more,
// and what it wants there is seen.
#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "bounce/iotlb.h"
#include "bounce/platform.h"
#include "bounce/policy.h"
#include "tests/e2e/support/blk.hpp"
#include "tests/e2e/support/testpmd.hpp"

namespace bounce::e2e {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kIovaDistance = std::uint64_t{1} << 40;
constexpr std::uint32_t kRx = 0;
constexpr std::uint32_t kTx = 1;
constexpr std::size_t kHeaderBytes = 12;  // of virtio-net
constexpr std::size_t kFrameBytes = 200;
constexpr std::size_t kPage = 4096;

void must(int code) {
    if (code < 0) throw std::runtime_error(bounce_last_error());
}

/// A pool whose addresses are IOVAs, far from the GPAs that the back-end knows.
PoolHandle iova_pool() {
    bounce_platform platform{};
    platform.size = sizeof platform;
    platform.encoding = BOUNCE_ENCODING_IOVA;
    platform.encoding_value = kIovaDistance;
    bounce_pool_options options{};
    options.size = sizeof options;
    options.region.size = sizeof options.region;
    options.region.bytes = 16U << 20;
    options.region.base_gpa = kBaseGpa;
    bounce_pool* pool = nullptr;
    must(bounce_pool_create_on(&platform, &options, &pool));
    return PoolHandle(pool);
}

FrontendHandle connect_net(bounce_pool* pool, const std::string& socket) {
    bounce_policy_options ask{};
    ask.size = sizeof ask;
    ask.transport = BOUNCE_TRANSPORT_VHOST_USER;
    ask.features = BOUNCE_F_VERSION_1 | BOUNCE_F_ACCESS_PLATFORM;
    ask.flags = BOUNCE_POLICY_IOMMU;
    ask.bounce = BOUNCE_LEVEL_ALWAYS;
    bounce_policy policy{};
    must(bounce_policy_decide(&ask, &policy));
    bounce_frontend_options options{};
    options.size = sizeof options;
    options.socket_path = socket.c_str();
    options.device_type = 1;
    options.queues = 2;
    options.policy = &policy;
    bounce_frontend* frontend = nullptr;
    must(bounce_frontend_connect(pool, &options, &frontend));
    return FrontendHandle(frontend);
}

class IotlbTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (!TestPmd::available()) GTEST_SKIP() << TestPmd::kMissing;
        device_.start();
        pool_ = iova_pool();
        frontend_ = connect_net(pool_.get(), device_.socket());
        blocks_.resize(33);
        for (bounce_block& block : blocks_)
            must(bounce_buffer_alloc(bounce_frontend_device(frontend_.get()), kPage, kPage, &block));
        for (std::size_t i = 1; i < blocks_.size(); ++i) post(i);
        must(bounce_frontend_submit(frontend_.get(), kRx));
    }
    void TearDown() override {
        if (frontend_ == nullptr) return;
        must(bounce_frontend_disconnect(frontend_.get()));
        bounce_completion completions[16];
        for (const std::uint32_t queue : {kRx, kTx}) {
            while (bounce_ring_abort(ring(queue), completions, 16) > 0) {
            }
        }
        for (bounce_block& block : blocks_)
            EXPECT_EQ(bounce_buffer_free(bounce_frontend_device(frontend_.get()), &block), 0);
    }
    bounce_ring* ring(std::uint32_t queue) { return bounce_frontend_ring(frontend_.get(), queue); }
    bounce_block& sent() { return blocks_[0]; }
    void post(std::size_t i) {
        const bounce_sg segment{blocks_[i].ptr, kPage, BOUNCE_SG_SHARED | BOUNCE_SG_SHARED_IN, 0};
        must(bounce_ring_add(ring(kRx), &segment, 0, 1, &blocks_[i]));
    }
    /// A frame of one's own kind, whose bytes begin with `mark`.
    void send(unsigned char mark) {
        auto* bytes = static_cast<unsigned char*>(sent().ptr);
        std::memset(bytes, 0, kHeaderBytes);
        std::iota(bytes + kHeaderBytes, bytes + kHeaderBytes + kFrameBytes, mark);
        bytes[kHeaderBytes] = bytes[kHeaderBytes + 6] = 2;  // locally administered addresses
        const bounce_sg segment{bytes, kHeaderBytes + kFrameBytes, BOUNCE_SG_SHARED, 0};
        must(bounce_ring_add(ring(kTx), &segment, 1, 0, nullptr));
        must(bounce_frontend_submit(frontend_.get(), kTx));
    }
    /// Answers the device, and takes what comes, until it is so or time is up.
    bool pump(double seconds, const std::function<bool()>& so) {
        const auto end = Clock::now() + std::chrono::duration<double>(seconds);
        while (!so()) {
            if (Clock::now() > end) return false;
            must(bounce_frontend_process(frontend_.get()));
            bounce_completion completion;
            const int taken = bounce_ring_collect(ring(kTx), &completion, 1);
            must(taken);
            taken_ += taken;
            const int came = bounce_ring_collect(ring(kRx), &completion, 1);
            must(came);
            if (came == 1) {
                const auto* block = static_cast<const bounce_block*>(completion.cookie);
                came_.emplace_back(static_cast<const unsigned char*>(block->ptr) + kHeaderBytes,
                                   static_cast<const unsigned char*>(block->ptr) + completion.written);
            }
            ::sched_yield();
        }
        return true;
    }
    void expect_came(std::size_t index, unsigned char mark) {
        ASSERT_GT(came_.size(), index);
        const auto& frame = came_[index];
        ASSERT_EQ(frame.size(), kFrameBytes);
        for (std::size_t i = 12; i < frame.size(); ++i) ASSERT_EQ(frame[i], static_cast<unsigned char>(mark + i));
    }
    bounce_iotlb_info info() {
        bounce_iotlb_info info{};
        must(bounce_frontend_get_iotlb(frontend_.get(), &info));
        return info;
    }

    TestPmd device_{1, "iommu-support=1"};
    PoolHandle pool_;
    FrontendHandle frontend_;
    std::vector<bounce_block> blocks_;
    std::vector<std::vector<unsigned char>> came_;
    int taken_ = 0;
};

TEST_F(IotlbTest, AnAccessAfterUnmapIsSeenToFail) {
    ASSERT_GE(sent().addr, kIovaDistance);
    send(10);
    ASSERT_TRUE(pump(20, [&] { return came_.size() == 1; })) << "a packet through translated addresses";
    expect_came(0, 10);
    EXPECT_GT(info().misses, 0U);
    EXPECT_EQ(info().denied, 0U);

    // The page of the packet is taken back; the next packet is there, and the device cannot have it.
    ASSERT_EQ(bounce_frontend_iotlb_unmap(frontend_.get(), sent().addr, kPage), 0) << bounce_last_error();
    EXPECT_EQ(info().invalidations, 1U);
    const int taken = taken_;
    send(20);
    ASSERT_TRUE(pump(20, [&] { return info().denied > 0; })) << "the device asks for it";
    EXPECT_GE(info().denied_address, sent().addr);
    EXPECT_LT(info().denied_address, sent().addr + kPage);
    EXPECT_GT(stats_of(pool_.get()).violations, 0U);
    EXPECT_FALSE(pump(0.5, [&] { return came_.size() > 1 || taken_ > taken; })) << "and does not get it";

    // Given again, it goes on with that packet.
    ASSERT_EQ(bounce_frontend_iotlb_map(frontend_.get(), sent().addr, kPage, BOUNCE_IOTLB_READ), 0)
        << bounce_last_error();
    // Its receiving side may have to ask anew meanwhile, and drops what it has for us until it knows: a network may.
    int seen = taken;
    const bool came = pump(20, [&] {
        if (came_.size() == 1 && taken_ > seen) {
            seen = taken_;
            send(20);
        }
        return came_.size() > 1;
    });
    ASSERT_TRUE(came) << "mapped again: taken " << taken_ << ", misses " << info().misses << ", denied "
                      << info().denied;
    expect_came(1, 20);
}

TEST_F(IotlbTest, WhatIsMappedForReadingIsNotWritten) {
    send(10);
    ASSERT_TRUE(pump(20, [&] { return came_.size() == 1; }));
    // All receive buffers can be read only: the answer to the next packet has nowhere to go.
    for (std::size_t i = 1; i < blocks_.size(); ++i) {
        ASSERT_EQ(bounce_frontend_iotlb_unmap(frontend_.get(), blocks_[i].addr, kPage), 0) << bounce_last_error();
        ASSERT_EQ(bounce_frontend_iotlb_map(frontend_.get(), blocks_[i].addr, kPage, BOUNCE_IOTLB_READ), 0);
    }
    send(30);
    ASSERT_TRUE(pump(20, [&] { return info().denied > 0; }));
    EXPECT_FALSE(pump(0.5, [&] { return came_.size() > 1; }));
}

}  // namespace
}  // namespace bounce::e2e
