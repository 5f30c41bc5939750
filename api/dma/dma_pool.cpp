// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/dma_pool.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <new>

#include "allocator/base/bits.hpp"
#include "api/dma/copy.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kDefaultPoolAlign = 8;
constexpr std::uint64_t kFewest = 8;                     // blocks of a piece, if they are not large
constexpr std::uint64_t kLarge = kChunkBytes / kFewest;  // larger ones have pieces of their own
constexpr std::uint64_t kFirstPlaces = 16;
constexpr std::uint32_t kWord = 64;
constexpr std::uint64_t kHash = 0x9e3779b97f4a7c15;

Result<void> check(const DmaPoolConfig& config) noexcept {
    if (config.bytes == 0) return fail(EINVAL, "blocks of 0 bytes, expected at least 1");
    if (config.align != 0 && (!std::has_single_bit(config.align) || config.align > kChunkBytes))
        return fail(EINVAL, "alignment %llu, expected 0 or a power of two up to %llu", config.align, kChunkBytes);
    if (config.bytes > Region::kMaxBytes)
        return fail(E2BIG, "blocks of %llu bytes, no region has more than %llu", config.bytes, Region::kMaxBytes);
    const std::uint64_t stride = round_up(config.bytes, config.align == 0 ? kDefaultPoolAlign : config.align);
    if (config.boundary != 0 && (!std::has_single_bit(config.boundary) || config.boundary < stride))
        return fail(EINVAL, "boundary %llu, expected 0 or a power of two that holds a block (%llu bytes, aligned)",
                    config.boundary, stride);
    return {};
}

}  // namespace

DmaPool::DmaPool(Device& device, const DmaPoolConfig& config) noexcept
    : device_(device),
      bytes_(config.bytes),
      align_(config.align == 0 ? kDefaultPoolAlign : config.align),
      boundary_(config.boundary),
      stride_(round_up(bytes_, align_)) {
    std::snprintf(name_, sizeof name_, "%s", config.name);
    const bool large = stride_ > kLarge;
    piece_bytes_ = large ? stride_ : std::max<std::uint64_t>(kPageBytes, std::bit_ceil(stride_ * kFewest));
    shift_ = static_cast<unsigned>(std::countr_zero(large ? kPageBytes : piece_bytes_));
    window_ = boundary_ == 0 ? piece_bytes_ : std::min(boundary_, piece_bytes_);
    per_window_ = static_cast<std::uint32_t>(window_ / stride_);
    per_piece_ = static_cast<std::uint32_t>(piece_bytes_ / window_) * per_window_;
}

Result<std::unique_ptr<DmaPool>> DmaPool::create(Device& device, const DmaPoolConfig& config) noexcept {
    if (auto good = check(config); !good) return good.error();
    std::unique_ptr<DmaPool> pool(new (std::nothrow) DmaPool(device, config));
    if (pool == nullptr) return fail(ENOMEM, "no memory for a pool of blocks");
    return pool;
}

DmaPool::~DmaPool() {
    for (Piece* piece = first_.load(std::memory_order_relaxed); piece != nullptr;) {
        Piece* const next = piece->next;
        static_cast<void>(device_.free_block(SlotKind::kCoherent, piece->memory));
        delete piece;
        piece = next;
    }
}

std::uint64_t DmaPool::offset_of(std::uint32_t index) const noexcept {
    return index / per_window_ * window_ + index % per_window_ * stride_;
}

/// per_piece_: no block begins there.
std::uint32_t DmaPool::index_at(std::uint64_t offset) const noexcept {
    const std::uint64_t in_window = offset % window_;
    if (offset >= piece_bytes_ || in_window % stride_ != 0 || in_window / stride_ >= per_window_) return per_piece_;
    return static_cast<std::uint32_t>(offset / window_ * per_window_ + in_window / stride_);
}

bool DmaPool::claim(Piece& piece, std::uint32_t& index) noexcept {
    for (std::uint32_t at = 0; at < per_piece_; at += kWord) {
        std::atomic<std::uint64_t>& word = piece.words[at / kWord];
        const std::uint32_t bits = std::min(per_piece_ - at, kWord);
        const std::uint64_t all = ~std::uint64_t{0} >> (kWord - bits);
        std::uint64_t out = word.load(std::memory_order_relaxed);
        while ((out & all) != all) {
            const auto bit = static_cast<std::uint32_t>(std::countr_one(out));
            // B3: acquire, pairs with B4: who had the block before is done with it.
            out = word.fetch_or(std::uint64_t{1} << bit, std::memory_order_acquire);
            if ((out >> bit & 1) != 0) continue;
            index = at + bit;
            return true;
        }
    }
    return false;
}

Result<DmaPool::Block> DmaPool::alloc(bool zeroed) noexcept {
    if (!device_.pool().alive()) return fail(EOWNERDEAD, kForked);
    std::uint32_t index = 0;
    // B2: acquire, here and below, pairs with the release in add_piece().
    Piece* piece = hint_.load(std::memory_order_acquire);
    while (piece == nullptr || !claim(*piece, index)) {
        const std::uint64_t seen = n_pieces_.load(std::memory_order_acquire);
        piece = first_.load(std::memory_order_acquire);
        while (piece != nullptr && !claim(*piece, index)) piece = piece->next;
        if (piece != nullptr) break;
        auto added = add_piece(seen);
        if (!added) return added.error();
        piece = *added;
    }
    // B2: release, pairs with the acquire above.
    if (hint_.load(std::memory_order_relaxed) != piece) hint_.store(piece, std::memory_order_release);
    const std::uint64_t offset = offset_of(index);
    const Block block{static_cast<std::byte*>(piece->memory.ptr) + offset, piece->memory.addr + offset};
    if (zeroed) zero_slot(block.ptr, bytes_);
    return block;
}

Result<void> DmaPool::free(const Block& block) noexcept {
    if (!device_.pool().alive()) return fail(EOWNERDEAD, kForked);
    Piece* const piece = find(block.addr);
    const std::uint64_t offset = piece == nullptr ? 0 : block.addr - piece->memory.addr;
    const std::uint32_t index = piece == nullptr ? per_piece_ : index_at(offset);
    if (index == per_piece_)
        return fail_text(EFAULT, "no block of the pool \"%s\" begins at address 0x%llx", name_,
                         static_cast<unsigned long long>(block.addr));
    if (block.ptr != static_cast<std::byte*>(piece->memory.ptr) + offset)
        return fail(EFAULT, "a block at pointer 0x%llx, which is not where address 0x%llx is",
                    reinterpret_cast<std::uintptr_t>(block.ptr), block.addr);
    const std::uint64_t bit = std::uint64_t{1} << index % kWord;
    // B4: release, pairs with B3.
    if ((piece->words[index / kWord].fetch_and(~bit, std::memory_order_release) & bit) == 0)
        return fail(EALREADY, "the block at address 0x%llx is free already", block.addr);
    // Relaxed suffices, for whoever got the block had found the piece; release, so that the next need not have.
    if (hint_.load(std::memory_order_relaxed) != piece) hint_.store(piece, std::memory_order_release);
    return {};
}

DmaPool::Piece* DmaPool::find(std::uint64_t addr) const noexcept {
    // B1: acquire, here and below, pairs with the releases in insert() and make_room().
    const Table* const table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return nullptr;
    for (std::uint64_t at = (addr >> shift_) * kHash >> 32;; ++at) {
        Piece* const piece = table->places[at & table->mask].load(std::memory_order_acquire);
        if (piece == nullptr || piece->memory.addr >> shift_ == addr >> shift_) return piece;
    }
}

void DmaPool::insert(Table& table, Piece* piece, unsigned shift) noexcept {
    std::uint64_t at = (piece->memory.addr >> shift) * kHash >> 32;
    while (table.places[at & table.mask].load(std::memory_order_relaxed) != nullptr) ++at;
    table.places[at & table.mask].store(piece, std::memory_order_release);  // B1
}

/// For one piece more. Under the lock.
Result<void> DmaPool::make_room() noexcept {
    const std::uint64_t count = n_pieces_.load(std::memory_order_relaxed) + 1;
    if (owned_ != nullptr && count * 2 <= owned_->mask + 1) return {};
    const std::uint64_t places = owned_ == nullptr ? kFirstPlaces : (owned_->mask + 1) * 2;
    std::unique_ptr<Table> table(new (std::nothrow) Table);
    if (table != nullptr) table->places.reset(new (std::nothrow) std::atomic<Piece*>[places]());
    if (table == nullptr || table->places == nullptr)
        return fail(ENOMEM, "no private memory for a table of %llu pieces", places);
    table->mask = places - 1;
    for (Piece* piece = first_.load(std::memory_order_relaxed); piece != nullptr; piece = piece->next)
        insert(*table, piece, shift_);
    table->before = std::move(owned_);  // somebody may be looking at it
    owned_ = std::move(table);
    table_.store(owned_.get(), std::memory_order_release);  // B1
    return {};
}

/// `seen` pieces had nothing. The piece that somebody else added meanwhile is as good.
Result<DmaPool::Piece*> DmaPool::add_piece(std::uint64_t seen) noexcept {
    const std::lock_guard lock(lock_);
    if (n_pieces_.load(std::memory_order_relaxed) != seen) return first_.load(std::memory_order_relaxed);
    std::unique_ptr<Piece> piece(new (std::nothrow) Piece);
    if (piece != nullptr)
        piece->words.reset(new (std::nothrow) std::atomic<std::uint64_t>[div_up(per_piece_, kWord)]());
    if (piece == nullptr || piece->words == nullptr) return fail(ENOMEM, "no private memory for a piece of a pool");
    if (auto room = make_room(); !room) return room.error();
    const std::uint64_t of_piece = std::uint64_t{1} << shift_;
    const BlockRequest request{.bytes = piece_bytes_,
                               .align = std::max(align_, of_piece),
                               .boundary = boundary_ >= piece_bytes_ ? boundary_ : 0};
    if (auto taken = device_.alloc_block(SlotKind::kCoherent, request, piece->memory); !taken) return taken.error();
    piece->next = first_.load(std::memory_order_relaxed);
    insert(*owned_, piece.get(), shift_);
    // B2: release, pairs with the acquires in alloc().
    first_.store(piece.get(), std::memory_order_release);
    n_pieces_.store(seen + 1, std::memory_order_release);
    return piece.release();
}

/// Exact when nobody allocates or frees at the moment.
std::uint64_t DmaPool::blocks_out() const noexcept {
    std::uint64_t out = 0;
    for (const Piece* piece = first_.load(std::memory_order_acquire); piece != nullptr; piece = piece->next) {
        for (std::uint32_t at = 0; at < per_piece_; at += kWord)
            out += static_cast<std::uint64_t>(std::popcount(piece->words[at / kWord].load(std::memory_order_relaxed)));
    }
    return out;
}

}  // namespace bounce
