// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The virtio-net device as the specification has it (virtio 1.2, section 5.1): feature bits, configuration space, the
// header of a packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tools/common/virtio_names.hpp"

namespace bounce::net {

enum FeatureBit : unsigned {
    kCsum = 0,
    kGuestCsum = 1,
    kMtu = 3,
    kMac = 5,
    kMrgRxbuf = 15,
    kStatus = 16,
    kMultiQueue = 22,
    kIndirectDesc = 28,
    kEventIdx = 29,
    kAccessPlatform = 33,
    kRingPacked = 34,
    kInOrder = 35,
};

[[nodiscard]] constexpr std::uint64_t feature(FeatureBit bit) noexcept {
    return std::uint64_t{1} << bit;
}
[[nodiscard]] constexpr bool has(std::uint64_t features, FeatureBit bit) noexcept {
    return (features & feature(bit)) != 0;
}

/// The names of this device's feature bits.
std::span<const tools::BitName> feature_table() noexcept;

/// Queues of pair n: packets come on 2n and go out on 2n + 1 (section 5.1.2).
[[nodiscard]] constexpr std::uint32_t rx_queue(std::uint32_t pair) noexcept {
    return 2 * pair;
}
[[nodiscard]] constexpr std::uint32_t tx_queue(std::uint32_t pair) noexcept {
    return 2 * pair + 1;
}

/// What stands in front of each packet, both ways (section 5.1.6). VERSION_1: num_buffers is always there.
struct PacketHeader {
    static constexpr std::size_t kBytes = 12;
    static constexpr std::uint8_t kNeedsCsum = 1;
    static constexpr std::uint8_t kDataValid = 2;

    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;
    std::uint16_t csum_offset = 0;
    std::uint16_t num_buffers = 0;

    /// Of the first buffer of a packet, what is behind the header; none: it has not come whole.
    static std::optional<std::size_t> frame_bytes(std::size_t written) noexcept;
    /// Each field is read once: the bytes may be in memory that the device writes.
    static PacketHeader load(const std::byte* at) noexcept;
    void store(std::byte* at) const noexcept;
};

/// The configuration space, as far as it is used. All of it is the device's word.
struct NetConfig {
    static constexpr std::size_t kBytes = 12;
    std::array<std::uint8_t, 6> mac{};
    std::uint16_t status = 0;
    std::uint16_t max_pairs = 0;
    std::uint16_t mtu = 0;

    static NetConfig parse(std::span<const std::byte, kBytes> bytes) noexcept;
    [[nodiscard]] std::string mac_text() const;
};

}  // namespace bounce::net
