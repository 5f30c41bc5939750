// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tools/bounce-net/checksum.hpp"
#include "tools/common/random.hpp"

namespace bounce::net {
namespace {

constexpr std::uint16_t kMagic = 0xb0ce;
constexpr std::array<std::uint8_t, 6> kOurMac = {0x02, 0x62, 0x6e, 0x63, 0x65, 0x01};  // locally administered
constexpr std::array<std::uint8_t, 6> kPeerMac = {0x02, 0x62, 0x6e, 0x63, 0x65, 0x02};
constexpr std::uint16_t kIpType = 0x0800;
constexpr std::uint32_t kOurIp = 0xc6120001;  // 198.18.0.1: RFC 2544, for measurements
constexpr std::uint32_t kPeerIp = 0xc6120002;
constexpr std::uint8_t kUdpNumber = 17;
constexpr std::uint8_t kTcpNumber = 6;
constexpr std::uint16_t kPort = 9;  // discard
constexpr std::size_t kIpAt = kEthernetBytes;
constexpr std::size_t kTransportAt = kEthernetBytes + kIpBytes;
constexpr std::size_t kCrcInMark = 10;

void put16(std::byte* at, std::uint32_t value) noexcept {
    at[0] = static_cast<std::byte>(value >> 8);
    at[1] = static_cast<std::byte>(value);
}
void put32(std::byte* at, std::uint32_t value) noexcept {
    put16(at, value >> 16);
    put16(at + 2, value);
}
std::uint16_t get16(const std::byte* at) noexcept {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(at[0]) << 8 | std::to_integer<unsigned>(at[1]));
}
std::uint32_t get32(const std::byte* at) noexcept {
    return std::uint32_t{get16(at)} << 16 | get16(at + 2);
}

std::uint8_t number_of(Protocol protocol) noexcept {
    return protocol == Protocol::kUdp ? kUdpNumber : kTcpNumber;
}
/// Where the checksum stands in the header of the transport.
std::size_t checksum_at(Protocol protocol) noexcept {
    return protocol == Protocol::kUdp ? 6 : 16;
}

/// Of the pseudo header: both IP addresses, protocol, length.
std::uint32_t pseudo_sum(std::span<const std::byte> frame) noexcept {
    std::uint32_t sum = sum_words(frame.subspan(kIpAt + 12, 8));
    sum += std::to_integer<std::uint32_t>(frame[kIpAt + 9]);
    return sum + static_cast<std::uint32_t>(frame.size() - kTransportAt);
}

void put_addresses(std::span<std::byte> frame, Protocol protocol, std::uint16_t identification) noexcept {
    std::memcpy(frame.data(), kPeerMac.data(), 6);
    std::memcpy(frame.data() + 6, kOurMac.data(), 6);
    put16(frame.data() + 12, kIpType);
    std::byte* ip = frame.data() + kIpAt;
    std::memset(ip, 0, kIpBytes);
    ip[0] = std::byte{0x45};
    put16(ip + 2, static_cast<std::uint32_t>(frame.size() - kIpAt));
    put16(ip + 4, identification);
    ip[8] = std::byte{64};  // time to live
    ip[9] = static_cast<std::byte>(number_of(protocol));
    put32(ip + 12, kOurIp);
    put32(ip + 16, kPeerIp);
    put16(ip + 10, static_cast<std::uint16_t>(~fold(sum_words({ip, kIpBytes}))));
}

void put_transport(std::span<std::byte> frame, const FrameSpec& spec) noexcept {
    std::byte* at = frame.data() + kTransportAt;
    std::memset(at, 0, transport_bytes(spec.protocol));
    put16(at, 1024U + spec.pair);
    put16(at + 2, kPort);
    if (spec.protocol == Protocol::kUdp) {
        put16(at + 4, static_cast<std::uint32_t>(frame.size() - kTransportAt));
    } else {
        put32(at + 4, spec.sequence);
        at[12] = std::byte{5 << 4};  // words of header
        at[13] = std::byte{0x10};    // ACK
        put16(at + 14, 0xffff);      // window
    }
}

void put_payload(std::span<std::byte> payload, const FrameSpec& spec, std::size_t frame_bytes) noexcept {
    put16(payload.data(), kMagic);
    put16(payload.data() + 2, spec.pair);
    put32(payload.data() + 4, spec.sequence);
    put16(payload.data() + 8, static_cast<std::uint32_t>(frame_bytes));
    put32(payload.data() + kCrcInMark, 0);
    tools::Random random(spec.seed ^ (std::uint64_t{spec.sequence} << 16 | spec.pair));
    for (std::size_t at = kMarkBytes; at < payload.size();) {
        const std::uint64_t word = random.next();
        const std::size_t step = std::min(sizeof word, payload.size() - at);
        std::memcpy(payload.data() + at, &word, step);
        at += step;
    }
    put32(payload.data() + kCrcInMark, crc32c(payload));
}

std::uint32_t crc_of(std::span<const std::byte> payload) noexcept {
    constexpr std::array<std::byte, 4> kZero{};
    const std::uint32_t head = crc32c(payload.first(kCrcInMark));
    return crc32c(payload.subspan(kCrcInMark + 4), crc32c(kZero, head));
}

bool has_addresses(std::span<const std::byte> frame) noexcept {
    const bool forth =
        std::memcmp(frame.data(), kPeerMac.data(), 6) == 0 && std::memcmp(frame.data() + 6, kOurMac.data(), 6) == 0;
    const bool back =
        std::memcmp(frame.data(), kOurMac.data(), 6) == 0 && std::memcmp(frame.data() + 6, kPeerMac.data(), 6) == 0;
    return forth || back;
}

/// The checksum of UDP or TCP: whole, or what the device was told to leave to us.
bool good_checksum(std::span<const std::byte> frame, Protocol protocol, const PacketHeader& header,
                   bool offloaded) noexcept {
    const std::size_t at = kTransportAt + checksum_at(protocol);
    if ((header.flags & PacketHeader::kNeedsCsum) != 0) {
        return offloaded && header.csum_start == kTransportAt && header.csum_offset == checksum_at(protocol) &&
               get16(frame.data() + at) == fold(pseudo_sum(frame));
    }
    return fold(sum_words(frame.subspan(kTransportAt), pseudo_sum(frame))) == 0xffff;
}

}  // namespace

PacketHeader make_frame(const FrameSpec& spec, std::span<std::byte> frame) noexcept {
    put_addresses(frame, spec.protocol, static_cast<std::uint16_t>(spec.sequence));
    put_transport(frame, spec);
    put_payload(frame.subspan(kTransportAt + transport_bytes(spec.protocol)), spec, frame.size());
    std::byte* checksum = frame.data() + kTransportAt + checksum_at(spec.protocol);
    PacketHeader header;
    if (spec.offload_checksum) {
        put16(checksum, fold(pseudo_sum(frame)));
        header.flags = PacketHeader::kNeedsCsum;
        header.csum_start = kTransportAt;
        header.csum_offset = static_cast<std::uint16_t>(checksum_at(spec.protocol));
        return header;
    }
    const auto sum = static_cast<std::uint16_t>(~fold(sum_words(frame.subspan(kTransportAt), pseudo_sum(frame))));
    put16(checksum, sum == 0 && spec.protocol == Protocol::kUdp ? 0xffff : sum);  // 0 would mean: none
    return header;
}

Checked check_frame(std::span<const std::byte> frame, const PacketHeader& header, bool offloaded) noexcept {
    Checked result;
    const auto is = [&result](Verdict verdict) {
        result.verdict = verdict;
        return result;
    };
    if (frame.size() < least_frame_bytes(Protocol::kUdp)) return is(Verdict::kTooShort);
    const std::byte* ip = frame.data() + kIpAt;
    const auto number = std::to_integer<std::uint8_t>(ip[9]);
    if (get16(frame.data() + 12) != kIpType || ip[0] != std::byte{0x45} ||
        (number != kUdpNumber && number != kTcpNumber))
        return is(Verdict::kForeign);
    const Protocol protocol = number == kUdpNumber ? Protocol::kUdp : Protocol::kTcp;
    if (frame.size() < least_frame_bytes(protocol)) return is(Verdict::kTooShort);
    const auto payload = frame.subspan(kTransportAt + transport_bytes(protocol));
    if (get16(payload.data()) != kMagic) return is(Verdict::kForeign);
    result.pair = get16(payload.data() + 2);
    result.sequence = get32(payload.data() + 4);
    if (get16(payload.data() + 8) != frame.size() || get16(ip + 2) != frame.size() - kIpAt)
        return is(Verdict::kWrongLength);
    if (get32(payload.data() + kCrcInMark) != crc_of(payload)) return is(Verdict::kWrongCrc);
    if (!has_addresses(frame) || fold(sum_words({ip, kIpBytes})) != 0xffff || header.gso_type != 0)
        return is(Verdict::kWrongHeader);
    if (!good_checksum(frame, protocol, header, offloaded)) return is(Verdict::kWrongChecksum);
    return is(Verdict::kGood);
}

const char* verdict_text(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::kGood: return "good";
        case Verdict::kTooShort: return "too short";
        case Verdict::kWrongHeader: return "a wrong Ethernet, IP or virtio header";
        case Verdict::kWrongChecksum: return "a wrong checksum of UDP or TCP";
        case Verdict::kForeign: return "not a frame that was sent";
        case Verdict::kWrongLength: return "a wrong length";
        case Verdict::kWrongCrc: return "a wrong CRC of the payload";
    }
    return "";
}

}  // namespace bounce::net
