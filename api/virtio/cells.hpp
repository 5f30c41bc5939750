// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Cells: where a ring bounces the small segments of its requests (a header, a status byte). A cell is a cache line of
// coherent memory that belongs to a block of tokens for good, so a small segment costs a copy and no slot: of the three
// segments of a block request two need neither alloc nor free. A ring without cells (the pool was too full for them, or
// they lie above the device's mask, or the device asks more of a mapping than a length: its alignment, a boundary, that
// nothing of an earlier one is in it) maps every segment.
#pragma once

#include <algorithm>
#include <cstdint>

#include "allocator/base/mutation.hpp"
#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"
#include "bounce/bounce.h"

namespace bounce {

class CellArea {
public:
    static constexpr std::uint32_t kCellBytes = 64;
    static constexpr std::uint32_t kPerBlock = 2;     // the first two small segments of a request
    static constexpr std::uint32_t kMaxBlocks = 256;  // 32 KiB of the pool at most

    explicit CellArea(Device& device) noexcept : device_(device) {}
    ~CellArea() {
        if (area_.ptr != nullptr) (void)device_.free_block(SlotKind::kCoherent, area_);
    }
    CellArea(const CellArea&) = delete;
    CellArea& operator=(const CellArea&) = delete;

    /// Takes the area for the first blocks of a ring; no area is no error.
    void init(std::uint32_t queue_size) noexcept {
        if (device_.special()) return;
        const std::uint32_t blocks = std::clamp(queue_size / 2, 1U, kMaxBlocks);
        const std::size_t bytes = std::size_t{blocks} * kPerBlock * kCellBytes;
        if (!device_.alloc_block(SlotKind::kCoherent, bytes, kCellBytes, area_)) {
            area_ = bounce_block{};
        } else if (area_.addr + (bytes - 1) <= device_.dma_mask()) {
            blocks_ = blocks;
        }
    }

    /// Bounces a private segment into cell `index` of `block`; false: it is not for a cell.
    bool map(std::uint32_t block, std::uint32_t index, const bounce_sg& sg, Direction direction,
             bounce_mapping& token) const noexcept {
        // (A scrub policy that came later is for slots.)
        if (sg.bytes > kCellBytes || device_.special() || block >= blocks_ || index >= kPerBlock) return false;
        const std::size_t at = (std::size_t{block} * kPerBlock + index) * kCellBytes;
        token.addr = area_.addr + at;
        token.bytes = sg.bytes;
        token.orig = sg.base;
        token.slot = static_cast<std::byte*>(area_.ptr) + at;
        token.direction = static_cast<std::uint8_t>(direction);
        token.state = kInCell;
        if (direction == Direction::kToDevice || BOUNCE_MUTATED(kCellDirection)) {
            copy_to_slot(static_cast<std::byte*>(token.slot), sg.base,
                         BOUNCE_MUTATED(kCellLength) ? kCellBytes : sg.bytes);
        }
        return true;
    }
    [[nodiscard]] bool used() const noexcept { return blocks_ != 0; }
    /// Whatever the cells hold now is used anew; nothing is in them.
    void refresh() noexcept {
        if (used()) device_.refresh(area_);
    }
    [[nodiscard]] const bounce_block& area() const noexcept { return area_; }
    [[nodiscard]] static bool holds(const bounce_mapping& token) noexcept { return token.state == kInCell; }
    /// Copies back what the device wrote of a segment in a cell.
    static void unmap(const bounce_mapping& token, std::uint64_t written) noexcept {
        if (written != 0 && token.direction == BOUNCE_FROM_DEVICE) {
            copy_from_slot(token.orig, static_cast<const std::byte*>(token.slot), written);
        }
    }

private:
    static constexpr std::uint8_t kInCell = 0xe3;  // beside the states of the DMA API's tokens

    Device& device_;
    bounce_block area_{};
    std::uint32_t blocks_ = 0;
};

}  // namespace bounce
