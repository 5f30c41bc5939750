// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/records.hpp"

#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "api/dma/save.hpp"
#include "bounce/records.h"
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

class RecordsTest : public DeviceTest {
protected:
    RecordsTest() : DeviceTest(16u << 20), records_(make_records()), recorded_(make(config("recorded"))) {}
    ~RecordsTest() override {
        EXPECT_EQ(recorded_->outstanding(), 0u);
        recorded_.reset();
    }
    std::unique_ptr<Records> make_records() {
        auto made = Records::create(*pool_);
        EXPECT_TRUE(made) << last_error();
        return std::move(*made);
    }
    DeviceConfig config(const char* name) {
        DeviceConfig config;
        config.name = name;
        config.records = records_.get();
        return config;
    }
    std::uint64_t recorded() {
        std::uint64_t n = 0;
        for (std::uint32_t i = 0; i < pool_->regions(); ++i)
            records_->visit(RegionId{i}, [&](const Records::Record&, const SlabCore::Extent&) { ++n; });
        return n;
    }

    std::unique_ptr<Records> records_;
    std::unique_ptr<Device> recorded_;
};

TEST_F(RecordsTest, EndsByAddress) {
    for (const std::size_t bytes : {1u, 64u, 1500u, 4096u, 20480u, 20481u, 1u << 20, 5u << 20}) {
        std::string text(bytes, 'a');
        bounce_mapping mapping;
        ASSERT_TRUE(recorded_->map(text.data(), bytes, Direction::kBidirectional, 0, mapping)) << last_error();
        write(mapping, "Z", bytes - 1);
        EXPECT_EQ(recorded(), 1u);
        ASSERT_TRUE(recorded_->unmap_addr(Gpa{mapping.addr}, bytes, Direction::kBidirectional, SIZE_MAX))
            << last_error();
        EXPECT_EQ(text.back(), 'Z');
        EXPECT_EQ(recorded(), 0u);
        EXPECT_FALSE(recorded_->unmap(mapping, 0));
    }
}

TEST_F(RecordsTest, TokensStillDo) {
    char text[] = "text";
    bounce_mapping mapping;
    ASSERT_TRUE(recorded_->map(text, 4, Direction::kToDevice, 0, mapping));
    bounce_mapping copy = mapping;
    EXPECT_TRUE(recorded_->unmap(mapping, 0));
    EXPECT_EQ(recorded_->unmap(mapping, 0).code(), EALREADY);
    EXPECT_NE(recorded_->unmap(copy, 0).code(), 0);
    EXPECT_EQ(recorded_->unmap_addr(Gpa{copy.addr}, 0, {}, 0).code(), EALREADY);
    ASSERT_TRUE(recorded_->map(text, 4, Direction::kToDevice, 0, mapping));
    EXPECT_TRUE(recorded_->discard(mapping));
    EXPECT_EQ(recorded(), 0u);
}

TEST_F(RecordsTest, WhatIsStatedIsChecked) {
    char text[100] = {};
    bounce_mapping mapping;
    ASSERT_TRUE(recorded_->map(text, 100, Direction::kFromDevice, 0, mapping));
    const Gpa addr{mapping.addr};
    EXPECT_EQ(recorded_->unmap_addr(addr, 99, {}, 0).code(), EINVAL);
    EXPECT_EQ(recorded_->unmap_addr(addr, 0, Direction::kToDevice, 0).code(), EPERM);
    EXPECT_EQ(recorded_->unmap_addr(addr + 1, 0, {}, 0).code(), EFAULT);
    EXPECT_EQ(recorded_->unmap_addr(addr + (8u << 20), 0, {}, 0).code(), EFAULT);
    EXPECT_EQ(recorded_->unmap_addr(Gpa{~std::uint64_t{0}}, 0, {}, 0).code(), EFAULT);
    EXPECT_EQ(device_->unmap_addr(addr, 0, {}, 0).code(), ENOTSUP);
    auto other = make(config("other"));
    EXPECT_EQ(other->unmap_addr(addr, 0, {}, 0).code(), EXDEV);
    bounce_block block;
    ASSERT_TRUE(recorded_->alloc_block(SlotKind::kCoherent, 50, 0, block));
    EXPECT_EQ(recorded_->unmap_addr(Gpa{block.addr}, 0, {}, 0).code(), EPERM);
    EXPECT_TRUE(recorded_->free_block(SlotKind::kCoherent, block));
    EXPECT_EQ(recorded_->unmap_addr(Gpa{block.addr}, 0, {}, 0).code(), EALREADY);
    EXPECT_TRUE(recorded_->unmap_addr(addr, 100, Direction::kFromDevice, 0)) << last_error();
    // A mapping without a record.
    ASSERT_TRUE(device_->map(text, 100, Direction::kFromDevice, 0, mapping));
    EXPECT_EQ(recorded_->unmap_addr(Gpa{mapping.addr}, 0, {}, 0).code(), EALREADY);
    EXPECT_TRUE(device_->unmap(mapping, 0));
}

TEST_F(RecordsTest, LookupFromTheInside) {
    char text[3000] = "x";
    bounce_mapping mapping;
    bounce_mapping token;
    bounce_record record;
    ASSERT_TRUE(recorded_->map(text, 3000, Direction::kToDevice, BOUNCE_MAP_SKIP_SYNC, mapping));
    ASSERT_TRUE(recorded_->lookup(Gpa{mapping.addr + 2999}, record, token)) << last_error();
    EXPECT_EQ(record.addr, mapping.addr);
    EXPECT_EQ(record.bytes, 3000u);
    EXPECT_EQ(record.orig, text);
    EXPECT_EQ(record.kind, 1u);
    EXPECT_EQ(record.direction, BOUNCE_TO_DEVICE);
    EXPECT_EQ(record.flags, static_cast<std::uint32_t>(BOUNCE_MAP_SKIP_SYNC));
    EXPECT_STREQ(record.device, "recorded");
    EXPECT_EQ(std::memcmp(&token, &mapping, sizeof token), 0) << "not the same token";
    EXPECT_TRUE(recorded_->sync_for_device(token, 0, 10, Direction::kToDevice)) << last_error();
    EXPECT_TRUE(recorded_->unmap(token, 0));
    bounce_block block;
    ASSERT_TRUE(recorded_->alloc_block(SlotKind::kBuffer, 30'000, 0, block));
    ASSERT_TRUE(recorded_->lookup(Gpa{block.addr + 20'000}, record, token));
    EXPECT_EQ(record.kind, 3u);
    EXPECT_EQ(token.state, 0);
    EXPECT_TRUE(recorded_->free_block(SlotKind::kBuffer, block));
}

TEST_F(RecordsTest, ListsAreRecorded) {
    char text[500] = {};
    const bounce_sg sg[] = {{text, 100, 0, 0}, {text + 100, 200, 0, 0}, {text + 300, 200, 0, 0}};
    bounce_mapping mappings[3];
    ASSERT_TRUE(recorded_->map_sg(sg, Direction::kFromDevice, 0, mappings)) << last_error();
    EXPECT_EQ(recorded(), 3u);
    write(mappings[1], "B");
    EXPECT_TRUE(recorded_->unmap_addr(Gpa{mappings[1].addr}, 200, Direction::kFromDevice, SIZE_MAX));
    EXPECT_EQ(text[100], 'B');
    EXPECT_EQ(recorded_->unmap_sg(mappings, 500).code(), EALREADY) << "one of them was ended";
    EXPECT_EQ(recorded(), 0u);
    // All or nothing.
    const bounce_sg large[] = {{text, 100, 0, 0}, {text, 12u << 20, 0, 0}, {text, 12u << 20, 0, 0}};
    EXPECT_EQ(recorded_->map_sg(large, Direction::kFromDevice, BOUNCE_MAP_SKIP_SYNC, mappings).code(), ENOSPC);
    EXPECT_EQ(recorded(), 0u);
    EXPECT_EQ(mappings[0].state, 0);
    EXPECT_EQ(recorded_->map_sg({}, Direction::kFromDevice, 0, mappings).code(), EINVAL);
    EXPECT_EQ(recorded_->unmap_sg({}, 0).code(), EINVAL);
}

TEST_F(RecordsTest, LimitsAreThoseOfTheDevice) {
    DeviceConfig limited = config("limited");
    limited.max_segment_bytes = 100;
    limited.dma_mask = 0xffff;
    auto device = make(limited);
    char text[200] = {};
    bounce_mapping mapping;
    EXPECT_EQ(device->map(text, 101, Direction::kToDevice, 0, mapping).code(), E2BIG);
    EXPECT_EQ(device->map(text, 100, Direction::kToDevice, 0, mapping).code(), ERANGE);
    EXPECT_EQ(device->map(nullptr, 1, Direction::kToDevice, 0, mapping).code(), EINVAL);
    EXPECT_EQ(device->map(text, 0, Direction::kToDevice, 0, mapping).code(), EINVAL);
    EXPECT_EQ(device->map(text, 1, Direction::kToDevice, 64, mapping).code(), EINVAL);
    EXPECT_EQ(device->outstanding(), 0u);
}

TEST_F(RecordsTest, RenewedMemoryIsKnown) {
    char text[100] = "old";
    bounce_mapping mapping;
    ASSERT_TRUE(recorded_->map(text, 100, Direction::kFromDevice, 0, mapping));
    ASSERT_TRUE(pool_->renew()) << last_error();
    EXPECT_EQ(recorded_->unmap_addr(Gpa{mapping.addr}, 0, {}, SIZE_MAX).code(), ESTALE);
    EXPECT_STREQ(text, "old");
    EXPECT_EQ(recorded_->outstanding(), 0u);
}

TEST_F(RecordsTest, NamesAreReused) {
    for (int i = 0; i < 50; ++i) {
        auto device = make(config("guest"));
        EXPECT_LT(records_->devices(), 4u);
    }
}

TEST_F(RecordsTest, VisitIsInTheOrderOfAddresses) {
    std::mt19937 random(3);
    std::vector<char> text(40'000);
    std::vector<bounce_mapping> all(300);
    std::set<std::uint64_t> expected;
    for (auto& mapping : all) {
        ASSERT_TRUE(recorded_->map(text.data(), 1 + random() % text.size(), Direction::kFromDevice, 0, mapping));
        expected.insert(mapping.addr);
    }
    std::vector<std::uint64_t> seen;
    records_->visit(RegionId{0}, [&](const Records::Record& record, const SlabCore::Extent& extent) {
        seen.push_back(record.slot.gpa.value);
        EXPECT_LT(record.slot.gpa.value - kBase - extent.offset, extent.pages * kPageBytes);
    });
    EXPECT_EQ(seen, std::vector<std::uint64_t>(expected.begin(), expected.end()));
    for (auto& mapping : all) EXPECT_TRUE(recorded_->unmap_addr(Gpa{mapping.addr}, mapping.bytes, {}, 0));
}

// Threads map, hand addresses over and end what others mapped, while one looks at all of it.
TEST_F(RecordsTest, ManyThreads) {
    constexpr int kThreads = 4;
    constexpr int kRounds = 3000;
    std::array<std::atomic<std::uint64_t>, 64> exchange{};
    std::atomic<bool> stop{false};
    std::thread looker([&] {
        while (!stop.load(std::memory_order_relaxed)) {
            records_->visit(RegionId{0}, [&](const Records::Record& record, const SlabCore::Extent&) {
                EXPECT_GE(record.bytes, 1u);
                EXPECT_LE(record.bytes, 5000u);
                EXPECT_EQ(record.kind, SlotKind::kStreaming);
            });
        }
    });
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(t);
            std::vector<char> text(5000, static_cast<char>('a' + t));
            for (int i = 0; i < kRounds; ++i) {
                bounce_mapping mapping;
                if (!recorded_->map(text.data(), 1 + random() % text.size(), Direction::kToDevice, 0, mapping))
                    continue;
                const std::uint64_t old = exchange[random() % exchange.size()].exchange(mapping.addr);
                if (old != 0) {
                    EXPECT_TRUE(recorded_->unmap_addr(Gpa{old}, 0, Direction::kToDevice, 0)) << last_error();
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    stop.store(true);
    looker.join();
    for (auto& left : exchange) {
        if (left.load() != 0) {
            EXPECT_TRUE(recorded_->unmap_addr(Gpa{left.load()}, 0, {}, 0));
        }
    }
    EXPECT_EQ(recorded(), 0u);
}

// A mapping that begins behind the start of its slot is found and ended by its own address.
TEST_F(RecordsTest, DevicesWithLimitsHaveRecords) {
    DeviceConfig with = config("limited");
    with.limits = {.min_align_mask = 4095,
                   .segment_boundary = 1u << 16,
                   .scrub_at_map = Scrub::kAll,
                   .scrub_at_unmap = Scrub::kAll};
    auto limited = make(with);
    std::vector<char> memory(64u << 10, 'a');
    for (const std::size_t offset : {0u, 1u, 500u, 4095u, 5000u}) {
        for (const std::size_t bytes : {1u, 100u, 1500u, 4096u, 30000u}) {
            char* const from = memory.data() + offset;
            bounce_mapping mapping;
            ASSERT_TRUE(limited->map(from, bytes, Direction::kBidirectional, BOUNCE_MAP_NO_WARN, mapping))
                << last_error();
            EXPECT_EQ((mapping.addr ^ reinterpret_cast<std::uintptr_t>(from)) & 4095, 0u);
            bounce_record record;
            bounce_mapping token;
            ASSERT_TRUE(limited->lookup(Gpa{mapping.addr + bytes - 1}, record, token)) << last_error();
            EXPECT_EQ(record.addr, mapping.addr);
            EXPECT_EQ(record.bytes, bytes);
            EXPECT_EQ(record.kind, static_cast<std::uint32_t>(SlotKind::kStreaming));
            EXPECT_EQ(token.addr, mapping.addr);
            EXPECT_EQ(token.slot, mapping.slot);
            write(mapping, "Z", bytes - 1);
            ASSERT_TRUE(limited->sync_for_cpu(token, bytes - 1, 1, Direction::kBidirectional)) << last_error();
            EXPECT_EQ(from[bytes - 1], 'Z');
            from[bytes - 1] = 'a';
            if (offset == 500) {
                ASSERT_TRUE(limited->unmap(token, SIZE_MAX)) << last_error();
            } else {
                ASSERT_TRUE(limited->unmap_addr(Gpa{mapping.addr}, bytes, Direction::kBidirectional, SIZE_MAX))
                    << last_error();
            }
            EXPECT_EQ(from[bytes - 1], 'Z');
            from[bytes - 1] = 'a';
            const std::byte* const slot = at(mapping.addr, bytes);
            EXPECT_TRUE(std::all_of(slot, slot + bytes, [](std::byte b) { return b == std::byte{0}; }));
            EXPECT_EQ(recorded(), 0u);
            EXPECT_FALSE(limited->unmap(mapping, 0));
        }
    }
    const bounce_sg sg[] = {{memory.data() + 1, 10, 0, 0}, {memory.data() + 5000, 3000, 0, 0}};
    bounce_mapping both[2];
    ASSERT_TRUE(limited->map_sg(sg, Direction::kFromDevice, 0, both)) << last_error();
    EXPECT_EQ(recorded(), 2u);
    write(both[0], "0123456789");
    EXPECT_TRUE(limited->unmap_sg(both, 10)) << last_error();
    EXPECT_EQ(std::string(memory.data() + 1, 10), "0123456789");
    EXPECT_EQ(recorded(), 0u);
    // All or nothing.
    const bounce_sg bad[] = {sg[0], {memory.data(), (1u << 16) + 1, 0, 0}};
    EXPECT_EQ(limited->map_sg(bad, Direction::kToDevice, 0, both).code(), EDOM);
    EXPECT_EQ(both[0].state, 0);
    EXPECT_EQ(recorded(), 0u);
    EXPECT_EQ(limited->outstanding(), 0u);
}

TEST_F(RecordsTest, SeveralEndInBulkAndListsAreRefused) {
    char text[] = "0123456789";
    bounce_mapping all[3];
    for (auto& one : all) ASSERT_TRUE(recorded_->map(text, 10, Direction::kToDevice, 0, one));
    const std::size_t written[3] = {};
    EXPECT_TRUE(recorded_->unmap_bulk(all, written)) << last_error();
    EXPECT_EQ(recorded(), 0u);
    ASSERT_TRUE(recorded_->map_aligned(text, 10, Direction::kToDevice, 0, 8192, all[0])) << last_error();
    EXPECT_EQ(all[0].addr % 8192, 0u);
    EXPECT_TRUE(recorded_->unmap_addr(Gpa{all[0].addr}, 10, {}, 0)) << last_error();
    const bounce_sg sg[] = {{text, 10, 0, 0}};
    bounce_segment segment;
    bounce_list list{sizeof list, all, 3, &segment, 1, 0, 0, 0};
    EXPECT_EQ(recorded_->map_list(sg, Direction::kToDevice, 0, 0, list).code(), ENOTSUP);
    EXPECT_EQ(list.n_mappings, 0u);
}

TEST_F(RecordsTest, WhatIsHeldBackHasNoRecordAndIsNotSaved) {
    char text[] = "text";
    bounce_mapping mapping;
    bounce_block block;
    ASSERT_TRUE(recorded_->map(text, 4, Direction::kToDevice, 0, mapping));
    ASSERT_TRUE(recorded_->alloc_block(SlotKind::kBuffer, 100, 0, block));
    ASSERT_TRUE(recorded_->quarantine()) << last_error();
    bounce_mapping other;
    EXPECT_EQ(recorded_->map(text, 4, Direction::kToDevice, 0, other).code(), EPROTO);
    EXPECT_EQ(recorded_->map(block.ptr, 4, Direction::kToDevice, BOUNCE_MAP_SHARED, other).code(), EPROTO);
    EXPECT_TRUE(recorded_->unmap_addr(Gpa{mapping.addr}, 4, {}, 0)) << last_error();
    EXPECT_TRUE(recorded_->free_block(SlotKind::kBuffer, block)) << last_error();
    EXPECT_EQ(recorded(), 0u);
    EXPECT_EQ(pool_->stats().quarantined, 2u);
    EXPECT_EQ(save(*pool_, records_.get(), {}).code(), EBUSY);
    EXPECT_EQ(recorded_->release(), 2u);
    EXPECT_EQ(pool_->stats().quarantined, 0u);
    EXPECT_TRUE(save(*pool_, records_.get(), {})) << last_error();
}

TEST_F(RecordsTest, WhatBeginsBehindItsSlotIsNotSaved) {
    DeviceConfig with = config("limited");
    with.limits = {.min_align_mask = 4095};
    auto limited = make(with);
    alignas(4096) static char page[8192];
    bounce_mapping mapping;
    ASSERT_TRUE(limited->map(page, 4, Direction::kToDevice, 0, mapping));
    EXPECT_TRUE(save(*pool_, records_.get(), {})) << last_error();
    EXPECT_TRUE(limited->unmap(mapping, 0));
    ASSERT_TRUE(limited->map(page + 1, 4, Direction::kToDevice, 0, mapping));
    EXPECT_EQ(save(*pool_, records_.get(), {}).code(), ENOTSUP);
    EXPECT_TRUE(limited->unmap(mapping, 0));
}

}  // namespace
}  // namespace bounce
