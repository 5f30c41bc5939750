// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/virtio_blk.hpp"

#include <bit>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"

namespace bounce::blk {
namespace {

using tools::load_le;
using tools::text;

struct Name {
    unsigned bit;
    const char* name;
};

// virtio 1.2, sections 5.2.3 and 6; the two vhost bits from QEMU's docs/interop/vhost-user.rst.
constexpr std::array kFeatureNames = {
    Name{0, "VIRTIO_BLK_F_BARRIER"},
    Name{1, "VIRTIO_BLK_F_SIZE_MAX"},
    Name{2, "VIRTIO_BLK_F_SEG_MAX"},
    Name{4, "VIRTIO_BLK_F_GEOMETRY"},
    Name{5, "VIRTIO_BLK_F_RO"},
    Name{6, "VIRTIO_BLK_F_BLK_SIZE"},
    Name{7, "VIRTIO_BLK_F_SCSI"},
    Name{9, "VIRTIO_BLK_F_FLUSH"},
    Name{10, "VIRTIO_BLK_F_TOPOLOGY"},
    Name{11, "VIRTIO_BLK_F_CONFIG_WCE"},
    Name{12, "VIRTIO_BLK_F_MQ"},
    Name{13, "VIRTIO_BLK_F_DISCARD"},
    Name{14, "VIRTIO_BLK_F_WRITE_ZEROES"},
    Name{15, "VIRTIO_BLK_F_LIFETIME"},
    Name{16, "VIRTIO_BLK_F_SECURE_ERASE"},
    Name{17, "VIRTIO_BLK_F_ZONED"},
    Name{24, "VIRTIO_F_NOTIFY_ON_EMPTY"},
    Name{26, "VHOST_F_LOG_ALL"},
    Name{27, "VIRTIO_F_ANY_LAYOUT"},
    Name{28, "VIRTIO_F_INDIRECT_DESC"},
    Name{29, "VIRTIO_F_EVENT_IDX"},
    Name{30, "VHOST_USER_F_PROTOCOL_FEATURES"},
    Name{32, "VIRTIO_F_VERSION_1"},
    Name{33, "VIRTIO_F_ACCESS_PLATFORM"},
    Name{34, "VIRTIO_F_RING_PACKED"},
    Name{35, "VIRTIO_F_IN_ORDER"},
    Name{36, "VIRTIO_F_ORDER_PLATFORM"},
    Name{37, "VIRTIO_F_SR_IOV"},
    Name{38, "VIRTIO_F_NOTIFICATION_DATA"},
    Name{39, "VIRTIO_F_NOTIF_CONFIG_DATA"},
    Name{40, "VIRTIO_F_RING_RESET"},
};

// QEMU docs/interop/vhost-user.rst, "Protocol features".
constexpr std::array kProtocolNames = {
    Name{0, "MQ"},
    Name{1, "LOG_SHMFD"},
    Name{2, "RARP"},
    Name{3, "REPLY_ACK"},
    Name{4, "MTU"},
    Name{5, "BACKEND_REQ"},
    Name{6, "CROSS_ENDIAN"},
    Name{7, "CRYPTO_SESSION"},
    Name{8, "PAGEFAULT"},
    Name{9, "CONFIG"},
    Name{10, "BACKEND_SEND_FD"},
    Name{11, "HOST_NOTIFIER"},
    Name{12, "INFLIGHT_SHMFD"},
    Name{13, "RESET_DEVICE"},
    Name{14, "INBAND_NOTIFICATIONS"},
    Name{15, "CONFIGURE_MEM_SLOTS"},
    Name{16, "STATUS"},
    Name{17, "XEN_MMAP"},
    Name{18, "SHARED_OBJECT"},
    Name{19, "DEVICE_STATE"},
};

std::string name_of(std::span<const Name> names, unsigned bit) {
    for (const Name& entry : names) {
        if (entry.bit == bit) return entry.name;
    }
    return text("bit ", bit);
}

std::vector<std::string> names_of(std::span<const Name> names, std::uint64_t features) {
    std::vector<std::string> list;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((features >> bit & 1) != 0) list.push_back(name_of(names, bit));
    }
    return list;
}

}  // namespace

std::string feature_name(unsigned bit) {
    return name_of(kFeatureNames, bit);
}
std::string protocol_feature_name(unsigned bit) {
    return name_of(kProtocolNames, bit);
}
std::vector<std::string> feature_names(std::uint64_t features) {
    return names_of(kFeatureNames, features);
}
std::vector<std::string> protocol_feature_names(std::uint64_t features) {
    return names_of(kProtocolNames, features);
}

// Offsets: virtio 1.2, section 5.2.4, struct virtio_blk_config.
DeviceConfig DeviceConfig::parse(std::span<const std::byte, kBytes> bytes) noexcept {
    const std::byte* at = bytes.data();
    DeviceConfig c;
    c.capacity_sectors = load_le<std::uint64_t>(at);
    c.size_max = load_le<std::uint32_t>(at + 8);
    c.seg_max = load_le<std::uint32_t>(at + 12);
    c.cylinders = load_le<std::uint16_t>(at + 16);
    c.heads = load_le<std::uint8_t>(at + 18);
    c.sectors = load_le<std::uint8_t>(at + 19);
    c.blk_size = load_le<std::uint32_t>(at + 20);
    c.physical_block_exp = load_le<std::uint8_t>(at + 24);
    c.alignment_offset = load_le<std::uint8_t>(at + 25);
    c.min_io_size = load_le<std::uint16_t>(at + 26);
    c.opt_io_size = load_le<std::uint32_t>(at + 28);
    c.writeback = load_le<std::uint8_t>(at + 32);
    c.num_queues = load_le<std::uint16_t>(at + 34);
    c.max_discard_sectors = load_le<std::uint32_t>(at + 36);
    c.max_discard_seg = load_le<std::uint32_t>(at + 40);
    c.discard_sector_alignment = load_le<std::uint32_t>(at + 44);
    c.max_write_zeroes_sectors = load_le<std::uint32_t>(at + 48);
    c.max_write_zeroes_seg = load_le<std::uint32_t>(at + 52);
    c.write_zeroes_may_unmap = load_le<std::uint8_t>(at + 56);
    return c;
}

Limits Limits::check(const DeviceConfig& config, std::uint64_t features) {
    constexpr std::uint64_t kMaxSectors = std::uint64_t{1} << 54;  // in bytes still a positive off_t
    Limits limits;
    if (config.capacity_sectors > kMaxSectors) {
        throw tools::Failure(text("the device claims a capacity of ", config.capacity_sectors, " sectors; at most ",
                                  kMaxSectors, " can be addressed"));
    }
    limits.capacity_bytes = config.capacity_sectors * kSectorBytes;
    limits.read_only = has(features, kReadOnly);
    limits.flush = has(features, kFlush);
    if (has(features, kBlkSize)) {
        const std::uint32_t size = config.blk_size;
        if (size < kSectorBytes || size > (1U << 20) || !std::has_single_bit(size)) {
            limits.remarks.push_back(text("the device claims a block size of ", size,
                                          "; expected a power of two from 512 to 1048576: taken as 512"));
        } else {
            limits.block_bytes = size;
        }
    }
    if (has(features, kSizeMax) && config.size_max != 0) {  // 0 is what qemu-storage-daemon says for "no limit"
        limits.segment_bytes = config.size_max;
        // The request header has to fit into a segment too, and segments stay whole sectors.
        if (config.size_max < kSectorBytes) {
            limits.segment_bytes = kSectorBytes;
            limits.remarks.push_back(text("the device claims a largest segment of ", config.size_max,
                                          " bytes; expected at least 512: taken as 512"));
        }
        limits.segment_bytes -= limits.segment_bytes % kSectorBytes;
    }
    if (has(features, kSegMax)) {
        limits.segments = config.seg_max;
        if (config.seg_max == 0) {
            limits.segments = 1;
            limits.remarks.emplace_back("the device claims to take 0 segments a request: taken as 1");
        }
    }
    return limits;
}

}  // namespace bounce::blk
