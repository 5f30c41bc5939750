// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Frames that can be recognized: Ethernet, IPv4, UDP or TCP, with right checksums; in the payload the queue pair, a
// sequence number, the length of the frame and a CRC-32C over all of the payload. What comes back is checked layer by
// layer.
//
//   payload: u16 magic, u16 pair, u32 sequence, u16 frame bytes, u32 CRC (taken with itself zero), filling
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tools/bounce-net/virtio_net.hpp"

namespace bounce::net {

enum class Protocol : std::uint8_t { kUdp, kTcp };

inline constexpr std::size_t kEthernetBytes = 14;
inline constexpr std::size_t kIpBytes = 20;
inline constexpr std::size_t kMarkBytes = 14;
inline constexpr std::size_t kMaxFrameBytes = 9216;  // jumbo frames

[[nodiscard]] constexpr std::size_t transport_bytes(Protocol protocol) noexcept {
    return protocol == Protocol::kUdp ? 8 : 20;
}
/// The least frame that holds what is to be recognized; never below what Ethernet takes.
[[nodiscard]] constexpr std::size_t least_frame_bytes(Protocol protocol) noexcept {
    const std::size_t bytes = kEthernetBytes + kIpBytes + transport_bytes(protocol) + kMarkBytes;
    return bytes < 60 ? 60 : bytes;
}

struct FrameSpec {
    Protocol protocol = Protocol::kUdp;
    std::uint16_t pair = 0;
    std::uint32_t sequence = 0;
    std::uint64_t seed = 1;         // of the filling
    bool offload_checksum = false;  // leave that of UDP or TCP to the device
};

/// Fills all of `frame`, at least least_frame_bytes() of it. The header says what is left to the device.
PacketHeader make_frame(const FrameSpec& spec, std::span<std::byte> frame) noexcept;

enum class Verdict : std::uint8_t { kGood, kTooShort, kWrongHeader, kWrongChecksum, kForeign, kWrongLength, kWrongCrc };
[[nodiscard]] const char* verdict_text(Verdict verdict) noexcept;

struct Checked {
    Verdict verdict = Verdict::kForeign;
    std::uint16_t pair = 0;
    std::uint32_t sequence = 0;
};

/// Is this a frame of make_frame(), its addresses as they were or swapped? `offloaded`: checksum offload towards us was
/// negotiated, so the header may say that the last checksum is a part of one.
Checked check_frame(std::span<const std::byte> frame, const PacketHeader& header, bool offloaded) noexcept;

}  // namespace bounce::net
