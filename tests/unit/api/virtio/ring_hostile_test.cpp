// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device of either layout that writes where it should not, or has a look round. What it says of completions is in
// split_hostile_test.cpp and packed_hostile_test.cpp.
#include <atomic>
#include <thread>

#include "api/dma/token.hpp"
#include "tests/unit/api/virtio/hostile_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

TEST_P(HostileTest, Point1WhatIsWrittenOverTheRingIsNeverReadBack) {
    make(kConfig);
    for (std::uint32_t round = 0; round < 50; ++round) {
        std::vector<DeviceModel::Request> requests;
        outstanding(5);
        for (int i = 0; i < 5; ++i) requests.push_back(pop());
        model_->scribble(0x01010101 * (round + 3));
        // Some more while everything is garbage: they are described in full, whatever stood there.
        ASSERT_TRUE(add({sg_of(out_), sg_of(out_), sg_of(in_)}, 2, 5));
        queue_->publish();
        requests.push_back(pop());
        ASSERT_EQ(requests.back().pieces.size(), 3U);
        EXPECT_EQ(requests.back().bytes(false), 128U);
        EXPECT_EQ(requests.back().bytes(true), 64U);
        for (std::size_t i = requests.size(); i-- > 0;) model_->complete(requests[i].head, 0);
        const auto done = collect();
        ASSERT_EQ(done.size(), 6U);
        for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(done[i].cookie, cookie_of(5 - i));
        ASSERT_EQ(queue_->stats().free_descriptors, 16U);
    }
    EXPECT_EQ(queue_->stats().violations, 0U);
    expect_all_given_back();
}

TEST_P(HostileTest, Point2AFieldThatChangesWhileItIsReadIsOneValueOrTheOther) {
    make(kConfig);
    // One element flips between a good id with a good length and a bad id with a bad length; the other fields likewise.
    std::uint32_t good = 0;
    std::uint32_t bad = 0;
    for (int round = 0; round < 400; ++round) {
        outstanding(1);
        const auto request = pop();
        const auto say = [&](bool good_id, bool good_length) {
            const std::uint32_t id = request.head + (good_id ? 0U : packed_ ? 0x8000U : 0x10000U);
            const std::uint32_t len = good_length ? 32 : 0xffffffff;
            if (packed_)
                packed().write_used(static_cast<std::uint16_t>(id), len);
            else
                split().write_used(model_->used_index(), id, len);
        };
        say(true, true);
        std::atomic<bool> stop{false};
        std::thread liar([&] {
            for (std::uint32_t i = 0; !stop.load(std::memory_order_relaxed); ++i) say(i % 2 == 0, i % 3 != 0);
        });
        if (packed_)
            packed().mark_used();
        else
            split().set_used_index(static_cast<std::uint16_t>(model_->used_index() + 1));
        bounce_completion completion{};
        const auto n = queue_->collect({&completion, 1});
        stop.store(true, std::memory_order_relaxed);
        liar.join();
        if (n) {
            ++good;
            ASSERT_EQ(*n, 1U);
            ASSERT_TRUE((completion.reported == 32 && completion.written == 32) ||
                        (completion.reported == 0xffffffff && completion.written == 64));
        } else {
            ++bad;
            ASSERT_EQ(n.code(), EPROTO);
            ASSERT_EQ(queue_->outstanding(), 1U);
            abort_all();
        }
        ASSERT_TRUE(queue_->reset());
        connect(false);
    }
    EXPECT_EQ(good + bad, 400U);
    EXPECT_EQ(queue_->stats().completed, good);
    EXPECT_EQ(queue_->stats().aborted, bad);
    expect_all_given_back();
}

TEST_P(HostileTest, Point7TablesAreFreedByWhatIsRemembered) {
    QueueConfig config = kConfig;
    config.indirect = true;
    config.max_chain = 20;
    make(config);
    std::vector<bounce_sg> list(20, sg_of(out_));
    for (std::uint32_t round = 0; round < 50; ++round) {
        std::vector<DeviceModel::Request> requests;
        for (std::uintptr_t i = 0; i < 6; ++i) ASSERT_TRUE(add(list, 20, i));
        for (std::uintptr_t i = 6; i < 13; ++i) ASSERT_TRUE(add({sg_of(out_), sg_of(in_)}, 1, i));
        queue_->publish();
        while (requests.size() < 13) requests.push_back(pop());
        std::uint32_t tables = 0;
        for (const auto& request : requests) {
            if (request.table_len == 0) continue;
            ++tables;
            model_->scribble_table(request.table_addr, request.table_len, round * 0x11111111 + 5);
        }
        EXPECT_GT(tables, 6U);
        model_->scribble(0xffffffff);
        for (const auto& request : requests) model_->complete(request.head, 0);
        ASSERT_EQ(collect().size(), 13U);
    }
    expect_all_given_back();
}

TEST_P(HostileTest, Point8RingMemoryCannotBeUnmapped) {
    make(kConfig);
    const auto layout = queue_->layout();
    for (const std::uint64_t addr : {layout.desc_addr, layout.avail_addr, layout.used_addr}) {
        bounce_mapping forged{};
        Bytes target = bytes_of(64, 3);
        // A token that is made from a live one but for the address: what arithmetic on addresses would come to.
        ASSERT_TRUE(device_->map(out_.data(), 64, Direction::kBidirectional, 0, forged));
        bounce_mapping real = forged;
        forged.addr = addr;
        forged.slot = *pool_->to_hva(Gpa{addr}, 1);
        forged.orig = target.data();
        for (unsigned generation = 0; generation < 256; ++generation) {
            forged.handle = (real.handle & 0x003fffff) | (generation >> 6U) << 22 | generation << 26;
            const int code = device_->unmap(forged, 64).code();
            ASSERT_TRUE(code == EPERM || code == EFAULT || code == ESTALE || code == EALREADY) << code;
        }
        EXPECT_EQ(target, bytes_of(64, 3));
        ASSERT_TRUE(device_->unmap(real, 0));
    }
    outstanding(1);
    model_->complete(pop().head, 0);
    EXPECT_EQ(collect().size(), 1U);
    expect_all_given_back();
}

TEST_P(HostileTest, Point10GarbageInTheEventFieldsIsAHintAndNoMore) {
    QueueConfig config = kConfig;
    for (const bool event_idx : {false, true}) {
        config.event_idx = event_idx;
        make(config);
        std::uint32_t state = 12345;
        for (int round = 0; round < 2000; ++round) {
            state = state * 1664525 + 1013904223;
            model_->set_events(state);
            outstanding(1);
            const auto request = pop();
            queue_->arm();
            model_->complete(request.head, 0);
            EXPECT_TRUE(queue_->arm());
            ASSERT_EQ(collect().size(), 1U);
            if (round % 3 == 0) queue_->disarm();
        }
        EXPECT_LE(queue_->stats().kicks_wanted, 2000U);  // at most one a publish
        EXPECT_EQ(queue_->stats().completed, 2000U);
    }
    EXPECT_TRUE(reported_.empty());
    expect_all_given_back();
}

TEST_P(HostileTest, Point12NothingPrivateIsInThePool) {
    QueueConfig config = kConfig;
    config.indirect = true;
    make(config);
    const std::uintptr_t cookie = static_cast<std::uintptr_t>(0x5ec2e7c00c1e5ULL) & UINTPTR_MAX;
    std::vector<bounce_sg> list(12, sg_of(out_));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(add({sg_of(out_), sg_of(in_)}, 1, cookie));
    ASSERT_TRUE(add(list, 6, cookie));
    queue_->publish();
    model_->complete(pop().head, 64);
    ASSERT_EQ(collect().size(), 1U);
    const std::uintptr_t secrets[] = {cookie,
                                      reinterpret_cast<std::uintptr_t>(out_.data()),
                                      reinterpret_cast<std::uintptr_t>(in_.data()),
                                      reinterpret_cast<std::uintptr_t>(queue_.get()),
                                      reinterpret_cast<std::uintptr_t>(device_.get()),
                                      reinterpret_cast<std::uintptr_t>(pool_.get()),
                                      reinterpret_cast<std::uintptr_t>(pool_->region(RegionId{0}).hva())};
    const Region& region = pool_->region(RegionId{0});
    const std::byte* memory = region.hva();
    for (std::size_t at = 0; at + sizeof(std::uintptr_t) <= region.bytes(); ++at) {
        std::uintptr_t word = 0;
        std::memcpy(&word, memory + at, sizeof word);
        for (const std::uintptr_t secret : secrets) ASSERT_NE(word, secret) << at;
    }
    abort_all();
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, HostileTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
