// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Every misuse of the list in bounce/debug.h, by the C functions: its name, and who did both halves of it.
#include "bounce/streaming.h"
#include "tests/unit/api/abi/watch_fixture.hpp"

namespace bounce {
namespace {

TEST_F(WatchAbi, ProperUseIsSilent) {
    bounce_mapping mapping = map(buf_, sizeof buf_, BOUNCE_BIDIRECTIONAL);
    EXPECT_EQ(bounce_device_sync_for_cpu(device_, &mapping, 0, 100, BOUNCE_FROM_DEVICE), 0);
    buf_[5] = 'x';
    EXPECT_EQ(bounce_device_sync_for_device(device_, &mapping, 0, 100, BOUNCE_TO_DEVICE), 0);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, SIZE_MAX), 0);
    mapping = map(buf_, 100, BOUNCE_FROM_DEVICE);
    EXPECT_EQ(bounce_device_unmap_addr(device_, mapping.addr, 100, BOUNCE_FROM_DEVICE, 0), 0);
    // Two readers of one buffer do not mind each other.
    bounce_mapping both[2] = {map(buf_, 100, BOUNCE_TO_DEVICE), map(buf_, 50, BOUNCE_TO_DEVICE)};
    for (auto& one : both) EXPECT_EQ(bounce_device_unmap(device_, &one, 0), 0);
    const bounce_sg sg[] = {{buf_, 10, 0, 0}, {buf_ + 100, 3000, 0, 0}};
    ASSERT_EQ(bounce_device_map_sg(device_, sg, 2, BOUNCE_FROM_DEVICE, 0, both), 0);
    EXPECT_EQ(bounce_device_unmap_sg(device_, both, 2, 10), 0);
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &block), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
    EXPECT_TRUE(seen_.empty()) << seen_[0].text;
    bounce_debug_stats stats;
    ASSERT_EQ(bounce_debug_get_stats(device_, &stats), 0);
    EXPECT_EQ(stats.watched, 0u);
}

TEST_F(WatchAbi, Leak) {
    EXPECT_EQ(bounce_debug_set_tag("receive"), 0);
    bounce_mapping mapping = map(buf_, 1500, BOUNCE_FROM_DEVICE);
    EXPECT_EQ(bounce_debug_set_tag(nullptr), 0);
    expect_error(bounce_device_destroy(device_), EBUSY, "1 mappings");
    const Seen leak = only("leak", "bounce_device_destroy");
    EXPECT_EQ(leak.tag, "receive");
    EXPECT_EQ(leak.report.addr, mapping.addr);
    EXPECT_EQ(leak.report.bytes, 1500u);
    EXPECT_EQ(leak.report.direction, BOUNCE_FROM_DEVICE);
    EXPECT_EQ(leak.report.orig, buf_);
    EXPECT_TRUE(ours(leak.report.map_site));
    EXPECT_NE(leak.report.mapped_ns, 0u);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
}

TEST_F(WatchAbi, EachLeakIsReported) {
    std::vector<bounce_mapping> all;
    std::vector<bounce_block> blocks(50);
    for (int i = 0; i < 200; ++i) all.push_back(map(buf_ + i * 16, 16, BOUNCE_TO_DEVICE));
    for (auto& block : blocks) ASSERT_EQ(bounce_buffer_alloc(device_, 64, 0, &block), 0);
    expect_error(bounce_device_destroy(device_), EBUSY, "200 mappings and 50 blocks");
    EXPECT_EQ(seen_.size(), 250u);
    seen_.clear();
    for (auto& mapping : all) EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    for (auto& block : blocks) EXPECT_EQ(bounce_buffer_free(device_, &block), 0);
}

TEST_F(WatchAbi, UnknownAddress) {
    expect_error(bounce_device_unmap_addr(device_, kBase + 0x1000, 0, BOUNCE_ANY_DIRECTION, 0), EFAULT);
    EXPECT_EQ(only("unknown-address", "bounce_device_unmap_addr").report.addr, kBase + 0x1000);
    bounce_mapping never{};
    never.addr = kBase + 64;
    expect_error(bounce_device_unmap(device_, &never, 0), EALREADY);
    only("unknown-address", "bounce_device_unmap");
    expect_error(bounce_device_sync_for_cpu(device_, &never, 0, 1, BOUNCE_FROM_DEVICE), EALREADY);
    only("unknown-address", "bounce_device_sync_for_cpu");
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    bounce_mapping moved = mapping;
    moved.addr += 64;
    moved.slot = static_cast<char*>(moved.slot) + 64;
    EXPECT_EQ(bounce_device_unmap(device_, &moved, 0), -EFAULT);
    only("unknown-address", "bounce_device_unmap");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
}

TEST_F(WatchAbi, DoubleUnmapHasAllThreeSites) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    bounce_mapping copy = mapping;
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    expect_error(bounce_device_unmap(device_, &mapping, 0), EALREADY);
    const Seen seen = only("double-unmap", "bounce_device_unmap");
    EXPECT_TRUE(ours(seen.report.map_site));
    EXPECT_TRUE(ours(seen.report.other_site));
    EXPECT_NE(seen.report.other_site, seen.report.site);
    EXPECT_EQ(seen.report.addr, copy.addr);
    EXPECT_NE(bounce_device_unmap(device_, &copy, 0), 0);
    only("double-unmap", "bounce_device_unmap");
    EXPECT_NE(bounce_device_unmap_addr(device_, copy.addr, 0, BOUNCE_ANY_DIRECTION, 0), 0);
    only("double-unmap", "bounce_device_unmap_addr");
    EXPECT_NE(bounce_device_sync_for_device(device_, &copy, 0, 1, BOUNCE_TO_DEVICE), 0);
    only("double-unmap", "bounce_device_sync_for_device");
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &block), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &block), -EALREADY);
    only("double-unmap", "bounce_coherent_free");
}

TEST_F(WatchAbi, WrongSize) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    expect_error(bounce_device_unmap_addr(device_, mapping.addr, 99, BOUNCE_TO_DEVICE, 0), EINVAL, "99");
    Seen seen = only("wrong-size", "bounce_device_unmap_addr");
    EXPECT_EQ(seen.report.expected, 100u);
    EXPECT_EQ(seen.report.got, 99u);
    EXPECT_TRUE(ours(seen.report.map_site));
    bounce_mapping larger = mapping;
    larger.bytes = 4000;
    EXPECT_EQ(bounce_device_unmap(device_, &larger, 0), -EFAULT);
    EXPECT_GE(seen_.size(), 1u);
    for (const Seen& one : seen_) EXPECT_EQ(one.name, "wrong-size");
    seen_.clear();
    mapping.bytes = 50;  // it fits into the slot, so it goes through
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    only("wrong-size", "bounce_device_unmap");
}

TEST_F(WatchAbi, WrongDirection) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    expect_error(bounce_device_unmap_addr(device_, mapping.addr, 100, BOUNCE_FROM_DEVICE, 0), EPERM, "direction");
    only("wrong-direction", "bounce_device_unmap_addr");
    expect_error(bounce_device_sync_for_cpu(device_, &mapping, 0, 10, BOUNCE_FROM_DEVICE), EPERM);
    const Seen seen = only("wrong-direction", "bounce_device_sync_for_cpu");
    EXPECT_EQ(seen.report.expected, static_cast<std::uint64_t>(BOUNCE_TO_DEVICE));
    EXPECT_EQ(seen.report.got, static_cast<std::uint64_t>(BOUNCE_FROM_DEVICE));
    EXPECT_TRUE(ours(seen.report.map_site));
    EXPECT_EQ(bounce_device_unmap_addr(device_, mapping.addr, 100, BOUNCE_TO_DEVICE, 0), 0);
}

TEST_F(WatchAbi, WrongFunction) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    EXPECT_EQ(bounce_device_unmap_sg(device_, &mapping, 1, 0), 0);
    EXPECT_TRUE(ours(only("wrong-function", "bounce_device_unmap_sg").report.map_site));
    const bounce_sg sg{buf_, 10, 0, 0};
    ASSERT_EQ(bounce_device_map_sg(device_, &sg, 1, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    only("wrong-function", "bounce_device_unmap");
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &block), 0);
    EXPECT_EQ(bounce_buffer_free(device_, &block), -EPERM);
    only("wrong-function", "bounce_buffer_free");
    EXPECT_EQ(bounce_device_unmap_addr(device_, block.addr, 0, BOUNCE_ANY_DIRECTION, 0), -EPERM);
    only("wrong-function", "bounce_device_unmap_addr");
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
}

TEST_F(WatchAbi, SgCount) {
    const bounce_sg sg[] = {{buf_, 10, 0, 0}, {buf_ + 100, 10, 0, 0}, {buf_ + 200, 10, 0, 0}};
    bounce_mapping mappings[3];
    ASSERT_EQ(bounce_device_map_sg(device_, sg, 3, BOUNCE_TO_DEVICE, 0, mappings), 0);
    EXPECT_EQ(bounce_device_unmap_sg(device_, mappings, 2, 0), 0);
    const Seen seen = only("sg-count", "bounce_device_unmap_sg");
    EXPECT_EQ(seen.report.expected, 3u);
    EXPECT_EQ(seen.report.got, 2u);
    EXPECT_TRUE(ours(seen.report.map_site));
    EXPECT_EQ(bounce_device_unmap_sg(device_, mappings + 2, 1, 0), 0);
    only("sg-count", "bounce_device_unmap_sg");
}

TEST_F(WatchAbi, UncheckedError) {
    bounce_mapping mapping;
    EXPECT_EQ(bounce_device_map(device_, buf_, std::size_t{1} << 40, BOUNCE_TO_DEVICE, 0, &mapping), -E2BIG);
    EXPECT_EQ(mapping.addr, 0u);
    EXPECT_TRUE(seen_.empty());
    expect_error(bounce_device_unmap(device_, &mapping, 0), EALREADY);
    EXPECT_TRUE(ours(only("unchecked-error", "bounce_device_unmap").report.map_site));
    expect_error(bounce_device_sync_for_cpu(device_, &mapping, 0, 1, BOUNCE_TO_DEVICE), EALREADY);
    only("unchecked-error", "bounce_device_sync_for_cpu");
    const bounce_sg sg{nullptr, 10, 0, 0};
    EXPECT_EQ(bounce_device_map_sg(device_, &sg, 1, BOUNCE_TO_DEVICE, 0, &mapping), -EINVAL);
    EXPECT_EQ(bounce_device_unmap_sg(device_, &mapping, 1, 0), -EALREADY);
    only("unchecked-error", "bounce_device_unmap_sg");
}

TEST_F(WatchAbi, SyncRange) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_FROM_DEVICE);
    expect_error(bounce_device_sync_for_cpu(device_, &mapping, 60, 41, BOUNCE_FROM_DEVICE), EINVAL, "60");
    const Seen seen = only("sync-range", "bounce_device_sync_for_cpu");
    EXPECT_EQ(seen.report.expected, 100u);
    EXPECT_EQ(seen.report.got, 101u);
    EXPECT_TRUE(ours(seen.report.map_site));
    expect_error(bounce_device_sync_for_device(device_, &mapping, 60, 0, BOUNCE_FROM_DEVICE), EINVAL);
    only("sync-range", "bounce_device_sync_for_device");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
}

TEST_F(WatchAbi, OverlapHasBothSites) {
    bounce_mapping first = map(buf_, 100, BOUNCE_FROM_DEVICE);
    bounce_mapping second;
    ASSERT_EQ(bounce_device_map(device_, buf_ + 99, 100, BOUNCE_TO_DEVICE, 0, &second), 0);
    const Seen seen = only("overlap", "bounce_device_map");
    EXPECT_TRUE(ours(seen.report.map_site));
    EXPECT_TRUE(ours(seen.report.other_site));
    EXPECT_NE(seen.report.other_site, seen.report.map_site);
    EXPECT_EQ(seen.report.addr, second.addr);
    bounce_mapping third = map(buf_ + 199, 10, BOUNCE_FROM_DEVICE);  // beside it
    EXPECT_TRUE(seen_.empty());
    for (auto* one : {&first, &second, &third}) EXPECT_EQ(bounce_device_unmap(device_, one, 0), 0);
}

TEST_F(WatchAbi, PeekIsRefused) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    const void* view = buf_;
    expect_error(bounce_device_peek(device_, mapping.addr + 10, 5, &view), EPERM, "mapped");
    EXPECT_EQ(view, nullptr);
    EXPECT_TRUE(ours(only("peek", "bounce_device_peek").report.map_site));
    void* hva = buf_;
    expect_error(bounce_pool_gpa_to_hva(pool_, mapping.addr, 1, &hva), EPERM, "debugged");
    EXPECT_EQ(hva, nullptr);
    EXPECT_TRUE(ours(only("peek", "bounce_pool_gpa_to_hva").report.map_site));
    expect_error(bounce_pool_gpa_to_hva(pool_, kBase, 4u << 20, &hva), EPERM);  // around it
    only("peek", "bounce_pool_gpa_to_hva");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_EQ(bounce_pool_gpa_to_hva(pool_, mapping.addr, 1, &hva), 0);
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &block), 0);
    EXPECT_EQ(bounce_device_peek(device_, block.addr + 10, 90, &view), 0) << bounce_last_error();
    EXPECT_EQ(view, static_cast<char*>(block.ptr) + 10);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
    EXPECT_TRUE(seen_.empty());
}

TEST_F(WatchAbi, PrivateWrite) {
    bounce_mapping mapping = map(buf_, 1000, BOUNCE_TO_DEVICE);
    buf_[700] ^= 1;
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    Seen seen = only("private-write", "bounce_device_unmap");
    EXPECT_EQ(seen.report.got, 700u);
    EXPECT_TRUE(ours(seen.report.map_site));
    // Outside of what is synced, and once.
    mapping = map(buf_, 1000, BOUNCE_BIDIRECTIONAL);
    buf_[3] ^= 1;
    EXPECT_EQ(bounce_device_sync_for_cpu(device_, &mapping, 500, 10, BOUNCE_FROM_DEVICE), 0);
    EXPECT_EQ(only("private-write", "bounce_device_sync_for_cpu").report.got, 3u);
    buf_[600] ^= 1;  // the CPU's now
    EXPECT_EQ(bounce_device_sync_for_device(device_, &mapping, 600, 1, BOUNCE_TO_DEVICE), 0);
    buf_[601] ^= 1;
    EXPECT_EQ(bounce_device_sync_for_device(device_, &mapping, 601, 1, BOUNCE_TO_DEVICE), 0);  // on purpose
    EXPECT_TRUE(seen_.empty());
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_TRUE(seen_.empty());
}

TEST_F(WatchAbi, WrongDevice) {
    bounce_device* other = create(BOUNCE_DEVICE_DEBUG | BOUNCE_DEVICE_RECORDS, "other");
    bounce_mapping mapping;
    ASSERT_EQ(bounce_device_map(other, buf_, 10, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    expect_error(bounce_device_unmap(device_, &mapping, 0), EXDEV);
    only("wrong-device", "bounce_device_unmap");
    expect_error(bounce_device_unmap_addr(device_, mapping.addr, 0, BOUNCE_ANY_DIRECTION, 0), EXDEV);
    only("wrong-device", "bounce_device_unmap_addr");
    EXPECT_EQ(bounce_device_unmap_addr(other, mapping.addr, 0, BOUNCE_ANY_DIRECTION, 0), 0);
    EXPECT_EQ(bounce_device_destroy(other), 0);
}

TEST_F(WatchAbi, RingsAreWatched) {
    const auto options = ring_options();
    bounce_ring* ring = nullptr;
    ASSERT_EQ(bounce_ring_create(device_, &options, &ring), 0) << bounce_last_error();
    const bounce_sg sg[] = {{buf_, 1000, 0, 0}, {buf_ + 2000, 1000, 0, 0}};
    ASSERT_EQ(bounce_ring_add(ring, sg, 1, 1, nullptr), 0) << bounce_last_error();
    expect_error(bounce_device_destroy(device_), EBUSY);
    bool ring_site = false;
    for (const Seen& one : seen_) {
        EXPECT_EQ(one.name, "leak");
        ring_site = ring_site || (one.report.bytes == 1000 && ours(one.report.map_site));
    }
    EXPECT_TRUE(ring_site);
    EXPECT_GE(seen_.size(), 3u);  // the ring's own memory, too
    seen_.clear();
    bounce_completion done;
    buf_[7] ^= 1;
    EXPECT_EQ(bounce_ring_abort(ring, &done, 1), 1);
    only("private-write", "bounce_ring_abort");
    EXPECT_EQ(bounce_ring_destroy(ring), 0);
    EXPECT_TRUE(seen_.empty());
}

// The same of a device with limits, whose mappings begin behind the start of their slots.
TEST_F(WatchAbi, DevicesWithLimitsAreWatched) {
    auto options = device_options();
    options.name = "watched";
    options.flags = BOUNCE_DEVICE_DEBUG | BOUNCE_DEVICE_RECORDS;
    options.debug = &debug_;
    options.min_align_mask = 511;
    options.segment_boundary = 65536;
    options.scrub_at_unmap = BOUNCE_SCRUB_TAIL;
    bounce_device* limited = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &limited), 0) << bounce_last_error();
    bounce_mapping mapping;
    ASSERT_EQ(bounce_device_map(limited, buf_ + 3, 100, BOUNCE_BIDIRECTIONAL, 0, &mapping), 0) << bounce_last_error();
    EXPECT_EQ((mapping.addr ^ reinterpret_cast<std::uintptr_t>(buf_ + 3)) & 511, 0u);
    EXPECT_EQ(bounce_device_sync_for_cpu(limited, &mapping, 0, 100, BOUNCE_FROM_DEVICE), 0);
    EXPECT_EQ(bounce_device_sync_for_device(limited, &mapping, 0, 100, BOUNCE_TO_DEVICE), 0);
    bounce_mapping copy = mapping;
    EXPECT_EQ(bounce_device_unmap(limited, &mapping, SIZE_MAX), 0) << bounce_last_error();
    const bounce_sg sg[] = {{buf_ + 1, 10, 0, 0}, {buf_ + 100, 3000, 0, 0}};
    bounce_mapping both[2];
    ASSERT_EQ(bounce_device_map_sg(limited, sg, 2, BOUNCE_FROM_DEVICE, 0, both), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_unmap_sg(limited, both, 2, 10), 0) << bounce_last_error();
    bounce_map_options with{sizeof with, 1024, 0, 0};
    ASSERT_EQ(bounce_device_map_with(limited, buf_ + 1, 10, BOUNCE_FROM_DEVICE, &with, &mapping), 0);
    EXPECT_TRUE(seen_.empty()) << seen_[0].text;
    expect_error(bounce_device_destroy(limited), EBUSY, "1 mappings");
    EXPECT_TRUE(ours(only("leak", "bounce_device_destroy").report.map_site));
    const std::size_t written = 10;
    EXPECT_EQ(bounce_device_unmap_bulk(limited, &mapping, &written, 1), 0) << bounce_last_error();
    EXPECT_TRUE(seen_.empty()) << seen_[0].text;
    EXPECT_LT(bounce_device_unmap(limited, &copy, SIZE_MAX), 0);
    only("double-unmap", "bounce_device_unmap");
    ASSERT_EQ(bounce_device_map(limited, buf_ + 5, 100, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    buf_[50] ^= 1;
    EXPECT_EQ(bounce_device_unmap(limited, &mapping, 0), 0);
    only("private-write", "bounce_device_unmap");
    EXPECT_EQ(bounce_device_destroy(limited), 0) << bounce_last_error();
}

// Those that are left out by `sample` end as those of a device that is not watched.
TEST_F(WatchAbi, LimitsWithSampling) {
    auto options = device_options();
    options.flags = BOUNCE_DEVICE_DEBUG;
    debug_.sample = 3;
    options.debug = &debug_;
    options.min_align_mask = 511;
    bounce_device* limited = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &limited), 0) << bounce_last_error();
    bounce_mapping all[7];
    for (auto& one : all)
        ASSERT_EQ(bounce_device_map(limited, buf_ + 3, 100, BOUNCE_TO_DEVICE, 0, &one), 0) << bounce_last_error();
    for (auto& one : all) {
        EXPECT_EQ(bounce_device_sync_for_device(limited, &one, 0, 100, BOUNCE_TO_DEVICE), 0) << bounce_last_error();
        EXPECT_EQ(bounce_device_unmap(limited, &one, 0), 0) << bounce_last_error();
    }
    EXPECT_TRUE(seen_.empty()) << seen_[0].text;
    for (auto& one : all) EXPECT_EQ(bounce_device_unmap(limited, &one, 0), -EALREADY);
    EXPECT_EQ(bounce_device_destroy(limited), 0) << bounce_last_error();
}

}  // namespace
}  // namespace bounce
