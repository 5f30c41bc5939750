// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/waiters.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr std::size_t kBytes = 64 << 10;
constexpr std::uint32_t kForever = UINT32_MAX;

class WaitersTest : public DeviceTest {
protected:
    WaitersTest() : DeviceTest(kRoom * kBytes), other_(make({.name = "other"})) {}
    ~WaitersTest() override {
        EXPECT_EQ(other_->outstanding(), 0U);
        other_.reset();
    }

    MapRequest request(std::size_t bytes = kBytes) { return {buffer_.data(), bytes, Direction::kToDevice, 0}; }
    bounce_mapping take(Device& device, std::size_t bytes = kBytes) {
        bounce_mapping mapping{};
        EXPECT_TRUE(device.map(buffer_.data(), bytes, Direction::kToDevice, 0, mapping)) << last_error();
        return mapping;
    }
    void fill(std::vector<bounce_mapping>& held, Device& device) {
        for (std::size_t i = 0; i < kRoom; ++i) held.push_back(take(device));
    }
    void end(Device& device, bounce_mapping& mapping) { EXPECT_TRUE(device.unmap(mapping, SIZE_MAX)) << last_error(); }
    void end(Device& device, std::vector<bounce_mapping>& held) {
        for (bounce_mapping& mapping : held) end(device, mapping);
        held.clear();
    }
    void finish(Device& device, Wait& wait) {
        bounce_mapping mapping{};
        ASSERT_TRUE(device.finish_wait(wait, mapping)) << last_error();
        end(device, mapping);
    }

    static constexpr std::size_t kRoom = 8;
    std::vector<char> buffer_ = std::vector<char>(kRoom * kBytes, 'x');
    std::unique_ptr<Device> other_;
};

/// Counts its calls.
struct Told {
    static void ready(void* user, bounce_wait*) { ++*static_cast<std::atomic<int>*>(user); }
    std::atomic<int> times{0};
};

TEST_F(WaitersTest, WithRoomNobodyWaits) {
    bounce_mapping mapping{};
    ASSERT_TRUE(device_->map_wait(request(), kForever, mapping));
    EXPECT_EQ(seen(mapping), std::string(kBytes, 'x'));
    Wait wait;
    wait.request = request();
    const auto begun = device_->begin_wait(wait);
    ASSERT_TRUE(begun);
    EXPECT_TRUE(*begun);
    finish(*device_, wait);
    end(*device_, mapping);
    EXPECT_EQ(device_->waits().begun, 0U);
}

TEST_F(WaitersTest, WhatIsWrongFailsAtOnce) {
    bounce_mapping mapping{};
    EXPECT_EQ(device_->map_wait({nullptr, 1, Direction::kToDevice, 0}, kForever, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map_wait({buffer_.data(), 0, Direction::kToDevice, 0}, kForever, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map_wait({buffer_.data(), 1, Direction::kToDevice, 1U << 9}, kForever, mapping).code(), EINVAL);
    EXPECT_EQ(device_->map_wait({buffer_.data(), 1U << 30, Direction::kToDevice, 0}, kForever, mapping).code(), E2BIG);
    ASSERT_TRUE(device_->set_quota(0, kBytes));
    EXPECT_EQ(device_->map_wait(request(kBytes + 1), kForever, mapping).code(), EDQUOT);
    Wait wait;
    wait.request = request(kBytes + 1);
    EXPECT_EQ(device_->begin_wait(wait).code(), EDQUOT);
    EXPECT_EQ(mapping.state, 0);
}

TEST_F(WaitersTest, ATimeoutEndsIt) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    bounce_mapping mapping{};
    EXPECT_EQ(device_->map_wait(request(), 20, mapping).code(), ETIMEDOUT);
    EXPECT_EQ(device_->map_wait(request(), 0, mapping).code(), ENOSPC);
    EXPECT_EQ(device_->waits().waiting, 0U);
    end(*other_, held);
    ASSERT_TRUE(device_->map_wait(request(), 0, mapping)) << last_error();
    end(*device_, mapping);
}

TEST_F(WaitersTest, AnyFreeWakesTheOneThatBlocks) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    for (int round = 0; round < 20; ++round) {
        std::thread waiter([&] {
            bounce_mapping mapping{};
            ASSERT_TRUE(device_->map_wait(request(), kForever, mapping)) << last_error();
            end(*device_, mapping);
        });
        while (device_->waits().waiting == 0) std::this_thread::yield();
        end(*other_, held.back());
        waiter.join();
        held.back() = take(*other_);
    }
    end(*other_, held);
    EXPECT_EQ(device_->waits().served, 20U);
    EXPECT_GT(device_->waits().worst_ns, 0U);
}

TEST_F(WaitersTest, FirstComeFirstServedAndNobodyOvertakes) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Told told[3];
    Wait waits[3];
    for (int i = 0; i < 3; ++i) {
        waits[i].request = request(i == 0 ? 2 * kBytes : 512);
        waits[i].waiter.ready = Told::ready;
        waits[i].waiter.user = &told[i].times;
        const auto begun = device_->begin_wait(waits[i]);
        ASSERT_TRUE(begun);
        EXPECT_FALSE(*begun);
    }
    end(*other_, held[0]);
    EXPECT_EQ(told[1].times, 0) << "the first one wants more";
    bounce_mapping mapping{};
    EXPECT_EQ(device_->map(buffer_.data(), 64, Direction::kToDevice, 0, mapping).code(), ENOSPC);
    EXPECT_NE(std::string(last_error()).find("3 requests"), std::string::npos) << last_error();
    ASSERT_TRUE(other_->map(buffer_.data(), 64, Direction::kToDevice, 0, mapping)) << "another one may";
    end(*other_, mapping);
    EXPECT_EQ(device_->finish_wait(waits[0], mapping).code(), EAGAIN);
    end(*other_, held[1]);
    EXPECT_EQ(told[0].times, 1);
    EXPECT_EQ(told[1].times, 0);
    end(*other_, held[2]);
    EXPECT_EQ(told[1].times, 1);
    EXPECT_EQ(told[2].times, 1);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(waits[i].waiter.ticket, waits[i].waiter.turn);
    for (Wait& wait : waits) finish(*device_, wait);
    held.erase(held.begin(), held.begin() + 3);
    end(*other_, held);
}

TEST_F(WaitersTest, DevicesTakeTurns) {
    std::vector<bounce_mapping> held;
    fill(held, *device_);
    Wait waits[6];
    for (int i = 0; i < 6; ++i) {
        waits[i].request = request();
        // Four of the one, then two of the other.
        ASSERT_FALSE(*(i < 4 ? *device_ : *other_).begin_wait(waits[i]));
    }
    const int order[] = {0, 4, 1, 5, 2, 3};
    for (int i = 0; i < 6; ++i) {
        end(*device_, held[static_cast<std::size_t>(i)]);
        for (int j = 0; j < 6; ++j) EXPECT_EQ(waits[order[j]].waiter.is_ready(), j <= i) << i << ", " << order[j];
    }
    for (int i = 0; i < 6; ++i) finish(i < 4 ? *device_ : *other_, waits[i]);
    held.erase(held.begin(), held.begin() + 6);
    end(*device_, held);
}

TEST_F(WaitersTest, OneThatIsPassedOverKeepsItsTurn) {
    std::vector<bounce_mapping> held;
    fill(held, *device_);
    auto third = make({.name = "third"});
    Wait large;
    large.request = request(kRoom * kBytes);
    ASSERT_FALSE(*device_->begin_wait(large));
    Wait small[6];
    for (int i = 0; i < 6; ++i) {
        small[i].request = request();
        ASSERT_FALSE(*(i < 3 ? other_ : third)->begin_wait(small[i]));
    }
    const int order[] = {0, 3, 1, 4, 2, 5};
    for (int i = 0; i < 6; ++i) {
        end(*device_, held[static_cast<std::size_t>(i)]);
        for (int j = 0; j < 6; ++j) EXPECT_EQ(small[order[j]].waiter.is_ready(), j <= i) << i << ", " << order[j];
    }
    end(*device_, held[6]);
    end(*device_, held[7]);
    for (int i = 0; i < 6; ++i) {
        EXPECT_FALSE(large.waiter.is_ready());
        finish(i < 3 ? *other_ : *third, small[i]);
    }
    EXPECT_TRUE(large.waiter.is_ready());
    finish(*device_, large);
}

TEST_F(WaitersTest, CancelledAtAnyTime) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Told told[2];
    Wait waits[2];
    for (int i = 0; i < 2; ++i) {
        waits[i].request = request();
        waits[i].waiter.ready = Told::ready;
        waits[i].waiter.user = &told[i].times;
        ASSERT_FALSE(*device_->begin_wait(waits[i]));
    }
    device_->cancel_wait(waits[0]);
    end(*other_, held[0]);
    EXPECT_EQ(told[0].times, 0);
    EXPECT_EQ(told[1].times, 1);
    // It is ready: what was taken for it goes on to the next.
    Wait next;
    next.request = request();
    ASSERT_FALSE(*other_->begin_wait(next));
    device_->cancel_wait(waits[1]);
    EXPECT_TRUE(next.waiter.is_ready());
    finish(*other_, next);
    held.erase(held.begin());
    end(*other_, held);
}

TEST_F(WaitersTest, WhoIsCancelledLetsTheNextOneGo) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Wait large;
    Wait small;
    large.request = request(kRoom * kBytes);
    small.request = request();
    ASSERT_FALSE(*device_->begin_wait(large));
    ASSERT_FALSE(*device_->begin_wait(small));
    end(*other_, held[0]);
    EXPECT_FALSE(small.waiter.is_ready());
    device_->cancel_wait(large);
    EXPECT_TRUE(small.waiter.is_ready());
    finish(*device_, small);
    held.erase(held.begin());
    end(*other_, held);
}

TEST_F(WaitersTest, AllOfADeviceAreCancelled) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Told told;
    Wait wait;
    wait.request = request();
    wait.waiter.ready = Told::ready;
    wait.waiter.user = &told.times;
    ASSERT_FALSE(*device_->begin_wait(wait));
    std::thread blocked([&] {
        bounce_mapping mapping{};
        EXPECT_EQ(device_->map_wait(request(), kForever, mapping).code(), ECANCELED);
    });
    while (device_->waits().waiting != 2) std::this_thread::yield();
    EXPECT_EQ(device_->outstanding(), 2U);
    EXPECT_EQ(device_->cancel_waits(), 2U);
    blocked.join();
    EXPECT_EQ(told.times, 1);
    bounce_mapping mapping{};
    EXPECT_EQ(device_->finish_wait(wait, mapping).code(), ECANCELED);
    EXPECT_EQ(device_->outstanding(), 0U);
    end(*other_, held);
}

TEST_F(WaitersTest, AnEventfdTells) {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT_GE(fd, 0);
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Wait waits[2];
    for (Wait& wait : waits) {
        wait.request = request();
        wait.waiter.fd = fd;
        ASSERT_FALSE(*device_->begin_wait(wait));
    }
    std::uint64_t count = 0;
    EXPECT_EQ(::read(fd, &count, sizeof count), -1);
    end(*other_, held[0]);
    end(*other_, held[1]);
    ASSERT_EQ(::read(fd, &count, sizeof count), 8);
    EXPECT_EQ(count, 2U);
    for (Wait& wait : waits) finish(*device_, wait);
    held.erase(held.begin(), held.begin() + 2);
    end(*other_, held);
    ::close(fd);
}

/// Finishes its wait and ends the mapping inside the call, which wakes the next one.
struct Chain {
    static void ready(void* user, bounce_wait*) {
        auto& chain = *static_cast<Chain*>(user);
        EXPECT_EQ(++*chain.depth, 1) << "calls do not nest";
        bounce_mapping mapping{};
        EXPECT_TRUE(chain.device->finish_wait(chain.wait, mapping)) << last_error();
        EXPECT_TRUE(chain.device->unmap(mapping, SIZE_MAX));
        --*chain.depth;
        ++*chain.done;
    }
    Device* device = nullptr;
    Wait wait;
    int* depth = nullptr;
    int* done = nullptr;
};

TEST_F(WaitersTest, ACallMayEndItsWaitAndWakeOthers) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    int depth = 0;
    int done = 0;
    std::vector<Chain> chains(100);
    for (Chain& chain : chains) {
        chain.device = device_.get();
        chain.depth = &depth;
        chain.done = &done;
        chain.wait.request = request();
        chain.wait.waiter.ready = Chain::ready;
        chain.wait.waiter.user = &chain;
        ASSERT_FALSE(*device_->begin_wait(chain.wait));
    }
    end(*other_, held[0]);
    EXPECT_EQ(done, 100);
    held.erase(held.begin());
    end(*other_, held);
}

TEST_F(WaitersTest, ARaisedQuotaWakesAndALoweredOneRefuses) {
    ASSERT_TRUE(device_->set_quota(0, kBytes));
    bounce_mapping first = take(*device_);
    Wait waits[2];
    for (Wait& wait : waits) {
        wait.request = request();
        ASSERT_FALSE(*device_->begin_wait(wait));
    }
    bounce_mapping others = take(*other_);
    end(*other_, others);
    EXPECT_FALSE(waits[0].waiter.is_ready()) << "there is memory, but not for this one";
    ASSERT_TRUE(device_->set_quota(0, 2 * kBytes));
    EXPECT_TRUE(waits[0].waiter.is_ready());
    EXPECT_FALSE(waits[1].waiter.is_ready());
    ASSERT_TRUE(device_->set_quota(0, 4096));
    ASSERT_TRUE(waits[1].waiter.is_ready());
    bounce_mapping mapping{};
    EXPECT_EQ(device_->finish_wait(waits[1], mapping).code(), EDQUOT);
    finish(*device_, waits[0]);
    end(*device_, first);
}

TEST_F(WaitersTest, ARegionThatIsAddedWakes) {
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Wait wait;
    wait.request = request();
    ASSERT_FALSE(*device_->begin_wait(wait));
    RegionConfig region;
    region.bytes = kBytes;
    region.base_gpa = Gpa{2 * kBase};
    ASSERT_TRUE(pool_->add_region(region)) << last_error();
    EXPECT_TRUE(wait.waiter.is_ready());
    finish(*device_, wait);
    end(*other_, held);
}

TEST_F(WaitersTest, AThreadThatEndsGivesWhatItKept) {
    // One that keeps free slots and does nothing more, while nobody waits.
    std::vector<bounce_mapping> held;
    for (std::size_t i = 0; i + 1 < kRoom; ++i) held.push_back(take(*other_));
    std::atomic<bool> kept{false};
    std::atomic<bool> stop{false};
    std::thread keeper([&] {
        std::vector<bounce_mapping> mine;
        for (int i = 0; i < 16; ++i) mine.push_back(take(*other_, 4096));
        end(*other_, mine);
        kept = true;
        while (!stop) std::this_thread::yield();
    });
    while (!kept) std::this_thread::yield();
    bounce_mapping mapping{};
    EXPECT_TRUE(device_->map_wait(request(), 5000, mapping)) << "what it keeps comes home: " << last_error();
    stop = true;
    keeper.join();
    end(*device_, mapping);
    end(*other_, held);
}

TEST_F(WaitersTest, WithPriorityTheReserveHelps) {
    ASSERT_TRUE(pool_->set_reserve(2 * kBytes));
    std::vector<bounce_mapping> held;
    bounce_mapping mapping{};
    while (other_->map(buffer_.data(), kBytes, Direction::kToDevice, 0, mapping)) held.push_back(mapping);
    EXPECT_LE(held.size(), kRoom - 2);
    Wait plain;
    plain.request = request();
    ASSERT_FALSE(*other_->begin_wait(plain));
    MapRequest urgent = request();
    urgent.flags = BOUNCE_WAIT_PRIORITY;
    ASSERT_TRUE(device_->map_wait(urgent, 0, mapping)) << last_error();
    EXPECT_FALSE(plain.waiter.is_ready());
    ASSERT_TRUE(pool_->set_reserve(0));
    EXPECT_TRUE(plain.waiter.is_ready());
    finish(*other_, plain);
    end(*device_, mapping);
    end(*other_, held);
}

TEST_F(WaitersTest, WhatLiesSomewhereWaitsToo) {
    auto placed = make({.name = "placed",
                        .limits = {.min_align_mask = 4095,
                                   .segment_boundary = 64 << 10,
                                   .scrub_at_map = Scrub::kTail,
                                   .scrub_at_unmap = Scrub::kAll}});
    char* const buf = buffer_.data() + 4096 - (reinterpret_cast<std::uintptr_t>(buffer_.data()) & 4095) + 777;
    constexpr std::size_t kPart = 60000;
    const MapRequest wanted{buf, kPart, Direction::kBidirectional, 0};
    bounce_mapping mapping{};
    EXPECT_EQ(placed->map_wait({buf, 65536, Direction::kToDevice, 0}, kForever, mapping).code(), EDOM);
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    Wait wait;
    wait.request = wanted;
    const auto begun = placed->begin_wait(wait);
    ASSERT_TRUE(begun) << last_error();
    EXPECT_FALSE(*begun);
    EXPECT_EQ(placed->map_wait(wanted, 1, mapping).code(), ETIMEDOUT);
    end(*other_, held[3]);
    ASSERT_TRUE(wait.waiter.is_ready());
    ASSERT_TRUE(placed->finish_wait(wait, mapping)) << last_error();
    EXPECT_EQ(mapping.addr & 4095, 777U);
    EXPECT_EQ(seen(mapping), std::string(kPart, 'x'));
    std::byte* const slot = at(mapping.addr - 777, 777 + kPart);
    for (std::size_t i = 0; i < 777; ++i) ASSERT_EQ(slot[i], std::byte{0}) << i << ": scrubbed at map";
    static_cast<std::byte*>(mapping.slot)[5] = std::byte{'y'};
    end(*placed, mapping);
    EXPECT_EQ(buf[5], 'y');
    EXPECT_EQ(slot[777], std::byte{0}) << "scrubbed at unmap";
    held.erase(held.begin() + 3);
    // The same of one that blocks, and one that is cancelled when it has its memory.
    held.push_back(take(*other_));
    std::thread blocked([&] {
        bounce_mapping mine{};
        EXPECT_TRUE(placed->map_wait(wanted, kForever, mine)) << last_error();
        end(*placed, mine);
    });
    while (placed->waits().waiting == 0) std::this_thread::yield();
    end(*other_, held[0]);
    blocked.join();
    held[0] = take(*other_);
    Wait dropped;
    dropped.request = wanted;
    ASSERT_FALSE(*placed->begin_wait(dropped));
    end(*other_, held[0]);
    EXPECT_TRUE(dropped.waiter.is_ready());
    placed->cancel_wait(dropped);
    held.erase(held.begin());
    end(*other_, held);
    EXPECT_EQ(placed->outstanding(), 0U);
}

/// Takes buffers below a limit as they are.
struct Translation {
    static int translate(void* user, const void* buf, std::size_t, int, std::uint64_t* address) {
        auto& self = *static_cast<Translation*>(user);
        if (buf >= self.limit) return -ENXIO;
        ++self.booked;
        *address = reinterpret_cast<std::uintptr_t>(buf);
        return 0;
    }
    static void untranslate(void* user, std::uint64_t, std::size_t) { --static_cast<Translation*>(user)->booked; }
    const void* limit;
    int booked = 0;
};

TEST_F(WaitersTest, WhatGoesAsItIsNeedNotWait) {
    Translation host{buffer_.data() + kBytes};
    DeviceConfig config{.name = "direct"};
    config.direct = {.translate = Translation::translate,
                     .untranslate = Translation::untranslate,
                     .user = &host,
                     .may_bounce = true};
    auto direct = make(config);
    std::vector<bounce_mapping> held;
    fill(held, *other_);
    bounce_mapping mapping{};
    ASSERT_TRUE(direct->map_wait(request(100), kForever, mapping)) << last_error();
    EXPECT_EQ(mapping.slot, buffer_.data());
    EXPECT_EQ(host.booked, 1);
    end(*direct, mapping);
    Wait wait;
    wait.request = request(100);
    EXPECT_TRUE(*direct->begin_wait(wait));
    ASSERT_TRUE(direct->finish_wait(wait, mapping));
    EXPECT_EQ(mapping.addr, reinterpret_cast<std::uintptr_t>(buffer_.data()));
    end(*direct, mapping);
    Wait cancelled;
    cancelled.request = request(100);
    EXPECT_TRUE(*direct->begin_wait(cancelled));
    EXPECT_EQ(host.booked, 1);
    direct->cancel_wait(cancelled);
    EXPECT_EQ(host.booked, 0);
    // What has to be bounced waits.
    Wait bounced;
    bounced.request = {buffer_.data() + kBytes, kBytes, Direction::kToDevice, 0};
    ASSERT_FALSE(*direct->begin_wait(bounced));
    end(*other_, held[0]);
    ASSERT_TRUE(direct->finish_wait(bounced, mapping)) << last_error();
    EXPECT_EQ(seen(mapping), std::string(kBytes, 'x'));
    end(*direct, mapping);
    held.erase(held.begin());
    end(*other_, held);
    EXPECT_EQ(direct->outstanding(), 0U);
}

}  // namespace
}  // namespace bounce
