// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Indirect tables. Short ones come from one area of coherent memory, long ones have a slot of their own. They are
// written from private state, never read back, and freed by what is remembered privately.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "api/dma/device.hpp"
#include "api/virtio/ring_memory.hpp"

namespace bounce {

class TablePool {
public:
    static constexpr std::uint32_t kShort = 8;       // descriptors of a short table: two cache lines
    static constexpr std::uint32_t kMaxShort = 256;  // short tables of a queue
    static constexpr std::uint16_t kNone = 0xffff;
    static constexpr std::uint16_t kOwnSlot = 0xfffe;

    struct Table {
        std::byte* memory = nullptr;  // entries of kDescBytes
        std::uint64_t addr = 0;
        std::uint16_t id = kNone;  // which short table, or kOwnSlot
    };

    explicit TablePool(Device& device) noexcept : device_(device) {}
    ~TablePool();
    TablePool(const TablePool&) = delete;
    TablePool& operator=(const TablePool&) = delete;

    /// Takes what a queue of `queue_size` needs from the heap and the pool; once. ENOMEM, ENOSPC.
    Result<void> init(std::uint32_t queue_size) noexcept;
    [[nodiscard]] bool ready() const noexcept { return long_ != nullptr; }

    /// A table of n descriptors for the chain at `head`, in whatever layout. Errors as Device::alloc_block().
    Result<Table> take(std::uint32_t n, std::uint32_t head) noexcept {
        if (n <= kShort && n_free_ > 0) {
            const std::uint16_t id = free_[--n_free_];
            const std::size_t at = std::size_t{id} * kShort * kDescBytes;
            return Table{area_memory_ + at, area_.addr + at, id};
        }
        return take_slot(n, head);
    }
    void give(std::uint16_t id, std::uint32_t head) noexcept {
        if (id == kNone) return;
        if (id == kOwnSlot) return give_slot(head);
        free_[n_free_++] = id;
    }

private:
    Result<Table> take_slot(std::uint32_t n, std::uint32_t head) noexcept;
    void give_slot(std::uint32_t head) noexcept;

    Device& device_;
    std::byte* area_memory_ = nullptr;
    std::uint32_t n_free_ = 0;
    std::unique_ptr<std::uint16_t[]> free_;
    std::unique_ptr<bounce_block[]> long_;  // by head
    bounce_block area_{};
};

}  // namespace bounce
