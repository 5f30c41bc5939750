// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/virtio_blk.hpp"

#include <bit>

#include "tools/common/failure.hpp"
#include "tools/common/little_endian.hpp"

namespace bounce::blk {
namespace {

using tools::BitName;
using tools::load_le;
using tools::text;

// virtio 1.2, section 5.2.3.
constexpr std::array kFeatureNames = {
    BitName{0, "VIRTIO_BLK_F_BARRIER"},
    BitName{1, "VIRTIO_BLK_F_SIZE_MAX"},
    BitName{2, "VIRTIO_BLK_F_SEG_MAX"},
    BitName{4, "VIRTIO_BLK_F_GEOMETRY"},
    BitName{5, "VIRTIO_BLK_F_RO"},
    BitName{6, "VIRTIO_BLK_F_BLK_SIZE"},
    BitName{7, "VIRTIO_BLK_F_SCSI"},
    BitName{9, "VIRTIO_BLK_F_FLUSH"},
    BitName{10, "VIRTIO_BLK_F_TOPOLOGY"},
    BitName{11, "VIRTIO_BLK_F_CONFIG_WCE"},
    BitName{12, "VIRTIO_BLK_F_MQ"},
    BitName{13, "VIRTIO_BLK_F_DISCARD"},
    BitName{14, "VIRTIO_BLK_F_WRITE_ZEROES"},
    BitName{15, "VIRTIO_BLK_F_LIFETIME"},
    BitName{16, "VIRTIO_BLK_F_SECURE_ERASE"},
    BitName{17, "VIRTIO_BLK_F_ZONED"},
};

}  // namespace

std::span<const tools::BitName> feature_table() noexcept {
    return kFeatureNames;
}
std::string feature_name(unsigned bit) {
    return tools::feature_name(kFeatureNames, bit);
}
std::vector<std::string> feature_names(std::uint64_t features) {
    return tools::feature_names(kFeatureNames, features);
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
