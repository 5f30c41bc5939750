// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A packed queue from the device side, with rings that are written by hand.
#include <deque>
#include <random>

#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

constexpr std::uint64_t kTable = Guest::kHigh + 0x1000;

class PackedDeviceTest : public DeviceSideTest {
protected:
    void begin(std::uint32_t flags = 0, std::uint32_t size = 8) {
        std::memset(guest_.at(Guest::kLow), 0, 0x1'0000);
        driver_ = std::make_unique<PackedDriver>(guest_, size);
        make(driver_->options(flags));
    }
    void offer(std::uint16_t id, std::size_t n = 1) {
        driver_->offer(std::vector<PackedDriver::Piece>(n, {Guest::kHigh + 64 * std::uint64_t{id}, 64, kWrite}), id);
    }
    void expect_used(std::uint16_t id, std::uint32_t len, std::uint32_t descriptors) {
        std::uint16_t got_id = 0;
        std::uint32_t got_len = 0;
        ASSERT_TRUE(driver_->used(got_id, got_len));
        EXPECT_EQ(got_id, id);
        EXPECT_EQ(got_len, len);
        driver_->skip(descriptors);
    }
    void expect_none_used() {
        std::uint16_t id = 0;
        std::uint32_t len = 0;
        EXPECT_FALSE(driver_->used(id, len));
    }
    std::unique_ptr<PackedDriver> driver_;
};

TEST_F(PackedDeviceTest, AChainBecomesSegmentsAndAUsedDescriptor) {
    begin();
    Popped popped;
    EXPECT_EQ(pop(popped), 0);
    driver_->offer({{Guest::kHigh, 16, 0}, {Guest::kNext - 10, 30, kWrite}, {Guest::kHigh + 4096, 1, kWrite}}, 77);
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.id, 77U);
    EXPECT_EQ(popped.element.n_out, 1U);
    EXPECT_EQ(popped.element.n_in, 3U) << "one is cut where regions meet";
    EXPECT_EQ(popped.element.in_bytes, 31U);
    EXPECT_EQ(popped.in(1).hva, guest_.at(Guest::kNext));
    EXPECT_EQ(pop(popped), 0);
    EXPECT_EQ(info().avail_index, 0x8003U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 20), 0) << bounce_last_error();
    expect_none_used();
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    expect_used(77, 20, 3);
    EXPECT_EQ(info().used_index, 0x8003U);
}

TEST_F(PackedDeviceTest, AnyOrderAndABatchIsSeenAtOnce) {
    begin();
    offer(1, 2);
    offer(2);
    offer(3, 3);
    Popped p[3];
    for (auto& one : p) ASSERT_EQ(pop(one), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[2].element, 5), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[0].element, 0), 0);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &p[0].element, 0), -EALREADY);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[1].element, 64), 0);
    expect_none_used();
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    expect_used(3, 5, 3);
    expect_used(1, 0, 2);
    expect_used(2, 64, 1);
    expect_none_used();
}

TEST_F(PackedDeviceTest, TablesHaveNoLinks) {
    begin(BOUNCE_VIRTQUEUE_INDIRECT);
    const auto describe = [&](std::uint32_t i, std::uint64_t addr, std::uint32_t len, std::uint16_t flags) {
        guest_.store(kTable + 16 * i, addr);
        guest_.store(kTable + 16 * i + 8, len);
        guest_.store(kTable + 16 * i + 14, flags);
    };
    describe(0, Guest::kHigh, 16, 0);
    describe(1, Guest::kHigh + 64, 8, kNext);  // means nothing in a table
    describe(2, Guest::kHigh + 128, 4, kWrite);
    driver_->offer({{kTable, 48, kIndirect}}, 9);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.n_out, 2U);
    EXPECT_EQ(popped.element.n_in, 1U);
    ASSERT_EQ(bounce_virtqueue_complete(queue_, &popped.element, 4), 0);
    expect_used(9, 4, 1);
}

TEST_F(PackedDeviceTest, InOrderOneDescriptorStandsForABatch) {
    begin(BOUNCE_VIRTQUEUE_IN_ORDER);
    offer(1, 2);
    offer(2);
    offer(3, 2);
    Popped p[3];
    for (auto& one : p) ASSERT_EQ(pop(one), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[2].element, 7), 0);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[1].element, 64), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    expect_none_used();
    ASSERT_EQ(bounce_virtqueue_push(queue_, &p[0].element, 128), 0);
    ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
    expect_used(3, 7, 5);
    EXPECT_EQ(info().used_index, 0x8005U);
}

TEST_F(PackedDeviceTest, CallsByFlagsAndAtDescriptors) {
    begin(BOUNCE_VIRTQUEUE_EVENT_IDX, 4);
    Popped popped;
    const auto use = [&] {
        offer(1);
        ASSERT_EQ(pop(popped), 1);
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
        ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
        expect_used(1, 0, 1);
    };
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0) << "nothing was used";
    use();  // position 0
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1) << "always";
    driver_->set_event(0, 1);
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0) << "never";
    driver_->set_event(0x8000 | 3, 2);
    use();  // 2
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0);
    use();  // 3, and the counter flips
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1);
    driver_->set_event(1, 2);
    use();  // 0 of the second round
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0);
    use();
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1) << "among several";
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 0) << "asked before";
    driver_->set_event(100, 2);
    use();
    EXPECT_EQ(bounce_virtqueue_needs_call(queue_), 1) << "an event that is nowhere costs a call, not a lost one";
}

TEST_F(PackedDeviceTest, Kicks) {
    for (const std::uint32_t flags : {0U, std::uint32_t{BOUNCE_VIRTQUEUE_EVENT_IDX}}) {
        begin(flags);
        ASSERT_EQ(bounce_virtqueue_disable_kicks(queue_), 0);
        EXPECT_EQ(driver_->device_flags(), 1U);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 0);
        EXPECT_EQ(driver_->device_flags(), flags != 0 ? 2U : 0U);
        offer(0);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 1);
        Popped popped;
        ASSERT_EQ(pop(popped), 1);
        EXPECT_EQ(bounce_virtqueue_enable_kicks(queue_), 0);
        if (flags != 0) {
            EXPECT_EQ(driver_->device_off_wrap(), 0x8001U);
        }
        ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    }
}

TEST_F(PackedDeviceTest, NotificationData) {
    begin();
    offer(0, 3);
    Popped popped;
    ASSERT_EQ(pop(popped), 1);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 0x8005U << 16), 2);
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 0x0001U << 16), 6) << "of the next round";
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 0x0004U << 16), -EINVAL);
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 5 | 0x8008U << 16), -EINVAL);
    EXPECT_EQ(bounce_virtqueue_notified(queue_, 6 | 0x8005U << 16), -EINVAL);
}

TEST_F(PackedDeviceTest, IndicesThatCannotBe) {
    driver_ = std::make_unique<PackedDriver>(guest_, 3);
    const auto refused = [&](std::uint16_t avail, std::uint16_t used) {
        auto options = driver_->options();
        options.avail_index = avail;
        options.used_index = used;
        bounce_virtqueue* queue = nullptr;
        EXPECT_EQ(bounce_virtqueue_create(memory_, &options, &queue), -EINVAL) << avail << ' ' << used;
    };
    refused(0x8003, 0x8000);
    refused(0x8000, 0x8003);
    refused(0x8000, 0x8001);
    refused(0x0002, 0x8001);
}

TEST_F(PackedDeviceTest, HostileDrivers) {
    struct Case {
        std::vector<PackedDriver::Piece> chain;
        int kind;
        std::uint64_t got;
    };
    const Case cases[] = {
        {{{Guest::kHigh, 0, 0}}, BOUNCE_DRIVER_LENGTH, 0},
        {{{Guest::kHigh, 8, kWrite}, {Guest::kHigh, 8, 0}}, BOUNCE_DRIVER_ORDER, 0},
        {{{Guest::kNowhere, 8, 0}}, BOUNCE_DRIVER_ADDRESS, Guest::kNowhere},
        {{{Guest::kLast, 4097, kWrite}}, BOUNCE_DRIVER_ADDRESS, Guest::kLast},
        {{{Guest::kRom, 1, kWrite}}, BOUNCE_DRIVER_ADDRESS, Guest::kRom},
        {{{kTable, 24, kIndirect}}, BOUNCE_DRIVER_TABLE_LENGTH, 24},
        {{{kTable, 16 * 9, kIndirect}}, BOUNCE_DRIVER_TABLE_LENGTH, 16 * 9},
        {{{Guest::kNowhere, 16, kIndirect}}, BOUNCE_DRIVER_ADDRESS, Guest::kNowhere},
        {{{kTable, 16, kIndirect}}, BOUNCE_DRIVER_LENGTH, 0},
        {{{Guest::kHigh, 8, kNext}}, BOUNCE_DRIVER_LENGTH, 0},
    };
    for (const Case& one : cases) {
        begin(BOUNCE_VIRTQUEUE_INDIRECT);
        driver_->offer(one.chain, 0);
        expect_violation(one.kind, one.got);
    }
    begin(BOUNCE_VIRTQUEUE_INDIRECT);
    driver_->offer({{kTable, 16, kIndirect}, {Guest::kHigh, 8, 0}}, 0);
    std::uint16_t got = kIndirect | kNext | 0x80;
    expect_violation(BOUNCE_DRIVER_INDIRECT, got);
    begin();
    driver_->offer({{kTable, 16, kIndirect}}, 0);
    expect_violation(BOUNCE_DRIVER_INDIRECT, kIndirect | 0x80);
}

TEST_F(PackedDeviceTest, AChainThatIsLongerThanTheRing) {
    begin();
    for (std::uint32_t i = 0; i < 8; ++i) {
        guest_.store(driver_->ring() + 16 * i, Guest::kHigh);
        guest_.store(driver_->ring() + 16 * i + 8, std::uint32_t{8});
        guest_.store(driver_->ring() + 16 * i + 14, std::uint16_t{kNext | 0x80});
    }
    expect_violation(BOUNCE_DRIVER_AVAIL_INDEX, 9);
}

TEST_F(PackedDeviceTest, WhatIsInUseIsNotMadeAvailable) {
    begin(0, 4);
    offer(0, 3);
    Popped popped;
    ASSERT_EQ(pop(popped), 1);
    offer(1, 2);  // only one descriptor is free
    Popped more;
    EXPECT_EQ(pop(more), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_AVAIL_INDEX);
    EXPECT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), -EPROTO);
}

TEST_F(PackedDeviceTest, AnIdThatIsOut) {
    for (const std::uint32_t flags : {0U, std::uint32_t{BOUNCE_VIRTQUEUE_IN_ORDER}}) {
        begin(flags);
        offer(7);
        offer(8);
        Popped first, popped;
        ASSERT_EQ(pop(first), 1);
        ASSERT_EQ(pop(popped), 1);
        // In order it is not used before the first is.
        if (flags != 0) {
            ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
        }
        offer(8, 3);
        Popped again;
        EXPECT_EQ(pop(again), -EPROTO);
        EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_IN_USE);
        EXPECT_EQ(reported_.at(0).got, 8U);
        reported_.clear();
        EXPECT_EQ(bounce_virtqueue_drop(queue_, &first.element), 0);
        if (flags == 0) {
            EXPECT_EQ(bounce_virtqueue_drop(queue_, &popped.element), 0);
        }
    }
}

struct Load {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t rounds;
};
class PackedDeviceRandomTest : public PackedDeviceTest, public testing::WithParamInterface<Load> {};

// Chains of all lengths, given back in any order, over many flips of the wrap counters.
TEST_P(PackedDeviceRandomTest, EverythingComesBack) {
    const Load load = GetParam();
    close();
    guest_ = Guest(std::uint64_t{2} << 20);
    open();
    driver_ = std::make_unique<PackedDriver>(guest_, load.size);
    make(driver_->options(load.flags));
    const std::uint64_t data = (driver_->end() + 4095) / 4096 * 4096;
    const bool in_order = (load.flags & BOUNCE_VIRTQUEUE_IN_ORDER) != 0;
    std::mt19937 engine(load.size);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    struct Offered {
        std::uint32_t n;
        std::uint32_t written;
        bool out = false;
    };
    std::vector<Offered> offered(load.size);
    std::vector<std::uint16_t> ids;
    for (std::uint32_t i = 0; i < load.size; ++i) ids.push_back(static_cast<std::uint16_t>(load.size - 1 - i));
    std::deque<std::uint16_t> order;
    std::deque<std::unique_ptr<Popped>> out;
    std::uint32_t free = load.size;
    std::uint64_t done = 0;
    while (done < load.rounds && !HasFatalFailure()) {
        for (unsigned n = random() % (2 * load.size + 1) % 512; n > 0 && free > 0; --n) {
            const std::uint32_t length = 1 + random() % std::min(free, 5U);
            const std::uint16_t id = ids.back();
            ids.pop_back();
            std::vector<PackedDriver::Piece> chain;
            const std::uint32_t n_out = random() % (length + 1);
            for (std::uint32_t i = 0; i < length; ++i)
                chain.push_back({data + random() % 1000, 1 + static_cast<std::uint32_t>(random() % 100),
                                 i < n_out ? std::uint16_t{0} : kWrite});
            offered[id] = {length, 0, true};
            order.push_back(id);
            free -= length;
            driver_->offer(chain, id);
        }
        for (;;) {
            auto popped = std::make_unique<Popped>(8);
            const int got = pop(*popped);
            ASSERT_GE(got, 0) << bounce_last_error();
            if (got == 0) break;
            ASSERT_TRUE(offered[popped->element.id].out);
            ASSERT_EQ(popped->element.n_out + popped->element.n_in, offered[popped->element.id].n);
            out.push_back(std::move(popped));
        }
        for (unsigned n = static_cast<unsigned>(random() % (out.size() + 1)); n > 0; --n) {
            std::swap(out[random() % out.size()], out.back());
            const bounce_element& element = out.back()->element;
            const auto written =
                static_cast<std::uint32_t>(random() % 2 != 0 ? element.in_bytes : random() % (element.in_bytes + 1));
            offered[element.id].written = written;
            ASSERT_EQ(bounce_virtqueue_push(queue_, &element, written), 0) << bounce_last_error();
            out.pop_back();
        }
        if (random() % 2 != 0) {
            ASSERT_EQ(bounce_virtqueue_flush(queue_), 0);
        }
        std::uint16_t id = 0;
        std::uint32_t len = 0;
        while (driver_->used(id, len)) {
            ASSERT_LT(id, load.size);
            std::uint32_t descriptors = 0;
            do {  // in order, those before it are used with it
                const std::uint16_t one = in_order ? order.front() : id;
                if (in_order) order.pop_front();
                ASSERT_TRUE(offered[one].out);
                offered[one].out = false;
                descriptors += offered[one].n;
                ids.push_back(one);
                ++done;
                if (one == id) break;
            } while (in_order);
            ASSERT_EQ(len, offered[id].written);
            driver_->skip(descriptors);
            free += descriptors;
        }
    }
    for (auto& one : out) ASSERT_EQ(bounce_virtqueue_drop(queue_, &one->element), 0);
}

INSTANTIATE_TEST_SUITE_P(Loads, PackedDeviceRandomTest,
                         testing::Values(Load{1, 0, 20000}, Load{2, 0, 20000}, Load{3, 0, 50000},
                                         Load{3, BOUNCE_VIRTQUEUE_IN_ORDER, 50000}, Load{256, 0, 200000},
                                         Load{256, BOUNCE_VIRTQUEUE_IN_ORDER, 200000}, Load{32768, 0, 150000}));

}  // namespace
}  // namespace bounce
