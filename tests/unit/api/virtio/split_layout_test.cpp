// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/virtio/split_layout.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "api/virtio/split_ring.hpp"

namespace bounce {
namespace {

TEST(SplitLayout, ADescriptorIsSixteenLittleEndianBytes) {
    SplitDesc desc;
    desc.put(0x0102030405060708, 0x11121314, kDescNext | kDescWrite, 0x2122);
    const unsigned char expected[] = {8, 7, 6, 5, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 3, 0, 0x22, 0x21};
    EXPECT_EQ(std::memcmp(&desc, expected, sizeof desc), 0);
}

TEST(SplitLayout, PartsHaveRoomAndCacheLinesOfTheirOwn) {
    for (std::uint32_t n = kSplitMinQueue; n <= kSplitMaxQueue; n *= 2) {
        const SplitOffsets offsets(n);
        EXPECT_GE(offsets.avail, std::size_t{16} * n);
        EXPECT_GE(offsets.used, offsets.avail + 6 + std::size_t{2} * n);
        EXPECT_GE(offsets.bytes, offsets.used + 6 + std::size_t{8} * n);
        EXPECT_EQ(offsets.avail % SplitOffsets::kAlign, 0U);
        EXPECT_EQ(offsets.used % SplitOffsets::kAlign, 0U);
    }
}

TEST(SplitLayout, FieldsAreWhereTheSpecificationPutsThem) {
    constexpr std::uint32_t n = 8;
    const SplitOffsets offsets(n);
    alignas(SplitOffsets::kAlign) std::byte memory[1024]{};
    ASSERT_LE(offsets.bytes, sizeof memory);
    SplitRing ring(memory, n);
    const auto byte = [&](std::size_t at) { return std::to_integer<unsigned>(memory[at]); };
    ring.set_avail_flags(kAvailNoInterrupt);
    ring.publish(0x0102);
    ring.put_avail(8 + 3, 0x0304);  // indices wrap at the queue size
    ring.ask_call_at(0x0506);
    EXPECT_EQ(byte(offsets.avail), 1U);
    EXPECT_EQ(byte(offsets.avail + 2), 2U);
    EXPECT_EQ(byte(offsets.avail + 4 + 2 * 3), 4U);
    EXPECT_EQ(byte(offsets.avail + 4 + 2 * n), 6U);
    memory[offsets.used] = std::byte{1};
    memory[offsets.used + 2] = std::byte{7};
    memory[offsets.used + 4 + 8 * 5] = std::byte{9};
    memory[offsets.used + 4 + 8 * 5 + 4] = std::byte{10};
    memory[offsets.used + 4 + 8 * n] = std::byte{11};
    EXPECT_EQ(ring.used_flags(), kUsedNoNotify);
    EXPECT_EQ(ring.used_index(), 7U);
    EXPECT_EQ(ring.used_index_after_arm(), 7U);
    EXPECT_EQ(ring.used(16 + 5).id.load(), 9U);
    EXPECT_EQ(ring.used(16 + 5).len.load(), 10U);
    EXPECT_EQ(ring.avail_event(), 11U);
    ring.desc(1).put(0x42, 1, 0, 0);
    EXPECT_EQ(byte(16), 0x42U);
}

TEST(SplitLayout, AnEventIsPassedExactlyOnceAlsoOverTheWrap) {
    for (const std::uint32_t start : {0U, 5U, 65530U, 65535U}) {
        for (std::uint32_t moved = 1; moved <= 12; ++moved) {
            const auto before = static_cast<std::uint16_t>(start);
            const auto now = static_cast<std::uint16_t>(start + moved);
            std::uint32_t passed = 0;
            for (std::uint32_t event = 0; event <= 0xffff; ++event) {
                const auto distance = static_cast<std::uint16_t>(event - before);
                EXPECT_EQ(passed_event(static_cast<std::uint16_t>(event), now, before), distance < moved);
                passed += distance < moved ? 1 : 0;
            }
            EXPECT_EQ(passed, moved);
        }
    }
}

}  // namespace
}  // namespace bounce
