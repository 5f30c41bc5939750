// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/packed_layout.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "api/virtio/packed_ring.hpp"

namespace bounce {
namespace {

TEST(PackedLayout, ADescriptorIsSixteenLittleEndianBytes) {
    PackedDesc desc;
    desc.put(0x0102030405060708, 0x11121314, 0x2122);
    desc.flags.store(kPackedUsed | kDescWrite);
    const unsigned char expected[] = {8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x22, 0x21, 2, 0x80};
    EXPECT_EQ(std::memcmp(&desc, expected, sizeof desc), 0);
}

TEST(PackedLayout, PartsHaveRoomAndCacheLinesOfTheirOwn) {
    for (const std::uint32_t n : {1U, 2U, 3U, 7U, 255U, 256U, 1000U, 32767U, 32768U}) {
        const PackedOffsets offsets(n);
        EXPECT_GE(offsets.driver_event, std::size_t{16} * n);
        EXPECT_EQ(offsets.driver_event % kRingAlign, 0U);
        EXPECT_EQ(offsets.device_event, offsets.driver_event + kRingAlign);
        EXPECT_EQ(offsets.bytes, offsets.device_event + kRingAlign);
    }
}

TEST(PackedLayout, FieldsAreWhereTheSpecificationPutsThem) {
    constexpr std::uint32_t n = 3;
    const PackedOffsets offsets(n);
    alignas(kRingAlign) std::byte memory[512]{};
    ASSERT_LE(offsets.bytes, sizeof memory);
    PackedRing ring(memory, n);
    const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(memory[at]); };
    ring.publish(2, kPackedAvail | kDescNext);
    EXPECT_EQ(byte(2 * 16 + 14), 0x81U);
    ring.set_driver_event(PackedEvent(0x8102, PackedEvent::kDesc));
    EXPECT_EQ(byte(offsets.driver_event), 2U);
    EXPECT_EQ(byte(offsets.driver_event + 1), 0x81U);
    EXPECT_EQ(byte(offsets.driver_event + 2), 2U);
    EXPECT_EQ(byte(offsets.driver_event + 3), 0U);
    memory[offsets.device_event] = std::byte{5};
    memory[offsets.device_event + 1] = std::byte{0x80};
    memory[offsets.device_event + 2] = std::byte{0xfe};  // the flags are two bits
    EXPECT_EQ(ring.device_event().offset(), 5U);
    EXPECT_TRUE(ring.device_event().wrap());
    EXPECT_EQ(ring.device_event().flags(), PackedEvent::kDesc);
    memory[16 + 15] = std::byte{0x80};
    EXPECT_EQ(ring.flags(1), kPackedUsed);
    EXPECT_EQ(ring.flags_after_arm(1), kPackedUsed);
}

TEST(PackedLayout, APositionFlipsItsWrapCounterAtTheEndOfTheRing) {
    PackedPosition at;
    EXPECT_EQ(at.encoded(), 0x8000);
    EXPECT_EQ(at.avail_flags(), kPackedAvail);
    EXPECT_EQ(at.used_flags(), kPackedBoth);
    at.move(2, 3);
    EXPECT_EQ(at.encoded(), 0x8002);
    at.step(3);
    EXPECT_EQ(at.encoded(), 0x0000);
    EXPECT_EQ(at.avail_flags(), kPackedUsed);
    EXPECT_EQ(at.used_flags(), 0);
    at.move(3, 3);  // a whole lap
    EXPECT_EQ(at.encoded(), 0x8000);
    PackedPosition only;
    only.step(1);
    EXPECT_EQ(only.encoded(), 0x0000);
    PackedPosition far;
    far.move(32768, 32768);
    EXPECT_EQ(far.encoded(), 0x0000);
    far.move(32767, 32768);
    EXPECT_EQ(far.encoded(), 0x7fff);
}

}  // namespace
}  // namespace bounce
