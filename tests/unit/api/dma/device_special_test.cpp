// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings of devices that ask for more than a length, and calls that do.
#include "api/dma/token.hpp"
#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kFrom = Direction::kFromDevice;
constexpr auto kBoth = Direction::kBidirectional;

class Special : public DeviceTest {
protected:
    Special()
        : memory_(1u << 20),
          buf_(memory_.data() + (64u << 10) - reinterpret_cast<std::uintptr_t>(memory_.data()) % (64u << 10)) {
        for (std::size_t i = 0; i < (64u << 10); ++i) buf_[i] = static_cast<char>('a' + i % 23);
    }
    std::unique_ptr<Device> limited(const DeviceLimits& limits) { return make({.limits = limits}); }

    std::vector<char> memory_;
    char* buf_;  // aligned to 64 KiB
};

TEST_F(Special, MinAlignMaskKeepsTheLowBitsOfTheAddress) {
    for (const std::uint64_t mask : {0x1u, 0x3fu, 0x1ffu, 0xfffu, 0x1fffu, 0xffffu, 0x1fffffu}) {
        auto device = limited({.min_align_mask = mask});
        for (const std::size_t offset : {0u, 1u, 63u, 64u, 500u, 4095u, 4096u, 9000u}) {
            for (const std::size_t bytes : {1u, 64u, 1500u, 4096u, 30000u}) {
                char* const from = buf_ + offset;
                const std::string before(from, bytes);
                bounce_mapping token;
                ASSERT_TRUE(device->map(from, bytes, kBoth, 0, token))
                    << mask << " " << offset << " " << bytes << ": " << last_error();
                EXPECT_EQ((token.addr ^ reinterpret_cast<std::uintptr_t>(from)) & mask, 0u) << mask;
                EXPECT_EQ(seen(token), before);
                write(token, "X");
                ASSERT_TRUE(device->unmap(token, SIZE_MAX)) << last_error();
                EXPECT_EQ(from[0], 'X');
                EXPECT_EQ(std::string(from + 1, bytes - 1), before.substr(1));
                from[0] = before[0];
                EXPECT_EQ(device->unmap(token, 0).code(), EALREADY);
            }
        }
        EXPECT_EQ(device->outstanding(), 0u);
    }
}

TEST_F(Special, APaddedMappingIsSyncedDiscardedAndChecked) {
    auto device = limited({.min_align_mask = 4095});
    auto other = limited({.min_align_mask = 4095});
    char* const from = buf_ + 5000;
    bounce_mapping token;
    ASSERT_TRUE(device->map(from, 100, kBoth, 0, token)) << last_error();
    write(token, "devices", 50);
    ASSERT_TRUE(device->sync_for_cpu(token, 50, 7, kBoth)) << last_error();
    EXPECT_EQ(std::string(from + 50, 7), "devices");
    std::memcpy(from + 10, "drivers", 7);
    ASSERT_TRUE(device->sync_for_device(token, 10, 7, kBoth)) << last_error();
    EXPECT_EQ(seen(token).substr(10, 7), "drivers");
    EXPECT_EQ(device->sync_for_cpu(token, 99, 2, kBoth).code(), EINVAL);
    EXPECT_EQ(other->unmap(token, 0).code(), EXDEV);
    const auto damaged = [&](auto&& damage) {
        bounce_mapping copy = token;
        damage(copy);
        return device->unmap(copy, SIZE_MAX).code();
    };
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.bytes = ~std::uint64_t{0}; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.bytes = 1u << 20; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.addr += 4096; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.slot = nullptr; }), EFAULT);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.handle ^= 1U << 26; }), ESTALE);
    EXPECT_EQ(damaged([](bounce_mapping& m) { m.state = kLiveListHead; }), EPERM);
    bounce_mapping copy = token;
    ASSERT_TRUE(device->discard(token)) << last_error();
    EXPECT_EQ(device->discard(token).code(), EALREADY);
    const int of_copy = device->unmap(copy, 1).code();
    EXPECT_TRUE(of_copy == EALREADY || of_copy == ESTALE) << of_copy;
}

TEST_F(Special, ABoundaryIsNotCrossed) {
    for (const std::uint64_t boundary : {64u, 512u, 4096u, 8192u, 65536u}) {
        auto device = limited({.segment_boundary = boundary});
        std::vector<bounce_mapping> tokens;
        for (std::size_t i = 0; i < 300; ++i) {
            const std::size_t bytes = 1 + i * 977 % std::min<std::uint64_t>(boundary, 6000);
            bounce_mapping token;
            ASSERT_TRUE(device->map(buf_, bytes, kTo, 0, token)) << boundary << ": " << last_error();
            EXPECT_EQ(token.addr / boundary, (token.addr + bytes - 1) / boundary) << boundary << " " << bytes;
            tokens.push_back(token);
            if (i % 3 == 2) {
                ASSERT_TRUE(device->unmap(tokens[i / 2], 0)) << last_error();
                tokens[i / 2].state = 0;
            }
        }
        for (auto& token : tokens)
            if (token.state != 0 && token.state != kEnded) {
                EXPECT_TRUE(device->unmap(token, 0)) << last_error();
            }
        EXPECT_EQ(device->map(buf_, boundary + 1, kTo, 0, tokens[0]).code(), EDOM);
        EXPECT_NE(std::string(last_error()).find("segment_boundary"), std::string::npos) << last_error();
        EXPECT_EQ(device->outstanding(), 0u);
    }
}

TEST_F(Special, BoundaryAndAlignmentTogether) {
    auto device = limited({.min_align_mask = 4095, .segment_boundary = 512});
    bounce_mapping token;
    // 1024 bytes behind a page, as the buffer: within [1024, 1536).
    ASSERT_TRUE(device->map(buf_ + 1024, 512, kTo, 0, token)) << last_error();
    EXPECT_EQ(token.addr & 4095, 1024u);
    ASSERT_TRUE(device->unmap(token, 0));
    EXPECT_EQ(device->map(buf_ + 1025, 512, kTo, 0, token).code(), EDOM);
    ASSERT_TRUE(device->map(buf_ + 1025, 511, kTo, 0, token)) << last_error();
    ASSERT_TRUE(device->unmap(token, 0));
}

TEST_F(Special, ASharedSegmentAcrossABoundaryIsRefused) {
    auto device = limited({.segment_boundary = 4096});
    bounce_block block;
    ASSERT_TRUE(device->alloc_block(SlotKind::kBuffer, 8192, 4096, block)) << last_error();
    EXPECT_TRUE(device->shared_address(block.ptr, 4096));
    EXPECT_EQ(device->shared_address(static_cast<char*>(block.ptr) + 1, 4096).code(), EDOM);
    EXPECT_TRUE(device->free_block(SlotKind::kBuffer, block));
}

TEST_F(Special, AlignedByTheCallStartsAlignedAndHasItAlone) {
    for (const std::uint64_t align : {64u, 4096u, 65536u, 2u << 20}) {
        bounce_mapping token;
        bounce_mapping next;
        ASSERT_TRUE(device_->map_aligned(buf_ + 77, 100, kTo, 0, align, token)) << align << ": " << last_error();
        EXPECT_EQ(token.addr % align, 0u) << align;
        EXPECT_EQ(seen(token), std::string(buf_ + 77, 100));
        ASSERT_TRUE(device_->map(buf_, 64, kTo, 0, next)) << last_error();
        EXPECT_NE(next.addr / align, token.addr / align) << "nothing else is in the granule of " << align;
        EXPECT_TRUE(device_->unmap(token, 0)) << last_error();
        EXPECT_TRUE(device_->unmap(next, 0)) << last_error();
    }
    bounce_mapping token;
    EXPECT_EQ(device_->map_aligned(buf_, 1, kTo, 0, 3, token).code(), EINVAL);
    EXPECT_EQ(device_->map_aligned(buf_, 1, kTo, 0, 4u << 20, token).code(), EINVAL);
    EXPECT_EQ(device_->map_aligned(buf_, SIZE_MAX / 2, kTo, 0, 4096, token).code(), E2BIG);
    // Behind the start by what min_align_mask asks for.
    auto device = limited({.min_align_mask = 511});
    ASSERT_TRUE(device->map_aligned(buf_ + 700, 100, kTo, 0, 4096, token)) << last_error();
    EXPECT_EQ(token.addr % 4096, 700u % 512);
    EXPECT_TRUE(device->unmap(token, 0)) << last_error();
}

/// All of the pool holds what an earlier mapping left.
class Scrubbed : public Special {
protected:
    void SetUp() override { std::memset(at(kBase, 4u << 20), 'S', 4u << 20); }
    /// What the device finds around a mapping: in the pages that have a part of it.
    std::size_t secrets(const bounce_mapping& token) {
        const std::uint64_t from = token.addr & ~std::uint64_t{63};
        const std::uint64_t until = (token.addr + token.bytes + 63) & ~std::uint64_t{63};
        const std::byte* bytes = at(from, until - from);
        return static_cast<std::size_t>(std::count(bytes, bytes + (until - from), std::byte{'S'}));
    }
};

TEST_F(Scrubbed, NoneLeavesItAllTailLeavesTheBodyAllLeavesNothing) {
    for (const std::size_t bytes : {10u, 1000u, 5000u, 30000u}) {
        for (const std::uint32_t flags : {std::uint32_t{0}, std::uint32_t{BOUNCE_MAP_SKIP_SYNC}}) {
            for (const Direction direction : {kFrom, kTo}) {
                if (direction == kTo && flags == 0) continue;
                bounce_mapping token;
                auto none = limited({});
                ASSERT_TRUE(none->map(buf_ + 3, bytes, direction, flags, token));
                EXPECT_GE(secrets(token), bytes);
                ASSERT_TRUE(none->discard(token));
                auto tail = limited({.min_align_mask = 63, .scrub_at_map = Scrub::kTail});
                ASSERT_TRUE(tail->map(buf_ + 3, bytes, direction, flags, token));
                EXPECT_EQ(secrets(token), bytes) << "the mapping and nothing around it";
                ASSERT_TRUE(tail->discard(token));
                auto all = limited({.min_align_mask = 63, .scrub_at_map = Scrub::kAll});
                ASSERT_TRUE(all->map(buf_ + 3, bytes, direction, flags, token));
                EXPECT_EQ(secrets(token), 0u);
                EXPECT_EQ(seen(token), std::string(bytes, '\0'));
                ASSERT_TRUE(all->unmap(token, 0));
                SetUp();
            }
        }
    }
}

TEST_F(Scrubbed, WhatIsCopiedInStays) {
    auto all = limited({.min_align_mask = 4095, .scrub_at_map = Scrub::kAll});
    for (const auto& [direction, flags] : {std::pair{kTo, 0u}, {kBoth, 0u}, {kFrom, 0u + BOUNCE_MAP_PRESERVE}}) {
        bounce_mapping token;
        ASSERT_TRUE(all->map(buf_ + 70, 1000, direction, flags, token));
        EXPECT_EQ(seen(token), std::string(buf_ + 70, 1000));
        EXPECT_EQ(secrets(token), 0u);
        ASSERT_TRUE(all->unmap(token, 0));
    }
}

TEST_F(Scrubbed, AtUnmapNothingOrOnlyTheBodyIsLeft) {
    for (const std::size_t bytes : {10u, 1000u, 5000u, 30000u}) {
        const std::uint64_t whole = (bytes + 63) & ~std::uint64_t{63};
        auto all = limited({.scrub_at_unmap = Scrub::kAll});
        bounce_mapping token;
        ASSERT_TRUE(all->map(buf_, bytes, kBoth, 0, token));
        std::byte* slot = at(token.addr, whole);
        std::memset(slot, 'D', whole);  // the device writes behind its mapping, too
        ASSERT_TRUE(all->unmap(token, SIZE_MAX)) << last_error();
        EXPECT_EQ(std::count(slot, slot + whole, std::byte{0}), static_cast<std::ptrdiff_t>(whole));
        EXPECT_EQ(std::string(buf_, bytes), std::string(bytes, 'D')) << "copied back before";
        ASSERT_TRUE(all->map(buf_, bytes, kBoth, BOUNCE_MAP_SKIP_SYNC, token));
        slot = at(token.addr, whole);
        std::memset(slot, 'E', whole);
        ASSERT_TRUE(all->unmap(token, SIZE_MAX)) << last_error();
        EXPECT_EQ(std::count(slot, slot + whole, std::byte{0}), static_cast<std::ptrdiff_t>(whole));
        EXPECT_EQ(buf_[0], 'D') << "and not at all when asked for";
        ASSERT_TRUE(all->map(buf_, bytes, kTo, 0, token));
        slot = at(token.addr, whole);
        ASSERT_TRUE(all->discard(token)) << last_error();
        EXPECT_EQ(std::count(slot, slot + whole, std::byte{0}), static_cast<std::ptrdiff_t>(whole));

        auto tail = limited({.scrub_at_unmap = Scrub::kTail});
        ASSERT_TRUE(tail->map(buf_, bytes, kTo, 0, token));
        slot = at(token.addr, whole);
        std::memset(slot, 'D', whole);
        ASSERT_TRUE(tail->unmap(token, SIZE_MAX));
        EXPECT_EQ(std::count(slot, slot + whole, std::byte{'D'}), static_cast<std::ptrdiff_t>(bytes));
    }
}

TEST_F(Special, ListsOfMappingsKeepTheLimitsAllOrNothing) {
    auto device = limited({.min_align_mask = 4095, .scrub_at_unmap = Scrub::kAll});
    std::vector<bounce_sg> sg{{buf_ + 100, 200, 0, 0}, {buf_ + 5000, 3000, 0, 0}, {buf_ + 20000, 30000, 0, 0}};
    std::vector<bounce_mapping> tokens(3);
    const std::string before(buf_, 64u << 10);
    ASSERT_TRUE(device->map_sg(sg, kBoth, 0, tokens.data())) << last_error();
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(tokens[i].addr & 4095, reinterpret_cast<std::uintptr_t>(sg[i].base) & 4095);
        EXPECT_EQ(seen(tokens[i]), std::string(static_cast<char*>(sg[i].base), sg[i].bytes));
        write(tokens[i], "YY");
    }
    EXPECT_TRUE(device->unmap_sg(tokens, 201)) << last_error();
    EXPECT_EQ(std::string(buf_ + 100, 2), "YY");
    EXPECT_EQ(buf_[5000], 'Y');
    EXPECT_EQ(buf_[5001], before[5001]) << "one byte of the second was written";
    EXPECT_EQ(buf_[20000], before[20000]);
    std::vector<char> big(3u << 20);
    sg.push_back({big.data(), big.size(), 0, 0});
    sg.push_back({big.data(), big.size(), 0, 0});
    tokens.resize(5);
    EXPECT_EQ(device->map_sg(sg, kTo, 0, tokens.data()).code(), ENOSPC) << last_error();
    EXPECT_EQ(device->outstanding(), 0u);
    for (auto& token : tokens) EXPECT_EQ(device->unmap(token, 0).code(), EALREADY);
}

TEST_F(Special, UnmapBulkTakesWhatWasWrittenOfEach) {
    std::vector<bounce_mapping> tokens(40);
    std::vector<std::size_t> written(40);
    for (std::size_t i = 0; i < 40; ++i) {
        ASSERT_TRUE(device_->map(buf_ + i * 100, 100, kFrom, 0, tokens[i]));
        write(tokens[i], std::string(100, '#'));
        written[i] = i * 3;
    }
    const std::string before(buf_, 4000);
    bounce_mapping copy = tokens[7];
    ASSERT_TRUE(device_->unmap(copy, 0));
    EXPECT_NE(device_->unmap_bulk(tokens, written.data()).code(), 0) << "one of them had ended before";
    for (std::size_t i = 0; i < 40; ++i) {
        const std::size_t part = i == 7 ? 0 : std::min<std::size_t>(written[i], 100);
        EXPECT_EQ(std::string(buf_ + i * 100, 100), std::string(part, '#') + before.substr(i * 100 + part, 100 - part))
            << i;
    }
    EXPECT_EQ(device_->unmap_bulk({}, written.data()).code(), EINVAL);
    EXPECT_EQ(device_->outstanding(), 0u);
}

TEST_F(Special, WhatIsSaidToBeTheMostCanBeMapped) {
    std::vector<char> big(5u << 20);
    for (const DeviceLimits& limits :
         {DeviceLimits{}, DeviceLimits{.min_align_mask = 4095}, DeviceLimits{.segment_boundary = 1u << 20},
          DeviceLimits{.min_align_mask = 511, .segment_boundary = 65536}}) {
        auto device = limited(limits);
        const std::uint64_t most = device->max_mapping();
        EXPECT_GT(most, 0u);
        bounce_mapping token;
        char* const worst = big.data() + 4095 - reinterpret_cast<std::uintptr_t>(big.data()) % 4096;
        ASSERT_TRUE(device->map(worst, most, kTo, 0, token)) << most << ": " << last_error();
        EXPECT_TRUE(device->unmap(token, 0));
    }
    EXPECT_EQ(make({.max_segment_bytes = 5000})->max_mapping(), 5000u);
    EXPECT_EQ(make({.dma_mask = kBase + 9999})->max_mapping(), 10000u);
    EXPECT_EQ(make({.dma_mask = 1})->max_mapping(), 0u);
}

std::string g_lines;

TEST(NoWarn, SaysNothingOfAFullPool) {
    g_lines.clear();
    Callbacks callbacks([](void*, int, const char* line) { g_lines += std::string(line) + "\n"; }, nullptr, nullptr,
                        nullptr);
    RegionConfig region;
    region.bytes = 64u << 10;
    region.base_gpa = Gpa{kBase};
    auto pool = Pool::create(region);
    ASSERT_TRUE(pool);
    auto device = Device::create(**pool, callbacks, {.name = "nvme0"});
    ASSERT_TRUE(device);
    std::vector<char> big(48u << 10);
    bounce_mapping token;
    bounce_mapping none;
    ASSERT_TRUE((*device)->map(big.data(), big.size(), kTo, BOUNCE_MAP_NO_WARN, token)) << last_error();
    EXPECT_EQ((*device)->map(big.data(), big.size(), kTo, BOUNCE_MAP_NO_WARN, none).code(), ENOSPC);
    EXPECT_EQ(g_lines, "");
    EXPECT_EQ((*device)->map(big.data(), big.size(), kTo, 0, none).code(), ENOSPC);
    EXPECT_NE(g_lines.find("nvme0"), std::string::npos) << g_lines;
    EXPECT_NE(g_lines.find("full"), std::string::npos) << g_lines;
    EXPECT_TRUE((*device)->unmap(token, 0));
}

}  // namespace
}  // namespace bounce
