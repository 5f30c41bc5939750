// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a split virtqueue lies in shared memory (virtio 1.2, sections 2.7.5 to 2.7.8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "allocator/base/bits.hpp"
#include "api/virtio/le.hpp"
#include "api/virtio/queue_config.hpp"
#include "api/virtio/ring_memory.hpp"

namespace bounce {

inline constexpr std::uint32_t kSplitMinQueue = 2;
inline constexpr std::uint32_t kSplitMaxQueue = kMaxQueueSize;

inline constexpr std::uint16_t kAvailNoInterrupt = 1;
inline constexpr std::uint16_t kUsedNoNotify = 1;

/// One descriptor: le64 addr, le32 len, le16 flags, le16 next. The last three are written as one le64.
struct SplitDesc {
    le64 addr;
    le64 len_flags_next;

    void put(std::uint64_t address, std::uint32_t len, std::uint16_t flags, std::uint16_t next) noexcept {
        addr.store(address);
        len_flags_next.store(len | std::uint64_t{flags} << 32 | std::uint64_t{next} << 48);
    }
};
static_assert(sizeof(SplitDesc) == kDescBytes && std::is_trivially_copyable_v<SplitDesc>);

/// The avail ring: this head, le16 ring[queue_size], le16 used_event.
struct SplitAvail {
    le16 flags;
    le16 idx;
};
static_assert(sizeof(SplitAvail) == 4 && alignof(SplitAvail) == 2);

struct SplitUsedElem {
    le32 id;
    le32 len;
};
static_assert(sizeof(SplitUsedElem) == 8 && alignof(SplitUsedElem) == 4);

/// The used ring: this head, SplitUsedElem ring[queue_size], le16 avail_event.
struct SplitUsed {
    le16 flags;
    le16 idx;
};
static_assert(sizeof(SplitUsed) == 4);

/// Where the three parts lie in one block. The parts do not share cache lines: each has another writer.
struct SplitOffsets {
    static constexpr std::size_t kAlign = kRingAlign;

    std::size_t avail;
    std::size_t used;
    std::size_t bytes;

    explicit constexpr SplitOffsets(std::uint32_t queue_size) noexcept
        : avail(round_up(std::size_t{16} * queue_size, kAlign)),
          used(avail + round_up(6 + std::size_t{2} * queue_size, kAlign)),
          bytes(used + round_up(6 + std::size_t{8} * queue_size, kAlign)) {}
};

}  // namespace bounce
