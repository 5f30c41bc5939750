// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A driver that lies to a split queue: what it did is named, the queue is broken until a reset, and nothing else
// happens.
#include <random>

#include "tests/unit/api/virtio/device_fixture.hpp"

namespace bounce {
namespace {

using namespace test;

constexpr std::uint32_t kSize = 8;
constexpr std::uint64_t kTable = Guest::kHigh + 0x1000;

class SplitDeviceHostileTest : public DeviceSideTest {
protected:
    void SetUp() override {
        DeviceSideTest::SetUp();
        make(driver_.options(BOUNCE_VIRTQUEUE_INDIRECT));
    }
    void good(std::uint32_t index, std::uint16_t flags = 0, std::uint16_t next = 0) {
        driver_.desc(index, Guest::kHigh, 64, flags, next);
    }
    SplitDriver driver_{guest_, kSize};
};

TEST_F(SplitDeviceHostileTest, TheAvailIndexRunsAhead) {
    driver_.set_index(kSize + 1);
    expect_violation(BOUNCE_DRIVER_AVAIL_INDEX, kSize + 1);
    EXPECT_EQ(options_.queue_size, kSize);
}

TEST_F(SplitDeviceHostileTest, TheAvailIndexGoesBack) {
    driver_.set_index(0xffff);
    expect_violation(BOUNCE_DRIVER_AVAIL_INDEX, 0xffff);
}

TEST_F(SplitDeviceHostileTest, MoreIsAvailableThanIsNotInUse) {
    Popped popped[kSize];
    for (std::uint16_t i = 0; i < kSize; ++i) {
        good(i);
        driver_.offer(i);
        ASSERT_EQ(pop(popped[i]), 1);
    }
    driver_.set_index(kSize + 1);
    Popped more;
    EXPECT_EQ(pop(more), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_AVAIL_INDEX);
    for (auto& one : popped) EXPECT_EQ(bounce_virtqueue_push(queue_, &one.element, 0), -EPROTO);
    EXPECT_EQ(info().outstanding, 0U) << "a broken queue gives up what is pushed";
    EXPECT_EQ(driver_.used_index(), 0U);
}

TEST_F(SplitDeviceHostileTest, AHeadThatIsNotThere) {
    for (const std::uint16_t head : {std::uint16_t{kSize}, std::uint16_t{0xffff}}) {
        SplitDriver driver(guest_, kSize);
        driver.offer(head);
        expect_violation(BOUNCE_DRIVER_HEAD, head);
    }
}

TEST_F(SplitDeviceHostileTest, AHeadThatIsOut) {
    good(2);
    driver_.offer(2);
    Popped popped;
    ASSERT_EQ(pop(popped), 1);
    driver_.offer(2);
    Popped again;
    EXPECT_EQ(pop(again), -EPROTO);
    EXPECT_EQ(reported_.at(0).kind, BOUNCE_DRIVER_IN_USE);
    EXPECT_EQ(bounce_virtqueue_drop(queue_, &popped.element), 0);
}

TEST_F(SplitDeviceHostileTest, AChainLeavesTheTable) {
    good(0, kNext, kSize);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_NEXT, kSize);
}

TEST_F(SplitDeviceHostileTest, AChainGoesRound) {
    for (std::uint16_t i = 0; i < kSize; ++i) good(i, kNext, (i + 1) % kSize);
    driver_.offer(3);
    expect_violation(BOUNCE_DRIVER_CHAIN, kSize + 1);
    SplitDriver again(guest_, kSize);
    good(0, kNext, 0);
    again.offer(0);
    expect_violation(BOUNCE_DRIVER_CHAIN, kSize + 1);
}

TEST_F(SplitDeviceHostileTest, ATableGoesRound) {
    driver_.describe(kTable, 0, Guest::kHigh, 8, kNext, 1);
    driver_.describe(kTable, 1, Guest::kHigh, 8, kNext, 0);
    driver_.desc(0, kTable, 32, kIndirect);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_CHAIN, 3);
}

TEST_F(SplitDeviceHostileTest, ATableIsLeft) {
    driver_.describe(kTable, 0, Guest::kHigh, 8, kNext, 1);
    driver_.desc(0, kTable, 16, kIndirect);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_NEXT, 1);
}

TEST_F(SplitDeviceHostileTest, ATableInATable) {
    driver_.describe(kTable, 0, kTable, 16, kIndirect);
    driver_.desc(0, kTable, 16, kIndirect);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_INDIRECT, kIndirect);
}

TEST_F(SplitDeviceHostileTest, ATableWithASuccessor) {
    driver_.describe(kTable, 0, Guest::kHigh, 8, 0);
    driver_.desc(0, kTable, 16, kIndirect | kNext, 1);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_INDIRECT, kIndirect | kNext);
}

TEST_F(SplitDeviceHostileTest, ATableThatWasNotNegotiated) {
    make(driver_.options());
    driver_.desc(0, kTable, 16, kIndirect);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_INDIRECT, kIndirect);
}

TEST_F(SplitDeviceHostileTest, TablesOfImpossibleLengths) {
    for (const std::uint32_t len : {0U, 1U, 15U, 17U, 16U * (kSize + 1), 0xffff'fff0U}) {
        SplitDriver driver(guest_, kSize);
        driver.desc(0, kTable, len, kIndirect);
        driver.offer(0);
        expect_violation(BOUNCE_DRIVER_TABLE_LENGTH, len);
    }
}

TEST_F(SplitDeviceHostileTest, LongerTablesWhereTheyAreAllowed) {
    auto options = driver_.options(BOUNCE_VIRTQUEUE_INDIRECT);
    options.max_chain = 12;
    make(options);
    for (std::uint16_t i = 0; i < 12; ++i)
        driver_.describe(kTable, i, Guest::kHigh, 8, i < 11 ? kNext : 0, static_cast<std::uint16_t>(i + 1));
    driver_.desc(0, kTable, 12 * 16, kIndirect);
    driver_.offer(0);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    EXPECT_EQ(popped.element.n_out, 12U);
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
}

TEST_F(SplitDeviceHostileTest, ReadableBehindWritable) {
    good(0, kNext | kWrite, 1);
    good(1);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_ORDER, 0);
}

TEST_F(SplitDeviceHostileTest, LengthsThatCannotBe) {
    driver_.desc(0, Guest::kHigh, 0, 0);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_LENGTH, 0);
}

TEST_F(SplitDeviceHostileTest, AChainOfMoreThan4GiB) {
    std::vector<std::byte> place(4096);
    // A region that is that long only on paper: nothing of it is touched.
    const bounce_guest_region huge{std::uint64_t{1} << 40, std::uint64_t{1} << 33, place.data(), 0, 0};
    ASSERT_EQ(bounce_guest_memory_add(memory_, &huge, 1), 0);
    driver_.desc(0, huge.gpa, 0xffff'ffff, kNext, 1);
    driver_.desc(1, huge.gpa, 1, kNext, 2);
    driver_.desc(2, huge.gpa, 1, 0);
    driver_.offer(0);
    expect_violation(BOUNCE_DRIVER_LENGTH, (std::uint64_t{1} << 32) + 1);
}

TEST_F(SplitDeviceHostileTest, AddressesOutsideOfMemory) {
    struct Case {
        std::uint64_t addr;
        std::uint32_t len;
        std::uint16_t flags;
        std::uint64_t got;
    };
    const Case cases[] = {
        {Guest::kNowhere, 1, 0, Guest::kNowhere},
        {0, 1, 0, 0},
        {Guest::kLow - 1, 2, 0, Guest::kLow - 1},
        {Guest::kHigh + 0xf'ffff, 2, kWrite, Guest::kHigh + 0x10'0000},
        {Guest::kLast, 4097, kWrite, Guest::kLast},
        {~std::uint64_t{0}, 2, 0, ~std::uint64_t{0}},
        {~std::uint64_t{0}, 0xffff'ffff, 0, ~std::uint64_t{0}},
        {Guest::kRom, 4, kWrite, Guest::kRom},
    };
    for (const Case& one : cases) {
        SplitDriver driver(guest_, kSize);
        driver.desc(0, one.addr, one.len, one.flags);
        driver.offer(0);
        expect_violation(BOUNCE_DRIVER_ADDRESS, one.got);
        // The same for a table, which is read only.
        if (one.addr == Guest::kRom) continue;
        SplitDriver again(guest_, kSize);
        again.desc(0, one.addr, one.len / 16 * 16 % 128 + 16, kIndirect);
        again.offer(0);
        Popped popped;
        EXPECT_EQ(pop(popped), -EPROTO);
        ASSERT_EQ(bounce_virtqueue_reset(queue_, &options_), 0);
        reported_.clear();
    }
}

TEST_F(SplitDeviceHostileTest, ReadOnlyMemoryCanBeRead) {
    driver_.desc(0, Guest::kRom, 4096, 0);
    driver_.offer(0);
    Popped popped;
    ASSERT_EQ(pop(popped), 1) << bounce_last_error();
    ASSERT_EQ(bounce_virtqueue_push(queue_, &popped.element, 0), 0);
}

// Whatever stands in the ring: an element with addresses inside of memory, nothing, or an error.
TEST_F(SplitDeviceHostileTest, RandomRings) {
    std::mt19937 engine(42);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    std::uint32_t popped_some = 0, refused = 0;
    for (int round = 0; round < 20000; ++round) {
        const auto value = [&]() -> std::uint64_t {
            const std::uint64_t interesting[] = {
                0, 1, 7, 8, 16, Guest::kLow, Guest::kNext - 8, Guest::kHigh, Guest::kLast, ~std::uint64_t{0}};
            return random() % 4 != 0 ? interesting[random() % 10] : random();
        };
        for (std::uint32_t i = 0; i < kSize; ++i) {
            driver_.desc(i, random() % 8 != 0 ? Guest::kHigh + value() % 4096 : value(),
                         random() % 8 != 0 ? 1 + random() % 64 : static_cast<std::uint32_t>(value()),
                         static_cast<std::uint16_t>(random() % 4 != 0 ? random() % 4 : random() % 8),
                         static_cast<std::uint16_t>(random() % (kSize + 1)));
        }
        const auto before = info();
        SplitDriver driver(guest_, kSize);
        for (unsigned n = random() % (kSize + 1); n > 0; --n)
            driver.put(static_cast<std::uint16_t>(random() % (kSize + (random() % 8 == 0))));
        driver.set_index(random() % 16 == 0 ? static_cast<std::uint16_t>(random()) : driver.index());
        ASSERT_EQ(before.outstanding, 0U);
        Popped elements[kSize];
        std::uint32_t n = 0;
        int status = 0;
        while (n < kSize && (status = pop(elements[n])) == 1) {
            const bounce_element& element = elements[n++].element;
            ASSERT_LE(element.n_out + element.n_in, 64U);
            for (std::uint32_t i = 0; i < element.n_out + element.n_in; ++i) {
                const auto& segment = element.segments[i];
                ASSERT_EQ(segment.hva, guest_.at(segment.gpa));
                ASSERT_EQ(static_cast<std::byte*>(segment.hva) + segment.bytes - 1,
                          guest_.at(segment.gpa + segment.bytes - 1));
            }
        }
        popped_some += n;
        refused += status < 0;
        ASSERT_TRUE(status >= 0 || status == -EPROTO) << bounce_last_error();
        for (std::uint32_t i = 0; i < n; ++i) (void)bounce_virtqueue_push(queue_, &elements[i].element, 0);
        ASSERT_EQ(bounce_virtqueue_reset(queue_, nullptr), 0);
    }
    EXPECT_GT(popped_some, 1000U);
    EXPECT_GT(refused, 1000U);
}

}  // namespace
}  // namespace bounce
