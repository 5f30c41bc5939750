// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/streaming.h"

#include <vector>

#include "bounce/quarantine.h"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

class StreamingAbi : public AbiTest {
protected:
    bounce_device* make(const bounce_device_options& options) {
        bounce_device* device = nullptr;
        EXPECT_EQ(bounce_device_create(pool_, &options, &device), 0) << bounce_last_error();
        return device;
    }
    bounce_list list() {
        return {sizeof(bounce_list), tokens_.data(), tokens_.size(), segments_.data(), segments_.size(), 0, 0, 0};
    }
    std::vector<bounce_mapping> tokens_{8};
    std::vector<bounce_segment> segments_{4};
    char buf_[5000] = "content";
};

TEST_F(StreamingAbi, OptionsOfDevicesAreChecked) {
    bounce_device* device = nullptr;
    const auto refuse = [&](auto&& change, const char* part) {
        bounce_device_options options = device_options();
        change(options);
        expect_error(bounce_device_create(pool_, &options, &device), EINVAL, part);
        EXPECT_EQ(device, nullptr);
    };
    refuse([](auto& o) { o.min_align_mask = 4096; }, "min_align_mask");
    refuse([](auto& o) { o.min_align_mask = (4u << 20) - 1; }, "min_align_mask");
    refuse([](auto& o) { o.min_align_mask = ~std::uint64_t{0}; }, "min_align_mask");
    refuse([](auto& o) { o.segment_boundary = 5000; }, "segment_boundary");
    refuse([](auto& o) { o.segment_boundary = 32; }, "segment_boundary");
    refuse([](auto& o) { o.scrub_at_map = 3; }, "scrub_at_map");
    refuse([](auto& o) { o.scrub_at_unmap = 3; }, "scrub_at_unmap");
    refuse([](auto& o) { o.reserved2 = 1; }, "reserved2");
    // Of a caller who does not know them they are zero.
    bounce_device_options old = device_options();
    old.size = offsetof(bounce_device_options, min_align_mask);
    old.min_align_mask = 4096;
    bounce_device* made = make(old);
    EXPECT_EQ(bounce_device_destroy(made), 0);
}

TEST_F(StreamingAbi, OptionsOfAMapping) {
    bounce_mapping token;
    ASSERT_EQ(bounce_device_map_with(device_, buf_, 100, BOUNCE_TO_DEVICE, nullptr, &token), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_unmap(device_, &token, 0), 0);
    bounce_map_options options{sizeof options, 8192, BOUNCE_MAP_NO_WARN, 0};
    ASSERT_EQ(bounce_device_map_with(device_, buf_, 100, BOUNCE_TO_DEVICE, &options, &token), 0) << bounce_last_error();
    EXPECT_EQ(token.addr % 8192, 0u);
    EXPECT_EQ(bounce_device_unmap(device_, &token, 0), 0);
    const auto refuse = [&](int code, const char* part) {
        std::memset(&token, 0xff, sizeof token);
        expect_error(bounce_device_map_with(device_, buf_, 100, BOUNCE_TO_DEVICE, &options, &token), code, part);
        EXPECT_EQ(bounce_device_unmap(device_, &token, 0), -EALREADY);
    };
    options.reserved = 1;
    refuse(EINVAL, "reserved");
    options = {4, 0, 0, 0};
    refuse(EINVAL, "size");
    options = {sizeof options, 48, 0, 0};
    refuse(EINVAL, "48");
    options = {sizeof options, 0, 64, 0};
    refuse(EINVAL, "flags");
    expect_error(bounce_device_map_with(device_, buf_, 100, 5, nullptr, &token), EINVAL, "direction");
    expect_error(bounce_device_map_with(nullptr, buf_, 100, 0, nullptr, &token), EINVAL, "device");
    expect_error(bounce_device_map_with(device_, buf_, 100, 0, nullptr, nullptr), EINVAL, "mapping");
    EXPECT_EQ(bounce_device_max_mapping(nullptr), 0u);
    EXPECT_EQ(bounce_device_max_mapping(device_), 4u << 20);
}

TEST_F(StreamingAbi, Lists) {
    bounce_list mapped = list();
    const bounce_sg sg[2] = {{buf_, 100, 0, 0}, {buf_ + 2000, 1000, 0, 0}};
    ASSERT_EQ(bounce_device_map_list(device_, sg, 2, BOUNCE_BIDIRECTIONAL, nullptr, &mapped), 1) << bounce_last_error();
    EXPECT_EQ(mapped.n_segments, 1u);
    EXPECT_EQ(segments_[0].bytes, 1100u);
    EXPECT_EQ(bounce_device_sync_list_for_device(device_, &mapped, 0, 1100, BOUNCE_BIDIRECTIONAL), 0);
    EXPECT_EQ(bounce_device_sync_list_for_cpu(device_, &mapped, 99, 2, BOUNCE_BIDIRECTIONAL), 0);
    expect_error(bounce_device_sync_list_for_cpu(device_, &mapped, 99, 2, 7), EINVAL, "direction");
    expect_error(bounce_device_sync_list_for_cpu(nullptr, &mapped, 99, 2, 0), EINVAL, "device");
    expect_error(bounce_device_sync_list_for_cpu(device_, nullptr, 99, 2, 0), EINVAL, "list");
    EXPECT_EQ(bounce_device_unmap_list(device_, &mapped, 1100), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_unmap_list(device_, &mapped, 1100), -EALREADY);
    mapped.size = 8;
    expect_error(bounce_device_map_list(device_, sg, 2, 0, nullptr, &mapped), EINVAL, "list.size");
    expect_error(bounce_device_unmap_list(device_, &mapped, 0), EINVAL, "list.size");
    mapped = list();
    expect_error(bounce_device_map_list(nullptr, sg, 2, 0, nullptr, &mapped), EINVAL, "device");
    expect_error(bounce_device_map_list(device_, nullptr, 2, 0, nullptr, &mapped), EINVAL, "sg");
    expect_error(bounce_device_map_list(device_, sg, 2, 0, nullptr, nullptr), EINVAL, "list");
    expect_error(bounce_device_map_list(device_, sg, 2, 9, nullptr, &mapped), EINVAL, "direction");
    expect_error(bounce_device_unmap_list(nullptr, &mapped, 0), EINVAL, "device");
}

TEST_F(StreamingAbi, Bulk) {
    const std::size_t written[2] = {3, 0};
    for (int i = 0; i < 2; ++i)
        ASSERT_EQ(bounce_device_map(device_, buf_ + 100 * i, 10, BOUNCE_FROM_DEVICE, 0,
                                    &tokens_[static_cast<std::size_t>(i)]),
                  0);
    EXPECT_EQ(bounce_device_unmap_bulk(device_, tokens_.data(), written, 2), 0) << bounce_last_error();
    expect_error(bounce_device_unmap_bulk(device_, tokens_.data(), written, 0), EINVAL);
    expect_error(bounce_device_unmap_bulk(nullptr, tokens_.data(), written, 2), EINVAL, "device");
    expect_error(bounce_device_unmap_bulk(device_, nullptr, written, 2), EINVAL, "mappings");
    expect_error(bounce_device_unmap_bulk(device_, tokens_.data(), nullptr, 2), EINVAL, "written");
}

TEST_F(StreamingAbi, Quarantine) {
    bounce_device* device = make(device_options());
    ASSERT_EQ(bounce_device_map(device, buf_, 4096, BOUNCE_FROM_DEVICE, 0, &tokens_[0]), 0);
    ASSERT_EQ(bounce_device_quarantine(device), 0) << bounce_last_error();
    expect_error(bounce_device_map(device, buf_, 10, BOUNCE_FROM_DEVICE, 0, &tokens_[1]), EPROTO, "quarantine");
    const bounce_ring_options ring = ring_options();
    bounce_ring* none = nullptr;
    expect_error(bounce_ring_create(device, &ring, &none), EPROTO, "quarantine");
    expect_error(bounce_device_destroy(device), EBUSY);
    EXPECT_EQ(bounce_device_unmap(device, &tokens_[0], 0), 0);
    EXPECT_EQ(stats().quarantined, 1u);
    EXPECT_EQ(stats().quarantined_bytes, 4096u);
    expect_error(bounce_pool_release_quarantine(pool_, 0), EBUSY);
    EXPECT_EQ(bounce_device_destroy(device), 0) << bounce_last_error();
    bounce_quarantine_info info;
    ASSERT_EQ(bounce_pool_quarantine(pool_, 0, &info), 0);
    EXPECT_STREQ(info.device, "device");
    EXPECT_EQ(info.slots, 1u);
    EXPECT_EQ(info.bytes, 4096u);
    EXPECT_EQ(info.device_lives, 0u);
    EXPECT_EQ(bounce_pool_release_quarantine(pool_, 0), 1) << bounce_last_error();
    EXPECT_EQ(stats().quarantined, 0u);
    expect_error(bounce_pool_quarantine(pool_, 1, &info), EINVAL);
    expect_error(bounce_pool_quarantine(pool_, 0, nullptr), EINVAL, "info");
    expect_error(bounce_pool_quarantine(nullptr, 0, &info), EINVAL, "pool");
    expect_error(bounce_pool_release_quarantine(pool_, 1), EINVAL);
    expect_error(bounce_pool_release_quarantine(nullptr, 0), EINVAL, "pool");
    expect_error(bounce_pool_retire_region(pool_, 1), EINVAL);
    expect_error(bounce_pool_retire_region(nullptr, 0), EINVAL, "pool");
    expect_error(bounce_device_quarantine(nullptr), EINVAL, "device");
    expect_error(bounce_device_release(nullptr), EINVAL, "device");
    EXPECT_EQ(bounce_device_release(device_), 0);
}

// The requests of a broken ring, and then its memory.
TEST_F(StreamingAbi, WhatARingHadIsHeldBack) {
    bounce_device* device = make(device_options());
    const bounce_ring_options options = ring_options();
    bounce_ring* ring = nullptr;
    ASSERT_EQ(bounce_ring_create(device, &options, &ring), 0) << bounce_last_error();
    const bounce_sg sg[2] = {{buf_, 1000, 0, 0}, {buf_ + 1000, 1000, 0, 0}};
    for (int i = 0; i < 3; ++i) ASSERT_EQ(bounce_ring_add(ring, sg, 1, 1, nullptr), 0) << bounce_last_error();
    ASSERT_EQ(bounce_device_quarantine(device), 0);
    expect_error(bounce_ring_add(ring, sg, 1, 1, nullptr), EPROTO, "quarantine");
    bounce_completion done[8];
    EXPECT_EQ(bounce_ring_abort(ring, done, 8), 3);
    EXPECT_EQ(stats().quarantined, 6u);
    EXPECT_EQ(bounce_ring_destroy(ring), 0);
    EXPECT_GT(stats().quarantined, 6u);
    EXPECT_EQ(stats().slots, 0u);
    EXPECT_GT(bounce_device_release(device), 6);
    EXPECT_EQ(bounce_device_destroy(device), 0);
    EXPECT_EQ(stats().used_bytes + stats().quarantined_bytes, 0u);
}

}  // namespace
}  // namespace bounce
