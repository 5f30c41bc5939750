// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Devices that name regions of their own.
#include <sys/mman.h>

#include <set>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

/// Region 0 is open; 1 and 2 are restricted; 3 is open again.
class DomainTest : public DeviceTest {
protected:
    DomainTest() {
        for (const bool restricted : {true, true, false}) add(restricted);
    }
    RegionId add(bool restricted, void* hva = nullptr) {
        RegionConfig config;
        config.bytes = 2 * kMiB;
        config.base_gpa = Gpa{kBase + 16 * kMiB * pool_->regions()};
        config.restricted = restricted;
        config.imported_hva = hva;
        const auto added = pool_->add_region(config);
        if (!added) throw std::runtime_error(last_error());
        return *added;
    }
    std::uint32_t region_at(std::uint64_t addr) const {
        std::uint32_t i = 0;
        while (addr - pool_->region(RegionId{i}).base().value >= pool_->region(RegionId{i}).bytes()) ++i;
        return i;
    }
    /// Maps, or allocates coherent memory and buffers, until the device is refused; the regions of what it got.
    std::set<std::uint32_t> fill(Device& device, int code = ENOSPC) {
        std::vector<char> data(5000, 'x');
        std::vector<bounce_mapping> mappings;
        std::vector<bounce_block> blocks;
        std::set<std::uint32_t> regions;
        for (;;) {
            bounce_mapping mapping;
            const auto mapped = device.map(data.data(), data.size(), Direction::kToDevice, 0, mapping);
            bounce_block block;
            const SlotKind kind = blocks.size() % 2 == 0 ? SlotKind::kCoherent : SlotKind::kBuffer;
            const auto got = device.alloc_block(kind, 3000, 0, block);
            if (mapped) mappings.push_back(mapping);
            if (got) blocks.push_back(block);
            if (mapped) regions.insert(region_at(mapping.addr));
            if (got) regions.insert(region_at(block.addr));
            if (mapped || got) continue;
            EXPECT_EQ(mapped.code(), code) << last_error();
            EXPECT_EQ(got.code(), code) << last_error();
            break;
        }
        for (auto& mapping : mappings) EXPECT_TRUE(device.unmap(mapping, 0)) << last_error();
        for (auto& block : blocks)
            EXPECT_TRUE(device.free_block(static_cast<SlotKind>(block.kind), block)) << last_error();
        return regions;
    }
    int create_error(RegionMask regions) { return Device::create(*pool_, callbacks_, {.regions = regions}).code(); }
};

using Regions = std::set<std::uint32_t>;

TEST_F(DomainTest, EachTakesFromItsOwnRegionsAlone) {
    auto one = make({.regions = 0b0010});
    auto two = make({.regions = 0b0100});
    EXPECT_EQ(fill(*device_), (Regions{0, 3})) << "what is open, also what came later";
    EXPECT_EQ(fill(*one), (Regions{1}));
    EXPECT_EQ(fill(*two), (Regions{2}));
    EXPECT_EQ(fill(*device_), (Regions{0, 3})) << "what threads kept for themselves went to nobody else";
}

TEST_F(DomainTest, DevicesWithLimitsKeepToTheirs) {
    const DeviceLimits limits{.min_align_mask = 63, .segment_boundary = 1u << 16};
    auto one = make({.limits = limits, .regions = 0b0010});
    auto open = make({.limits = limits});
    EXPECT_EQ(fill(*one), (Regions{1}));
    EXPECT_EQ(fill(*open), (Regions{0, 3}));
    auto two = make({.regions = 0b0100});
    EXPECT_EQ(two->max_mapping(), 2 * kMiB);
    EXPECT_EQ(device_->max_mapping(), 4 * kMiB);
    // A list is scattered over its own regions, and no others.
    std::vector<char> data(3 * kMiB, 'x');
    std::vector<bounce_mapping> tokens(9);
    std::vector<bounce_segment> segments(8);
    bounce_list list{sizeof list, tokens.data(), 9, segments.data(), 8, 0, 0, 0};
    const bounce_sg sg[] = {{data.data(), data.size(), 0, 0}};
    EXPECT_EQ(two->map_list(sg, Direction::kToDevice, 0, 0, list).code(), ENOSPC) << last_error();
    const bounce_sg less[] = {{data.data(), 2 * kMiB, 0, 0}};
    ASSERT_TRUE(two->map_list(less, Direction::kToDevice, 0, 0, list)) << last_error();
    for (std::size_t i = 0; i < list.n_segments; ++i) EXPECT_EQ(region_at(segments[i].addr), 2u);
    EXPECT_TRUE(two->unmap_list(list, 0)) << last_error();
}

TEST_F(DomainTest, ARetiredRegionServesNobody) {
    ASSERT_TRUE(pool_->retire_region(RegionId{1})) << last_error();
    ASSERT_TRUE(pool_->retire_region(RegionId{3})) << last_error();
    EXPECT_EQ(pool_->shown() & 0b1010, 0u);
    auto one = make({.regions = 0b0010});
    EXPECT_EQ(fill(*one, E2BIG), (Regions{}));
    EXPECT_EQ(fill(*device_), (Regions{0}));
    ASSERT_TRUE(pool_->lend()) << last_error();
    EXPECT_EQ(pool_->usable() & 0b1010, 0u);
    EXPECT_TRUE(pool_->renew_open()) << last_error();
    pool_->take_back();
    ASSERT_TRUE(pool_->retire_region(RegionId{0})) << last_error();
    EXPECT_EQ(pool_->lend().code(), EBUSY) << "what is left is restricted";
}

TEST_F(DomainTest, OneThatIsFullLeavesTheOthersAlone) {
    auto one = make({.regions = 0b0010});
    std::vector<bounce_block> blocks(1);
    while (one->alloc_block(SlotKind::kCoherent, 4096, 0, blocks.back())) blocks.emplace_back();
    blocks.pop_back();
    EXPECT_EQ(fill(*device_), (Regions{0, 3}));
    for (auto& block : blocks) EXPECT_TRUE(one->free_block(SlotKind::kCoherent, block));
}

TEST_F(DomainTest, SeveralRegionsAreOneDomain) {
    auto both = make({.regions = 0b0110});
    auto again = make({.regions = 0b0110});
    EXPECT_EQ(fill(*both), (Regions{1, 2}));
    EXPECT_EQ(fill(*again), (Regions{1, 2}));
    EXPECT_EQ(create_error(0b0010), EBUSY);
    EXPECT_EQ(create_error(0b0110 | 0b1000), EINVAL) << "region 3 is open";
    EXPECT_EQ(create_error(0b10000), EINVAL) << "there is no region 4";
}

TEST_F(DomainTest, TooLargeForItIsSaidSo) {
    auto one = make({.regions = 0b0010});
    bounce_block block;
    EXPECT_EQ(one->alloc_block(SlotKind::kCoherent, 3 * kMiB, 0, block).code(), E2BIG) << "region 0 would hold it";
    EXPECT_TRUE(device_->alloc_block(SlotKind::kCoherent, 3 * kMiB, 0, block));
    EXPECT_TRUE(device_->free_block(SlotKind::kCoherent, block));
}

TEST_F(DomainTest, OtherDomainsBuffersAreNotSeen) {
    auto one = make({.regions = 0b0010});
    bounce_block mine, others;
    ASSERT_TRUE(one->alloc_block(SlotKind::kBuffer, 100, 0, mine));
    ASSERT_TRUE(device_->alloc_block(SlotKind::kBuffer, 100, 0, others));
    EXPECT_EQ(one->shared_address(others.ptr, 100).code(), EXDEV) << last_error();
    EXPECT_EQ(device_->shared_address(mine.ptr, 100).code(), EXDEV);
    EXPECT_TRUE(one->shared_address(mine.ptr, 100));
    EXPECT_TRUE(one->free_block(SlotKind::kBuffer, mine));
    EXPECT_TRUE(device_->free_block(SlotKind::kBuffer, others));
}

TEST_F(DomainTest, TheNextOfADomainFindsFreshMemory) {
    const auto leave = [&](RegionMask regions) {
        auto device = make({.regions = regions});
        bounce_block block;
        EXPECT_TRUE(device->alloc_block(SlotKind::kBuffer, 64, 0, block)) << last_error();
        std::memset(block.ptr, 'S', 64);
        const std::uint64_t addr = block.addr;
        EXPECT_TRUE(device->free_block(SlotKind::kBuffer, block));
        EXPECT_EQ(*at(addr, 1), std::byte{'S'}) << "left there";
        return addr;
    };
    std::uint64_t addr = leave(0b0010);
    const std::uint32_t epoch = pool_->region(RegionId{1}).epoch();
    auto next = make({.regions = 0b0010});
    EXPECT_EQ(*at(addr, 1), std::byte{0});
    EXPECT_EQ(pool_->region(RegionId{1}).epoch(), epoch + 1) << "fresh memory, which the one before does not have";
    auto same = make({.regions = 0b0010});
    EXPECT_EQ(pool_->region(RegionId{1}).epoch(), epoch + 1) << "but not under one that is there";

    void* const memory = ::mmap(nullptr, 2 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    add(true, memory);
    addr = leave(0b10000);
    auto in_imported = make({.regions = 0b10000});
    EXPECT_EQ(*at(addr, 1), std::byte{0}) << "the caller's memory is zeroed";
    in_imported.reset();
    ASSERT_TRUE(pool_->drain_region(RegionId{4}));
    ASSERT_TRUE(pool_->remove_region(RegionId{4}));
    ::munmap(memory, 2 * kMiB);
}

TEST_F(DomainTest, APeerIsShownOpenRegionsOnly) {
    auto one = make({.regions = 0b0010});
    ASSERT_TRUE(pool_->lend());
    EXPECT_EQ(pool_->shown(), 0b1001u);
    EXPECT_EQ(pool_->hold_regions(), 0b1001u);
    pool_->use_regions(0b0001);
    EXPECT_EQ(fill(*device_), (Regions{0})) << "region 3 was not shown";
    EXPECT_EQ(fill(*one), (Regions{1})) << "a restricted one is used all the same";
    // What is renewed because of the peer is not the others'.
    bounce_block block;
    ASSERT_TRUE(one->alloc_block(SlotKind::kCoherent, 64, 0, block));
    std::memset(block.ptr, 'c', 64);
    ASSERT_TRUE(pool_->renew_open());
    EXPECT_EQ(*static_cast<char*>(block.ptr), 'c');
    EXPECT_TRUE(one->free_block(SlotKind::kCoherent, block));
    pool_->take_back();
    EXPECT_EQ(fill(*device_), (Regions{0, 3}));
}

TEST_F(DomainTest, WhatWasForgottenIsNotTheirs) {
    auto one = make({.regions = 0b0010});
    bounce_block block;
    ASSERT_TRUE(one->alloc_block(SlotKind::kCoherent, 64, 0, block));
    std::memset(block.ptr, 'c', 64);
    device_.reset();
    const std::uint32_t epoch = pool_->region(RegionId{0}).epoch();
    ASSERT_TRUE(pool_->forget());
    EXPECT_EQ(pool_->region(RegionId{0}).epoch(), epoch + 1);
    EXPECT_EQ(*static_cast<char*>(block.ptr), 'c');
    EXPECT_TRUE(one->free_block(SlotKind::kCoherent, block));
    EXPECT_FALSE(one->free_block(SlotKind::kCoherent, block));
}

TEST_F(DomainTest, ThreadsOfTwoDomainsNeverShareAPage) {
    auto one = make({.regions = 0b0010});
    auto two = make({.regions = 0b0100});
    std::atomic<int> strangers{0};
    const auto work = [&](Device& device, std::uint32_t region) {
        char data[600] = {};
        std::vector<bounce_mapping> live;
        for (int i = 0; i < 20000; ++i) {
            bounce_mapping mapping;
            if (device.map(data, 1 + static_cast<std::size_t>(i * 7 % 600), Direction::kToDevice, 0, mapping)) {
                if (region_at(mapping.addr) != region) strangers.fetch_add(1);
                live.push_back(mapping);
            }
            if (live.size() > 40) {
                for (auto& each : live) (void)device.unmap(each, 0);
                live.clear();
            }
        }
        for (auto& each : live) (void)device.unmap(each, 0);
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] { work(*one, 1); });
        threads.emplace_back([&] { work(*two, 2); });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(strangers.load(), 0);
    EXPECT_EQ(one->outstanding() + two->outstanding(), 0u);
}

TEST_F(DomainTest, AGrowingPoolDoesNotGrowForThem) {
    RegionConfig first;
    first.bytes = kMiB;
    first.base_gpa = Gpa{kBase};
    auto pool = Pool::create(first, {.limit_bytes = 16 * kMiB, .base_gpa = Gpa{2 * kBase}, .in_line = true});
    ASSERT_TRUE(pool) << last_error();
    RegionConfig second;
    second.bytes = kMiB;
    second.base_gpa = Gpa{4 * kBase};
    second.restricted = true;
    ASSERT_TRUE((*pool)->add_region(second)) << last_error();
    auto restricted = Device::create(**pool, callbacks_, {.regions = 0b10});
    ASSERT_TRUE(restricted) << last_error();
    bounce_block block;
    EXPECT_EQ((*restricted)->alloc_block(SlotKind::kBuffer, 2 * kMiB, 0, block).code(), E2BIG);
    auto open = Device::create(**pool, callbacks_, {});
    ASSERT_TRUE(open);
    ASSERT_TRUE((*open)->alloc_block(SlotKind::kBuffer, 2 * kMiB, 0, block)) << last_error();
    EXPECT_EQ((*pool)->stats().grows, 1u);
    EXPECT_TRUE((*open)->free_block(SlotKind::kBuffer, block));
}

}  // namespace
}  // namespace bounce
