// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "tests/support/saved_pool.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kBase = 0x1'0000'0000;

class RestoreTest : public testing::Test {
protected:
    // Never ended in the old pool, as if that process had gone. (Its memory stays with this one.)
    RestoreTest() : old_(*new test::PoolOver(file_, kBase)) {
        old_disk_ = old_.device("disk").release();
        old_net_ = old_.device("net").release();
        EXPECT_TRUE(old_disk_->map(out_, sizeof out_, Direction::kToDevice, 0, to_device_));
        EXPECT_TRUE(old_disk_->map(in_, sizeof in_, Direction::kFromDevice, 0, from_device_));
        EXPECT_TRUE(old_net_->alloc_block(SlotKind::kCoherent, 500, 0, coherent_));
        EXPECT_TRUE(old_net_->alloc_block(SlotKind::kBuffer, 40'000, 0, buffer_));
        std::memset(coherent_.ptr, 'c', 500);
        form_ = old_.saved();
    }
    ~RestoreTest() override {
        // So that nothing leaks: as the old process would not.
        EXPECT_TRUE(old_disk_->discard(to_device_));
        EXPECT_TRUE(old_disk_->discard(from_device_));
        EXPECT_TRUE(old_net_->free_block(SlotKind::kCoherent, coherent_));
        EXPECT_TRUE(old_net_->free_block(SlotKind::kBuffer, buffer_));
        delete old_disk_;
        delete old_net_;
        delete &old_;
    }
    std::unique_ptr<Restore> restore(test::PoolOver& over) {
        auto made = Restore::create(*over.pool, over.callbacks, form_);
        EXPECT_TRUE(made) << last_error();
        return std::move(*made);
    }

    test::SharedFile file_{4u << 20};
    test::PoolOver& old_;
    Device* old_disk_;
    Device* old_net_;
    char out_[1000] = "out";
    char in_[3000] = "";
    bounce_mapping to_device_, from_device_;
    bounce_block coherent_, buffer_;
    std::vector<std::byte> form_;
};

TEST_F(RestoreTest, ClaimsAreTokensAsAnyOther) {
    test::PoolOver over(file_, kBase);
    auto restored = restore(over);
    EXPECT_EQ(over.pool->stats().slots, 4u);
    auto disk = over.device("disk");
    auto net = over.device("net");
    char in[3000] = "";
    bounce_mapping mapping;
    ASSERT_TRUE(restored->claim(*disk, Gpa{from_device_.addr}, in, sizeof in, mapping)) << last_error();
    EXPECT_EQ(disk->outstanding_mappings(), 1u);
    EXPECT_NE(mapping.slot, from_device_.slot);
    EXPECT_EQ(mapping.orig, in);
    std::memcpy(from_device_.slot, "answer", 7);  // the device, by a mapping of its own
    EXPECT_TRUE(disk->sync_for_cpu(mapping, 0, 3, Direction::kFromDevice)) << last_error();
    EXPECT_STREQ(in, "ans");
    EXPECT_TRUE(disk->unmap(mapping, 7)) << last_error();
    EXPECT_STREQ(in, "answer");
    EXPECT_EQ(disk->unmap(mapping, 7).code(), EALREADY);
    ASSERT_TRUE(restored->claim(*disk, Gpa{to_device_.addr}, in, 0, mapping));
    EXPECT_TRUE(disk->unmap_addr(Gpa{to_device_.addr}, sizeof out_, Direction::kToDevice, 0)) << last_error();
    bounce_block block;
    ASSERT_TRUE(restored->claim(*net, Gpa{coherent_.addr}, block)) << last_error();
    EXPECT_EQ(static_cast<char*>(block.ptr)[499], 'c');
    EXPECT_TRUE(net->free_block(SlotKind::kCoherent, block)) << last_error();
    ASSERT_TRUE(restored->claim(*net, Gpa{buffer_.addr}, block)) << last_error();
    EXPECT_TRUE(net->shared_address(block.ptr, 40'000));
    EXPECT_TRUE(net->free_block(SlotKind::kBuffer, block));
    EXPECT_EQ(restored->finish(), 0u);
    EXPECT_EQ(over.log, "");
    EXPECT_EQ(over.pool->stats().slots, 0u);
    EXPECT_EQ(disk->outstanding() + net->outstanding(), 0u);
}

TEST_F(RestoreTest, ItCanBeSavedAgain) {
    test::PoolOver over(file_, kBase);
    auto restored = restore(over);
    // What nobody has claimed would be lost.
    EXPECT_EQ(save(*over.pool, over.records.get(), {}).code(), EBUSY);
    auto disk = over.device("disk");
    auto net = over.device("net");
    bounce_mapping mappings[2];
    bounce_block blocks[2];
    ASSERT_TRUE(restored->claim(*disk, Gpa{to_device_.addr}, out_, 0, mappings[0]));
    ASSERT_TRUE(restored->claim(*disk, Gpa{from_device_.addr}, in_, 0, mappings[1]));
    ASSERT_TRUE(restored->claim(*net, Gpa{coherent_.addr}, blocks[0]));
    ASSERT_TRUE(restored->claim(*net, Gpa{buffer_.addr}, blocks[1]));
    EXPECT_EQ(over.saved(), form_);
    for (auto& mapping : mappings) EXPECT_TRUE(disk->discard(mapping));
    EXPECT_TRUE(net->free_block(SlotKind::kCoherent, blocks[0]));
    EXPECT_TRUE(net->free_block(SlotKind::kBuffer, blocks[1]));
}

TEST_F(RestoreTest, WrongClaimsChangeNothing) {
    test::PoolOver over(file_, kBase);
    auto restored = restore(over);
    auto disk = over.device("disk");
    auto net = over.device("net");
    auto foreign = old_.device("disk");
    bounce_mapping mapping;
    bounce_block block;
    const Gpa addr{to_device_.addr};
    EXPECT_EQ(restored->claim(*net, addr, out_, 0, mapping).code(), EXDEV);
    EXPECT_NE(std::strstr(last_error(), "'disk'"), nullptr) << last_error();
    EXPECT_EQ(restored->claim(*foreign, addr, out_, 0, mapping).code(), EXDEV);
    EXPECT_EQ(restored->claim(*disk, addr + 64, out_, 0, mapping).code(), EFAULT);
    EXPECT_EQ(restored->claim(*disk, Gpa{0}, out_, 0, mapping).code(), EFAULT);
    EXPECT_EQ(restored->claim(*disk, Gpa{~std::uint64_t{0}}, out_, 0, mapping).code(), EFAULT);
    EXPECT_EQ(restored->claim(*disk, addr, nullptr, 0, mapping).code(), EINVAL);
    EXPECT_EQ(restored->claim(*disk, addr, reinterpret_cast<void*>(UINTPTR_MAX - 10), 0, mapping).code(), EINVAL);
    EXPECT_EQ(restored->claim(*disk, addr, out_, 999, mapping).code(), EINVAL);
    EXPECT_EQ(restored->claim(*disk, addr, block).code(), EPERM);
    EXPECT_EQ(restored->claim(*net, Gpa{coherent_.addr}, out_, 0, mapping).code(), EPERM);
    EXPECT_EQ(restored->release(nullptr).code(), EBUSY);
    EXPECT_EQ(disk->outstanding() + net->outstanding(), 0u);
    ASSERT_TRUE(restored->claim(*disk, addr, out_, 1000, mapping));
    bounce_mapping again;
    EXPECT_EQ(restored->claim(*disk, addr, out_, 1000, again).code(), EALREADY);
    EXPECT_TRUE(disk->unmap(mapping, 0));
    EXPECT_EQ(restored->claim(*disk, addr, out_, 1000, again).code(), EALREADY) << "it was ended since";
}

TEST_F(RestoreTest, WhatNobodyClaimsIsNamedAndKept) {
    test::PoolOver over(file_, kBase);
    auto restored = restore(over);
    auto disk = over.device("disk");
    bounce_mapping mapping;
    ASSERT_TRUE(restored->claim(*disk, Gpa{to_device_.addr}, out_, 0, mapping));
    EXPECT_EQ(restored->finish(), 3u);
    EXPECT_NE(over.log.find("1 mappings and blocks of the device 'disk'"), std::string::npos) << over.log;
    EXPECT_NE(over.log.find("2 mappings and blocks of the device 'net'"), std::string::npos) << over.log;
    bounce_mapping late;
    EXPECT_EQ(restored->claim(*disk, Gpa{from_device_.addr}, in_, 0, late).code(), EALREADY);
    EXPECT_TRUE(disk->unmap(mapping, 0));
    EXPECT_EQ(over.pool->stats().slots, 3u);
    EXPECT_EQ(*restored->release("nobody"), 0u);
    EXPECT_EQ(*restored->release("net"), 2u);
    EXPECT_EQ(over.pool->stats().slots, 1u);
    EXPECT_EQ(restored->finish(), 1u);
    EXPECT_EQ(*restored->release(nullptr), 1u);
    EXPECT_EQ(*restored->release(nullptr), 0u);
    EXPECT_EQ(over.pool->stats().slots, 0u);
    EXPECT_EQ(over.pool->stats().used_bytes, 0u);
}

TEST_F(RestoreTest, OnlyIntoAPoolOfTheSameShape) {
    const auto refused = [&](std::uint64_t bytes, std::uint64_t base) {
        test::SharedFile file(bytes);
        test::PoolOver over(file, base);
        return Restore::create(*over.pool, over.callbacks, form_).code();
    };
    EXPECT_EQ(refused(4u << 20, kBase + 4096), EINVAL);
    EXPECT_EQ(refused(8u << 20, kBase), EINVAL);
    EXPECT_EQ(refused(4u << 20, kBase), 0);
    // Over memory of its own there would be zeros.
    RegionConfig region;
    region.bytes = 4u << 20;
    region.base_gpa = Gpa{kBase};
    auto fresh = Pool::create(region);
    ASSERT_TRUE(fresh);
    EXPECT_EQ(Restore::create(**fresh, old_.callbacks, form_).code(), EINVAL);
    EXPECT_NE(std::strstr(last_error(), "fresh memory"), nullptr) << last_error();
}

TEST_F(RestoreTest, OnlyIntoAFreshPool) {
    test::PoolOver over(file_, kBase);
    {
        auto disk = over.device("disk");
        bounce_mapping mapping;
        ASSERT_TRUE(disk->map(out_, 10, Direction::kFromDevice, BOUNCE_MAP_SKIP_SYNC, mapping));
        ASSERT_TRUE(disk->unmap(mapping, 0));
    }
    EXPECT_EQ(Restore::create(*over.pool, over.callbacks, form_).code(), EBUSY);
    EXPECT_EQ(over.pool->users(), 0u);
    test::PoolOver twice(file_, kBase);
    auto first = restore(twice);
    EXPECT_EQ(Restore::create(*twice.pool, twice.callbacks, form_).code(), EBUSY);
    EXPECT_EQ(twice.pool->stats().slots, 4u);
}

TEST_F(RestoreTest, DevicesWithoutRecordsMayClaim) {
    test::PoolOver over(file_, kBase);
    auto restored = restore(over);
    DeviceConfig config;
    config.name = "disk";
    auto plain = Device::create(*over.pool, over.callbacks, config);
    ASSERT_TRUE(plain);
    bounce_mapping mapping;
    ASSERT_TRUE(restored->claim(**plain, Gpa{from_device_.addr}, in_, 0, mapping));
    EXPECT_TRUE((*plain)->unmap(mapping, SIZE_MAX)) << last_error();
    EXPECT_EQ((*plain)->outstanding(), 0u);
}

TEST_F(RestoreTest, SaveRefusesWhatItWouldLose) {
    DeviceConfig config;
    auto plain = Device::create(*old_.pool, old_.callbacks, config);
    ASSERT_TRUE(plain);
    bounce_mapping mapping;
    ASSERT_TRUE((*plain)->map(out_, 10, Direction::kToDevice, 0, mapping));
    EXPECT_EQ(save(*old_.pool, old_.records.get(), {}).code(), EBUSY);
    EXPECT_NE(std::strstr(last_error(), "5 slots"), nullptr) << last_error();
    EXPECT_TRUE((*plain)->unmap(mapping, 0));
    auto namesake = old_.device("disk");
    EXPECT_TRUE(save(*old_.pool, old_.records.get(), {})) << "it has nothing outstanding";
    ASSERT_TRUE(namesake->map(out_, 10, Direction::kToDevice, 0, mapping));
    EXPECT_EQ(save(*old_.pool, old_.records.get(), {}).code(), EINVAL);
    EXPECT_NE(std::strstr(last_error(), "'disk'"), nullptr) << last_error();
    EXPECT_TRUE(namesake->unmap(mapping, 0));
    std::vector<std::byte> small(form_.size() - 1);
    EXPECT_EQ(save(*old_.pool, old_.records.get(), small).code(), E2BIG);
    std::vector<std::byte> large(form_.size() + 100);
    EXPECT_EQ(*save(*old_.pool, old_.records.get(), large), form_.size());
    // Nothing is outstanding, and nothing ever was.
    test::SharedFile file(1u << 20);
    test::PoolOver empty(file, kBase);
    EXPECT_EQ(*save(*empty.pool, nullptr, {}), SaveForm::bytes_for({.regions = 1}));
}

}  // namespace
}  // namespace bounce
