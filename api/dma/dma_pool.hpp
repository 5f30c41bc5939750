// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Blocks of one size out of coherent memory of a device. The memory comes in *pieces* of several blocks and goes back
// when the pool ends. Which blocks are out is a bit each in private memory, so a free is checked by address alone, and
// what the device writes confuses nobody.
//
// Protocol. A piece is filled in, then found by its address (B1), then allocated from (B2). A block is out when its bit
// is set: alloc() sets it (B3), free() clears it (B4), and of two that free one block one finds it set. Pieces are
// added under the lock, and stay until the pool ends; nothing else waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "api/dma/device.hpp"

namespace bounce {

struct DmaPoolConfig {
    const char* name = "dma_pool";  // copied; at most 63 bytes
    std::uint64_t bytes = 0;        // of a block
    std::uint64_t align = 0;        // power of two up to 2 MiB; 0: 8
    std::uint64_t boundary = 0;     // power of two that no block crosses; 0: none
};

class DmaPool {
public:
    struct Block {
        std::byte* ptr = nullptr;
        std::uint64_t addr = 0;
    };

    /// device must outlive it. EINVAL, ENOMEM. Takes no memory of the device yet.
    static Result<std::unique_ptr<DmaPool>> create(Device& device, const DmaPoolConfig& config) noexcept;
    DmaPool(const DmaPool&) = delete;
    DmaPool& operator=(const DmaPool&) = delete;
    /// Only when no block is out.
    ~DmaPool();

    Result<Block> alloc(bool zeroed) noexcept;
    /// EFAULT: not a block of this pool. EALREADY: it is not out.
    Result<void> free(const Block& block) noexcept;

    [[nodiscard]] std::uint64_t blocks_out() const noexcept;
    [[nodiscard]] std::uint64_t pieces() const noexcept { return n_pieces_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t piece_bytes() const noexcept { return piece_bytes_; }
    [[nodiscard]] std::uint64_t block_bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint64_t stride() const noexcept { return stride_; }
    [[nodiscard]] const char* name() const noexcept { return name_; }
    [[nodiscard]] Device& device() const noexcept { return device_; }

private:
    struct Piece {
        bounce_block memory{};
        Piece* next = nullptr;
        std::unique_ptr<std::atomic<std::uint64_t>[]> words;  // a bit a block: it is out
    };
    /// Pieces by address: open addressing, never more than half full. One that is too small is replaced and kept.
    struct Table {
        std::uint64_t mask = 0;
        std::unique_ptr<std::atomic<Piece*>[]> places;
        std::unique_ptr<Table> before;
    };

    DmaPool(Device& device, const DmaPoolConfig& config) noexcept;
    Result<Piece*> add_piece(std::uint64_t seen) noexcept;
    Result<void> make_room() noexcept;
    static void insert(Table& table, Piece* piece, unsigned shift) noexcept;
    [[nodiscard]] Piece* find(std::uint64_t addr) const noexcept;
    bool claim(Piece& piece, std::uint32_t& index) noexcept;
    [[nodiscard]] std::uint64_t offset_of(std::uint32_t index) const noexcept;
    [[nodiscard]] std::uint32_t index_at(std::uint64_t offset) const noexcept;

    Device& device_;
    char name_[64];
    const std::uint64_t bytes_;
    const std::uint64_t align_;
    const std::uint64_t boundary_;
    const std::uint64_t stride_;  // from one block to the next
    std::uint64_t piece_bytes_;
    std::uint64_t window_;  // so many bytes have per_window_ blocks, and what is left over
    std::uint32_t per_window_;
    std::uint32_t per_piece_;
    unsigned shift_;  // pieces have different addresses above it
    std::atomic<Piece*> first_{nullptr};
    std::atomic<Piece*> hint_{nullptr};  // a piece that had a block
    std::atomic<Table*> table_{nullptr};
    std::atomic<std::uint64_t> n_pieces_{0};
    std::mutex lock_;  // adding a piece
    std::unique_ptr<Table> owned_;
};

}  // namespace bounce
