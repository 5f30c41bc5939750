// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Platforms through the C functions: what they refuse, and in which form addresses come. What conversions do is the
// conformance suite's matter.
#include "bounce/platform.h"

#include <vector>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kBit47 = std::uint64_t{1} << 47;
constexpr std::uint64_t kDown = (4u << 20) - kBase;  // to 4 MiB

bounce_platform platform_options() {
    bounce_platform platform{};
    platform.size = sizeof platform;
    return platform;
}

int nothing(void*, const bounce_range*, const bounce_audience*) {
    return 0;
}

void expect_refused(const bounce_platform& platform, const char* part,
                    const bounce_pool_options& options = pool_options()) {
    bounce_pool* pool = nullptr;
    expect_error(bounce_pool_create_on(&platform, &options, &pool), EINVAL, part);
    EXPECT_EQ(pool, nullptr);
}

TEST(PlatformAbi, RefusesWhatMakesNoSense) {
    const auto options = pool_options();
    bounce_pool* pool = nullptr;
    expect_error(bounce_pool_create_on(nullptr, &options, &pool), EINVAL, "platform");
    const auto good = platform_options();
    expect_error(bounce_pool_create_on(&good, nullptr, &pool), EINVAL, "options");
    expect_error(bounce_pool_create_on(&good, &options, nullptr), EINVAL, "pool");

    auto platform = platform_options();
    platform.size = 8;
    expect_refused(platform, "platform.size");
    platform = platform_options();
    platform.kind = 12;
    expect_refused(platform, "platform.kind");
    platform = platform_options();
    platform.flags = 4;
    expect_refused(platform, "platform.flags");
    for (const std::uint32_t granule : {1u, 2048u, 12288u, 4u << 20}) {
        platform = platform_options();
        platform.granule = granule;
        expect_refused(platform, "platform.granule");
    }
    platform = platform_options();
    platform.audience.kind = 3;
    expect_refused(platform, "audience.kind");
    platform = platform_options();
    platform.audience.id = 3;
    expect_refused(platform, "audience.id");
    platform = platform_options();
    platform.audience.reserved = 1;
    expect_refused(platform, "audience.reserved");
}

TEST(PlatformAbi, RefusesEncodingsThatAreNone) {
    auto platform = platform_options();
    platform.encoding = 6;
    expect_refused(platform, "platform.encoding");
    for (const std::uint32_t without : {BOUNCE_ENCODING_IDENTITY, BOUNCE_ENCODING_REGION_OFFSET}) {
        platform = platform_options();
        platform.encoding = without;
        platform.encoding_value = kBit47;
        expect_refused(platform, "encoding_value");
    }
    for (const std::uint32_t bit : {BOUNCE_ENCODING_C_BIT, BOUNCE_ENCODING_SHARED_BIT}) {
        for (const std::uint64_t value : {std::uint64_t{0}, kBit47 + 1, 3 * kBit47, std::uint64_t{4096}}) {
            platform = platform_options();
            platform.encoding = bit;
            platform.encoding_value = value;
            expect_refused(platform, "encoding_value");
        }
        platform.encoding_value = kBase;  // which the region has
        expect_refused(platform, "the bit");
    }
    platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_BIAS;
    platform.encoding_value = 4096;
    expect_refused(platform, "encoding_value");
    platform.encoding_value = 0 - kBase - (2u << 20);
    expect_refused(platform, "beyond the last address");
}

TEST(PlatformAbi, RefusesHalfAPairOfHooks) {
    auto platform = platform_options();
    platform.share = nothing;
    expect_refused(platform, "platform.share");
    platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_IOVA;
    platform.iommu_unmap = nothing;
    expect_refused(platform, "platform.iommu_map");
    platform = platform_options();
    platform.iommu_map = platform.iommu_unmap = nothing;
    expect_refused(platform, "IOVA");
    platform = platform_options();
    platform.locate = [](void*, std::uint64_t, std::uint64_t, std::uint64_t*) { return 0; };
    expect_refused(platform, "IOVA");
    platform.encoding = BOUNCE_ENCODING_IOVA;
    platform.encoding_value = kBit47;
    expect_refused(platform, "encoding_value");
    auto options = pool_options();
    options.share = options.unshare = [](void*, std::uint64_t, void*, std::uint64_t) { return 0; };
    expect_refused(platform_options(), "options.share", options);
}

class PlatformPoolTest : public testing::Test {
protected:
    void open(const bounce_platform& platform, const bounce_pool_options& options = pool_options()) {
        ASSERT_EQ(bounce_pool_create_on(&platform, &options, &pool_), 0) << bounce_last_error();
        const auto of_device = device_options();
        ASSERT_EQ(bounce_device_create(pool_, &of_device, &device_), 0) << bounce_last_error();
    }
    void TearDown() override {
        EXPECT_EQ(bounce_device_destroy(device_), 0) << bounce_last_error();
        EXPECT_EQ(bounce_pool_destroy(pool_), 0) << bounce_last_error();
    }
    /// Address minus GPA of whatever is handed out: mapping, block, buffer in a ring.
    void expect_distance(std::uint64_t distance) {
        char text[100] = "x";
        bounce_mapping mapping;
        ASSERT_EQ(bounce_device_map(device_, text, sizeof text, BOUNCE_BIDIRECTIONAL, 0, &mapping), 0);
        expect_distance(mapping.slot, mapping.addr, distance);
        EXPECT_EQ(bounce_device_sync_for_cpu(device_, &mapping, 0, 10, BOUNCE_BIDIRECTIONAL), 0);
        bounce_mapping moved = mapping;
        moved.addr -= 64;  // the token says another address than it was given
        expect_error(bounce_device_unmap(device_, &moved, 0), EFAULT);
        EXPECT_EQ(bounce_device_unmap(device_, &mapping, 0), 0) << bounce_last_error();
        bounce_block block;
        ASSERT_EQ(bounce_buffer_alloc(device_, 3u << 20, 4096, &block), 0) << bounce_last_error();
        EXPECT_EQ(block.addr % 4096, 0u);
        expect_distance(block.ptr, block.addr, distance);
        EXPECT_EQ(bounce_buffer_free(device_, &block), 0);
    }
    void expect_distance(const void* hva, std::uint64_t address, std::uint64_t distance) {
        std::uint64_t gpa = 0;
        std::uint64_t there = 0;
        ASSERT_EQ(bounce_pool_hva_to_gpa(pool_, hva, 1, &gpa), 0);
        EXPECT_EQ(address - gpa, distance);
        EXPECT_EQ(bounce_pool_gpa_to_address(pool_, gpa, 1, &there), 0);
        EXPECT_EQ(there, address);
        EXPECT_EQ(bounce_pool_address_to_gpa(pool_, address, 1, &there), 0);
        EXPECT_EQ(there, gpa);
    }

    bounce_pool* pool_ = nullptr;
    bounce_device* device_ = nullptr;
};

TEST_F(PlatformPoolTest, HandsOutAddressesInTheirForm) {
    const struct {
        std::uint32_t encoding;
        std::uint64_t value, distance;
    } forms[] = {{BOUNCE_ENCODING_IDENTITY, 0, 0},
                 {BOUNCE_ENCODING_C_BIT, kBit47, 0},
                 {BOUNCE_ENCODING_SHARED_BIT, kBit47, kBit47},
                 {BOUNCE_ENCODING_BIAS, kBit47, kBit47},
                 {BOUNCE_ENCODING_REGION_OFFSET, 0, 0 - kBase},
                 {BOUNCE_ENCODING_IOVA, kDown, kDown}};
    for (const auto& form : forms) {
        auto platform = platform_options();
        platform.encoding = form.encoding;
        platform.encoding_value = form.value;
        open(platform);
        expect_distance(form.distance);
        TearDown();
        device_ = nullptr;
        pool_ = nullptr;
    }
}

TEST_F(PlatformPoolTest, AsksWhereARegionIs) {
    auto platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_IOVA;
    std::uint64_t next = 0x10'0000'0000;
    platform.user = &next;
    platform.locate = [](void* user, std::uint64_t, std::uint64_t, std::uint64_t* address) {
        *address = *static_cast<std::uint64_t*>(user);
        return 0;
    };
    open(platform);
    expect_distance(next - kBase);
    // Two regions at one address cannot be told apart.
    const auto second = region_options(4u << 20, kBase + (64u << 20));
    expect_error(bounce_pool_add_region(pool_, &second), EINVAL, "for the device");
    next += 4u << 20;
    EXPECT_EQ(bounce_pool_add_region(pool_, &second), 0) << bounce_last_error();
}

TEST_F(PlatformPoolTest, HasOneRegionWhenAddressesAreOffsets) {
    auto platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_REGION_OFFSET;
    open(platform);
    const auto second = region_options(4u << 20, kBase + (64u << 20));
    expect_error(bounce_pool_add_region(pool_, &second), EINVAL, "for the device");
    auto growing = pool_options();
    growing.limit_bytes = 64u << 20;
    expect_refused(platform, "limit_bytes", growing);
}

TEST_F(PlatformPoolTest, ComparesMasksWithAddressesOfTheDevice) {
    auto platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_BIAS;
    platform.encoding_value = kBit47;
    open(platform);
    auto options = device_options();
    options.dma_mask = kBit47 - 1;  // above every GPA, below every address
    bounce_device* low = nullptr;
    ASSERT_EQ(bounce_device_create(pool_, &options, &low), 0);
    char text[100];
    bounce_mapping mapping;
    expect_error(bounce_device_map(low, text, sizeof text, BOUNCE_TO_DEVICE, 0, &mapping), ERANGE);
    EXPECT_EQ(bounce_device_destroy(low), 0);
    options.dma_mask = kBit47 + kBase + (4u << 20) - 1;
    ASSERT_EQ(bounce_device_create(pool_, &options, &low), 0);
    EXPECT_EQ(bounce_device_map(low, text, sizeof text, BOUNCE_TO_DEVICE, 0, &mapping), 0) << bounce_last_error();
    EXPECT_EQ(bounce_device_unmap(low, &mapping, 0), 0);
    EXPECT_EQ(bounce_device_destroy(low), 0);
}

TEST_F(PlatformPoolTest, TellsTheHooksWhatAndForWhom) {
    struct Call {
        char what;
        bounce_range range;
        bounce_audience audience;
    };
    std::vector<Call> calls;
    auto platform = platform_options();
    platform.encoding = BOUNCE_ENCODING_IOVA;
    platform.encoding_value = kBit47;
    platform.audience = {BOUNCE_AUDIENCE_DOMAIN, 0, 77};
    platform.granule = 65536;
    platform.user = &calls;
#define NOTE(letter)                                                                   \
    [](void* user, const bounce_range* range, const bounce_audience* audience) {       \
        static_cast<std::vector<Call>*>(user)->push_back({letter, *range, *audience}); \
        return 0;                                                                      \
    }
    platform.share = NOTE('s');
    platform.unshare = NOTE('u');
    platform.iommu_map = NOTE('m');
    platform.iommu_unmap = NOTE('x');
#undef NOTE
    auto options = pool_options();
    options.region = region_options(1u << 20);
    open(platform, options);
    bounce_platform told;
    ASSERT_EQ(bounce_pool_platform(pool_, &told), 0);
    EXPECT_EQ(told.audience.id, 77u);
    EXPECT_EQ(told.granule, 65536u);
    bounce_region_info info;
    ASSERT_EQ(bounce_pool_region(pool_, 0, &info), 0);
    void* const hva = info.hva;
    ASSERT_EQ(bounce_device_destroy(device_), 0);
    ASSERT_EQ(bounce_pool_destroy(pool_), 0);
    device_ = nullptr;
    pool_ = nullptr;
    ASSERT_EQ(calls.size(), 4u);
    const char* const order = "smxu";
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(calls[i].what, order[i]);
        EXPECT_EQ(calls[i].range.gpa, kBase);
        EXPECT_EQ(calls[i].range.hva, hva);
        EXPECT_EQ(calls[i].range.bytes, 1u << 20);
        EXPECT_EQ(calls[i].range.address, i == 1 || i == 2 ? kBase + kBit47 : 0);
        EXPECT_EQ(calls[i].audience.kind, static_cast<std::uint32_t>(BOUNCE_AUDIENCE_DOMAIN));
        EXPECT_EQ(calls[i].audience.id, 77u);
    }
}

TEST(PlatformAbi, KeepsAFrontEndFromPoolsItMustNotLend) {
    for (const std::uint32_t flag :
         {std::uint32_t{BOUNCE_PLATFORM_NEEDS_ACCESS_PLATFORM}, std::uint32_t{BOUNCE_PLATFORM_OWN_MEMORY}}) {
        auto platform = platform_options();
        platform.flags = flag;
        const auto options = pool_options();
        bounce_pool* pool = nullptr;
        ASSERT_EQ(bounce_pool_create_on(&platform, &options, &pool), 0);
        bounce_frontend_options of_frontend{};
        of_frontend.size = sizeof of_frontend;
        of_frontend.socket_path = "/nonexistent/socket";
        bounce_frontend* frontend = nullptr;
        expect_error(bounce_frontend_connect(pool, &of_frontend, &frontend), ENOTSUP, "platform");
        EXPECT_EQ(bounce_pool_destroy(pool), 0);
    }
}

TEST(PlatformAbi, RefusesWhatIsNoAddress) {
    const auto options = pool_options();
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0);
    bounce_platform platform;
    EXPECT_EQ(bounce_pool_platform(pool, &platform), 0);
    EXPECT_EQ(platform.granule, 4096u);
    EXPECT_EQ(platform.encoding, static_cast<std::uint32_t>(BOUNCE_ENCODING_IDENTITY));
    expect_error(bounce_pool_platform(nullptr, &platform), EINVAL, "pool");
    expect_error(bounce_pool_platform(pool, nullptr), EINVAL, "platform");
    std::uint64_t to = 1;
    expect_error(bounce_pool_gpa_to_address(nullptr, kBase, 1, &to), EINVAL, "pool");
    expect_error(bounce_pool_gpa_to_address(pool, kBase, 1, nullptr), EINVAL, "address");
    expect_error(bounce_pool_gpa_to_address(pool, kBase - 1, 1, &to), EFAULT);
    expect_error(bounce_pool_gpa_to_address(pool, kBase, (4u << 20) + 1, &to), EFAULT);
    EXPECT_EQ(to, 0u);
    expect_error(bounce_pool_address_to_gpa(nullptr, kBase, 1, &to), EINVAL, "pool");
    expect_error(bounce_pool_address_to_gpa(pool, kBase, 1, nullptr), EINVAL, "gpa");
    expect_error(bounce_pool_address_to_gpa(pool, kBase + (4u << 20), 1, &to), EFAULT);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

}  // namespace
}  // namespace bounce
