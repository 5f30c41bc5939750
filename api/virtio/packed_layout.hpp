// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a packed virtqueue lies in shared memory (virtio 1.2, sections 2.8.10 to 2.8.14): one ring of descriptors, that
// the driver makes available and the device overwrites when it has used them, and two words in which each side says
// when it wants to be notified.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "allocator/base/bits.hpp"
#include "allocator/base/mutation.hpp"
#include "api/virtio/le.hpp"
#include "api/virtio/queue_config.hpp"
#include "api/virtio/ring_memory.hpp"

namespace bounce {

inline constexpr std::uint32_t kPackedMinQueue = 1;
inline constexpr std::uint32_t kPackedMaxQueue = kMaxQueueSize;

// Besides kDescNext, kDescWrite and kDescIndirect. A descriptor is available when AVAIL is the driver's wrap counter
// and USED is not; it is used when both are the device's (section 2.8.1).
inline constexpr std::uint16_t kPackedAvail = 1U << 7;
inline constexpr std::uint16_t kPackedUsed = 1U << 15;
inline constexpr std::uint16_t kPackedBoth = kPackedAvail | kPackedUsed;

/// le64 addr, le32 len, le16 id, le16 flags; in a table (section 2.8.7) id means nothing and flags has only WRITE.
struct PackedDesc {
    le64 addr;
    le32 len;
    le16 id;
    le16 flags;

    /// All but the flags of the ring, which say whose it is.
    void put(std::uint64_t address, std::uint32_t bytes, std::uint16_t buffer_id) noexcept {
        addr.store(address);
        len.store(bytes);
        id.store(buffer_id);
    }
};
static_assert(sizeof(PackedDesc) == kDescBytes && std::is_trivially_copyable_v<PackedDesc>);

/// Event suppression (section 2.8.14): le16 offset and wrap counter, le16 flags. Read and written as one le32, so that
/// flags are never seen with the offset of others.
class PackedEvent {
public:
    enum Flags : std::uint16_t { kEnable = 0, kDisable = 1, kDesc = 2 };

    constexpr PackedEvent(std::uint16_t off_wrap, std::uint16_t flags) noexcept
        : raw_(off_wrap | std::uint32_t{flags} << 16) {}
    constexpr explicit PackedEvent(std::uint32_t raw) noexcept : raw_(raw) {}
    [[nodiscard]] constexpr std::uint32_t raw() const noexcept { return raw_; }
    [[nodiscard]] constexpr std::uint32_t offset() const noexcept { return raw_ & 0x7fff; }
    [[nodiscard]] constexpr bool wrap() const noexcept { return (raw_ & 0x8000) != 0; }
    [[nodiscard]] constexpr std::uint32_t flags() const noexcept { return raw_ >> 16 & 3; }

private:
    std::uint32_t raw_;
};

/// A place in the ring with the wrap counter of who stands there.
class PackedPosition {
public:
    [[nodiscard]] std::uint16_t at() const noexcept { return at_; }
    [[nodiscard]] bool wrap() const noexcept { return wrap_ != 0; }
    /// Of a descriptor that the driver makes available here, and of one that the device has used here.
    [[nodiscard]] std::uint16_t avail_flags() const noexcept { return kPackedUsed ^ (wrap_ & kPackedBoth); }
    [[nodiscard]] std::uint16_t used_flags() const noexcept { return wrap_ & kPackedBoth; }
    /// Both, as vhost-user, event suppression and notification data have it.
    [[nodiscard]] std::uint16_t encoded() const noexcept { return static_cast<std::uint16_t>(at_ | (wrap_ & 0x8000)); }

    /// From what encoded() says.
    static PackedPosition decoded(std::uint16_t place) noexcept {
        PackedPosition position;
        position.at_ = place & 0x7fff;
        position.wrap_ = (place & 0x8000) != 0 ? 0xffff : 0;
        return position;
    }

    void step(std::uint32_t queue_size) noexcept { move(1, queue_size); }
    void move(std::uint32_t n, std::uint32_t queue_size) noexcept {
        std::uint32_t next = at_ + n;
        if (next >= queue_size) {
            next -= queue_size;
            if (!BOUNCE_MUTATED(kWrapCounter)) wrap_ = static_cast<std::uint16_t>(~wrap_);
        }
        at_ = static_cast<std::uint16_t>(next);
    }

private:
    std::uint16_t at_ = 0;
    std::uint16_t wrap_ = 0xffff;  // all bits are the counter
};

/// Where the three parts lie in one block. Each of the two words has a writer and a pair of cache lines of its own.
struct PackedOffsets {
    std::size_t driver_event;
    std::size_t device_event;
    std::size_t bytes;

    explicit constexpr PackedOffsets(std::uint32_t queue_size) noexcept
        : driver_event(round_up(kDescBytes * queue_size, kRingAlign)),
          device_event(driver_event + kRingAlign),
          bytes(device_event + kRingAlign) {}
};

}  // namespace bounce
