// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What bounce-net says of packets, without a device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "tools/bounce-net/checksum.hpp"
#include "tools/bounce-net/frame.hpp"
#include "tools/bounce-net/tracker.hpp"

namespace bounce::net {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Checksum, KnownValues) {
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32c({}), 0U);
    EXPECT_EQ(crc32c(bytes_of("6789"), crc32c(bytes_of("12345"))), 0xe3069283U);
    // The example of RFC 1071, section 3.
    const unsigned char words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    EXPECT_EQ(fold(sum_words(std::as_bytes(std::span(words)))), 0xddf2);
    EXPECT_EQ(fold(sum_words(std::as_bytes(std::span(words)).first(3))), 0xf201);
}

// Point 13 of what is said of hostile devices: a header is subtracted from a length that has it.
TEST(Header, IsTakenOffALengthThatHasIt) {
    for (std::size_t written = 0; written < PacketHeader::kBytes; ++written)
        EXPECT_EQ(PacketHeader::frame_bytes(written), std::nullopt) << written;
    EXPECT_EQ(PacketHeader::frame_bytes(PacketHeader::kBytes), std::size_t{0});
    EXPECT_EQ(PacketHeader::frame_bytes(PacketHeader::kBytes + 60), std::size_t{60});
}

TEST(Frame, ComesBackGood) {
    for (const Protocol protocol : {Protocol::kUdp, Protocol::kTcp}) {
        for (const std::size_t bytes : {least_frame_bytes(protocol), std::size_t{1401}, kMaxFrameBytes}) {
            for (const bool offload : {false, true}) {
                std::vector<std::byte> frame(bytes);
                const FrameSpec spec{protocol, 3, 77, 9, offload};
                const PacketHeader header = make_frame(spec, frame);
                const Checked checked = check_frame(frame, header, offload);
                EXPECT_EQ(checked.verdict, Verdict::kGood) << bytes << verdict_text(checked.verdict);
                EXPECT_EQ(checked.pair, 3);
                EXPECT_EQ(checked.sequence, 77U);
                std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
                EXPECT_EQ(check_frame(frame, header, offload).verdict, Verdict::kGood) << "addresses swapped";
            }
        }
    }
}

TEST(Frame, EveryBitCounts) {
    std::vector<std::byte> frame(least_frame_bytes(Protocol::kUdp) + 9);
    const PacketHeader header = make_frame({.sequence = 5}, frame);
    for (std::size_t i = 0; i < frame.size(); ++i) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            frame[i] ^= std::byte(1U << bit);
            EXPECT_NE(check_frame(frame, header, false).verdict, Verdict::kGood) << "byte " << i << " bit " << bit;
            frame[i] ^= std::byte(1U << bit);
        }
    }
    for (std::size_t bytes = 0; bytes < frame.size(); ++bytes)
        EXPECT_NE(check_frame(std::span(frame).first(bytes), header, false).verdict, Verdict::kGood);
}

TEST(Frame, PartialChecksumsOnlyWhereTheyWereAgreedOn) {
    std::vector<std::byte> frame(100);
    PacketHeader header = make_frame({.offload_checksum = true}, frame);
    EXPECT_EQ(check_frame(frame, header, false).verdict, Verdict::kWrongChecksum);
    EXPECT_EQ(check_frame(frame, PacketHeader{}, true).verdict, Verdict::kWrongChecksum)
        << "a part, not said to be one";
    header.csum_start = 60000;
    EXPECT_EQ(check_frame(frame, header, true).verdict, Verdict::kWrongChecksum);
}

TEST(PacketHeader, IsLittleEndianOnTheWire) {
    const PacketHeader header{1, 2, 0x0304, 0x0506, 0x0708, 0x090a, 0x0b0c};
    std::byte bytes[PacketHeader::kBytes];
    header.store(bytes);
    const unsigned char expected[] = {1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11};
    EXPECT_EQ(std::memcmp(bytes, expected, sizeof bytes), 0);
    const PacketHeader back = PacketHeader::load(bytes);
    EXPECT_EQ(back.num_buffers, 0x0b0c);
    EXPECT_EQ(back.csum_offset, 0x090a);
}

TEST(Tracker, CountsEachForWhatItIs) {
    Tracker tracker;
    for (std::uint32_t i = 0; i < 6; ++i) EXPECT_EQ(tracker.sent(), i);
    tracker.received(0, 60);
    tracker.received(2, 60);
    tracker.received(1, 60);  // late
    tracker.received(1, 60);  // twice
    tracker.received(9, 60);  // never sent
    EXPECT_EQ(tracker.under_way(), 3U);
    tracker.give_up(false);
    EXPECT_EQ(tracker.under_way(), 0U);
    EXPECT_EQ(tracker.counts().lost, 3U);
    tracker.received(4, 60);  // after all
    const Counts& counts = tracker.counts();
    EXPECT_EQ(counts.sent, 6U);
    EXPECT_EQ(counts.received, 4U);
    EXPECT_EQ(counts.lost, 2U);
    EXPECT_EQ(counts.duplicated, 1U);
    EXPECT_EQ(counts.foreign, 1U);
    EXPECT_EQ(counts.reordered, 1U);
    EXPECT_EQ(tracker.sent(), 6U);
    tracker.give_up(true);
    EXPECT_EQ(counts.gone, 1U);
    EXPECT_FALSE(counts.good());
}

TEST(Tracker, RemembersEnough) {
    Tracker tracker;
    for (std::uint32_t i = 0; i < 3 * Tracker::kRemembered; ++i) tracker.received(tracker.sent(), 1);
    EXPECT_EQ(tracker.counts().received, 3U * Tracker::kRemembered);
    tracker.received(3 * Tracker::kRemembered - 1, 1);
    EXPECT_EQ(tracker.counts().duplicated, 1U);
    tracker.received(0, 1);
    EXPECT_EQ(tracker.counts().foreign, 1U) << "too long ago to be known";
}

}  // namespace
}  // namespace bounce::net
