// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Chunks that are shared and unshared, and memory that leaves a region and comes back at the same addresses.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "allocator/region/region.hpp"
#include "tests/support/fake_platform.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kBase = 64 * kMiB + kMiB;  // in the middle of a chunk

RegionConfig config_of(std::uint64_t bytes) {
    RegionConfig config;
    config.bytes = bytes;
    config.base_gpa = Gpa{kBase};
    return config;
}

RegionConfig hooked(std::uint64_t bytes, test::FakePlatform& platform) {
    RegionConfig config = config_of(bytes);
    config.hooks = {test::FakePlatform::share, test::FakePlatform::unshare, &platform, kPageBytes};
    return config;
}

bool all_zero(const std::byte* data, std::uint64_t bytes) {
    return std::all_of(data, data + bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// Without ending this process: is there anything at the address?
bool readable(const std::byte* at) {
    int ends[2];
    if (::pipe(ends) != 0) return false;
    const bool is = ::write(ends[1], at, 1) == 1;
    ::close(ends[0]);
    ::close(ends[1]);
    return is;
}

void open_all(Region& region) {
    for (std::uint32_t i = 0; i < region.chunks(); ++i) ASSERT_TRUE(region.open_chunk(i)) << last_error();
}

TEST(RegionLife, ChunksAreCutAtBoundariesOfTheGpa) {
    auto region = Region::create(config_of(4 * kMiB + 65536));
    ASSERT_TRUE(region) << last_error();
    ASSERT_EQ(region->chunks(), 3U);
    EXPECT_EQ(region->chunk(0).offset, 0U);
    EXPECT_EQ(region->chunk(0).bytes, kMiB);
    EXPECT_EQ(region->chunk(1).offset, kMiB);
    EXPECT_EQ(region->chunk(1).bytes, 2 * kMiB);
    EXPECT_EQ(region->chunk(2).offset, 3 * kMiB);
    EXPECT_EQ(region->chunk(2).bytes, kMiB + 65536);
    EXPECT_FALSE(region->opens_by_chunk());
    EXPECT_TRUE(region->renewable());
}

TEST(RegionLife, SharesAndUnsharesScrubbed) {
    test::FakePlatform platform;
    {
        auto region = Region::create(hooked(4 * kMiB, platform));
        ASSERT_TRUE(region) << last_error();
        EXPECT_TRUE(region->opens_by_chunk());
        EXPECT_EQ(platform.calls(), 0U);
        open_all(*region);
        EXPECT_EQ(platform.shared_bytes(), 4 * kMiB);
        EXPECT_TRUE(all_zero(region->hva(), region->bytes()));
        std::fill_n(region->hva(), region->bytes(), std::byte{7});
        ASSERT_TRUE(region->close_chunk(1));
        EXPECT_EQ(platform.shared_bytes(), 2 * kMiB);
        EXPECT_TRUE(all_zero(region->hva() + kMiB, 2 * kMiB));
        EXPECT_EQ(region->hva()[0], std::byte{7});
        EXPECT_EQ(region->renew().code(), ENOTSUP);
    }
    // The end of a region unshares what is left.
    EXPECT_EQ(platform.shared_bytes(), 0U);
    EXPECT_EQ(platform.mistakes(), 0U);
}

TEST(RegionLife, AChunkThatCannotBeSharedIsNamed) {
    test::FakePlatform platform;
    platform.refuse_share = {66 * kMiB};
    auto region = Region::create(hooked(4 * kMiB, platform));
    ASSERT_TRUE(region);
    EXPECT_TRUE(region->open_chunk(0));
    EXPECT_EQ(region->open_chunk(1).code(), EIO);
    EXPECT_NE(std::string(last_error()).find("0x4200000"), std::string::npos) << last_error();
    EXPECT_TRUE(region->open_chunk(2));
    EXPECT_FALSE(region->lost(1));
    EXPECT_EQ(platform.shared_bytes(), 2 * kMiB);
}

TEST(RegionLife, RetiredMemoryIsGoneAndItsAddressesStay) {
    auto region = Region::create(config_of(4 * kMiB));
    ASSERT_TRUE(region);
    std::byte* const hva = region->hva();
    std::fill_n(hva, region->bytes(), std::byte{1});
    const int peer = ::dup(region->fd());
    ASSERT_TRUE(region->retire()) << last_error();
    EXPECT_EQ(region->fd(), -1);
    EXPECT_FALSE(readable(hva));
    struct stat status {};
    ASSERT_EQ(::fstat(peer, &status), 0);
    EXPECT_EQ(status.st_blocks, 0) << "a peer keeps the descriptor, but not the pages";
    ::close(peer);
    // Nobody else gets the addresses.
    void* const other = ::mmap(hva, kMiB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(other, hva);
    ::munmap(other, kMiB);
    const std::uint32_t epoch = region->epoch();
    ASSERT_TRUE(region->revive(config_of(4 * kMiB))) << last_error();
    EXPECT_EQ(region->hva(), hva);
    EXPECT_EQ(region->epoch(), epoch + 1);
    EXPECT_TRUE(region->renewed_since(epoch));
    EXPECT_TRUE(all_zero(hva, region->bytes()));
    std::fill_n(hva, region->bytes(), std::byte{2});
    ASSERT_TRUE(region->renew()) << last_error();
    EXPECT_TRUE(all_zero(hva, region->bytes()));
}

TEST(RegionLife, ALostChunkIsNeverUnmapped) {
    test::FakePlatform platform;
    platform.refuse_unshare = {66 * kMiB};
    std::byte* hva = nullptr;
    {
        auto region = Region::create(hooked(8 * kMiB, platform));
        ASSERT_TRUE(region);
        hva = region->hva();
        for (int round = 0; round < 3; ++round) {
            for (std::uint32_t i = 0; i < region->chunks(); ++i) {
                if (region->lost(i)) continue;
                ASSERT_TRUE(region->open_chunk(i)) << last_error();
            }
            std::fill_n(hva, kMiB, std::byte{1});
            std::fill_n(hva + 3 * kMiB, 5 * kMiB, std::byte{1});
            for (std::uint32_t i = 0; i < region->chunks(); ++i) {
                const bool bad = i == 1 && round == 0;
                EXPECT_EQ(region->close_chunk(i).code(), bad ? EIO : 0) << last_error();
            }
            EXPECT_TRUE(region->lost(1));
            ASSERT_TRUE(region->retire()) << last_error();
            EXPECT_FALSE(readable(hva));
            EXPECT_TRUE(readable(hva + kMiB));
            EXPECT_TRUE(readable(hva + 3 * kMiB - 1));
            EXPECT_FALSE(readable(hva + 3 * kMiB));
            ASSERT_TRUE(region->revive(hooked(8 * kMiB, platform))) << last_error();
        }
    }
    EXPECT_FALSE(readable(hva));
    EXPECT_TRUE(readable(hva + kMiB));
    EXPECT_TRUE(all_zero(hva + kMiB, 2 * kMiB)) << "it was scrubbed before";
    EXPECT_FALSE(readable(hva + 3 * kMiB));
    EXPECT_EQ(platform.shared_bytes(), 2 * kMiB);
    ::munmap(hva + kMiB, 2 * kMiB);
}

TEST(RegionLife, PrefaultByChunk) {
    RegionConfig config = config_of(4 * kMiB);
    config.prefault = true;
    config.prefault_by_chunk = true;
    auto region = Region::create(config);
    ASSERT_TRUE(region);
    EXPECT_TRUE(region->opens_by_chunk());
    struct stat status {};
    ASSERT_EQ(::fstat(region->fd(), &status), 0);
    EXPECT_EQ(status.st_blocks, 0);
    ASSERT_TRUE(region->open_chunk(1));
    ASSERT_EQ(::fstat(region->fd(), &status), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 2 * kMiB);
}

TEST(RegionLife, GranuleIsChecked) {
    test::FakePlatform platform;
    RegionConfig config = hooked(4 * kMiB, platform);
    config.hooks.granule = 65536;
    EXPECT_TRUE(Region::create(config));
    config.bytes += 4096;
    EXPECT_EQ(Region::create(config).code(), EINVAL);
    EXPECT_NE(std::string(last_error()).find("granule of 65536"), std::string::npos) << last_error();
}

}  // namespace
}  // namespace bounce
