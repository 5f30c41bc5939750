// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Debugging besides the misuses: how much is reported, what is watched, options and arguments.
#include "tests/unit/api/abi/watch_fixture.hpp"

namespace bounce {
namespace {

using DebugAbi = WatchAbi;

TEST_F(DebugAbi, OneKindDoesNotDrownTheOthers) {
    for (int i = 0; i < 100; ++i) EXPECT_NE(bounce_device_unmap_addr(device_, 1, 0, BOUNCE_ANY_DIRECTION, 0), 0);
    EXPECT_GE(seen_.size(), 16u);
    EXPECT_LT(seen_.size(), 100u);
    bounce_debug_stats stats;
    ASSERT_EQ(bounce_debug_get_stats(device_, &stats), 0);
    EXPECT_EQ(stats.reports[BOUNCE_DEBUG_UNKNOWN_ADDRESS], 100u);
    seen_.clear();
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    EXPECT_NE(bounce_device_sync_for_device(device_, &mapping, 0, 101, BOUNCE_TO_DEVICE), 0);
    only("sync-range", "bounce_device_sync_for_device");
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
}

TEST_F(DebugAbi, Visit) {
    bounce_mapping mapping = map(buf_, 100, BOUNCE_TO_DEVICE);
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 200, 0, &block), 0);
    std::vector<bounce_debug_report> all;
    const auto keep = [](void* user, const bounce_debug_report* report) {
        static_cast<std::vector<bounce_debug_report>*>(user)->push_back(*report);
    };
    EXPECT_EQ(bounce_debug_visit(device_, keep, &all), 2);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].bytes + all[1].bytes, 300u);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
}

TEST_F(DebugAbi, SampleWatchesOneOfSoMany) {
    debug_.sample = 4;
    for (const std::uint32_t flags :
         {std::uint32_t{BOUNCE_DEVICE_DEBUG}, std::uint32_t{BOUNCE_DEVICE_DEBUG} | BOUNCE_DEVICE_RECORDS}) {
        bounce_device* sampled = create(flags, "sampled");
        std::vector<bounce_mapping> all(40);
        for (std::size_t i = 0; i < all.size(); ++i)
            ASSERT_EQ(bounce_device_map(sampled, buf_ + i * 64, 64, BOUNCE_FROM_DEVICE, 0, &all[i]), 0);
        bounce_debug_stats stats;
        ASSERT_EQ(bounce_debug_get_stats(sampled, &stats), 0);
        EXPECT_EQ(stats.watched, 10u);
        EXPECT_EQ(stats.skipped, 30u);
        for (auto& one : all) EXPECT_EQ(bounce_device_unmap(sampled, &one, 0), 0);
        EXPECT_TRUE(seen_.empty());
        EXPECT_EQ(bounce_device_destroy(sampled), 0);
    }
}

TEST_F(DebugAbi, OptionsAreChecked) {
    bounce_device* device = nullptr;
    auto options = device_options();
    options.debug = &debug_;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.debug");
    options.flags = BOUNCE_DEVICE_DEBUG;
    debug_.reserved = 1;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.debug.reserved");
    debug_.reserved = 0;
    debug_.size = 4;
    expect_error(bounce_device_create(pool_, &options, &device), EINVAL, "options.debug.size");
    debug_.size = sizeof debug_;
}

TEST_F(DebugAbi, WithoutTheFlags) {
    auto options = device_options();
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &device), 0);
    bounce_debug_stats stats;
    bounce_record record;
    bounce_mapping mapping;
    ASSERT_EQ(bounce_device_map(device, buf_, 10, BOUNCE_TO_DEVICE, 0, &mapping), 0);
    expect_error(bounce_debug_get_stats(device, &stats), ENOTSUP, "BOUNCE_DEVICE_DEBUG");
    expect_error(bounce_device_unmap_addr(device, mapping.addr, 0, BOUNCE_ANY_DIRECTION, 0), ENOTSUP, "RECORDS");
    expect_error(bounce_device_lookup(device, mapping.addr, &record, nullptr), ENOTSUP);
    const void* view = nullptr;
    expect_error(bounce_device_peek(device, mapping.addr, 10, &view), EPERM);
    expect_error(bounce_device_peek(device, 0, 10, &view), EFAULT);
    expect_error(bounce_device_peek(device, mapping.addr, 0, &view), EINVAL);
    EXPECT_EQ(bounce_device_unmap(device, &mapping, 0), 0);
    EXPECT_EQ(bounce_device_destroy(device), 0);
}

TEST_F(DebugAbi, NullArguments) {
    bounce_debug_stats stats;
    bounce_record record;
    const void* view = nullptr;
    expect_error(bounce_debug_get_stats(nullptr, &stats), EINVAL, "device is NULL");
    expect_error(bounce_debug_get_stats(device_, nullptr), EINVAL, "stats is NULL");
    expect_error(bounce_debug_visit(device_, nullptr, nullptr), EINVAL, "visit is NULL");
    expect_error(bounce_debug_visit(nullptr, debug_.report, nullptr), EINVAL, "device is NULL");
    expect_error(bounce_device_peek(nullptr, 0, 1, &view), EINVAL, "device is NULL");
    expect_error(bounce_device_peek(device_, 0, 1, nullptr), EINVAL, "view is NULL");
    expect_error(bounce_device_lookup(nullptr, 0, &record, nullptr), EINVAL, "device is NULL");
    expect_error(bounce_device_lookup(device_, 0, nullptr, nullptr), EINVAL, "record is NULL");
    expect_error(bounce_device_unmap_addr(nullptr, 0, 0, 0, 0), EINVAL, "device is NULL");
    expect_error(bounce_device_unmap_addr(device_, 0, 0, -2, 0), EINVAL, "direction");
    expect_error(bounce_device_unmap_addr(device_, 0, 0, 3, 0), EINVAL, "direction");
    EXPECT_STREQ(bounce_debug_kind_name(0), "unknown");
    EXPECT_STREQ(bounce_debug_kind_name(BOUNCE_DEBUG_KINDS), "unknown");
}

TEST(WatchLog, ReportsGoToTheLogWithoutACallback) {
    std::string log;
    auto options = pool_options();
    options.log = [](void* user, int, const char* line) { *static_cast<std::string*>(user) += line; };
    options.log_user = &log;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0);
    auto of_device = device_options();
    of_device.flags = BOUNCE_DEVICE_DEBUG;
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool, &of_device, &device), 0) << bounce_last_error();
    bounce_mapping never{};
    EXPECT_EQ(bounce_device_unmap(device, &never, 0), -EALREADY);
    EXPECT_NE(log.find("unknown-address in bounce_device_unmap"), std::string::npos) << log;
    EXPECT_EQ(bounce_device_destroy(device), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

}  // namespace
}  // namespace bounce
