// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/region/region.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace bounce {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

RegionConfig config_of(std::uint64_t bytes, std::uint64_t base = 0) {
    RegionConfig config;
    config.name = "test";
    config.bytes = bytes;
    config.base_gpa = Gpa{base};
    return config;
}

bool all_zero(const std::byte* data, std::uint64_t bytes) {
    return std::all_of(data, data + bytes, [](std::byte b) { return b == std::byte{0}; });
}

ino_t inode_of(int fd) {
    struct stat status {};
    EXPECT_EQ(::fstat(fd, &status), 0);
    return status.st_ino;
}

/// A mapping of a peer: the same memory at another address.
class Peer {
public:
    explicit Peer(const Region& region) : bytes_(region.bytes()) {
        data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd(), 0);
    }
    ~Peer() { ::munmap(data_, bytes_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

private:
    void* data_;
    std::uint64_t bytes_;
};

TEST(Region, IsASealedMemfdOfItsSize) {
    auto region = Region::create(config_of(kMiB, 0x1234000));
    ASSERT_TRUE(region) << last_error();
    EXPECT_EQ(region->bytes(), kMiB);
    EXPECT_EQ(region->base(), Gpa{0x1234000});
    EXPECT_EQ(region->page_bytes(), 4096U);
    EXPECT_FALSE(region->imported());
    EXPECT_EQ(region->fd_offset(), 0U);
    EXPECT_EQ(region->epoch(), 0U);
    EXPECT_TRUE(all_zero(region->hva(), region->bytes()));

    const int fd = region->fd();
    ASSERT_GE(fd, 0);
    EXPECT_EQ(::fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_EQ(::ftruncate(fd, kMiB / 2), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::ftruncate(fd, kMiB * 2), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

    char target[128] = {};
    ASSERT_GT(::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1), 0);
    EXPECT_NE(std::string(target).find("bounce:test"), std::string::npos) << target;
}

TEST(Region, AddressesAreCongruentModulo2MiB) {
    for (const std::uint64_t base :
         {std::uint64_t{0}, std::uint64_t{4096}, 2 * kMiB - 4096, 5 * kMiB + 0x3000, std::uint64_t{1} << 40}) {
        auto region = Region::create(config_of(3 * kMiB, base));
        ASSERT_TRUE(region) << last_error();
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region->hva()) % (2 * kMiB), base % (2 * kMiB));
        std::memset(region->hva(), 0x5a, region->bytes());
    }
}

TEST(Region, SizesAndAddressesAreChecked) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{4096}, Region::kMinBytes - 4096,
                                      Region::kMinBytes + 1, Region::kMaxBytes + 4096, ~std::uint64_t{0}}) {
        auto region = Region::create(config_of(bytes));
        ASSERT_FALSE(region) << bytes;
        EXPECT_EQ(region.code(), EINVAL);
        EXPECT_NE(std::string(last_error()).find(std::to_string(bytes)), std::string::npos) << last_error();
    }
    EXPECT_EQ(Region::create(config_of(kMiB, 100)).code(), EINVAL);
    EXPECT_EQ(Region::create(config_of(kMiB, 0 - kMiB / 2)).code(), EINVAL);
    EXPECT_TRUE(Region::create(config_of(Region::kMinBytes, 0 - Region::kMinBytes)));
}

TEST(Region, PrefaultPopulatesEveryPage) {
    auto config = config_of(kMiB);
    config.prefault = true;
    auto region = Region::create(config);
    ASSERT_TRUE(region) << last_error();
    struct stat status {};
    ASSERT_EQ(::fstat(region->fd(), &status), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, kMiB);
    EXPECT_TRUE(all_zero(region->hva(), region->bytes()));
}

TEST(Region, WithoutPrefaultNothingIsPopulated) {
    auto region = Region::create(config_of(kMiB));
    ASSERT_TRUE(region);
    EXPECT_EQ(::lseek(region->fd(), 0, SEEK_DATA), -1);
    EXPECT_EQ(errno, ENXIO);
}

TEST(Region, HugepagesNeedWholeChunks) {
    auto config = config_of(3 * kMiB, 4 * kMiB);
    config.hugepages = true;
    EXPECT_EQ(Region::create(config).code(), EINVAL);
    config = config_of(4 * kMiB, kMiB);
    config.hugepages = true;
    EXPECT_EQ(Region::create(config).code(), EINVAL);
}

TEST(Region, HugepagesWhenThereAreAnyAndOrdinaryOnesOtherwise) {
    auto config = config_of(4 * kMiB, 4 * kMiB);
    config.hugepages = true;
    config.prefault = true;
    auto region = Region::create(config);
    ASSERT_TRUE(region) << last_error();
    EXPECT_TRUE(region->page_bytes() == 4096 || region->page_bytes() == 2 * kMiB);
    std::memset(region->hva(), 1, region->bytes());
    EXPECT_EQ(::fcntl(region->fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    ASSERT_TRUE(region->renew()) << last_error();
    EXPECT_TRUE(all_zero(region->hva(), region->bytes()));
}

TEST(Region, ANodeThatIsNotThereIsAnError) {
    auto config = config_of(kMiB);
    config.node = NodeId{4000};
    EXPECT_EQ(Region::create(config).code(), EINVAL);
    config.node = NodeId{0};
    auto region = Region::create(config);
    if (!region) GTEST_SKIP() << last_error();
    std::memset(region->hva(), 1, region->bytes());
}

TEST(Region, RenewGivesZeroedMemoryAndLeavesTheOldToThePeer) {
    auto region = Region::create(config_of(kMiB, 0x7000));
    ASSERT_TRUE(region);
    const Peer peer(*region);
    std::byte* const hva = region->hva();
    hva[5000] = std::byte{0x11};
    ASSERT_EQ(peer.data()[5000], std::byte{0x11});
    const ino_t inode = inode_of(region->fd());

    ASSERT_TRUE(region->renew()) << last_error();
    EXPECT_EQ(region->hva(), hva);
    EXPECT_EQ(region->base(), Gpa{0x7000});
    EXPECT_EQ(region->epoch(), 1U);
    EXPECT_NE(inode_of(region->fd()), inode);
    EXPECT_EQ(::fcntl(region->fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_TRUE(all_zero(hva, region->bytes()));

    // The peer keeps what it had, and what it still writes is seen by nobody.
    EXPECT_EQ(peer.data()[5000], std::byte{0x11});
    peer.data()[6000] = std::byte{0x22};
    EXPECT_EQ(hva[6000], std::byte{0});
    hva[7000] = std::byte{0x33};
    EXPECT_EQ(peer.data()[7000], std::byte{0});
    EXPECT_TRUE(region->renew());
    EXPECT_EQ(region->epoch(), 2U);
}

TEST(Region, WhenRenewFailsTheOldMemoryStays) {
    auto region = Region::create(config_of(kMiB));
    ASSERT_TRUE(region);
    region->hva()[42] = std::byte{9};
    const int fd = region->fd();
    const ino_t inode = inode_of(fd);
    // No further descriptor is to be had.
    struct rlimit before {};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = before;
    none.rlim_cur = 0;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    auto renewed = region->renew();
    auto another = Region::create(config_of(kMiB));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);

    ASSERT_FALSE(renewed);
    EXPECT_EQ(renewed.code(), ENOMEM);
    EXPECT_EQ(another.code(), ENOMEM);
    EXPECT_EQ(region->fd(), fd);
    EXPECT_EQ(inode_of(fd), inode);
    EXPECT_EQ(region->epoch(), 0U);
    EXPECT_EQ(region->hva()[42], std::byte{9});
    EXPECT_TRUE(region->renew());
}

TEST(Region, MovingLeavesNothingBehind) {
    auto region = Region::create(config_of(kMiB));
    ASSERT_TRUE(region);
    region->hva()[1] = std::byte{1};
    const int fd = region->fd();
    {
        const Region moved = std::move(*region);
        EXPECT_EQ(moved.fd(), fd);
        EXPECT_EQ(moved.hva()[1], std::byte{1});
        EXPECT_EQ(region->fd(), -1);
    }
    EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

}  // namespace
}  // namespace bounce
