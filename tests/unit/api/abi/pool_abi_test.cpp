// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

using PoolAbi = AbiTest;

void expect_refused(const bounce_pool_options& options, int code, const char* part) {
    bounce_pool* pool = reinterpret_cast<bounce_pool*>(&pool);
    expect_error(bounce_pool_create(&options, &pool), code, part);
    EXPECT_EQ(pool, nullptr);
}

TEST(PoolOptions, AreChecked) {
    auto options = pool_options();
    options.size = 16;
    expect_refused(options, EINVAL, "options.size");
    options = pool_options();
    options.flags = 1u << 31;
    expect_refused(options, EINVAL, "options.flags");
    options = pool_options();
    options.reserved = 1;
    expect_refused(options, EINVAL, "options.reserved");
    const std::string name(64, 'n');
    options = pool_options();
    options.name = name.c_str();
    expect_refused(options, EINVAL, "options.name");
}

// Without the checks of who ends a mapping, those of where it is remain.
TEST(PoolOptions, Unchecked) {
    auto options = pool_options();
    options.flags = BOUNCE_POOL_UNCHECKED;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_device_options of_device{};
    of_device.size = sizeof of_device;
    bounce_device* device = nullptr;
    ASSERT_EQ(bounce_device_create(pool, &of_device, &device), 0) << bounce_last_error();
    char text[100] = "text";
    for (int i = 0; i < 100; ++i) {
        bounce_mapping mapping;
        ASSERT_EQ(bounce_device_map(device, text, sizeof text, BOUNCE_BIDIRECTIONAL, 0, &mapping), 0);
        bounce_mapping damaged = mapping;
        damaged.addr += 8;
        expect_error(bounce_device_unmap(device, &damaged, 0), EFAULT);
        ASSERT_EQ(bounce_device_unmap(device, &mapping, sizeof text), 0) << bounce_last_error();
        // This token says itself that it has ended.
        expect_error(bounce_device_unmap(device, &mapping, 0), EALREADY);
    }
    bounce_block block;
    ASSERT_EQ(bounce_coherent_alloc(device, 4096, 0, &block), 0);
    bounce_block copy = block;
    ASSERT_EQ(bounce_coherent_free(device, &block), 0);
    expect_error(bounce_coherent_free(device, &copy), EALREADY);
    EXPECT_EQ(bounce_device_destroy(device), 0) << bounce_last_error();
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

TEST(PoolOptions, OfTheRegionAreChecked) {
    auto options = pool_options();
    options.region.size = 0;
    expect_refused(options, EINVAL, "options.region.size");
    options = pool_options();
    options.region.size = sizeof options.region + 8;
    expect_refused(options, EINVAL, "options.region.size");
    options = pool_options();
    options.region.flags = 1u << 31;
    expect_refused(options, EINVAL, "region.flags");
    options = pool_options();
    options.region.reserved = 1;
    expect_refused(options, EINVAL, "region.reserved");
    options = pool_options();
    options.region.node = 1;
    expect_refused(options, EINVAL, "region.node");
    options = pool_options();
    options.region.fd_plus_one = 1;
    expect_refused(options, EINVAL, "without hva");
    options = pool_options();
    options.region.fd_offset = 4096;
    expect_refused(options, EINVAL, "without hva");
    for (const std::uint64_t bytes :
         {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{65537}, ~std::uint64_t{0}, ~std::uint64_t{4095}}) {
        options = pool_options(bytes);
        expect_refused(options, EINVAL, "");
    }
    options = pool_options();
    options.region.base_gpa = 1;
    expect_refused(options, EINVAL, "");
    options.region.base_gpa = ~std::uint64_t{4095};
    expect_refused(options, EINVAL, "");
}

TEST(PoolOptions, NullArguments) {
    const auto options = pool_options();
    expect_error(bounce_pool_create(&options, nullptr), EINVAL, "pool is NULL");
    bounce_pool* pool = nullptr;
    expect_error(bounce_pool_create(nullptr, &pool), EINVAL, "options is NULL");
}

TEST(PoolOptions, AnImportedRegionStaysTheCallers) {
    constexpr std::size_t kBytes = 1u << 20;
    void* hva = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(hva, MAP_FAILED);
    auto options = pool_options(kBytes);
    options.region.hva = hva;
    options.region.flags = BOUNCE_REGION_HUGEPAGES;
    expect_refused(options, EINVAL, "HUGEPAGES");
    options.region.flags = 0;
    options.region.fd_plus_one = -1;
    expect_refused(options, EINVAL, "fd_plus_one");
    options.region.fd_plus_one = 0;
    options.region.fd_offset = 4096;
    expect_refused(options, EINVAL, "fd_offset");
    options.region.fd_offset = 0;
    options.region.flags = BOUNCE_REGION_NODE;
    options.region.node = 3;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool, 0, &info), 0);
    EXPECT_EQ(info.hva, hva);
    EXPECT_EQ(info.imported, 1u);
    EXPECT_EQ(info.node, 3);  // as the caller says
    EXPECT_EQ(info.fd, -1);
    expect_error(bounce_pool_renew(pool), ENOTSUP);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
    static_cast<char*>(hva)[0] = 'x';  // still mapped
    EXPECT_EQ(munmap(hva, kBytes), 0);
}

TEST_F(PoolAbi, NullArguments) {
    bounce_region_info info;
    bounce_pool_stats stats;
    void* hva = nullptr;
    std::uint64_t gpa = 0;
    const auto region = region_options();
    EXPECT_EQ(bounce_pool_destroy(nullptr), 0);
    expect_error(bounce_pool_add_region(nullptr, &region), EINVAL, "pool is NULL");
    expect_error(bounce_pool_add_region(pool_, nullptr), EINVAL, "options is NULL");
    expect_error(bounce_pool_region(nullptr, 0, &info), EINVAL, "pool is NULL");
    expect_error(bounce_pool_region(pool_, 0, nullptr), EINVAL, "info is NULL");
    expect_error(bounce_pool_renew(nullptr), EINVAL, "pool is NULL");
    expect_error(bounce_pool_get_stats(nullptr, &stats), EINVAL, "pool is NULL");
    expect_error(bounce_pool_get_stats(pool_, nullptr), EINVAL, "stats is NULL");
    expect_error(bounce_pool_gpa_to_hva(nullptr, kBase, 1, &hva), EINVAL, "pool is NULL");
    expect_error(bounce_pool_gpa_to_hva(pool_, kBase, 1, nullptr), EINVAL, "hva is NULL");
    expect_error(bounce_pool_hva_to_gpa(nullptr, &info, 1, &gpa), EINVAL, "pool is NULL");
    expect_error(bounce_pool_hva_to_gpa(pool_, &info, 1, nullptr), EINVAL, "gpa is NULL");
}

TEST_F(PoolAbi, RegionsAreDescribedAndTranslated) {
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool_, 0, &info), 0) << bounce_last_error();
    EXPECT_EQ(info.base_gpa, kBase);
    EXPECT_EQ(info.bytes, 4u << 20);
    EXPECT_GE(info.fd, 0);
    EXPECT_EQ(info.page_bytes, 4096u);
    EXPECT_EQ(info.generation, 0u);
    EXPECT_EQ(info.imported, 0u);
    EXPECT_EQ(info.node, -1);
    EXPECT_EQ(info.fd_offset, 0u);
    expect_error(bounce_pool_region(pool_, 1, &info), EINVAL, "region 1");

    void* hva = nullptr;
    EXPECT_EQ(bounce_pool_gpa_to_hva(pool_, kBase, 4u << 20, &hva), 0);
    EXPECT_EQ(hva, info.hva);
    std::uint64_t gpa = 0;
    EXPECT_EQ(bounce_pool_hva_to_gpa(pool_, static_cast<char*>(info.hva) + 100, 10, &gpa), 0);
    EXPECT_EQ(gpa, kBase + 100);
    expect_error(bounce_pool_gpa_to_hva(pool_, kBase - 1, 1, &hva), EFAULT);
    EXPECT_EQ(hva, nullptr);
    expect_error(bounce_pool_gpa_to_hva(pool_, kBase, (4u << 20) + 1, &hva), EFAULT);
    expect_error(bounce_pool_gpa_to_hva(pool_, kBase + 1, SIZE_MAX, &hva), EFAULT);
    expect_error(bounce_pool_hva_to_gpa(pool_, &info, 1, &gpa), EFAULT);
}

TEST_F(PoolAbi, RegionsAreAddedAndMustNotOverlap) {
    const auto second = region_options(1u << 20, 2 * kBase);
    EXPECT_EQ(bounce_pool_add_region(pool_, &second), 0) << bounce_last_error();
    expect_error(bounce_pool_add_region(pool_, &second), EINVAL);
    const auto inside = region_options(65536, kBase + 65536);
    expect_error(bounce_pool_add_region(pool_, &inside), EINVAL);
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool_, 1, &info), 0);
    EXPECT_EQ(info.base_gpa, 2 * kBase);
    EXPECT_EQ(stats().regions, 2u);
    EXPECT_EQ(stats().bytes, 5u << 20);
}

TEST_F(PoolAbi, SixtyFourRegionsAtMost) {
    for (std::uint64_t i = 1; i < 64; ++i) {
        const auto next = region_options(65536, (i + 1) * kBase);
        ASSERT_EQ(bounce_pool_add_region(pool_, &next), 0) << i << ": " << bounce_last_error();
    }
    const auto one_more = region_options(65536, 65 * kBase);
    expect_error(bounce_pool_add_region(pool_, &one_more), EINVAL, "64");
}

TEST_F(PoolAbi, DestroyIsRefusedWhileADeviceExists) {
    expect_error(bounce_pool_destroy(pool_), EBUSY, "1 devices");
    EXPECT_EQ(stats().regions, 1u);
}

TEST_F(PoolAbi, StatsFollowWhatIsHandedOut) {
    std::vector<char> buf(1500);
    bounce_mapping mapping;
    bounce_block coherent;
    bounce_block buffer;
    ASSERT_EQ(bounce_device_map(device_, buf.data(), buf.size(), BOUNCE_TO_DEVICE, 0, &mapping), 0);
    ASSERT_EQ(bounce_coherent_alloc(device_, 100, 0, &coherent), 0);
    ASSERT_EQ(bounce_buffer_alloc(device_, 4096, 0, &buffer), 0);
    const bounce_pool_stats busy = stats();
    EXPECT_EQ(busy.mappings, 1u);
    EXPECT_EQ(busy.coherent, 1u);
    EXPECT_EQ(busy.buffers, 1u);
    EXPECT_EQ(busy.slots, 3u);
    EXPECT_EQ(busy.maps, 1u);
    EXPECT_GE(busy.used_bytes, 1500u + 100 + 4096);
    EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0);
    EXPECT_EQ(bounce_coherent_free(device_, &coherent), 0);
    EXPECT_EQ(bounce_buffer_free(device_, &buffer), 0);
    const bounce_pool_stats idle = stats();
    EXPECT_EQ(idle.slots, 0u);
    EXPECT_EQ(idle.used_bytes, 0u);
    EXPECT_GE(idle.used_bytes_hiwater, busy.used_bytes);
    EXPECT_EQ(idle.maps, 1u);
    EXPECT_EQ(idle.full, 0u);
    EXPECT_EQ(idle.violations, 0u);
}

TEST_F(PoolAbi, RenewalIsCountedAndZeroes) {
    bounce_block buffer;
    ASSERT_EQ(bounce_buffer_alloc(device_, 4096, 0, &buffer), 0);
    std::memset(buffer.ptr, 'x', 4096);
    ASSERT_EQ(bounce_pool_renew(pool_), 0) << bounce_last_error();
    EXPECT_EQ(static_cast<char*>(buffer.ptr)[4095], '\0');
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool_, 0, &info), 0);
    EXPECT_EQ(info.generation, 1u);
    EXPECT_EQ(bounce_buffer_free(device_, &buffer), 0);
}

TEST(Library, VersionIsThatOfTheHeader) {
    EXPECT_EQ(bounce_version(), 0u << 16 | 1u << 8 | 0u);
}

}  // namespace
}  // namespace bounce
