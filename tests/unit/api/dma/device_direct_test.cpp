// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings of private buffers as they are, through a translation of the host's; and what of them has to bounce.
#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kGuest = 0x40'0000'0000;  // where the private memory is for the device
constexpr std::size_t kPrivateBytes = 64 * 1024;

/// A host with one stretch of guest memory, that books what it translated.
class Host {
public:
    static int translate(void* user, const void* buf, std::size_t bytes, int direction, std::uint64_t* address) {
        return static_cast<Host*>(user)->take(buf, bytes, direction, address);
    }
    static void untranslate(void* user, std::uint64_t address, std::size_t bytes) {
        static_cast<Host*>(user)->give(address, bytes);
    }

    std::byte* memory() { return memory_; }
    std::uint64_t address_of(const void* buf) const {
        return base + static_cast<std::uint64_t>(static_cast<const std::byte*>(buf) - memory_);
    }
    std::size_t booked() {
        const std::lock_guard lock(mutex_);
        return booked_.size();
    }

    std::uint64_t base = kGuest;
    int last_direction = -1;
    int calls = 0;

private:
    int take(const void* buf, std::size_t bytes, int direction, std::uint64_t* address) {
        const std::lock_guard lock(mutex_);
        ++calls;
        last_direction = direction;
        const auto* at = static_cast<const std::byte*>(buf);
        if (at < memory_ || at + bytes > memory_ + kPrivateBytes) return -ENXIO;
        *address = address_of(buf);
        booked_.emplace(*address, bytes);
        return 0;
    }
    void give(std::uint64_t address, std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        const auto at = booked_.find(address);
        ASSERT_NE(at, booked_.end()) << "given twice, or never taken";
        EXPECT_EQ(at->second, bytes);
        booked_.erase(at);
    }

    alignas(65536) std::byte memory_[kPrivateBytes]{};
    std::mutex mutex_;
    std::multimap<std::uint64_t, std::size_t> booked_;
};

class DirectTest : public DeviceTest {
protected:
    DirectConfig direct() {
        return {.translate = Host::translate, .untranslate = Host::untranslate, .user = host_.get()};
    }
    std::unique_ptr<Device> make_direct(const DirectConfig& config) {
        DeviceConfig all;
        all.direct = config;
        return make(all);
    }
    ~DirectTest() override { EXPECT_EQ(host_->booked(), 0u); }

    std::unique_ptr<Host> host_ = std::make_unique<Host>();
    bounce_mapping mapping_{};
};

TEST_F(DirectTest, TheBufferItself) {
    const auto device = make_direct(direct());
    std::byte* buf = host_->memory() + 100;
    for (const Direction direction : {Direction::kBidirectional, Direction::kToDevice, Direction::kFromDevice}) {
        ASSERT_TRUE(device->map(buf, 1000, direction, 0, mapping_)) << last_error();
        EXPECT_EQ(host_->last_direction, static_cast<int>(direction));
        EXPECT_EQ(mapping_.addr, kGuest + 100);
        EXPECT_EQ(mapping_.bytes, 1000u);
        EXPECT_EQ(mapping_.slot, buf);
        EXPECT_EQ(device->outstanding_mappings(), 1u);
        EXPECT_EQ(pool_->stats().slots, 0u);
        EXPECT_EQ(host_->booked(), 1u);
        buf[0] = std::byte{0x5a};  // what the device writes is there
        ASSERT_TRUE(device->sync_for_cpu(mapping_, 0, 1000, direction)) << last_error();
        ASSERT_TRUE(device->sync_for_device(mapping_, 999, 1, direction)) << last_error();
        ASSERT_TRUE(device->unmap(mapping_, 1000)) << last_error();
        EXPECT_EQ(buf[0], std::byte{0x5a});
        EXPECT_EQ(device->outstanding(), 0u);
        EXPECT_EQ(host_->booked(), 0u);
    }
}

TEST_F(DirectTest, WithoutUntranslate) {
    auto config = direct();
    config.untranslate = nullptr;
    config.translate = [](void*, const void*, std::size_t, int, std::uint64_t* address) {
        *address = kGuest;
        return 0;
    };
    const auto device = make_direct(config);
    ASSERT_TRUE(device->map(host_->memory(), 8, Direction::kToDevice, BOUNCE_MAP_SKIP_SYNC, mapping_));
    ASSERT_TRUE(device->discard(mapping_));
    EXPECT_EQ(device->outstanding(), 0u);
}

TEST_F(DirectTest, WhatTheHostDoesNotTranslate) {
    auto config = direct();
    std::string outside = "not guest memory";
    {
        const auto device = make_direct(config);
        EXPECT_EQ(device->map(outside.data(), outside.size(), Direction::kToDevice, 0, mapping_).code(), ENXIO);
        EXPECT_NE(std::string(last_error()).find("translate() returned -6"), std::string::npos) << last_error();
        EXPECT_EQ(device->unmap(mapping_, 0).code(), EALREADY);
        config.translate = [](void*, const void*, std::size_t, int, std::uint64_t*) { return 7; };
        const auto strange = make_direct(config);  // neither 0 nor an error
        EXPECT_EQ(strange->map(outside.data(), 1, Direction::kToDevice, 0, mapping_).code(), EINVAL);
    }
    config = direct();
    config.may_bounce = true;
    const auto device = make_direct(config);
    ASSERT_TRUE(device->map(outside.data(), outside.size(), Direction::kBidirectional, 0, mapping_)) << last_error();
    EXPECT_EQ(seen(mapping_), "not guest memory");
    write(mapping_, "was");
    ASSERT_TRUE(device->sync_for_cpu(mapping_, 0, 3, Direction::kFromDevice)) << last_error();
    EXPECT_EQ(outside, "was guest memory");
    ASSERT_TRUE(device->unmap(mapping_, outside.size()));
    EXPECT_EQ(outside, "was guest memory");
    EXPECT_EQ(device->outstanding(), 0u);
}

TEST_F(DirectTest, AboveTheMask) {
    auto config = direct();
    config.highest = kGuest + 999;
    const auto exact = make_direct(config);
    ASSERT_TRUE(exact->map(host_->memory(), 1000, Direction::kToDevice, 0, mapping_)) << last_error();
    ASSERT_TRUE(exact->unmap(mapping_, 0));
    EXPECT_EQ(exact->map(host_->memory(), 1001, Direction::kToDevice, 0, mapping_).code(), ERANGE);
    EXPECT_EQ(exact->map(host_->memory() + 1000, 1, Direction::kToDevice, 0, mapping_).code(), ERANGE);
    host_->base = ~std::uint64_t{0} - 10;  // would wrap around
    config.highest = ~std::uint64_t{0};
    const auto all = make_direct(config);
    EXPECT_EQ(all->map(host_->memory(), 12, Direction::kToDevice, 0, mapping_).code(), ERANGE);
    host_->base = kGuest;

    config.highest = kGuest + 999;
    config.may_bounce = true;
    const auto bounces = make_direct(config);
    std::memcpy(host_->memory() + 5000, "high", 4);
    ASSERT_TRUE(bounces->map(host_->memory() + 5000, 4, Direction::kToDevice, 0, mapping_)) << last_error();
    EXPECT_EQ(seen(mapping_), "high");  // in a slot
    EXPECT_EQ(host_->booked(), 0u);
    ASSERT_TRUE(bounces->unmap(mapping_, 0));
    ASSERT_TRUE(bounces->map(host_->memory(), 4, Direction::kToDevice, 0, mapping_));
    EXPECT_EQ(mapping_.addr, kGuest);
    ASSERT_TRUE(bounces->unmap(mapping_, 0));
}

TEST_F(DirectTest, Misaligned) {
    auto config = direct();
    config.align = 512;
    const auto strict = make_direct(config);
    ASSERT_TRUE(strict->map(host_->memory() + 1024, 10, Direction::kToDevice, 0, mapping_));
    ASSERT_TRUE(strict->unmap(mapping_, 0));
    EXPECT_EQ(strict->map(host_->memory() + 1025, 10, Direction::kToDevice, 0, mapping_).code(), EINVAL);
    config.align = 8;
    config.may_bounce = true;
    const auto bounces = make_direct(config);
    ASSERT_TRUE(bounces->map(host_->memory() + 1025, 10, Direction::kToDevice, 0, mapping_)) << last_error();
    EXPECT_EQ(mapping_.addr % 8, 0u);
    EXPECT_EQ(seen(mapping_).size(), 10u);
    ASSERT_TRUE(bounces->unmap(mapping_, 0));
}

// A device sees whole granules: what shares one with something else is not even shown for a moment.
TEST_F(DirectTest, WholeGranules) {
    auto config = direct();
    config.granule = 4096;
    config.may_bounce = true;
    const auto device = make_direct(config);
    for (const auto& [at, bytes] : {std::pair{1u, 4096u}, std::pair{0u, 4095u}, std::pair{4096u, 10u}}) {
        const int before = host_->calls;
        ASSERT_TRUE(device->map(host_->memory() + at, bytes, Direction::kToDevice, 0, mapping_)) << last_error();
        EXPECT_GE(mapping_.addr, kBase);
        EXPECT_LT(mapping_.addr, kBase + (4u << 20));
        EXPECT_EQ(host_->calls, before);
        ASSERT_TRUE(device->unmap(mapping_, 0));
    }
    ASSERT_TRUE(device->map(host_->memory() + 4096, 8192, Direction::kToDevice, 0, mapping_));
    EXPECT_EQ(mapping_.addr, kGuest + 4096);
    ASSERT_TRUE(device->unmap(mapping_, 0));
    host_->base = kGuest + 512;  // granules here are not granules there
    ASSERT_TRUE(device->map(host_->memory() + 4096, 4096, Direction::kToDevice, 0, mapping_));
    EXPECT_LT(mapping_.addr, kGuest);
    EXPECT_EQ(host_->booked(), 0u);
    ASSERT_TRUE(device->unmap(mapping_, 0));
}

TEST_F(DirectTest, Arguments) {
    DeviceConfig all;
    all.direct = direct();
    all.max_segment_bytes = 4096;
    const auto device = make(all);
    std::byte* buf = host_->memory();
    EXPECT_EQ(device->map(nullptr, 1, Direction::kToDevice, 0, mapping_).code(), EINVAL);
    EXPECT_EQ(device->map(buf, 0, Direction::kToDevice, 0, mapping_).code(), EINVAL);
    EXPECT_EQ(device->map(buf, SIZE_MAX, Direction::kToDevice, 0, mapping_).code(), EINVAL);
    EXPECT_EQ(device->map(buf, 4097, Direction::kToDevice, 0, mapping_).code(), E2BIG);
    EXPECT_EQ(device->map(buf, 1, Direction::kToDevice, 64, mapping_).code(), EINVAL);
    EXPECT_EQ(device->map(buf, 1, Direction::kToDevice, BOUNCE_MAP_PRESERVE | BOUNCE_MAP_SKIP_SYNC, mapping_).code(),
              EINVAL);
    EXPECT_EQ(host_->calls, 0);
    EXPECT_EQ(device->unmap(mapping_, 0).code(), EALREADY);
}

TEST_F(DirectTest, WrongTokens) {
    const auto device = make_direct(direct());
    const auto other = make_direct(direct());
    ASSERT_TRUE(device->map(host_->memory(), 100, Direction::kToDevice, 0, mapping_));
    EXPECT_EQ(other->unmap(mapping_, 0).code(), EXDEV);
    EXPECT_EQ(other->sync_for_cpu(mapping_, 0, 1, Direction::kToDevice).code(), EXDEV);
    EXPECT_EQ(device_->unmap(mapping_, 0).code(), EALREADY) << "a device whose data bounces has no such tokens";
    EXPECT_EQ(device_->sync_for_cpu(mapping_, 0, 1, Direction::kToDevice).code(), EALREADY);
    EXPECT_EQ(device->sync_for_cpu(mapping_, 0, 0, Direction::kToDevice).code(), EINVAL);
    EXPECT_EQ(device->sync_for_cpu(mapping_, 100, 1, Direction::kToDevice).code(), EINVAL);
    EXPECT_EQ(device->sync_for_device(mapping_, 0, 1, Direction::kFromDevice).code(), EPERM);
    auto damaged = mapping_;
    damaged.direction = 3;
    EXPECT_EQ(device->unmap(damaged, 0).code(), EINVAL);
    damaged = mapping_;
    damaged.orig = nullptr;
    EXPECT_EQ(device->unmap(damaged, 0).code(), EINVAL);
    ASSERT_TRUE(device->unmap(mapping_, 0));
    EXPECT_EQ(device->unmap(mapping_, 0).code(), EALREADY);
    EXPECT_EQ(device->discard(mapping_).code(), EALREADY);
    EXPECT_EQ(device->sync_for_cpu(mapping_, 0, 1, Direction::kToDevice).code(), EALREADY);
}

TEST_F(DirectTest, Lists) {
    auto config = direct();
    config.may_bounce = true;
    config.highest = kGuest + 4095;
    const auto device = make_direct(config);
    std::byte* buf = host_->memory();
    std::memset(buf, 'l', 16);
    std::memset(buf + 8192, 'h', 16);
    const bounce_sg sg[] = {{buf, 16, 0, 0}, {buf + 8192, 16, 0, 0}, {buf + 16, 16, 0, 0}};
    bounce_mapping mappings[3];
    ASSERT_TRUE(device->map_sg(sg, Direction::kBidirectional, 0, mappings)) << last_error();
    EXPECT_EQ(mappings[0].addr, kGuest);
    EXPECT_EQ(seen(mappings[1]), std::string(16, 'h'));
    EXPECT_EQ(mappings[2].addr, kGuest + 16);
    EXPECT_EQ(device->outstanding_mappings(), 3u);
    write(mappings[1], "HH");
    ASSERT_TRUE(device->unmap_sg(mappings, 17)) << last_error();  // of the second one byte was written
    EXPECT_EQ(buf[8192], std::byte{'H'});
    EXPECT_EQ(buf[8193], std::byte{'h'});
    EXPECT_EQ(device->outstanding(), 0u);
    EXPECT_EQ(device->unmap_sg(mappings, 0).code(), EALREADY);
}

TEST_F(DirectTest, ListsAreAllOrNothing) {
    const auto device = make_direct(direct());
    std::byte* buf = host_->memory();
    std::string outside = "x";
    bounce_mapping mappings[3];
    const bounce_sg untranslated[] = {{buf, 16, 0, 0}, {buf + 32, 16, 0, 0}, {outside.data(), 1, 0, 0}};
    EXPECT_EQ(device->map_sg(untranslated, Direction::kToDevice, 0, mappings).code(), ENXIO);
    EXPECT_EQ(host_->booked(), 0u);
    EXPECT_EQ(device->outstanding(), 0u);
    for (auto& mapping : mappings) EXPECT_EQ(device->unmap(mapping, 0).code(), EALREADY);
    const bounce_sg flagged[] = {{buf, 16, 0, 0}, {buf + 32, 16, 1, 0}};
    EXPECT_EQ(device->map_sg(flagged, Direction::kToDevice, 0, mappings).code(), EINVAL);
    EXPECT_EQ(host_->booked(), 0u);
    EXPECT_EQ(device->map_sg({}, Direction::kToDevice, 0, mappings).code(), EINVAL);
}

TEST_F(DirectTest, AFullPoolStopsOnlyWhatBounces) {
    auto config = direct();
    config.may_bounce = true;
    config.granule = 4096;
    const auto device = make_direct(config);
    std::vector<bounce_mapping> all;
    std::string outside(64 * 1024, 'o');
    for (;;) {
        bounce_mapping mapping;
        const auto mapped = device->map(outside.data(), outside.size(), Direction::kToDevice, 0, mapping);
        if (!mapped) {
            EXPECT_EQ(mapped.code(), ENOSPC);
            break;
        }
        all.push_back(mapping);
    }
    ASSERT_TRUE(device->map(host_->memory(), 4096, Direction::kToDevice, 0, mapping_));
    EXPECT_EQ(mapping_.addr, kGuest);
    ASSERT_TRUE(device->unmap(mapping_, 0));
    EXPECT_GT(all.size(), 10u);
    for (auto& mapping : all) ASSERT_TRUE(device->unmap(mapping, 0));
}

// Of threads that end one token one wins; what is direct and what bounces goes on side by side.
TEST_F(DirectTest, Threads) {
    auto config = direct();
    config.may_bounce = true;
    config.highest = kGuest + kPrivateBytes / 2 - 1;
    const auto device = make_direct(config);
    std::atomic<int> won{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (unsigned i = 0; i < 500; ++i) {
                bounce_mapping mapping;
                std::byte* buf = host_->memory() + t * 1024 + (i % 2) * (kPrivateBytes / 2);
                ASSERT_TRUE(device->map(buf, 512, Direction::kBidirectional, 0, mapping)) << last_error();
                std::thread rival([&] { won += device->unmap(mapping, 512) ? 1 : 0; });
                won += device->unmap(mapping, 512) ? 1 : 0;
                rival.join();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(won, 4 * 500);
    EXPECT_EQ(device->outstanding(), 0u);
}

}  // namespace
}  // namespace bounce
