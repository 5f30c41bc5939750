// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a ring of either layout can do besides a request at a time: completions in order, many requests at once, memory
// that is mapped already, polling that turns calls off under load, and lengths of devices that cannot count.
#include <algorithm>
#include <cerrno>

#include "tests/unit/api/virtio/ring_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

class RingFeaturesTest : public LayoutTest {
protected:
    std::vector<DeviceModel::Request> pop(std::size_t n) {
        std::vector<DeviceModel::Request> requests(n);
        for (auto& request : requests) EXPECT_TRUE(model_->pop(request));
        return requests;
    }
    void add_incoming(std::vector<Bytes>& in, std::size_t from, std::size_t n) {
        for (std::size_t i = from; i < from + n; ++i) ASSERT_TRUE(add({sg_of(in[i])}, 0, i)) << last_error();
        queue_->publish();
    }
};

TEST_P(RingFeaturesTest, InOrderOneElementStandsForABatch) {
    make({.queue_size = 8, .in_order = true});
    std::vector<Bytes> in(6, bytes_of(100, 1));
    for (int round = 0; round < 20; ++round) {
        std::fill(in.begin(), in.end(), bytes_of(100, 1));
        add_incoming(in, 0, 6);
        auto requests = pop(6);
        for (const auto& request : requests) std::memset(request.pieces[0].hva, 7, 100);
        requests.resize(4);
        model_->complete_batch(requests, 40);
        EXPECT_TRUE(queue_->arm());
        const auto first = collect(3);
        ASSERT_EQ(first.size(), 3U);
        EXPECT_TRUE(queue_->arm());  // one of the batch is left
        const auto last = collect(3);
        ASSERT_EQ(last.size(), 1U);
        EXPECT_FALSE(queue_->arm());
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_EQ(first[i].cookie, cookie_of(i));
            EXPECT_EQ(first[i].written, 100U);  // skipped: all of it
            EXPECT_EQ(in[i], bytes_of(100, 7));
        }
        EXPECT_EQ(last[0].cookie, cookie_of(3));
        EXPECT_EQ(last[0].written, 40U);
        EXPECT_EQ(in[3][39], std::byte{7});
        EXPECT_EQ(in[3][40], std::byte{1});
        abort_all();
        ASSERT_TRUE(queue_->reset());
        connect(false);
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, InOrderOneElementForEachIsAsGood) {
    make({.queue_size = 4, .in_order = true});
    Bytes out = bytes_of(64, 1);
    for (std::uintptr_t i = 0; i < 50; ++i) {
        ASSERT_TRUE(add({sg_of(out), sg_of(out)}, 2, 2 * i));
        ASSERT_TRUE(add({sg_of(out), sg_of(out)}, 2, 2 * i + 1));
        queue_->publish();
        for (const auto& request : pop(2)) model_->put_used(request.head, 0);
        model_->show_used();
        const auto done = collect();
        ASSERT_EQ(done.size(), 2U);
        EXPECT_EQ(done[0].cookie, cookie_of(2 * i));
        EXPECT_EQ(done[1].cookie, cookie_of(2 * i + 1));
        ASSERT_EQ(queue_->stats().free_descriptors, 4U);
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, InOrderDescriptorsOfASplitRingGoRoundTheTable) {
    if (packed_) GTEST_SKIP() << "the descriptors of a packed ring always do";
    make({.queue_size = 8, .in_order = true});
    Bytes out = bytes_of(64, 1);
    std::uint16_t next = 0;
    for (std::uintptr_t i = 0; i < 50; ++i) {
        const std::size_t n = 1 + i % 3;
        ASSERT_TRUE(add(std::vector<bounce_sg>(n, sg_of(out)), n, i));
        queue_->publish();
        const auto request = RingTest::pop();
        EXPECT_EQ(request.head, next);
        next = static_cast<std::uint16_t>((next + n) % 8);
        model_->complete(request.head, 0);
        ASSERT_EQ(collect().size(), 1U);
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, InOrderABatchThatWasNotShownBreaksTheQueue) {
    make({.queue_size = 8, .index = 5, .in_order = true});
    std::vector<Bytes> in(4, bytes_of(64, 1));
    add_incoming(in, 0, 2);
    const auto requests = pop(2);
    ASSERT_TRUE(add({sg_of(in[2])}, 0, 2));  // not published
    model_->complete(requests[1].head + 1U, 64);
    EXPECT_EQ(collect_error(), EPROTO);
    EXPECT_EQ(reported_.back().kind, BOUNCE_VIOLATION_USED_ID);
    abort_all();
    if (packed_) return expect_all_given_back();
    // A split ring's index has to move past all of the batch.
    ASSERT_TRUE(queue_->reset());
    connect(false);
    add_incoming(in, 0, 4);
    const auto more = pop(4);
    model_->complete(more[2].head, 64);  // the index moves by one, the id is the third
    EXPECT_EQ(collect_error(), EPROTO);
    EXPECT_EQ(reported_.back().kind, BOUNCE_VIOLATION_USED_INDEX);
    EXPECT_EQ(queue_->outstanding(), 4U);
    abort_all();
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, ManyRequestsAreAddedAsFarAsTheyFit) {
    make({.queue_size = 4});
    Bytes out = bytes_of(64, 1);
    const bounce_sg one = sg_of(out);
    std::vector<bounce_ring_request> requests(6);
    for (std::uintptr_t i = 0; i < 6; ++i) requests[i] = {&one, cookie_of(i), 1, 0};
    const auto added = queue_->add_many(requests);
    ASSERT_TRUE(added) << last_error();
    EXPECT_EQ(*added, 4U);
    EXPECT_FALSE(model_->has_request());
    queue_->publish();
    for (const auto& request : pop(4)) model_->put_used(request.head, 0);
    model_->show_used();
    EXPECT_EQ(collect().size(), 4U);
    requests[1].n_out = 0;  // a request of no segments
    const auto again = queue_->add_many(requests);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, 1U);
    EXPECT_EQ(queue_->add_many(std::span(requests).subspan(1)).code(), EINVAL);
    requests[1].sg = nullptr;
    EXPECT_EQ(queue_->add_many(std::span(requests).subspan(1)).code(), EINVAL);
    EXPECT_EQ(*queue_->add_many({}), 0U);
    EXPECT_EQ(queue_->outstanding(), 1U);
    abort_all();
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, WhatIsMappedGoesInWithoutACopy) {
    make({.queue_size = 8});
    Bytes memory = bytes_of(4096, 3);
    bounce_mapping mapping{};
    ASSERT_TRUE(device_->map(memory.data(), memory.size(), Direction::kBidirectional, 0, mapping)) << last_error();
    const auto slots = pool_->stats().slots;
    const auto piece = [&](std::uint32_t offset, std::size_t bytes) {
        return bounce_sg{&mapping, bytes, BOUNCE_SG_MAPPED, offset};
    };
    ASSERT_TRUE(add({piece(0, 512), piece(512, 3584)}, 1, 1)) << last_error();
    EXPECT_EQ(pool_->stats().slots, slots);
    queue_->publish();
    const auto request = RingTest::pop();
    ASSERT_EQ(request.pieces.size(), 2U);
    EXPECT_EQ(request.pieces[0].addr, mapping.addr);
    EXPECT_EQ(request.pieces[1].addr, mapping.addr + 512);
    EXPECT_EQ(request.pieces[0].hva[0], std::byte{3});
    std::memset(request.pieces[1].hva, 9, 3584);
    model_->complete(request.head, 3584);
    ASSERT_EQ(collect().size(), 1U);
    EXPECT_EQ(memory[512], std::byte{3});  // nothing is copied back by the ring
    ASSERT_TRUE(device_->sync_for_cpu(mapping, 512, 3584, Direction::kFromDevice));
    EXPECT_EQ(memory[512], std::byte{9});

    EXPECT_EQ(add({piece(512, 3585)}, 1, 2).code(), EINVAL);
    EXPECT_EQ(add({piece(4097, 1)}, 1, 2).code(), EINVAL);
    EXPECT_EQ(add({piece(0, 0)}, 1, 2).code(), EINVAL);
    bounce_sg mixed = piece(0, 1);
    mixed.flags |= BOUNCE_SG_SHARED;
    EXPECT_EQ(add({mixed}, 1, 2).code(), EINVAL);
    bounce_mapping stale = mapping;
    ASSERT_TRUE(device_->unmap(mapping, 0));
    EXPECT_EQ(add({piece(0, 64)}, 1, 2).code(), EALREADY) << last_error();
    EXPECT_FALSE(add({{&stale, 64, BOUNCE_SG_MAPPED, 0}}, 1, 2));
    ASSERT_TRUE(device_->map(memory.data(), 100, Direction::kToDevice, 0, mapping));
    EXPECT_EQ(add({piece(0, 64)}, 0, 2).code(), EPERM) << last_error();
    EXPECT_TRUE(add({piece(0, 64)}, 1, 2)) << last_error();
    EXPECT_EQ(queue_->outstanding(), 1U);
    abort_all();
    ASSERT_TRUE(device_->unmap(mapping, 0));
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, WhatIsMappedPrivateAndSharedMixInOneRequest) {
    make({.queue_size = 8});
    Bytes memory = bytes_of(1024, 3);
    Bytes in = bytes_of(1000, 1);
    bounce_block coherent{};
    bounce_mapping mapping{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kCoherent, 256, 0, coherent)) << last_error();
    ASSERT_TRUE(device_->map(memory.data(), memory.size(), Direction::kFromDevice, 0, mapping));
    ASSERT_TRUE(
        add({shared_sg(coherent, 0, 16), sg_of(in), {&mapping, 1024, BOUNCE_SG_MAPPED, 0}, shared_sg(coherent, 128, 1)},
            1, 1))
        << last_error();
    queue_->publish();
    const auto request = RingTest::pop();
    ASSERT_EQ(request.pieces.size(), 4U);
    EXPECT_EQ(request.pieces[0].addr, coherent.addr);
    EXPECT_EQ(request.pieces[2].addr, mapping.addr);
    EXPECT_EQ(request.pieces[3].addr, coherent.addr + 128);
    for (const auto& piece : request.pieces) {
        if (piece.write) std::memset(piece.hva, 5, piece.len);
    }
    model_->complete(request.head, 1000 + 24);
    const auto done = collect();
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].written, 1024U);
    EXPECT_EQ(in, bytes_of(1000, 5));
    EXPECT_EQ(memory, bytes_of(1024, 3));
    ASSERT_TRUE(device_->unmap(mapping, 24));
    EXPECT_EQ(memory[23], std::byte{5});
    EXPECT_EQ(memory[24], std::byte{3});
    ASSERT_TRUE(device_->free_block(SlotKind::kCoherent, coherent));
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, AMappingOfABornSharedBufferGoesInToo) {
    make({.queue_size = 8});
    bounce_block block{};
    bounce_mapping mapping{};
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 4096, 0, block));
    ASSERT_TRUE(device_->map(block.ptr, 4096, Direction::kToDevice, BOUNCE_MAP_SHARED, mapping)) << last_error();
    ASSERT_TRUE(add({{&mapping, 100, BOUNCE_SG_MAPPED, 50}}, 1, 1)) << last_error();
    EXPECT_EQ(add({{&mapping, 100, BOUNCE_SG_MAPPED, 50}}, 0, 1).code(), EPERM);
    queue_->publish();
    EXPECT_EQ(RingTest::pop().pieces[0].addr, block.addr + 50);
    abort_all();
    ASSERT_TRUE(device_->unmap(mapping, 0));
    EXPECT_EQ(add({{&mapping, 100, BOUNCE_SG_MAPPED, 50}}, 1, 1).code(), EPROTO);  // aborted
    ASSERT_TRUE(queue_->reset());
    EXPECT_EQ(add({{&mapping, 100, BOUNCE_SG_MAPPED, 50}}, 1, 1).code(), EALREADY) << last_error();
    ASSERT_TRUE(device_->free_block(SlotKind::kBuffer, block));
    expect_all_given_back();
}

// Point 5: what a wrong length does is policy.
TEST_P(RingFeaturesTest, AWrongLengthIsClampedIgnoredOrBreaksTheQueue) {
    for (const UsedLength policy : {UsedLength::kClamp, UsedLength::kIgnore, UsedLength::kFail}) {
        make({.queue_size = 4, .used_length = policy});
        for (const std::uint32_t len : {10U, 0U, 65U}) {
            Bytes in = bytes_of(64, 1);
            ASSERT_TRUE(add({sg_of(in)}, 0, 1));
            queue_->publish();
            const auto request = RingTest::pop();
            std::memset(request.pieces[0].hva, 7, 64);
            model_->complete(request.head, len);
            if (policy == UsedLength::kFail && len > 64) {
                EXPECT_EQ(collect_error(), EPROTO);
                EXPECT_NE(std::string(last_error()).find("65 bytes"), std::string::npos) << last_error();
                EXPECT_EQ(queue_->outstanding(), 1U);
                EXPECT_EQ(in, bytes_of(64, 1));
                abort_all();
                continue;
            }
            const auto done = collect();
            ASSERT_EQ(done.size(), 1U);
            const std::uint32_t written = policy == UsedLength::kIgnore ? 64 : std::min(len, 64U);
            EXPECT_EQ(done[0].written, written);
            EXPECT_EQ(done[0].reported, len);
            EXPECT_EQ(static_cast<std::uint32_t>(std::count(in.begin(), in.end(), std::byte{7})), written);
        }
        EXPECT_EQ(queue_->stats().violations, policy == UsedLength::kIgnore ? 0U : 1U);
    }
    expect_all_given_back();
}

// dpdk-testpmd leaves in a used descriptor of a packed ring the length that the driver wrote.
TEST_P(RingFeaturesTest, TheLengthOfAnOutgoingPackedBufferMeansNothing) {
    for (const UsedLength policy : {UsedLength::kClamp, UsedLength::kFail}) {
        make({.queue_size = 4, .used_length = policy});
        for (const std::uint32_t len : {0U, 64U, 1500U, ~0U}) {
            Bytes out = bytes_of(64, 1);
            ASSERT_TRUE(add({sg_of(out)}, 1, 0));
            queue_->publish();
            model_->complete(RingTest::pop().head, len);
            if (policy == UsedLength::kFail && len != 0 && !packed_) {  // a split ring's has to be 0
                EXPECT_EQ(collect_error(), EPROTO);
                break;
            }
            const auto done = collect();
            ASSERT_EQ(done.size(), 1U);
            EXPECT_EQ(done[0].status, 0);
            EXPECT_EQ(done[0].written, 0U);
            EXPECT_EQ(done[0].reported, len);
            EXPECT_EQ(out, bytes_of(64, 1));
        }
        EXPECT_EQ(queue_->stats().violations, packed_ ? 0U : policy == UsedLength::kFail ? 1U : 3U);
        abort_all();
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, PollingTurnsCallsOffUnderLoadAndOnAgain) {
    make({.queue_size = 16, .poll_after = 4, .poll_idle = 3});
    Bytes out = bytes_of(16, 1);
    bounce_completion completions[16];
    bool wait = false;
    const auto serve = [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) ASSERT_TRUE(add({sg_of(out)}, 1, i));
        queue_->publish();
        for (const auto& request : pop(n)) model_->put_used(request.head, 0);
    };
    const auto look = [&] {
        auto n = queue_->poll(completions, wait);
        EXPECT_TRUE(n) << last_error();
        return n ? *n : 0;
    };
    EXPECT_EQ(look(), 0U);
    EXPECT_TRUE(wait);  // nothing to do: a call is asked for
    for (int round = 0; round < 5; ++round) {
        std::uint16_t before = model_->used_index();
        serve(3);  // few
        model_->show_used();
        EXPECT_TRUE(model_->wants_call(before)) << round;
        EXPECT_EQ(look(), 3U);
        EXPECT_FALSE(wait);
        EXPECT_EQ(look(), 0U);
        EXPECT_TRUE(wait);
        before = model_->used_index();
        serve(5);  // many
        model_->show_used();
        EXPECT_TRUE(model_->wants_call(before));
        EXPECT_EQ(look(), 5U);
        for (int idle = 0; idle < 3; ++idle) {
            EXPECT_EQ(look(), 0U);
            EXPECT_FALSE(wait) << idle;
        }
        before = model_->used_index();
        serve(1);  // still a storm
        model_->show_used();
        EXPECT_FALSE(model_->wants_call(before));
        EXPECT_EQ(look(), 1U);
        for (int idle = 0; idle < 3; ++idle) {
            EXPECT_EQ(look(), 0U);
            EXPECT_FALSE(wait) << idle;
        }
        EXPECT_EQ(look(), 0U);
        EXPECT_TRUE(wait);
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, ADeviceThatPollsIsNeverKicked) {
    for (const bool order_platform : {false, true}) {
        make({.queue_size = 4, .event_idx = true, .order_platform = order_platform, .no_kicks = true});
        Bytes out = bytes_of(16, 1);
        for (std::uintptr_t i = 0; i < 20; ++i) {
            ASSERT_TRUE(add({sg_of(out)}, 1, i));
            EXPECT_FALSE(queue_->publish());
            model_->complete(RingTest::pop().head, 0);
            ASSERT_EQ(collect().size(), 1U);
        }
        EXPECT_EQ(queue_->stats().kicks_wanted, 0U);
    }
    expect_all_given_back();
}

TEST_P(RingFeaturesTest, OneRingIsResetWhileAnotherGoesOn) {
    make({.queue_size = 8});
    auto other = Virtqueue::create(*device_, {.queue_size = 8, .packed = packed_});
    ASSERT_TRUE(other) << last_error();
    Bytes out = bytes_of(500, 1);
    const bounce_sg one = sg_of(out);
    for (int round = 0; round < 10; ++round) {
        ASSERT_TRUE((*other)->add({&one, 1}, 1, nullptr));
        ASSERT_TRUE(add({sg_of(out)}, 1, 1));
        queue_->publish();
        bounce_completion completion{};
        ASSERT_EQ((*other)->abort({&completion, 1}), 1U);
        ASSERT_TRUE((*other)->reset());
        model_->complete(RingTest::pop().head, 0);
        ASSERT_EQ(collect().size(), 1U);
    }
    EXPECT_EQ((*other)->stats().aborted, 10U);
    other->reset();
    expect_all_given_back();
}

INSTANTIATE_TEST_SUITE_P(Layouts, RingFeaturesTest, testing::Bool(), layout_name);

}  // namespace
}  // namespace bounce
