// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The order of hooks, and what is done when one of them fails. Chunks of real regions are region_life_test.cpp's
// matter.
#include "allocator/region/sharing.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <string>

namespace bounce {
namespace {

class SharingTest : public testing::Test {
protected:
    static constexpr Gpa kGpa{0x1000'0000};
    static constexpr Gpa kAddress{0x7000'0000};

    SharingTest() {
        hooks_.share = [](void* user, std::uint64_t gpa, void*, std::uint64_t) { return hook(user, 's', gpa, 0); };
        hooks_.unshare = [](void* user, std::uint64_t gpa, void*, std::uint64_t) { return hook(user, 'u', gpa, 0); };
        hooks_.user = this;
    }
    void with_iommu() {
        hooks_.map = [](void* user, std::uint64_t address, std::uint64_t gpa, void*, std::uint64_t) {
            return hook(user, 'm', gpa, address);
        };
        hooks_.unmap = [](void* user, std::uint64_t address, std::uint64_t gpa, void*, std::uint64_t) {
            return hook(user, 'x', gpa, address);
        };
    }
    static int hook(void* user, char what, std::uint64_t gpa, std::uint64_t address) {
        auto& it = *static_cast<SharingTest*>(user);
        it.calls_ += what;
        EXPECT_EQ(gpa, kGpa.value);
        if (what == 'm' || what == 'x') {
            EXPECT_EQ(address, kAddress.value);
        }
        it.memory_.fill(std::byte{0xdb});  // content does not survive
        return it.status_[static_cast<unsigned char>(what)];
    }
    [[nodiscard]] bool scrubbed() const {
        for (const std::byte one : memory_) {
            if (one != std::byte{0}) return false;
        }
        return true;
    }

    ShareHooks hooks_;
    std::string calls_;
    std::array<int, 256> status_{};
    std::array<std::byte, 4096> memory_{};
    Sharing::Place at_{kGpa, kAddress, memory_.data(), memory_.size()};
};

TEST_F(SharingTest, EntersTheTablesAfterItIsSharedAndLeavesThemBefore) {
    with_iommu();
    auto sharing = Sharing::create(hooks_, 1);
    ASSERT_TRUE(sharing);
    ASSERT_TRUE(sharing->share(0, at_));
    EXPECT_TRUE(sharing->shared(0));
    EXPECT_TRUE(scrubbed());
    memory_.fill(std::byte{1});
    ASSERT_TRUE(sharing->unshare(0, at_));
    EXPECT_FALSE(sharing->shared(0));
    EXPECT_TRUE(scrubbed());
    EXPECT_EQ(calls_, "smxu");
}

TEST_F(SharingTest, NeedsNoConversionToBeInTables) {
    with_iommu();
    hooks_.share = hooks_.unshare = nullptr;
    auto sharing = Sharing::create(hooks_, 1);
    ASSERT_TRUE(sharing);
    EXPECT_TRUE(sharing->by_hooks());
    ASSERT_TRUE(sharing->share(0, at_));
    ASSERT_TRUE(sharing->unshare(0, at_));
    EXPECT_EQ(calls_, "mx");
}

TEST_F(SharingTest, IsPrivateAgainWhenItDoesNotGetIntoTheTables) {
    with_iommu();
    auto sharing = Sharing::create(hooks_, 1);
    ASSERT_TRUE(sharing);
    status_['m'] = -ENOSPC;
    EXPECT_EQ(sharing->share(0, at_).code(), ENOSPC);
    EXPECT_EQ(calls_, "smu");
    EXPECT_FALSE(sharing->shared(0));
    EXPECT_FALSE(sharing->lost(0));
    status_['m'] = 0;
    EXPECT_TRUE(sharing->share(0, at_));  // once more
}

TEST_F(SharingTest, IsLostWhenWhatWasDoneCannotBeUndone) {
    with_iommu();
    auto sharing = Sharing::create(hooks_, 1);
    ASSERT_TRUE(sharing);
    status_['m'] = -ENOSPC;
    status_['u'] = -EIO;
    EXPECT_EQ(sharing->share(0, at_).code(), ENOSPC);
    EXPECT_TRUE(sharing->lost(0));
    EXPECT_NE(std::string(last_error()).find("never used"), std::string::npos) << last_error();
}

TEST_F(SharingTest, IsLostWhenAHookSaysSo) {
    auto sharing = Sharing::create(hooks_, 2);
    ASSERT_TRUE(sharing);
    status_['s'] = -EIO;
    EXPECT_EQ(sharing->share(0, at_).code(), EIO);
    EXPECT_FALSE(sharing->lost(0));
    status_['s'] = -ENOTRECOVERABLE;
    EXPECT_EQ(sharing->share(1, at_).code(), ENOTRECOVERABLE);
    EXPECT_TRUE(sharing->lost(1));
}

TEST_F(SharingTest, IsNotMadePrivateWhileItIsInTheTables) {
    with_iommu();
    auto sharing = Sharing::create(hooks_, 1);
    ASSERT_TRUE(sharing);
    ASSERT_TRUE(sharing->share(0, at_));
    status_['x'] = -EBUSY;
    EXPECT_EQ(sharing->unshare(0, at_).code(), EBUSY);
    EXPECT_EQ(calls_, "smx");
    EXPECT_TRUE(sharing->lost(0));
}

}  // namespace
}  // namespace bounce
