// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/requests.hpp"

#include <algorithm>
#include <array>
#include <random>

#include "tests/unit/api/control/control_fixture.hpp"

namespace bounce {
namespace {

class RequestsTest : public ControlTest {
protected:
    RequestsTest() { EXPECT_EQ(set({item("who.tags", 1)}).head.status, 0); }
    std::vector<bounce_mapping> map(std::size_t n, std::size_t bytes) {
        std::vector<bounce_mapping> mappings(n);
        for (auto& mapping : mappings)
            EXPECT_TRUE(device_->map(buffer_.data(), bytes, Direction::kToDevice, 0, mapping)) << last_error();
        return mappings;
    }
    void unmap(std::vector<bounce_mapping>& mappings) {
        for (auto& mapping : mappings) EXPECT_TRUE(device_->unmap(mapping, 0)) << last_error();
    }
    std::vector<char> buffer_ = std::vector<char>(1u << 20);
};

TEST_F(RequestsTest, SaysWhoItIs) {
    const Answer answer = ask(BOUNCE_CONTROL_HELLO);
    ASSERT_EQ(answer.head.status, 0) << answer.error;
    const auto hello = answer.as<bounce_control_hello>().at(0);
    EXPECT_STREQ(hello.name, "tested");
    EXPECT_EQ(hello.rights, peer_.rights);
    EXPECT_EQ(hello.library, bounce_version());
    EXPECT_TRUE(reply_.with_stats);
    // Each command that it knows is known by name.
    const auto commands = ask(BOUNCE_CONTROL_COMMANDS).as<bounce_control_info>();
    ASSERT_FALSE(commands.empty());
    EXPECT_EQ(commands.back().command, hello.commands);
}

TEST_F(RequestsTest, WhatIsNoRequestIsRefused) {
    EXPECT_EQ(ask_bytes({}).head.status, -EPROTO);
    EXPECT_TRUE(reply_.last);
    EXPECT_EQ(ask_bytes(std::vector<std::byte>(200)).head.status, -EPROTO);
    EXPECT_TRUE(reply_.last);
    EXPECT_EQ(ask(99).head.status, -ENOTSUP);
    EXPECT_FALSE(reply_.last);
    EXPECT_EQ(ask(0).head.status, -ENOTSUP);
    // More items are said than come.
    bounce_control_request head{};
    head.magic = BOUNCE_CONTROL_MAGIC;
    head.version = BOUNCE_CONTROL_VERSION;
    head.command = BOUNCE_CONTROL_SET;
    head.items = 0xffffffff;
    head.item_bytes = 0xffffffff;
    std::vector<std::byte> bytes(sizeof head);
    std::memcpy(bytes.data(), &head, sizeof head);
    EXPECT_EQ(ask_bytes(bytes).head.status, -EINVAL);
}

TEST_F(RequestsTest, RightsAreLookedAt) {
    peer_.rights = BOUNCE_CONTROL_OBSERVE;
    EXPECT_EQ(set({item("who.tags", 0)}).head.status, -EPERM);
    EXPECT_EQ(ask(BOUNCE_CONTROL_QUARANTINE, {device_->id()}).head.status, -EPERM);
    EXPECT_EQ(ask(BOUNCE_CONTROL_DRAIN, {0}).head.status, -EPERM);
    EXPECT_EQ(ask(BOUNCE_CONTROL_TUNABLES).head.status, 0);
    peer_.rights = 0;
    EXPECT_EQ(ask(BOUNCE_CONTROL_TUNABLES).head.status, -EPERM);
    EXPECT_EQ(ask(BOUNCE_CONTROL_HELLO).head.status, 0);
}

TEST_F(RequestsTest, HeldIsWhatIsMapped) {
    auto mappings = map(300, 1500);
    auto large = map(2, 100'000);
    bounce_block block;
    ASSERT_TRUE(device_->alloc_block(SlotKind::kCoherent, 4096, 0, block));
    auto held = ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD);
    ASSERT_EQ(held.size(), 303U);
    std::vector<std::uint64_t> found;
    for (const auto& one : held) {
        EXPECT_EQ(one.device, device_->id());
        EXPECT_STREQ(one.device_name, "net0");
        if (one.kind == 2) {
            EXPECT_EQ(one.gpa, block.addr);
            continue;
        }
        EXPECT_EQ(one.direction, static_cast<unsigned>(BOUNCE_TO_DEVICE));
        const std::uint64_t bytes = one.size_class == 127 ? 100'000 : 1500;
        EXPECT_GE(one.bytes, bytes);
        EXPECT_LE(one.bytes, bytes + one.slot_bytes / 255 + 1);
        found.push_back(one.gpa);
    }
    std::sort(found.begin(), found.end());
    std::vector<std::uint64_t> expected;
    for (const auto& mapping : mappings) expected.push_back(mapping.addr);
    for (const auto& mapping : large) expected.push_back(mapping.addr);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(found, expected);
    expect_clean();
    unmap(mappings);
    unmap(large);
    held = ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD);
    ASSERT_EQ(held.size(), 1U);
    EXPECT_EQ(held[0].gpa, block.addr);
    EXPECT_TRUE(device_->free_block(SlotKind::kCoherent, block));
    expect_clean();
}

// Slots go round and round; what was ended is never taken for what is held.
TEST_F(RequestsTest, HeldIsRightAfterManyLives) {
    std::mt19937 random(7);
    std::vector<bounce_mapping> live;
    for (int i = 0; i < 20'000; ++i) {
        if (live.size() < 50 || (live.size() < 200 && random() % 2 == 0)) {
            auto some = map(1, 1 + random() % 9000);
            live.push_back(some[0]);
        } else {
            std::swap(live[random() % live.size()], live.back());
            ASSERT_TRUE(device_->unmap(live.back(), 0));
            live.pop_back();
        }
    }
    std::vector<std::uint64_t> expected;
    for (const auto& mapping : live) expected.push_back(mapping.addr);
    std::sort(expected.begin(), expected.end());
    std::vector<std::uint64_t> found;
    for (const auto& one : ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD)) found.push_back(one.gpa);
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, expected);
    expect_clean();
    unmap(live);
}

TEST_F(RequestsTest, FindKnowsAnAddress) {
    auto mappings = map(1, 3000);
    auto answer = ask(BOUNCE_CONTROL_FIND, {mappings[0].addr + 100});
    ASSERT_EQ(answer.head.status, 0) << answer.error;
    auto held = answer.as<bounce_control_held>().at(0);
    EXPECT_EQ(held.gpa, mappings[0].addr);
    EXPECT_EQ(held.kind, 1U);
    EXPECT_STREQ(held.device_name, "net0");
    const std::uint64_t gpa = mappings[0].addr;
    unmap(mappings);
    answer = ask(BOUNCE_CONTROL_FIND, {gpa});
    if (answer.head.status == 0) {
        EXPECT_EQ(answer.as<bounce_control_held>().at(0).kind, 0U);
    }
    EXPECT_EQ(ask(BOUNCE_CONTROL_FIND, {0x42}).head.status, -EFAULT);
}

TEST_F(RequestsTest, ChunksAreAsFullAsThePool) {
    auto mappings = map(100, 4096);
    const auto chunks = ask_all<bounce_control_chunk>(BOUNCE_CONTROL_CHUNKS);
    ASSERT_EQ(chunks.size(), 2U);
    std::uint64_t used = 0;
    std::uint64_t out = 0;
    for (const auto& chunk : chunks) {
        EXPECT_EQ(chunk.pages, 512U);
        EXPECT_LE(chunk.used_pages + chunk.longest_hole, 512U);
        used += chunk.used_pages;
        out += chunk.out;
    }
    EXPECT_GE(used, 100U);
    EXPECT_GE(out, 100U);
    EXPECT_EQ(chunks[0].gpa, kBase);
    unmap(mappings);
}

TEST_F(RequestsTest, SegmentAgreesWithThePool) {
    auto mappings = map(10, 4096);
    ASSERT_EQ(ask(BOUNCE_CONTROL_PUBLISH).head.status, 0);
    auto view = StatsView::open(segment_->fd());
    ASSERT_TRUE(view) << last_error();
    bounce_stats_pool pool{};
    ASSERT_TRUE((*view)->record(BOUNCE_STATS_POOL, 0, &pool, sizeof pool));
    EXPECT_STREQ(pool.name, "tested");
    EXPECT_EQ(pool.mappings, 10U);
    EXPECT_EQ(pool.maps, 10U);
    EXPECT_EQ(pool.bytes, 4u << 20);
    EXPECT_EQ(pool.used_bytes, 10 * 4096U);
    bounce_stats_device device{};
    ASSERT_EQ((*view)->count(BOUNCE_STATS_DEVICES), 1U);
    ASSERT_TRUE((*view)->record(BOUNCE_STATS_DEVICES, 0, &device, sizeof device));
    EXPECT_STREQ(device.name, "net0");
    EXPECT_EQ(device.mappings, 10U);
    EXPECT_EQ((*view)->count(BOUNCE_STATS_REGIONS), 1U);
    std::uint64_t out = 0;
    for (std::uint64_t i = 0; i < (*view)->count(BOUNCE_STATS_CLASSES); ++i) {
        bounce_stats_class row{};
        ASSERT_TRUE((*view)->record(BOUNCE_STATS_CLASSES, i, &row, sizeof row));
        if (row.slot_bytes == 4096) out = row.out;
    }
    EXPECT_GE(out, 10U);
    unmap(mappings);
}

TEST_F(RequestsTest, EventsAreKeptInOrder) {
    ASSERT_EQ(set({item("stats.publish_ms", 20)}).head.status, 0);
    callbacks_.violation("net0", BOUNCE_VIOLATION_USED_ID, 0, 5, 6, "text");
    const auto events = ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS, {1});
    ASSERT_GE(events.size(), 3U);
    for (std::size_t i = 1; i < events.size(); ++i) EXPECT_EQ(events[i].number, events[i - 1].number + 1);
    EXPECT_EQ(events.back().kind, static_cast<unsigned>(BOUNCE_EVENT_VIOLATION));
    const auto& set_one = events[events.size() - 2];
    EXPECT_EQ(set_one.kind, static_cast<unsigned>(BOUNCE_EVENT_SET));
    EXPECT_STREQ(set_one.text, "stats.publish_ms");
    EXPECT_EQ(set_one.arg[0], 250U);
    EXPECT_EQ(set_one.arg[1], 20U);
    EXPECT_EQ(set_one.arg[2], 7U);
    // Of more than are kept the last ones are there.
    for (int i = 0; i < 3000; ++i) callbacks_.telemetry().event(BOUNCE_EVENT_DEVICE, "x", 0);
    EXPECT_EQ(ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS, {1}).size(), Telemetry::kEvents);
}

TEST_F(RequestsTest, FullIsAnEvent) {
    std::vector<bounce_mapping> mappings(10'000);
    std::size_t n = 0;
    while (n < mappings.size() && device_->map(buffer_.data(), 65536, Direction::kToDevice, 0, mappings[n])) ++n;
    mappings.resize(n);
    requests_->tick();
    const auto events = ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS, {1});
    EXPECT_EQ(events.back().kind, static_cast<unsigned>(BOUNCE_EVENT_FULL));
    EXPECT_EQ(events.back().arg[1], device_->id());
    unmap(mappings);
}

TEST_F(RequestsTest, AQuarantineFromOutside) {
    auto mappings = map(1, 4096);
    ASSERT_EQ(ask(BOUNCE_CONTROL_QUARANTINE, {device_->id()}).head.status, 0);
    EXPECT_TRUE(device_->quarantined());
    bounce_mapping refused;
    EXPECT_EQ(device_->map(buffer_.data(), 4096, Direction::kToDevice, 0, refused).code(), EPROTO);
    unmap(mappings);
    EXPECT_EQ(ask(BOUNCE_CONTROL_QUARANTINE, {device_->id() + 1}).head.status, -ENOENT);
    device_->release();
}

class GrowingTest : public ControlTest {
protected:
    GrowingTest() : ControlTest(4u << 20, growth()) {}
    static GrowthConfig growth() {
        GrowthConfig config;
        config.limit_bytes = 16u << 20;
        return config;
    }
    std::uint32_t last_event() { return ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS, {1}).back().kind; }
};

TEST_F(GrowingTest, ARegionComesAndGoes) {
    const Answer added = ask(BOUNCE_CONTROL_ADD_REGION, {2u << 20});
    ASSERT_EQ(added.head.status, 0) << added.error;
    EXPECT_EQ(added.head.total, 1U);
    EXPECT_EQ(last_event(), static_cast<unsigned>(BOUNCE_EVENT_ADD_REGION));
    EXPECT_EQ(pool_->stats().bytes, 6u << 20);
    // It is used when the first one is full.
    std::vector<char> buffer(1u << 20);
    std::vector<bounce_mapping> mappings(5);
    for (auto& mapping : mappings)
        ASSERT_TRUE(device_->map(buffer.data(), 1u << 20, Direction::kToDevice, 0, mapping)) << last_error();
    EXPECT_EQ(ask(BOUNCE_CONTROL_REMOVE_REGION, {1}).head.status, -EBUSY);
    ASSERT_EQ(ask(BOUNCE_CONTROL_DRAIN, {1}).head.status, 0);
    EXPECT_EQ(last_event(), static_cast<unsigned>(BOUNCE_EVENT_DRAIN));
    EXPECT_EQ(ask(BOUNCE_CONTROL_REMOVE_REGION, {1}).head.status, -EBUSY);
    for (auto& mapping : mappings) ASSERT_TRUE(device_->unmap(mapping, 0));
    ASSERT_EQ(ask(BOUNCE_CONTROL_REMOVE_REGION, {1}).head.status, 0);
    EXPECT_EQ(last_event(), static_cast<unsigned>(BOUNCE_EVENT_REMOVE_REGION));
    EXPECT_EQ(pool_->stats().bytes, 4u << 20);
    // The same range and index again; another size has a range of its own.
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {2u << 20}).head.total, 1U);
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {4u << 20}).head.total, 2U);
    expect_clean();
}

TEST_F(GrowingTest, OnlyWithinTheLimit) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{(1u << 20) + 1}})
        EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {bytes}).head.status, -EINVAL);
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {1u << 20, std::uint64_t{1} << 40}).head.status, -EINVAL);
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {14u << 20}).head.status, -ENOSPC);
    ASSERT_EQ(set({item("pool.limit_bytes", 8u << 20)}).head.status, 0);
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {8u << 20}).head.status, -ENOSPC);
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {4u << 20}).head.status, 0);
    peer_.rights = BOUNCE_CONTROL_OBSERVE;
    for (const int command : {BOUNCE_CONTROL_ADD_REGION, BOUNCE_CONTROL_REMOVE_REGION, BOUNCE_CONTROL_REVOKE})
        EXPECT_EQ(ask(command, {1}).head.status, -EPERM);
}

TEST_F(RequestsTest, APoolWithoutALimitGetsNoRegion) {
    EXPECT_EQ(ask(BOUNCE_CONTROL_ADD_REGION, {1u << 20}).head.status, -ENOTSUP);
}

TEST_F(RequestsTest, ARevokedRegionServesNobody) {
    auto mappings = map(1, 4096);
    EXPECT_EQ(ask(BOUNCE_CONTROL_REVOKE, {7}).head.status, -ENOENT);
    ASSERT_EQ(ask(BOUNCE_CONTROL_REVOKE, {0}).head.status, 0);
    EXPECT_EQ(ask_all<bounce_control_event>(BOUNCE_CONTROL_EVENTS, {1}).back().kind,
              static_cast<unsigned>(BOUNCE_EVENT_REVOKE));
    bounce_mapping refused;
    EXPECT_EQ(device_->map(buffer_.data(), 4096, Direction::kToDevice, 0, refused).code(), E2BIG);
    unmap(mappings);
    ASSERT_EQ(ask(BOUNCE_CONTROL_REMOVE_REGION, {0}).head.status, 0);
    EXPECT_EQ(ask(BOUNCE_CONTROL_REVOKE, {0}).head.status, -EINVAL);
}

TEST_F(RequestsTest, HistogramsCountWhatIsSampled) {
    ASSERT_EQ(set({item("stats.sample", 1)}).head.status, 0);
    auto mappings = map(1000, 4000);
    unmap(mappings);
    requests_->tick();
    auto view = StatsView::open(segment_->fd());
    ASSERT_TRUE(view) << last_error();
    ASSERT_EQ((*view)->count(BOUNCE_STATS_HISTOGRAMS), 3U);
    bounce_stats_histogram sizes{};
    ASSERT_TRUE((*view)->record(BOUNCE_STATS_HISTOGRAMS, 0, &sizes, sizeof sizes));
    EXPECT_EQ(sizes.kind, static_cast<unsigned>(BOUNCE_STATS_SIZE));
    EXPECT_EQ(sizes.count, 1000U);
    EXPECT_EQ(sizes.buckets[12], 1000U);  // 2048 to 4095
    EXPECT_EQ(sizes.sum, 4'000'000U);
    ASSERT_EQ(set({item("stats.sample", 0)}).head.status, 0);
    mappings = map(10, 4000);
    unmap(mappings);
    requests_->tick();
    ASSERT_TRUE((*view)->refresh());
    ASSERT_TRUE((*view)->record(BOUNCE_STATS_HISTOGRAMS, 0, &sizes, sizeof sizes));
    EXPECT_EQ(sizes.count, 1000U);
}

class LeakTest : public ControlTest {
protected:
    LeakTest() : ControlTest(64u << 20) {}
};

// One mapping that nobody ends, among 100,000 that live.
TEST_F(LeakTest, TheOldestIsFound) {
    ASSERT_EQ(set({item("who.tags", 1)}).head.status, 0);
    constexpr std::uint64_t kSecond = 1'000'000'000;
    std::vector<char> buffer(4096);
    std::mt19937 random(5);
    std::vector<bounce_mapping> live(100'000);
    auto other = make("leaky");
    bounce_mapping leak;
    for (std::size_t i = 0; i < live.size(); ++i) {
        if (i == 40'000) {
            callbacks_.telemetry().set_now(100 * kSecond);
            ASSERT_TRUE(other->map(buffer.data(), 777, Direction::kFromDevice, 0, leak)) << last_error();
        }
        callbacks_.telemetry().set_now((i < 50'000 ? 1000 : 5000) * kSecond);
        ASSERT_TRUE(device_->map(buffer.data(), 64 + random() % 192, Direction::kToDevice, 0, live[i])) << last_error();
    }
    callbacks_.telemetry().set_now(5001 * kSecond);
    const auto old_ones = ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD, {0, 0, 0, 4500 * 1000});
    ASSERT_EQ(old_ones.size(), 1U);
    EXPECT_EQ(old_ones[0].gpa, leak.addr);
    EXPECT_STREQ(old_ones[0].device_name, "leaky");
    EXPECT_EQ(old_ones[0].direction, static_cast<unsigned>(BOUNCE_FROM_DEVICE));
    EXPECT_NEAR(static_cast<double>(old_ones[0].age_ms), 4901e3, 10);
    EXPECT_NEAR(static_cast<double>(old_ones[0].bytes), 777, 5);
    EXPECT_EQ(ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD).size(), 100'001U);
    EXPECT_EQ(ask_all<bounce_control_held>(BOUNCE_CONTROL_HELD, {0, 0, other->id(), 0}).size(), 1U);
    expect_clean();
    for (auto& mapping : live) ASSERT_TRUE(device_->unmap(mapping, 0));
    ASSERT_TRUE(other->unmap(leak, 0));
}

// Whatever comes, there is an answer, and the pool is as it was.
TEST_F(RequestsTest, GarbageHurtsNothing) {
    auto mappings = map(20, 4096);
    std::mt19937_64 random(1);
    for (int i = 0; i < 20'000; ++i) {
        bounce_control_request head{};
        head.magic = BOUNCE_CONTROL_MAGIC;
        head.version = BOUNCE_CONTROL_VERSION;
        head.command = static_cast<std::uint16_t>(random() % 11);
        head.flags = static_cast<std::uint16_t>(random() % 4);
        const std::size_t size = random() % 300;
        if (random() % 2 == 0) {
            head.item_bytes = static_cast<std::uint32_t>(random() % 80);
            head.items = head.item_bytes == 0 ? 0 : static_cast<std::uint32_t>(size / head.item_bytes);
        }
        for (auto& arg : head.arg) arg = random() % 3 == 0 ? random() : random() % 10'000;
        std::vector<std::byte> bytes(sizeof head + std::size_t{head.items} * head.item_bytes);
        for (auto& byte : bytes) byte = static_cast<std::byte>(random());
        std::memcpy(bytes.data(), &head, sizeof head);
        ask_bytes(bytes);
    }
    unmap(mappings);
    expect_clean();
}

}  // namespace
}  // namespace bounce
