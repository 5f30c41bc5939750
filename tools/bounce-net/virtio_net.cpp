// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-net/virtio_net.hpp"

#include <cstdio>
#include <cstring>

#include "tools/common/little_endian.hpp"

#ifndef BOUNCE_MUTATED  // in the copy that the mutation check is made with, it may be true
#define BOUNCE_MUTATED(name) false
#endif

namespace bounce::net {
namespace {

using tools::BitName;
using tools::load_le;
using tools::store_le;

// virtio 1.2, section 5.1.3.
constexpr std::array kFeatureNames = {
    BitName{0, "VIRTIO_NET_F_CSUM"},
    BitName{1, "VIRTIO_NET_F_GUEST_CSUM"},
    BitName{2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS"},
    BitName{3, "VIRTIO_NET_F_MTU"},
    BitName{5, "VIRTIO_NET_F_MAC"},
    BitName{6, "VIRTIO_NET_F_GSO"},
    BitName{7, "VIRTIO_NET_F_GUEST_TSO4"},
    BitName{8, "VIRTIO_NET_F_GUEST_TSO6"},
    BitName{9, "VIRTIO_NET_F_GUEST_ECN"},
    BitName{10, "VIRTIO_NET_F_GUEST_UFO"},
    BitName{11, "VIRTIO_NET_F_HOST_TSO4"},
    BitName{12, "VIRTIO_NET_F_HOST_TSO6"},
    BitName{13, "VIRTIO_NET_F_HOST_ECN"},
    BitName{14, "VIRTIO_NET_F_HOST_UFO"},
    BitName{15, "VIRTIO_NET_F_MRG_RXBUF"},
    BitName{16, "VIRTIO_NET_F_STATUS"},
    BitName{17, "VIRTIO_NET_F_CTRL_VQ"},
    BitName{18, "VIRTIO_NET_F_CTRL_RX"},
    BitName{19, "VIRTIO_NET_F_CTRL_VLAN"},
    BitName{20, "VIRTIO_NET_F_CTRL_RX_EXTRA"},
    BitName{21, "VIRTIO_NET_F_GUEST_ANNOUNCE"},
    BitName{22, "VIRTIO_NET_F_MQ"},
    BitName{23, "VIRTIO_NET_F_CTRL_MAC_ADDR"},
    BitName{54, "VIRTIO_NET_F_GUEST_USO4"},
    BitName{55, "VIRTIO_NET_F_GUEST_USO6"},
    BitName{56, "VIRTIO_NET_F_HOST_USO"},
    BitName{57, "VIRTIO_NET_F_HASH_REPORT"},
    BitName{59, "VIRTIO_NET_F_GUEST_HDRLEN"},
    BitName{60, "VIRTIO_NET_F_RSS"},
    BitName{61, "VIRTIO_NET_F_RSC_EXT"},
    BitName{62, "VIRTIO_NET_F_STANDBY"},
    BitName{63, "VIRTIO_NET_F_SPEED_DUPLEX"},
};

}  // namespace

std::span<const BitName> feature_table() noexcept {
    return kFeatureNames;
}

std::optional<std::size_t> PacketHeader::frame_bytes(std::size_t written) noexcept {
    // Compared before it is subtracted: the length is the device's word.
    if (written < kBytes && !BOUNCE_MUTATED(kHeaderLength)) return std::nullopt;
    return written - kBytes;
}

PacketHeader PacketHeader::load(const std::byte* at) noexcept {
    std::array<std::byte, kBytes> copy{};
    std::memcpy(copy.data(), at, copy.size());
    PacketHeader header;
    header.flags = load_le<std::uint8_t>(copy.data());
    header.gso_type = load_le<std::uint8_t>(copy.data() + 1);
    header.hdr_len = load_le<std::uint16_t>(copy.data() + 2);
    header.gso_size = load_le<std::uint16_t>(copy.data() + 4);
    header.csum_start = load_le<std::uint16_t>(copy.data() + 6);
    header.csum_offset = load_le<std::uint16_t>(copy.data() + 8);
    header.num_buffers = load_le<std::uint16_t>(copy.data() + 10);
    return header;
}

void PacketHeader::store(std::byte* at) const noexcept {
    store_le(at, flags);
    store_le(at + 1, gso_type);
    store_le(at + 2, hdr_len);
    store_le(at + 4, gso_size);
    store_le(at + 6, csum_start);
    store_le(at + 8, csum_offset);
    store_le(at + 10, num_buffers);
}

// Offsets: virtio 1.2, section 5.1.4, struct virtio_net_config.
NetConfig NetConfig::parse(std::span<const std::byte, kBytes> bytes) noexcept {
    NetConfig config;
    std::memcpy(config.mac.data(), bytes.data(), config.mac.size());
    config.status = load_le<std::uint16_t>(bytes.data() + 6);
    config.max_pairs = load_le<std::uint16_t>(bytes.data() + 8);
    config.mtu = load_le<std::uint16_t>(bytes.data() + 10);
    return config;
}

std::string NetConfig::mac_text() const {
    std::array<char, 18> out{};
    std::snprintf(out.data(), out.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                  mac[5]);
    return out.data();
}

}  // namespace bounce::net
