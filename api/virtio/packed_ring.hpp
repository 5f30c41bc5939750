// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The shared half of a packed virtqueue as the driver sees it: descriptors are written; of those that may be used the
// flags, id and length are read, and the device's event word, each once. Nothing in here decides anything.
//
// Partners. P is this side's order, D what the device does on the other side (its own code, any implementation):
//   P1 flags of the first new descriptor, seq_cst store - D1 load of these with acquire: what was written before is
//      visible with them: its address, length and id, and all descriptors that were made available behind it
//   P2 flags of the next used descriptor, acquire load  - D2 release store of these: id, length and data are visible
//   P1 then P3 (seq_cst load of the device's event word) - D3 (seq_cst or fenced store of that), then D1: of the two
//      stores at least one is seen by the other side, so no kick is lost
//   P4 (seq_cst store of the driver's event word) then P5 (seq_cst load of the flags of the next used descriptor) - D2,
//      then a seq_cst or fenced load of that word: no call is lost
#pragma once

#include <cstddef>
#include <cstdint>

#include "api/virtio/packed_layout.hpp"

namespace bounce {

class PackedRing {
public:
    PackedRing() = default;
    /// `memory` holds PackedOffsets(queue_size).bytes, aligned to a cache line.
    PackedRing(std::byte* memory, std::uint32_t queue_size) noexcept {
        const PackedOffsets offsets(queue_size);
        desc_ = reinterpret_cast<PackedDesc*>(memory);
        driver_event_ = reinterpret_cast<le32*>(memory + offsets.driver_event);
        device_event_ = reinterpret_cast<le32*>(memory + offsets.device_event);
    }

    /// index must be below the queue size: it is the driver's own.
    PackedDesc& desc(std::uint32_t index) noexcept { return desc_[index]; }

    void prefetch(std::uint32_t index) noexcept { __builtin_prefetch(&desc_[index], 1); }

    /// P1: releases the descriptors to D1, and stands before P3 in the single order.
    void publish(std::uint32_t index, std::uint16_t flags) noexcept {
        desc_[index].flags.store(flags, std::memory_order_seq_cst);
    }
    /// P1 without P3, for a device that wants no kicks: release, pairs with D1.
    void publish_only(std::uint32_t index, std::uint16_t flags) noexcept {
        desc_[index].flags.store(flags, std::memory_order_release);
    }
    /// P3: after P1; pairs with D3.
    [[nodiscard]] PackedEvent device_event() const noexcept {
        return PackedEvent(device_event_->load(std::memory_order_seq_cst));
    }

    /// P2: acquires id, length and the data behind them from D2.
    [[nodiscard]] std::uint16_t flags(std::uint32_t index) const noexcept {
        return desc_[index].flags.load(std::memory_order_acquire);
    }

    /// P4: before P5.
    void set_driver_event(PackedEvent event) noexcept { driver_event_->store(event.raw(), std::memory_order_seq_cst); }
    /// P5: after P4; pairs with D2.
    [[nodiscard]] std::uint16_t flags_after_arm(std::uint32_t index) const noexcept {
        return desc_[index].flags.load(std::memory_order_seq_cst);
    }

private:
    PackedDesc* desc_ = nullptr;
    le32* driver_event_ = nullptr;
    le32* device_event_ = nullptr;
};

}  // namespace bounce
