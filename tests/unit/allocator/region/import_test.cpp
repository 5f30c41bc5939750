// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Regions over a mapping that the caller hands in.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "allocator/region/region.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kBytes = 1 << 20;

class Import : public testing::Test {
protected:
    Import() {
        fd_ = ::memfd_create("import", MFD_CLOEXEC);
        EXPECT_EQ(::ftruncate(fd_, 2 * kBytes), 0);
        data_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, kBytes);
        config_.bytes = kBytes;
        config_.base_gpa = Gpa{0x40000000};
        config_.imported_hva = data_;
        config_.imported_fd = fd_;
        config_.imported_fd_offset = kBytes;
    }
    ~Import() override {
        ::munmap(data_, kBytes);
        ::close(fd_);
    }

    /// The error of creating a region, which must name the value at fault.
    void expect_refused(const std::string& value) {
        auto region = Region::create(config_);
        ASSERT_FALSE(region);
        EXPECT_EQ(region.code(), EINVAL);
        EXPECT_NE(std::string(last_error()).find(value), std::string::npos) << last_error();
    }

    int fd_ = -1;
    void* data_ = nullptr;
    RegionConfig config_;
};

TEST_F(Import, StaysTheCallers) {
    {
        auto region = Region::create(config_);
        ASSERT_TRUE(region) << last_error();
        EXPECT_TRUE(region->imported());
        EXPECT_EQ(region->hva(), data_);
        EXPECT_EQ(region->fd_offset(), kBytes);
        ASSERT_GE(region->fd(), 0);
        EXPECT_NE(region->fd(), fd_);
        struct stat ours {};
        struct stat theirs {};
        ASSERT_EQ(::fstat(region->fd(), &ours), 0);
        ASSERT_EQ(::fstat(fd_, &theirs), 0);
        EXPECT_EQ(ours.st_ino, theirs.st_ino);
        region->hva()[0] = std::byte{1};
        EXPECT_EQ(region->renew().code(), ENOTSUP);
        EXPECT_EQ(region->hva()[0], std::byte{1});
    }
    // Still mapped, still open.
    EXPECT_EQ(*static_cast<std::byte*>(data_), std::byte{1});
    EXPECT_GE(::fcntl(fd_, F_GETFD), 0);
}

TEST_F(Import, NeedsNoDescriptor) {
    config_.imported_fd = -1;
    auto region = Region::create(config_);
    ASSERT_TRUE(region) << last_error();
    EXPECT_EQ(region->fd(), -1);
}

TEST_F(Import, AddressMustBeAligned) {
    config_.imported_hva = static_cast<std::byte*>(data_) + 64;
    expect_refused("4096");
}

TEST_F(Import, OffsetMustBeAligned) {
    config_.imported_fd_offset = 100;
    expect_refused("100");
}

TEST_F(Import, DescriptorMustCoverTheRange) {
    config_.imported_fd_offset = kBytes + 4096;
    expect_refused(std::to_string(kBytes + 4096));
    config_.imported_fd_offset = ~std::uint64_t{4095};
    expect_refused(std::to_string(~std::uint64_t{4095}));
}

TEST_F(Import, DescriptorMustBeOpen) {
    config_.imported_fd = 1 << 20;
    expect_refused(std::to_string(1 << 20));
}

TEST_F(Import, RangeMustNotWrap) {
    config_.imported_fd = -1;
    config_.imported_hva = reinterpret_cast<void*>(~std::uintptr_t{4095});
    expect_refused("0x");
}

}  // namespace
}  // namespace bounce
