// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// NUMA options of pools and devices. hwloc is given a machine with three.
#include <cstddef>
#include <cstdlib>
#include <vector>

#include "allocator/slab/slot_handle.hpp"
#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kBytes = 2u << 20;

bounce_device_options device_at(std::uint32_t node) {
    bounce_device_options options = device_options();
    options.flags = BOUNCE_DEVICE_NODE;
    options.node = node;
    return options;
}

void expect_refused(const bounce_pool_options& options, int code, const char* part) {
    bounce_pool* pool = nullptr;
    expect_error(bounce_pool_create(&options, &pool), code, part);
    EXPECT_EQ(pool, nullptr);
}

TEST(NumaOptions, OfThePoolAreChecked) {
    auto options = pool_options();
    options.numa_policy = BOUNCE_NUMA_STRICT + 1;
    expect_refused(options, EINVAL, "options.numa_policy is 4, expected 0 to 3");
    options = pool_options();
    options.reserved2 = 1;
    expect_refused(options, EINVAL, "options.reserved2");
    options = pool_options();
    options.flags = BOUNCE_POOL_EACH_NODE;
    options.region.flags = BOUNCE_REGION_NODE;
    expect_refused(options, EINVAL, "names node 0");
    options.region.flags = 0;
    options.region.hva = reinterpret_cast<void*>(std::uintptr_t{4096});
    expect_refused(options, EINVAL, "hva is one mapping");
    options = pool_options();
    options.flags = BOUNCE_POOL_EACH_NODE;
    options.limit_bytes = 1u << 30;
    expect_refused(options, EINVAL, "options.limit_bytes is 1073741824: a pool grows at the node of its first region");
    options = pool_options();
    options.flags = 16;
    expect_refused(options, EINVAL, "options.flags has unknown bits 0x10, known are 0xf");
}

TEST(NumaOptions, OfAnOlderCallerAreTheDefaults) {
    auto options = pool_options();
    options.size = offsetof(bounce_pool_options, numa_policy);
    options.numa_policy = 77;  // beyond what the caller says it has
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    auto of_device = device_options();
    of_device.size = offsetof(bounce_device_options, node);
    of_device.node = 77;
    of_device.numa_policy = 77;
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool, &of_device, &device), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_destroy(device), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

class NumaAbi : public testing::Test {
protected:
    void SetUp() override { ::setenv("HWLOC_SYNTHETIC", "node:3 pu:1", 1); }
    void TearDown() override {
        ::unsetenv("HWLOC_SYNTHETIC");
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }
    /// False when this build has one node.
    bool make(std::uint32_t policy = BOUNCE_NUMA_LOCAL) {
        auto options = pool_options(kBytes);
        options.flags = BOUNCE_POOL_EACH_NODE;
        options.numa_policy = policy;
        EXPECT_EQ(bounce_pool_create(&options, &pool_), 0) << bounce_last_error();
        bounce_pool_stats stats;
        EXPECT_EQ(bounce_pool_get_stats(pool_, &stats), 0);
        return stats.regions == 3;
    }
    void make_device(const bounce_device_options& options) {
        ASSERT_EQ(bounce_device_create(pool_, &options, &device_), 0) << bounce_last_error();
    }
    /// Regions of mappings, until the pool is full.
    std::vector<unsigned> fill() {
        std::vector<unsigned> from;
        std::vector<bounce_mapping> mappings;
        std::vector<char> data(kBytes / 2);
        for (;;) {
            bounce_mapping mapping;
            const int status = bounce_device_map(device_, data.data(), data.size(), BOUNCE_TO_DEVICE, 0, &mapping);
            if (status != 0) {
                EXPECT_EQ(status, -ENOSPC) << bounce_last_error();
                break;
            }
            from.push_back(SlotHandle(mapping.handle).region().value);
            mappings.push_back(mapping);
        }
        for (bounce_mapping& mapping : mappings) EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
        return from;
    }
    using Regions = std::vector<unsigned>;

    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
};

TEST_F(NumaAbi, EachNodeGetsARegionOneBehindTheOther) {
    if (!make()) GTEST_SKIP() << "this build has one node";
    for (std::uint32_t i = 0; i < 3; ++i) {
        bounce_region_info info;
        ASSERT_EQ(bounce_pool_region(pool_, i, &info), 0);
        EXPECT_EQ(info.bytes, kBytes);
        EXPECT_EQ(info.base_gpa, kBase + i * kBytes);
    }
    auto options = pool_options(kBytes);
    options.flags = BOUNCE_POOL_EACH_NODE;
    options.region.base_gpa = ~std::uint64_t{0} - 2 * kBytes + 1;  // there is room for two
    expect_refused(options, EINVAL, "beyond the last address");
}

TEST_F(NumaAbi, OfTheDeviceAreChecked) {
    if (!make()) GTEST_SKIP() << "this build has one node";
    const auto refused = [this](const bounce_device_options& options, const char* part) {
        bounce_device* device = nullptr;
        expect_error(bounce_device_create(pool_, &options, &device), EINVAL, part);
        EXPECT_EQ(device, nullptr);
    };
    auto options = device_options();
    options.node = 1;
    refused(options, "options.node is 1 without BOUNCE_DEVICE_NODE");
    options = device_options();
    options.numa_policy = BOUNCE_NUMA_STRICT;
    refused(options, "options.numa_policy is 3 without BOUNCE_DEVICE_NUMA_POLICY");
    options = device_options();
    options.flags = BOUNCE_DEVICE_NUMA_POLICY;
    options.numa_policy = 4;
    refused(options, "options.numa_policy is 4, expected 0 to 3");
    refused(device_at(7), "there is no NUMA node 7, the highest is 2");
    refused(device_at(~0u), "options.node is 4294967295");
    options = device_options();
    options.flags = 4;
    refused(options, "options.flags has unknown bits 0x4");
}

TEST_F(NumaAbi, OfARegionAreChecked) {
    if (!make()) GTEST_SKIP() << "this build has one node";
    auto options = region_options(kBytes, 2 * kBase);
    options.flags = BOUNCE_REGION_NODE;
    options.node = 3;
    expect_error(bounce_pool_add_region(pool_, &options), EINVAL, "there is no NUMA node 3, the highest is 2");
}

TEST_F(NumaAbi, ADeviceHasThePoolsPolicyOrItsOwn) {
    if (!make(BOUNCE_NUMA_STRICT)) GTEST_SKIP() << "this build has one node";
    auto options = device_at(2);
    make_device(options);
    EXPECT_EQ(fill(), (Regions{2, 2}));
    EXPECT_EQ(bounce_device_destroy(device_), 0);
    options.flags |= BOUNCE_DEVICE_NUMA_POLICY;
    options.numa_policy = BOUNCE_NUMA_INTERLEAVE;
    make_device(options);
    EXPECT_EQ(fill(), (Regions{0, 1, 2, 0, 1, 2}));
    EXPECT_EQ(bounce_device_destroy(device_), 0);
    options.numa_policy = BOUNCE_NUMA_PREFERRED;
    make_device(options);
    const auto from = fill();
    ASSERT_EQ(from.size(), 6u);
    EXPECT_EQ(from[0], 2u);
    EXPECT_EQ(from[1], 2u);
}

TEST_F(NumaAbi, CoherentMemoryAndBuffersFollowThePolicyToo) {
    if (!make(BOUNCE_NUMA_STRICT)) GTEST_SKIP() << "this build has one node";
    make_device(device_at(1));
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device_, 4096, 0, &block), 0) << bounce_last_error();
    EXPECT_EQ(SlotHandle(block.handle).region().value, 1);
    EXPECT_EQ(bounce_coherent_free(device_, &block), 0);
    ASSERT_EQ(bounce_buffer_alloc(device_, 4096, 0, &block), 0) << bounce_last_error();
    EXPECT_EQ(SlotHandle(block.handle).region().value, 1);
    EXPECT_EQ(bounce_buffer_free(device_, &block), 0);
    expect_error(bounce_buffer_alloc(device_, 2 * kBytes, 0, &block), E2BIG);
}

}  // namespace
}  // namespace bounce
