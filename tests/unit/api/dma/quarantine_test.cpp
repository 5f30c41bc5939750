// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What a device that was not reset may still write. The device here has a mapping of its own of the region's memory, as
// another process would, and goes on writing to all that it was ever given.
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "tests/unit/api/dma/device_fixture.hpp"

namespace bounce {
namespace {

constexpr auto kTo = Direction::kToDevice;
constexpr auto kFrom = Direction::kFromDevice;

/// Another mapping of a region's memory.
class Peer {
public:
    explicit Peer(const Region& region) : base_(region.base().value), bytes_(region.bytes()) {
        void* const map = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd(), 0);
        if (map == MAP_FAILED) throw std::runtime_error("mmap");
        map_ = static_cast<unsigned char*>(map);
    }
    ~Peer() { munmap(map_, bytes_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    void write(const bounce_mapping& given) const { std::memset(map_ + (given.addr - base_), 0xdd, given.bytes); }
    void write_all() const { std::memset(map_, 0xdd, bytes_); }

private:
    std::uint64_t base_;
    std::size_t bytes_;
    unsigned char* map_;
};

class Quarantined : public DeviceTest {
protected:
    Quarantined() : DeviceTest(1u << 20) {}
    std::vector<bounce_mapping> map(Device& device, std::size_t n, std::size_t bytes, std::vector<char>& buf) {
        buf.assign(n * bytes, 'x');
        std::vector<bounce_mapping> tokens(n);
        for (std::size_t i = 0; i < n; ++i)
            EXPECT_TRUE(device.map(buf.data() + i * bytes, bytes, kFrom, 0, tokens[i])) << last_error();
        return tokens;
    }
    std::vector<char> buf_;
};

TEST_F(Quarantined, WhatADeviceMayWriteServesNobodyElseBeforeItWasReset) {
    const Peer peer(pool_->region(RegionId{0}));
    auto broken = make({.name = "broken"});
    const auto warm = map(*broken, 8, 1000, buf_);
    for (auto token : warm) ASSERT_TRUE(broken->unmap(token, 0));
    std::vector<bounce_mapping> given = map(*broken, 20, 1000, buf_);
    std::vector<char> more;
    const auto runs = map(*broken, 3, 50000, more);
    given.insert(given.end(), runs.begin(), runs.end());
    bounce_block block;
    ASSERT_TRUE(broken->alloc_block(SlotKind::kCoherent, 5000, 0, block));
    const PoolStats before = pool_->stats();

    ASSERT_TRUE(broken->quarantine()) << last_error();
    EXPECT_TRUE(broken->quarantine()) << "again is no error";
    bounce_mapping none;
    EXPECT_EQ(broken->map(buf_.data(), 10, kTo, 0, none).code(), EPROTO);
    EXPECT_EQ(broken->map(more.data(), 50000, kTo, 0, none).code(), EPROTO);
    EXPECT_EQ(broken->map_aligned(more.data(), 500, kTo, 0, 4096, none).code(), EPROTO);
    bounce_block refused;
    EXPECT_EQ(broken->alloc_block(SlotKind::kBuffer, 10, 0, refused).code(), EPROTO);
    for (std::size_t i = 0; i < given.size(); ++i) {
        auto& token = given[i];
        ASSERT_TRUE(i % 2 == 0 ? broken->unmap(token, 0) : broken->discard(token)) << last_error();
        EXPECT_EQ(broken->unmap(token, 0).code(), EALREADY);
    }
    ASSERT_TRUE(broken->free_block(SlotKind::kCoherent, block)) << last_error();
    EXPECT_EQ(broken->free_block(SlotKind::kCoherent, block).code(), EALREADY);
    EXPECT_EQ(broken->outstanding(), 0u);
    PoolStats held = pool_->stats();
    EXPECT_EQ(held.slots, 0u);
    EXPECT_EQ(held.quarantined, 24u);
    EXPECT_EQ(held.used_bytes, 0u);
    EXPECT_EQ(held.quarantined_bytes, before.used_bytes);

    // Everything that is to be had goes to another device while the broken one writes to all that it had.
    std::vector<std::pair<bounce_mapping, std::string>> others;
    std::vector<std::string> buffers;
    for (std::size_t i = 0; i < 2000; ++i) {
        std::string text(1 + i * 37 % 3000, static_cast<char>('a' + i % 26));
        bounce_mapping token;
        if (!device_->map(text.data(), text.size(), kTo, 0, token)) break;
        others.emplace_back(token, text);
        for (const auto& old : given) peer.write(old);
    }
    EXPECT_GT(others.size(), 100u);
    for (auto& [token, text] : others) {
        ASSERT_EQ(seen(token), text);
        ASSERT_TRUE(device_->unmap(token, 0));
    }
    EXPECT_EQ(pool_->stats().quarantined, 24u);

    // Reset.
    EXPECT_EQ(broken->release(), 24u);
    EXPECT_EQ(broken->release(), 0u);
    EXPECT_EQ(pool_->stats().quarantined, 0u);
    EXPECT_EQ(pool_->stats().quarantined_bytes, 0u);
    ASSERT_TRUE(broken->map(buf_.data(), 10, kTo, 0, none)) << last_error();
    EXPECT_TRUE(broken->unmap(none, 0));
}

TEST_F(Quarantined, OfTheWholePoolAllIsFreeUsedOrQuarantined) {
    auto broken = make({.name = "broken"});
    std::vector<bounce_mapping> given;
    std::vector<char> buf(4096);
    for (;;) {
        bounce_mapping token;
        if (!broken->map(buf.data(), buf.size(), kFrom, 0, token)) break;
        given.push_back(token);
    }
    EXPECT_EQ(pool_->stats().used_bytes, 1u << 20);
    ASSERT_TRUE(broken->quarantine());
    for (std::size_t i = 0; i < given.size(); ++i) {
        if (i == given.size() / 2) {
            const PoolStats now = pool_->stats();
            EXPECT_EQ(now.used_bytes + now.quarantined_bytes, 1u << 20);
            EXPECT_EQ(now.slots + now.quarantined, given.size());
        }
        ASSERT_TRUE(broken->unmap(given[i], 0));
    }
    EXPECT_EQ(pool_->stats().quarantined_bytes, 1u << 20);
    bounce_mapping none;
    EXPECT_EQ(device_->map(buf.data(), 1, kTo, 0, none).code(), ENOSPC);
    EXPECT_EQ(broken->release(), given.size());
    EXPECT_TRUE(device_->map(buf.data(), 1, kTo, 0, none)) << last_error();
    EXPECT_TRUE(device_->unmap(none, 0));
}

TEST_F(Quarantined, ItOutlivesItsDevice) {
    {
        auto broken = make({.name = "gone"});
        auto given = map(*broken, 5, 4096, buf_);
        ASSERT_TRUE(broken->quarantine());
        EXPECT_EQ(pool_->release_quarantine(0).code(), EBUSY);
        for (auto& token : given) ASSERT_TRUE(broken->unmap(token, 0));
    }
    const auto info = pool_->quarantine_info(0);
    ASSERT_TRUE(info) << last_error();
    EXPECT_STREQ(info->name, "gone");
    EXPECT_EQ(info->slots, 5u);
    EXPECT_EQ(info->bytes, 5u * 4096);
    EXPECT_FALSE(info->device_lives);
    EXPECT_EQ(pool_->quarantine_info(1).code(), EINVAL);
    EXPECT_EQ(pool_->release_quarantine(1).code(), EINVAL);
    EXPECT_EQ(pool_->stats().quarantined, 5u);
    // Another one does not mix with it.
    auto next = make({.name = "next"});
    ASSERT_TRUE(next->quarantine());
    EXPECT_STREQ(pool_->quarantine_info(1)->name, "next");
    EXPECT_EQ(next->release(), 0u);
    next.reset();
    const auto released = pool_->release_quarantine(0);
    ASSERT_TRUE(released) << last_error();
    EXPECT_EQ(*released, 5u);
    EXPECT_EQ(pool_->stats().quarantined, 0u);
    auto third = make({.name = "third"});
    ASSERT_TRUE(third->quarantine());
    EXPECT_STREQ(pool_->quarantine_info(0)->name, "third") << "an entry that nobody needs is used again";
    third->release();
}

TEST_F(Quarantined, ARetiredRegionIsNeverHandedOutNorLentAgain) {
    const Peer peer(pool_->region(RegionId{0}));
    auto broken = make({.name = "broken"});
    auto given = map(*broken, 5, 4096, buf_);
    auto kept = given.back();
    given.pop_back();
    ASSERT_TRUE(broken->quarantine());
    for (auto& token : given) ASSERT_TRUE(broken->unmap(token, 0));
    ASSERT_TRUE(pool_->retire_region(RegionId{0})) << last_error();
    EXPECT_EQ(pool_->stats().quarantined, 0u) << "nobody gets it any more";
    std::vector<char> out(4096, 'o');
    bounce_mapping token;
    EXPECT_NE(device_->map(out.data(), out.size(), kTo, 0, token).code(), 0);
    EXPECT_EQ(pool_->lend().code(), EBUSY);
    EXPECT_NE(std::string(last_error()).find("retired"), std::string::npos) << last_error();

    RegionConfig fresh;
    fresh.bytes = 1u << 20;
    fresh.base_gpa = Gpa{kBase + (16u << 20)};
    const auto added = pool_->add_region(fresh);
    ASSERT_TRUE(added) << last_error();
    ASSERT_TRUE(pool_->lend()) << last_error();
    EXPECT_EQ(pool_->usable(), RegionMask{1} << added->value) << "the old one is not shown";
    pool_->take_back();
    ASSERT_TRUE(device_->map(out.data(), out.size(), kTo, 0, token)) << last_error();
    peer.write_all();
    EXPECT_EQ(seen(token), std::string(4096, 'o'));
    EXPECT_EQ(SlotHandle(token.handle).region(), *added);
    EXPECT_TRUE(device_->unmap(token, 0));

    // What was out ends as ever; then the region goes, and what comes at its place is other memory.
    EXPECT_EQ(pool_->remove_region(RegionId{0}).code(), EBUSY);
    ASSERT_TRUE(broken->unmap(kept, 0)) << last_error();
    EXPECT_EQ(pool_->stats().quarantined, 0u) << "it is home in the retired region";
    EXPECT_EQ(broken->release(), 0u);
    ASSERT_TRUE(pool_->remove_region(RegionId{0})) << last_error();
    EXPECT_EQ(pool_->retire_region(RegionId{0}).code(), EINVAL);
    EXPECT_EQ(pool_->retire_region(RegionId{9}).code(), EINVAL);
    RegionConfig again;
    again.bytes = 1u << 20;
    again.base_gpa = Gpa{kBase};
    ASSERT_TRUE(pool_->add_region(again)) << last_error();
    ASSERT_TRUE(pool_->lend());
    EXPECT_EQ(pool_->usable_regions(), 2u);
    pool_->take_back();
    peer.write_all();
    const std::byte* const there = at(kBase, 1u << 20);
    EXPECT_EQ(std::count(there, there + (1u << 20), std::byte{0xdd}), 0);
}

TEST_F(Quarantined, ThreadsThatGiveBackMeanwhileLoseNothing) {
    constexpr int kThreads = 4;
    for (int round = 0; round < 20; ++round) {
        auto broken = make({.name = "broken"});
        std::atomic<bool> stop{false};
        std::atomic<int> refused{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < kThreads; ++t) {
            threads.emplace_back([&, t] {
                std::vector<char> mine(3000);
                std::vector<bounce_mapping> out;
                while (!stop.load()) {
                    bounce_mapping token;
                    const auto mapped =
                        broken->map(mine.data(), 100 + 700 * static_cast<std::size_t>(t), kFrom, 0, token);
                    if (mapped) {
                        out.push_back(token);
                    } else if (mapped.code() == EPROTO) {
                        ++refused;
                        break;
                    }
                    if (out.size() >= 10 || !mapped) {
                        for (auto& each : out) EXPECT_TRUE(broken->unmap(each, 0)) << last_error();
                        out.clear();
                    }
                }
                for (auto& each : out) EXPECT_TRUE(broken->unmap(each, 0)) << last_error();
            });
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        Result<void> done = broken->quarantine();
        EXPECT_TRUE(done || done.code() == EBUSY) << last_error();
        stop = true;
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(broken->outstanding(), 0u);
        const PoolStats held = pool_->stats();
        EXPECT_EQ(held.slots, 0u);
        EXPECT_EQ(held.used_bytes, 0u);
        if (round % 2 == 0) {
            EXPECT_EQ(broken->release(), held.quarantined);
        }
        broken.reset();
        if (round % 2 == 1) {
            for (std::uint32_t i = 0; pool_->quarantine_info(i); ++i) EXPECT_TRUE(pool_->release_quarantine(i));
        }
        EXPECT_EQ(pool_->stats().quarantined, 0u);
    }
    // Nothing is lost: all of it can be had in one piece.
    std::vector<char> all(1u << 20);
    bounce_mapping token;
    ASSERT_TRUE(device_->map(all.data(), all.size(), kFrom, 0, token)) << last_error();
    EXPECT_TRUE(device_->unmap(token, 0));
}

TEST_F(Quarantined, ListsAndPaddedMappingsGoThereToo) {
    auto broken = make({.name = "broken", .limits = {.min_align_mask = 4095}});
    std::vector<char> buf(100000);
    bounce_mapping token;
    ASSERT_TRUE(broken->map(buf.data() + 100, 1000, kFrom, 0, token));
    std::vector<bounce_mapping> tokens(4);
    std::vector<bounce_segment> segments(2);
    bounce_list list{sizeof list, tokens.data(), 4, segments.data(), 2, 0, 0, 0};
    const std::vector<bounce_sg> sg{{buf.data() + 5000, 40000, 0, 0}, {buf.data() + 60000, 10, 0, 0}};
    ASSERT_TRUE(broken->map_list(sg, kFrom, 0, 0, list)) << last_error();
    const auto slots = broken->outstanding_mappings();
    ASSERT_TRUE(broken->quarantine());
    ASSERT_TRUE(broken->unmap(token, 0));
    ASSERT_TRUE(broken->unmap_list(list, 0)) << last_error();
    EXPECT_EQ(broken->map_list(sg, kFrom, 0, 0, list).code(), EPROTO);
    EXPECT_EQ(pool_->stats().quarantined, slots + 0);
    EXPECT_EQ(broken->release(), slots);
}

}  // namespace
}  // namespace bounce
