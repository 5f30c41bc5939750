// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The small parts that the tools share.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "tools/bounce-blk/request.hpp"
#include "tools/bounce-blk/virtio_blk.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/hex.hpp"
#include "tools/common/histogram.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/random.hpp"
#include "tools/common/sha256.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {
namespace {

TEST(Units, SizesAreRead) {
    EXPECT_EQ(parse_size("0"), 0U);
    EXPECT_EQ(parse_size("512"), 512U);
    EXPECT_EQ(parse_size("512B"), 512U);
    EXPECT_EQ(parse_size("4k"), 4096U);
    EXPECT_EQ(parse_size("64KiB"), 65536U);
    EXPECT_EQ(parse_size("1M"), 1U << 20);
    EXPECT_EQ(parse_size("2G"), std::uint64_t{2} << 30);
    EXPECT_EQ(parse_size("0x1000"), 4096U);
    EXPECT_EQ(parse_size("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(parse_size("16383P"), std::uint64_t{16383} << 50);
}

TEST(Units, WhatIsNoSizeIsRefused) {
    for (const char* text : {"", "K", "-1", "+1", " 1", "1 ", "1.5G", "1KB", "1kib2", "4Q", "0x",
                             "18446744073709551616", "16384P", "99999999999999999999K"}) {
        EXPECT_THROW(parse_size(text), UsageError) << text;
    }
}

TEST(Units, NumbersKeepToTheirBounds) {
    EXPECT_EQ(parse_number("7", 7, 9), 7U);
    EXPECT_EQ(parse_number("9", 7, 9), 9U);
    for (const char* text : {"6", "10", "", "7x", "-7", "7.0"})
        EXPECT_THROW(parse_number(text, 7, 9), UsageError) << text;
    EXPECT_EQ(parse_seconds("0.25", 0, 1), 0.25);
    for (const char* text : {"", "2", "-1", "nan", "inf", "1s"})
        EXPECT_THROW(parse_seconds(text, 0, 1), UsageError) << text;
}

TEST(Units, BytesAreWritten) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(1023), "1023 B");
    EXPECT_EQ(format_bytes(4096), "4 KiB");
    EXPECT_EQ(format_bytes(1536), "1.5 KiB");
    EXPECT_EQ(format_bytes(std::uint64_t{64} << 20), "64 MiB");
    EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
    EXPECT_EQ(format_number(5), "5");
    EXPECT_EQ(format_number(0.25), "0.25");
    EXPECT_EQ(format_nanoseconds(834), "834 ns");
    EXPECT_EQ(format_nanoseconds(12345), "12.3 us");
}

TEST(Histogram, PercentilesAreWithinABucketOfTheTruth) {
    std::mt19937_64 random(1);
    Histogram histogram;
    std::vector<std::uint64_t> values;
    for (int i = 0; i < 100000; ++i) {
        values.push_back(random() >> (random() % 64));
        histogram.record(values.back());
    }
    std::sort(values.begin(), values.end());
    EXPECT_EQ(histogram.count(), values.size());
    for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size())) - 1;
        const auto exact = static_cast<double>(values[rank]);
        EXPECT_NEAR(histogram.percentile(share), exact, exact / 64 + 1) << share;
    }
}

TEST(Histogram, SmallValuesAreExactAndExtremesHaveABucket) {
    Histogram histogram;
    EXPECT_EQ(histogram.percentile(0.5), 0);
    for (std::uint64_t value = 0; value < 64; ++value) histogram.record(value);
    EXPECT_EQ(histogram.percentile(0.5), 31);
    histogram.reset();
    histogram.record(std::numeric_limits<std::uint64_t>::max());
    EXPECT_NEAR(histogram.percentile(0.5), 1.84e19, 0.02e19);
    Histogram other;
    other.merge(histogram);
    EXPECT_EQ(other.count(), 1U);
}

TEST(Canary, AChangeOnEitherSideIsSeen) {
    const Canary canary;
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{16}, std::size_t{4096}}) {
        const GuardedBuffer buffer(canary, bytes);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % GuardedBuffer::kAlign, 0U);
        buffer.fill_with_canary(bytes);
        EXPECT_TRUE(buffer.intact());
        buffer.data()[-1] ^= std::byte{1};
        EXPECT_FALSE(buffer.intact());
        buffer.data()[-1] ^= std::byte{1};
        buffer.data()[bytes] ^= std::byte{1};
        EXPECT_FALSE(buffer.intact());
    }
}

TEST(Canary, FillsABufferOverAndOver) {
    const Canary canary("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    const GuardedBuffer buffer(canary, 20000);
    std::fill_n(buffer.data(), 20000, std::byte{0xff});
    buffer.fill_with_canary(19999);
    for (std::size_t i = 0; i < 19999; ++i) ASSERT_EQ(buffer.data()[i], static_cast<std::byte>(i % 32)) << i;
    EXPECT_EQ(buffer.data()[19999], std::byte{0xff});
    EXPECT_THROW(Canary("00"), UsageError);
    EXPECT_THROW(Canary(std::string(64, 'g')), UsageError);
    EXPECT_NE(Canary().hex(), Canary().hex());
}

TEST(Sha256, OfAbc) {
    Sha256 hash;
    hash.update(std::as_bytes(std::span("ab", 2)));
    hash.update(std::as_bytes(std::span("c", 1)));
    EXPECT_EQ(hash.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Random, StaysBelow) {
    Random random(1);
    std::array<int, 3> seen{};
    for (int i = 0; i < 3000; ++i) ++seen.at(random.below(3));
    for (const int count : seen) EXPECT_GT(count, 800);
    EXPECT_EQ(random.below(1), 0U);
}

}  // namespace
}  // namespace bounce::tools

namespace bounce::blk {
namespace {

std::uint64_t all_features() {
    return ~std::uint64_t{0} & ~feature(kReadOnly);
}

TEST(DeviceConfig, IsTakenApart) {
    std::array<std::byte, DeviceConfig::kBytes> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    const DeviceConfig config = DeviceConfig::parse(bytes);
    EXPECT_EQ(config.capacity_sectors, 0x0706050403020100U);
    EXPECT_EQ(config.seg_max, 0x0f0e0d0cU);
    EXPECT_EQ(config.sectors, 19);
    EXPECT_EQ(config.blk_size, 0x17161514U);
    EXPECT_EQ(config.num_queues, 0x2322);
    EXPECT_EQ(config.write_zeroes_may_unmap, 56);
}

TEST(Limits, WhatADeviceClaimsIsChecked) {
    DeviceConfig config;
    config.capacity_sectors = 8;
    config.blk_size = 4096;
    config.size_max = 5000;
    config.seg_max = 3;
    Limits limits = Limits::check(config, all_features());
    EXPECT_TRUE(limits.remarks.empty());
    EXPECT_EQ(limits.capacity_bytes, 4096U);
    EXPECT_EQ(limits.block_bytes, 4096U);
    EXPECT_EQ(limits.segment_bytes, 4608U);
    EXPECT_EQ(limits.segments, 3U);

    for (const std::uint32_t size : {0U, 1U, 511U, 1000U, 1U << 21, 0xffffffffU}) {
        config.blk_size = size;
        limits = Limits::check(config, all_features());
        EXPECT_EQ(limits.block_bytes, 512U) << size;
        EXPECT_EQ(limits.remarks.size(), 1U);
    }
    config.size_max = 1;
    config.seg_max = 0;
    limits = Limits::check(config, all_features());
    EXPECT_EQ(limits.segment_bytes, 512U);
    EXPECT_EQ(limits.segments, 1U);
    EXPECT_EQ(limits.remarks.size(), 3U);

    limits = Limits::check(config, 0);  // nothing negotiated: nothing of it counts
    EXPECT_EQ(limits.block_bytes, 512U);
    EXPECT_EQ(limits.segment_bytes, 0U);
    EXPECT_TRUE(limits.remarks.empty());

    config.capacity_sectors = std::numeric_limits<std::uint64_t>::max();
    EXPECT_THROW(Limits::check(config, 0), tools::Failure);
}

TEST(Features, HaveNames) {
    EXPECT_EQ(feature_name(9), "VIRTIO_BLK_F_FLUSH");
    EXPECT_EQ(feature_name(60), "bit 60");
    EXPECT_EQ(feature_names(feature(kFlush) | feature(kReadOnly)),
              (std::vector<std::string>{"VIRTIO_BLK_F_RO", "VIRTIO_BLK_F_FLUSH"}));
    EXPECT_EQ(tools::protocol_feature_names(1U << 9), std::vector<std::string>{"CONFIG"});
}

TEST(Request, ListHasSegmentsOfTheLimit) {
    const tools::Canary canary;
    Request request(canary, 8192);
    request.prepare(kTypeIn, 4096, 5120);
    std::vector<bounce_sg> list;
    std::size_t n_out = 0;
    std::size_t n_in = 0;
    request.build_list(2048, list, n_out, n_in);
    ASSERT_EQ(list.size(), 5U);
    EXPECT_EQ(n_out, 1U);
    EXPECT_EQ(n_in, 4U);
    EXPECT_EQ(tools::load_le<std::uint64_t>(static_cast<std::byte*>(list[0].base) + 8), 8U);
    EXPECT_EQ(list[3].bytes, 1024U);
    EXPECT_EQ(static_cast<std::byte*>(list[3].base), request.data().data() + 4096);
    EXPECT_EQ(list[4].bytes, 1U);

    request.prepare(kTypeFlush, 0, 0);
    request.build_list(0, list, n_out, n_in);
    EXPECT_EQ(list.size(), 2U);
}

TEST(Request, ResultsAreJudged) {
    const tools::Canary canary;
    Request request(canary, 4096);
    std::vector<bounce_sg> list;
    std::size_t n_out = 0;
    std::size_t n_in = 0;
    request.prepare(kTypeIn, 0, 4096);
    request.build_list(0, list, n_out, n_in);
    auto* status = static_cast<std::byte*>(list[2].base);
    EXPECT_THROW(request.check_result(4097), tools::Failure);  // no status came
    *status = std::byte{0};
    EXPECT_NO_THROW(request.check_result(4097));
    EXPECT_THROW(request.check_result(4096), tools::Failure);  // a short read
    for (const unsigned bad : {1U, 2U, 3U, 255U}) {
        *status = static_cast<std::byte>(bad);
        EXPECT_THROW(request.check_result(4097), tools::Failure) << bad;
    }
    *status = std::byte{0};
    request.data().data()[4096] ^= std::byte{1};
    EXPECT_THROW(request.check_result(4097), tools::Failure);  // the canary behind the data
}

}  // namespace
}  // namespace bounce::blk
