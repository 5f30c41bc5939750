// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory of the pool that lives long: coherent memory and born-shared buffers.
#include <bit>
#include <cerrno>

#include "allocator/base/mutation.hpp"
#include "api/dma/copy.hpp"
#include "api/dma/device.hpp"
#include "api/dma/token.hpp"

namespace bounce {
namespace {

constexpr std::size_t kDefaultAlign = 64;
constexpr std::size_t kMaxAlign = kChunkBytes;

}  // namespace

Result<void> Device::alloc_block(SlotKind kind, std::size_t bytes, std::size_t align, bounce_block& block) noexcept {
    block = bounce_block{};
    if (bytes == 0) return fail(EINVAL, "allocation of 0 bytes, expected at least 1");
    if (align == 0) align = kDefaultAlign;
    if (!std::has_single_bit(align) || align > kMaxAlign)
        return fail(EINVAL, "alignment %llu, expected a power of two up to %llu", align, kMaxAlign);
    const std::uint64_t mask = kind == SlotKind::kCoherent ? coherent_dma_mask_ : dma_mask_;
    const auto slot =
        pool_.alloc({.bytes = bytes, .align = align, .max_address = mask, .kind = kind, .rule = group_.rule});
    if (!slot) return slot.error();
    // The slot holds what was there before. A buffer's content is this pool's own and the caller overwrites it.
    if (kind == SlotKind::kCoherent && !BOUNCE_MUTATED(kScrubAtAlloc)) zero_slot(slot->hva, bytes);
    block.ptr = slot->hva;
    block.addr = slot->gpa.value;
    block.bytes = bytes;
    block.device = id_;
    block.epoch = slot->epoch;
    block.handle = slot->handle.bits();
    block.kind = static_cast<std::uint8_t>(kind);
    block.state = kLiveBlock;
    blocks_.fetch_add(1, std::memory_order_relaxed);
    return {};
}

Result<void> Device::free_block(SlotKind kind, bounce_block& block) noexcept {
    if (block.state != kLiveBlock)
        return fail(EALREADY, "the block (address 0x%llx) is not live: never allocated, or freed before", block.addr);
    if (block.device != id_)
        return fail(EXDEV, "the block belongs to device %llu, not to this one (%llu)", block.device, id_);
    if (block.kind != static_cast<std::uint8_t>(kind))
        return fail(EPERM, "the block is of kind %llu, freed as kind %llu (2 coherent, 3 buffer)", block.kind,
                    static_cast<std::uint64_t>(kind));
    if (const auto freed = pool_.free(slot_of(block), kind); !freed) return freed;
    block.state = kEnded;
    blocks_.fetch_sub(1, std::memory_order_relaxed);
    return {};
}

Result<std::uint64_t> Device::shared_address(const void* ptr, std::size_t bytes) const noexcept {
    if (ptr == nullptr) return fail(EINVAL, "the shared segment is NULL");
    if (bytes == 0) return fail(EINVAL, "a shared segment of 0 bytes, expected at least 1");
    if (bytes > max_segment_bytes_)
        return fail(E2BIG, "a shared segment of %llu bytes, but the device's max_segment_bytes is %llu", bytes,
                    max_segment_bytes_);
    const auto gpa = pool_.find_in_slot(ptr, bytes, SlotKind::kBuffer);
    if (!gpa) return gpa.error();
    if (gpa->value > dma_mask_ || bytes - 1 > dma_mask_ - gpa->value)
        return fail(ERANGE, "the shared segment ends at 0x%llx, above the device's mask 0x%llx", gpa->value + bytes - 1,
                    dma_mask_);
    return gpa->value;
}

}  // namespace bounce
