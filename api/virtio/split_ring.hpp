// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The shared half of a split virtqueue as the driver sees it: descriptors and the avail ring are written, the used ring
// and the device's event field are read, each field once. Nothing in here decides anything.
//
// Partners. P is this side's order, D what the device does on the other side (its own code, any implementation):
//   P1 avail idx, seq_cst store   - D1 load of avail idx with acquire: the descriptors are visible with the index
//   P2 used idx, acquire load     - D2 release store of used idx: elements and data are visible with the index
//   P1 then P3 (seq_cst load of avail_event or of the used flags) - D3 (seq_cst or fenced store of these), then D1:
//      of the two stores at least one is seen by the other side, so no kick is lost
//   P4 (seq_cst store of used_event or of the avail flags) then P5 (seq_cst load of used idx) - D2, then a seq_cst or
//      fenced load of these: no call is lost
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/virtio/split_layout.hpp"

namespace bounce {

class SplitRing {
public:
    SplitRing() = default;
    /// `memory` holds SplitOffsets(queue_size).bytes, aligned to a cache line.
    SplitRing(std::byte* memory, std::uint32_t queue_size) noexcept {
        const SplitOffsets offsets(queue_size);
        desc_ = reinterpret_cast<SplitDesc*>(memory);
        avail_ = reinterpret_cast<SplitAvail*>(memory + offsets.avail);
        avail_ring_ = reinterpret_cast<le16*>(avail_ + 1);
        used_ = reinterpret_cast<SplitUsed*>(memory + offsets.used);
        used_ring_ = reinterpret_cast<SplitUsedElem*>(used_ + 1);
        used_event_ = avail_ring_ + queue_size;
        avail_event_ = reinterpret_cast<le16*>(used_ring_ + queue_size);
        mask_ = queue_size - 1;
    }

    SplitDesc& desc(std::uint32_t index) noexcept { return desc_[index & mask_]; }
    void put_avail(std::uint16_t index, std::uint16_t head) noexcept { avail_ring_[index & mask_].store(head); }

    /// P1: releases the descriptors to D1, and stands before P3 in the single order.
    void publish(std::uint16_t index) noexcept { avail_->idx.store(index, std::memory_order_seq_cst); }
    /// P1 without P3, for a device that wants no kicks: release, pairs with D1.
    void publish_only(std::uint16_t index) noexcept { avail_->idx.store(index, std::memory_order_release); }
    /// P3: after P1; pairs with D3.
    std::uint16_t avail_event() const noexcept { return avail_event_->load(std::memory_order_seq_cst); }
    /// P3: after P1; pairs with D3.
    std::uint16_t used_flags() const noexcept { return used_->flags.load(std::memory_order_seq_cst); }

    /// P2: acquires the elements and the data behind them from D2.
    std::uint16_t used_index() const noexcept { return used_->idx.load(std::memory_order_acquire); }
    SplitUsedElem& used(std::uint16_t index) noexcept { return used_ring_[index & mask_]; }

    /// P4: before P5.
    void ask_call_at(std::uint16_t used_event) noexcept { used_event_->store(used_event, std::memory_order_seq_cst); }
    /// P4: before P5.
    void set_avail_flags(std::uint16_t flags) noexcept { avail_->flags.store(flags, std::memory_order_seq_cst); }
    /// P5: after P4; pairs with D2.
    std::uint16_t used_index_after_arm() const noexcept { return used_->idx.load(std::memory_order_seq_cst); }

private:
    SplitDesc* desc_ = nullptr;
    SplitAvail* avail_ = nullptr;
    le16* avail_ring_ = nullptr;
    SplitUsed* used_ = nullptr;
    SplitUsedElem* used_ring_ = nullptr;
    le16* used_event_ = nullptr;
    le16* avail_event_ = nullptr;
    std::uint32_t mask_ = 0;
};

}  // namespace bounce
