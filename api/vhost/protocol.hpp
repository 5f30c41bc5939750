// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The vhost-user messages that a front-end needs, as they are on the wire.
// All numbers are in the byte order of the machine, for both sides are processes of one machine: unlike rings, nothing
// here is converted. Source: QEMU docs/interop/vhost-user.rst.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bounce::vhost {

enum class Request : std::uint32_t {
    kGetFeatures = 1,
    kSetFeatures = 2,
    kSetOwner = 3,
    kSetMemTable = 5,
    kSetVringNum = 8,
    kSetVringAddr = 9,
    kSetVringBase = 10,
    kGetVringBase = 11,
    kSetVringKick = 12,
    kSetVringCall = 13,
    kGetProtocolFeatures = 15,
    kSetProtocolFeatures = 16,
    kGetQueueNum = 17,
    kSetVringEnable = 18,
    kSetBackendReqFd = 21,
    kIotlbMsg = 22,
    kGetConfig = 24,
    kSetConfig = 25,
    kGetMaxMemSlots = 36,
    kAddMemReg = 37,
    kRemMemReg = 38,
};

/// The name in the specification, for sentences.
const char* request_name(Request request) noexcept;

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kVersionMask = 3;
inline constexpr std::uint32_t kFlagReply = 1U << 2;
inline constexpr std::uint32_t kFlagNeedReply = 1U << 3;

struct Header {
    std::uint32_t request;
    std::uint32_t flags;
    std::uint32_t bytes;  // of the payload
};
static_assert(sizeof(Header) == 12);

/// What a back-end asks of a front-end, on a channel of its own.
enum class BackendRequest : std::uint32_t {
    kIotlb = 1,
    kConfigChange = 2,
};

struct VringState {
    std::uint32_t index;
    std::uint32_t number;
};
static_assert(sizeof(VringState) == 8);

/// Ring addresses are user addresses of the memory table. We give the GPA as the user address, so that no address of
/// this process is told to a back-end.
struct VringAddress {
    std::uint32_t index;
    std::uint32_t flags;
    std::uint64_t desc;
    std::uint64_t used;
    std::uint64_t avail;
    std::uint64_t log;
};
static_assert(sizeof(VringAddress) == 40);

struct MemoryRegion {
    std::uint64_t gpa;
    std::uint64_t bytes;
    std::uint64_t user_address;
    std::uint64_t fd_offset;
};
static_assert(sizeof(MemoryRegion) == 32);

inline constexpr std::size_t kMaxTableRegions = 8;

struct MemoryTable {
    std::uint32_t regions;
    std::uint32_t padding;
    MemoryRegion region[kMaxTableRegions];
};
static_assert(sizeof(MemoryTable) == 8 + 8 * 32);

struct SingleRegion {
    std::uint64_t padding;
    MemoryRegion region;
};
static_assert(sizeof(SingleRegion) == 40);

inline constexpr std::size_t kMaxConfigBytes = 256;

struct ConfigSpace {
    std::uint32_t offset;
    std::uint32_t bytes;
    std::uint32_t flags;  // 0: a driver's access
    std::uint8_t data[kMaxConfigBytes];
};
inline constexpr std::size_t kConfigHeaderBytes = 12;
static_assert(offsetof(ConfigSpace, data) == kConfigHeaderBytes);
static_assert(sizeof(ConfigSpace) == 268);

enum class IotlbType : std::uint8_t { kMiss = 1, kUpdate = 2, kInvalidate = 3, kAccessFail = 4 };

/// Both ways. The struct is the kernel's vhost_iotlb_msg, padding included.
struct IotlbMessage {
    std::uint64_t iova;
    std::uint64_t bytes;  // a miss: not said
    std::uint64_t user_address;
    std::uint8_t access;  // IotlbAccess
    std::uint8_t type;    // IotlbType
    std::uint8_t padding[6];
};
static_assert(sizeof(IotlbMessage) == 32);

/// The longest payload that we send or accept.
inline constexpr std::size_t kMaxPayloadBytes = sizeof(ConfigSpace);
static_assert(sizeof(MemoryTable) <= kMaxPayloadBytes);

/// SET_VRING_KICK and SET_VRING_CALL carry the index in eight bits.
inline constexpr std::uint32_t kMaxQueues = 256;

constexpr std::uint64_t feature(unsigned bit) {
    return std::uint64_t{1} << bit;
}

// Feature bits of virtio that concern rings and the transport.
inline constexpr std::uint64_t kIndirectDesc = feature(28);
inline constexpr std::uint64_t kEventIdx = feature(29);
inline constexpr std::uint64_t kVersion1 = feature(32);
inline constexpr std::uint64_t kAccessPlatform = feature(33);
inline constexpr std::uint64_t kRingPacked = feature(34);
inline constexpr std::uint64_t kInOrder = feature(35);
inline constexpr std::uint64_t kOrderPlatform = feature(36);
inline constexpr std::uint64_t kNotificationData = feature(38);
inline constexpr std::uint64_t kRingReset = feature(40);
/// Not a feature of a device: says that the back-end has protocol features.
inline constexpr std::uint64_t kProtocolFeatures = feature(30);

// Protocol features.
inline constexpr std::uint64_t kMultiQueue = feature(0);
inline constexpr std::uint64_t kReplyAck = feature(3);
inline constexpr std::uint64_t kBackendRequests = feature(5);
inline constexpr std::uint64_t kConfig = feature(9);
inline constexpr std::uint64_t kConfigureMemSlots = feature(15);
/// BACKEND_REQ too where addresses are translated.
inline constexpr std::uint64_t kKnownProtocolFeatures = kMultiQueue | kReplyAck | kConfig | kConfigureMemSlots;

}  // namespace bounce::vhost
