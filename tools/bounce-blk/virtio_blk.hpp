// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The virtio-blk device as the specification has it (virtio 1.2, section 5.2): feature bits, configuration space,
// requests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/common/virtio_names.hpp"

namespace bounce::blk {

inline constexpr std::uint64_t kSectorBytes = 512;

enum FeatureBit : unsigned {
    kSizeMax = 1,
    kSegMax = 2,
    kGeometry = 4,
    kReadOnly = 5,
    kBlkSize = 6,
    kFlush = 9,
    kTopology = 10,
    kConfigWce = 11,
    kMultiQueue = 12,
    kDiscard = 13,
    kWriteZeroes = 14,
    kIndirectDesc = 28,
    kEventIdx = 29,
};

[[nodiscard]] constexpr std::uint64_t feature(FeatureBit bit) noexcept {
    return std::uint64_t{1} << bit;
}
[[nodiscard]] constexpr bool has(std::uint64_t features, FeatureBit bit) noexcept {
    return (features & feature(bit)) != 0;
}

/// What a client can make use of, when it is offered.
inline constexpr std::uint64_t kWantedFeatures = feature(kSizeMax) | feature(kSegMax) | feature(kGeometry) |
                                                 feature(kReadOnly) | feature(kBlkSize) | feature(kFlush) |
                                                 feature(kTopology) | feature(kConfigWce) | feature(kMultiQueue) |
                                                 feature(kDiscard) | feature(kWriteZeroes);

/// The names of this device's feature bits.
std::span<const tools::BitName> feature_table() noexcept;
/// "VIRTIO_BLK_F_FLUSH"; "bit 60" for one without a name.
std::string feature_name(unsigned bit);
/// The names of all bits that are set.
std::vector<std::string> feature_names(std::uint64_t features);

enum RequestType : std::uint32_t { kTypeIn = 0, kTypeOut = 1, kTypeFlush = 4 };
inline constexpr std::size_t kHeaderBytes = 16;
enum RequestStatus : std::uint8_t { kStatusOk = 0, kStatusIoError = 1, kStatusUnsupported = 2, kStatusNone = 0xff };

/// The configuration space, taken apart. All of it is the device's word.
struct DeviceConfig {
    static constexpr std::size_t kBytes = 60;  // as far as the fields below go; some back-ends refuse longer reads

    std::uint64_t capacity_sectors = 0;
    std::uint32_t size_max = 0;
    std::uint32_t seg_max = 0;
    std::uint16_t cylinders = 0;
    std::uint8_t heads = 0;
    std::uint8_t sectors = 0;
    std::uint32_t blk_size = 0;
    std::uint8_t physical_block_exp = 0;
    std::uint8_t alignment_offset = 0;
    std::uint16_t min_io_size = 0;
    std::uint32_t opt_io_size = 0;
    std::uint8_t writeback = 0;
    std::uint16_t num_queues = 0;
    std::uint32_t max_discard_sectors = 0;
    std::uint32_t max_discard_seg = 0;
    std::uint32_t discard_sector_alignment = 0;
    std::uint32_t max_write_zeroes_sectors = 0;
    std::uint32_t max_write_zeroes_seg = 0;
    std::uint8_t write_zeroes_may_unmap = 0;

    static DeviceConfig parse(std::span<const std::byte, kBytes> bytes) noexcept;
};

/// What a client may rely on, after its own checks.
struct Limits {
    std::uint64_t capacity_bytes = 0;
    std::uint64_t block_bytes = kSectorBytes;  // offsets and lengths are multiples of it
    std::uint64_t segment_bytes = 0;           // longest segment; 0: no limit
    std::uint32_t segments = 0;                // most data segments of one request; 0: no limit
    bool read_only = false;
    bool flush = false;
    std::vector<std::string> remarks;  // what the device said that cannot be, and what is done about it

    /// Throws tools::Failure when nothing sensible can be made of it.
    static Limits check(const DeviceConfig& config, std::uint64_t features);
};

}  // namespace bounce::blk
