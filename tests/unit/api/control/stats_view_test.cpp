// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/stats_view.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "api/control/stats_segment.hpp"

namespace bounce {
namespace {

class StatsViewTest : public testing::Test {
protected:
    StatsViewTest() {
        auto segment = StatsSegment::create(5);
        EXPECT_TRUE(segment) << last_error();
        segment_ = std::move(*segment);
        write(1);
    }
    void write(std::uint64_t value) {
        segment_->begin();
        bounce_stats_pool pool{};
        std::memset(pool.name, 'x', sizeof pool.name);  // without an end
        pool.bytes = value;
        pool.events = value;
        segment_->add(pool);
        for (std::uint64_t i = 0; i < StatsSegment::kRegions + 3; ++i) {
            bounce_stats_region region{};
            region.index = i;
            region.bytes = value;
            segment_->add(region);
        }
        segment_->publish(value);
    }
    std::vector<std::uint64_t> words() {
        auto view = StatsView::open(segment_->fd());
        EXPECT_TRUE(view) << last_error();
        std::size_t n = 0;
        const void* bytes = (*view)->bytes(n);
        std::vector<std::uint64_t> copied(n / 8);
        std::memcpy(copied.data(), bytes, n);
        return copied;
    }
    std::unique_ptr<StatsSegment> segment_;
};

TEST_F(StatsViewTest, ReadsWhatWasWritten) {
    auto view = StatsView::open(segment_->fd());
    ASSERT_TRUE(view) << last_error();
    EXPECT_EQ((*view)->header().pid, static_cast<std::uint64_t>(::getpid()));
    bounce_stats_pool pool{};
    const auto whole = (*view)->record(BOUNCE_STATS_POOL, 0, &pool, sizeof pool);
    ASSERT_TRUE(whole);
    EXPECT_TRUE(*whole);
    EXPECT_EQ(pool.bytes, 1U);
    EXPECT_EQ(std::strlen(pool.name), sizeof pool.name - 1) << "text ends in its array";
    EXPECT_EQ((*view)->count(BOUNCE_STATS_REGIONS), StatsSegment::kRegions);
    EXPECT_EQ((*view)->header().directory[BOUNCE_STATS_REGIONS - 1].left_out, 3U);
    EXPECT_EQ((*view)->count(99), 0U);
    EXPECT_EQ((*view)->record(BOUNCE_STATS_POOL, 1, &pool, sizeof pool).code(), EINVAL);
    write(2);
    ASSERT_TRUE((*view)->refresh());
    ASSERT_TRUE((*view)->record(BOUNCE_STATS_POOL, 0, &pool, sizeof pool));
    EXPECT_EQ(pool.bytes, 2U);
}

TEST_F(StatsViewTest, OlderAndNewerReadersReadWhatTheyKnow) {
    auto view = StatsView::open(segment_->fd());
    ASSERT_TRUE(view);
    struct Newer {
        bounce_stats_region known;
        std::uint64_t more = 9;
    } newer;
    const auto whole = (*view)->record(BOUNCE_STATS_REGIONS, 2, &newer, sizeof newer);
    ASSERT_TRUE(whole);
    EXPECT_TRUE(*whole);
    EXPECT_EQ(newer.known.index, 2U);
    EXPECT_EQ(newer.more, 0U);
    std::uint64_t older[3] = {};
    const auto part = (*view)->record(BOUNCE_STATS_REGIONS, 2, older, sizeof older);
    ASSERT_TRUE(part);
    EXPECT_FALSE(*part);
    EXPECT_EQ(older[0], 2U);
}

TEST_F(StatsViewTest, WhatIsNoSegmentIsRefused) {
    const int plain = ::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(::ftruncate(plain, 1 << 20), 0);
    EXPECT_EQ(StatsView::open(plain).code(), EINVAL) << "no seals";
    ASSERT_EQ(::fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
    EXPECT_EQ(StatsView::open(plain).code(), EINVAL) << "zeros";
    ::close(plain);
    EXPECT_EQ(StatsView::open(-1).code(), EINVAL);
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    EXPECT_EQ(StatsView::open(pipes[0]).code(), EINVAL);
    ::close(pipes[0]);
    ::close(pipes[1]);
    EXPECT_EQ(StatsView::parse("", 0).code(), EINVAL);
}

/// A number of the header, or of a directory entry, made wrong.
TEST_F(StatsViewTest, EveryWrongNumberIsSeen) {
    const auto good = words();
    ASSERT_TRUE(StatsView::parse(good.data(), good.size() * 8)) << last_error();
    const auto refused = [&](std::size_t word, std::uint64_t value) {
        auto wrong = good;
        wrong[word] = value;
        return StatsView::parse(wrong.data(), wrong.size() * 8).code() != 0;
    };
    const auto word_of = [](std::size_t offset) { return offset / 8; };
    EXPECT_TRUE(refused(word_of(offsetof(bounce_stats_header, magic)), 1));
    EXPECT_TRUE(refused(word_of(offsetof(bounce_stats_header, version)), 2));
    EXPECT_TRUE(refused(word_of(offsetof(bounce_stats_header, header_bytes)), 8));
    EXPECT_TRUE(refused(word_of(offsetof(bounce_stats_header, header_bytes)), ~std::uint64_t{0}));
    EXPECT_TRUE(refused(word_of(offsetof(bounce_stats_header, bytes)), 4096));
    for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t at = word_of(offsetof(bounce_stats_header, directory) + i * sizeof(bounce_stats_directory));
        for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{4}, good.size() * 8, ~std::uint64_t{7}})
            EXPECT_TRUE(refused(at + 1, offset)) << i << " offset " << offset;
        for (const std::uint64_t record : {std::uint64_t{0}, std::uint64_t{4}, std::uint64_t{1} << 40})
            EXPECT_TRUE(refused(at + 2, record)) << i << " record " << record;
        EXPECT_TRUE(refused(at + 3, ~std::uint64_t{0})) << i;
        EXPECT_TRUE(refused(at + 4, ~std::uint64_t{0})) << i;
        EXPECT_TRUE(refused(at + 4, std::uint64_t{1} << 61)) << i;
    }
    for (std::size_t n = 0; n < good.size() * 8; n += 1001) {
        EXPECT_FALSE(StatsView::parse(good.data(), n)) << n;
    }
}

// Who reads while somebody writes has one picture, or is told.
TEST_F(StatsViewTest, APictureIsOnePicture) {
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (std::uint64_t value = 1; !stop.load(); ++value) write(value);
    });
    auto view = StatsView::open(segment_->fd());
    ASSERT_TRUE(view) << last_error();
    for (int i = 0; i < 300; ++i) {
        const auto torn = (*view)->refresh();
        ASSERT_TRUE(torn) << last_error();
        if (*torn) continue;
        bounce_stats_pool pool{};
        ASSERT_TRUE((*view)->record(BOUNCE_STATS_POOL, 0, &pool, sizeof pool));
        EXPECT_EQ(pool.events, pool.bytes);
        for (std::uint64_t j = 0; j < (*view)->count(BOUNCE_STATS_REGIONS); ++j) {
            bounce_stats_region region{};
            ASSERT_TRUE((*view)->record(BOUNCE_STATS_REGIONS, j, &region, sizeof region));
            ASSERT_EQ(region.bytes, pool.bytes);
        }
        ASSERT_EQ((*view)->header().published_ns, pool.bytes);
    }
    stop = true;
    writer.join();
    // At rest it always is.
    const auto torn = (*view)->refresh();
    ASSERT_TRUE(torn);
    EXPECT_FALSE(*torn);
}

}  // namespace
}  // namespace bounce
