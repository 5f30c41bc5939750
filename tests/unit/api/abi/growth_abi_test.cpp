// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Growing, shrinking and removal through the C functions and the C++ wrapper.
#include <poll.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "bounce/bounce.hpp"
#include "tests/support/fake_platform.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

bounce_pool_options growing() {
    bounce_pool_options options = pool_options();
    options.limit_bytes = 64 * kMiB;
    return options;
}

void expect_refused(const bounce_pool_options& options, const char* part) {
    bounce_pool* pool = nullptr;
    expect_error(bounce_pool_create(&options, &pool), EINVAL, part);
}

bool readable(int fd) {
    pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, 0) == 1;
}

TEST(GrowthOptions, AreChecked) {
    auto options = pool_options();
    options.low_watermark = 1;
    expect_refused(options, "limit_bytes");
    options = pool_options();
    options.flags = BOUNCE_POOL_INLINE_GROWTH;
    expect_refused(options, "limit_bytes");
    options = growing();
    options.low_watermark = 2;
    options.high_watermark = 1;
    expect_refused(options, "high_watermark");
    options = growing();
    options.share = test::FakePlatform::share;
    expect_refused(options, "both or none");
    options.unshare = test::FakePlatform::unshare;
    options.share_granule = 5000;
    expect_refused(options, "share_granule");
    options.share_granule = 4u << 20;
    expect_refused(options, "share_granule");
    options = growing();
    options.share_granule = 4096;
    expect_refused(options, "share_granule");
    options = growing();
    options.growth_base_gpa = kBase + 1;
    expect_refused(options, "2 MiB");
}

TEST(GrowthOptions, OfAnOlderCallerAreNone) {
    auto options = growing();
    options.size = offsetof(bounce_pool_options, limit_bytes);
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    expect_error(bounce_pool_event_fd(pool), ENOTSUP, "limit_bytes");
    EXPECT_EQ(bounce_pool_service(pool), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

TEST(Growth, NullArguments) {
    expect_error(bounce_pool_service(nullptr), EINVAL, "pool is NULL");
    expect_error(bounce_pool_event_fd(nullptr), EINVAL, "pool is NULL");
    expect_error(bounce_pool_drain_region(nullptr, 0), EINVAL, "pool is NULL");
    expect_error(bounce_pool_remove_region(nullptr, 0), EINVAL, "pool is NULL");
}

TEST(Growth, ServiceWhenTheEventSaysSo) {
    const auto options = growing();
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_device* device = nullptr;
    const auto of_device = device_options();
    ASSERT_EQ(bounce_device_create(pool, &of_device, &device), 0);
    const int event = bounce_pool_event_fd(pool);
    ASSERT_GE(event, 0);
    std::vector<char> data(kMiB);
    std::vector<bounce_mapping> mappings(20);
    for (auto& mapping : mappings) {
        if (readable(event)) {
            while (bounce_pool_service(pool) == 1) {
            }
        }
        ASSERT_EQ(bounce_device_map(device, data.data(), data.size(), BOUNCE_TO_DEVICE, 0, &mapping), 0)
            << bounce_last_error();
    }
    bounce_pool_stats stats;
    ASSERT_EQ(bounce_pool_get_stats(pool, &stats), 0);
    EXPECT_EQ(stats.bytes, 32 * kMiB);
    EXPECT_EQ(stats.grows, 3u);
    EXPECT_EQ(stats.full, 0u);
    EXPECT_EQ(stats.regions, 4u);
    // By hand: drain, wait for it to be empty, remove.
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_drain_region(pool, 3), 0) << bounce_last_error();
    expect_error(bounce_pool_remove_region(pool, 3), EBUSY, "in use");
    for (auto& mapping : mappings) ASSERT_EQ(bounce_device_unmap(device, &mapping, 0), 0) << bounce_last_error();
    ASSERT_EQ(bounce_pool_region(pool, 3, &info), 0);
    EXPECT_EQ(info.state, static_cast<uint32_t>(BOUNCE_REGION_DRAINING));
    EXPECT_EQ(info.used_bytes, 0u);
    ASSERT_EQ(bounce_pool_remove_region(pool, 3), 0) << bounce_last_error();
    ASSERT_EQ(bounce_pool_region(pool, 3, &info), 0);
    EXPECT_EQ(info.state, static_cast<uint32_t>(BOUNCE_REGION_REMOVED));
    EXPECT_EQ(info.fd, -1);
    void* hva = nullptr;
    expect_error(bounce_pool_gpa_to_hva(pool, info.base_gpa, 1, &hva), EFAULT);
    mappings.back().state = 0xb5;  // live, as far as the token says
    expect_error(bounce_device_unmap(device, &mappings.back(), 0), EALREADY);
    EXPECT_EQ(bounce_device_destroy(device), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

TEST(Growth, HooksAreCalledAndTheirFailuresLogged) {
    test::FakePlatform platform;
    platform.refuse_share = {kBase + 2 * kMiB};
    platform.refuse_unshare = {kBase};
    std::vector<std::string> lines;
    auto options = growing();
    options.share = test::FakePlatform::share;
    options.unshare = test::FakePlatform::unshare;
    options.share_user = &platform;
    options.share_granule = 65536;
    options.log = [](void* user, int, const char* line) {
        static_cast<std::vector<std::string>*>(user)->emplace_back(line);
    };
    options.log_user = &lines;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool, 0, &info), 0);
    EXPECT_EQ(info.refused_bytes, 2 * kMiB);
    EXPECT_EQ(info.usable, 1u);
    ASSERT_EQ(bounce_pool_destroy(pool), 0);
    EXPECT_EQ(platform.shared_bytes(), 2 * kMiB);
    EXPECT_EQ(platform.mistakes(), 0u);
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_NE(lines[0].find("GPA 0x100200000 could not be shared (-5)"), std::string::npos) << lines[0];
    EXPECT_NE(lines[1].find("GPA 0x100000000 could not be unshared (-5)"), std::string::npos) << lines[1];
}

TEST(Growth, ThroughTheWrapper) {
    std::uint64_t shared = 0;
    {
        PoolOptions options;
        options.region.bytes = 4 * kMiB;
        options.region.base_gpa = kBase;
        options.limit_bytes = 16 * kMiB;
        options.shrink_delay = std::chrono::milliseconds(1);
        options.share = [&](std::uint64_t, std::span<std::byte> memory) {
            shared += memory.size();
            return 0;
        };
        options.unshare = [&](std::uint64_t, std::span<std::byte> memory) {
            shared -= memory.size();
            return 0;
        };
        auto pool = v0::Pool::create(std::move(options));
        ASSERT_TRUE(pool) << bounce_last_error();
        EXPECT_EQ(shared, 4 * kMiB);
        EXPECT_GE(*pool->event_fd(), 0);
        auto device = pool->create_device();
        ASSERT_TRUE(device);
        std::vector<char> data(4 * kMiB);
        auto mapping = device->map(data.data(), data.size(), v0::Direction::kToDevice);
        ASSERT_TRUE(mapping) << bounce_last_error();
        while (*pool->service()) {
        }
        EXPECT_EQ(shared, 8 * kMiB);
        EXPECT_TRUE(pool->drain_region(1));
        EXPECT_TRUE(pool->remove_region(1)) << bounce_last_error();
        EXPECT_EQ(pool->remove_region(1).code(), EINVAL);
        EXPECT_EQ(shared, 4 * kMiB);
    }
    EXPECT_EQ(shared, 0u);
}

}  // namespace
}  // namespace bounce
