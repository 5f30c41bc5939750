// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory of the pool that lives long: coherent memory and born-shared buffers.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/mutation.hpp"
#include "api/dma/copy.hpp"
#include "api/dma/debug.hpp"
#include "api/dma/device_fast.hpp"
#include "api/dma/records.hpp"
#include "api/dma/token.hpp"

namespace bounce {
namespace {

constexpr std::size_t kDefaultAlign = 64;
constexpr std::size_t kMaxBlockAlign = kChunkBytes;

Result<void> check(const BlockRequest& request) noexcept {
    if (request.bytes == 0) return fail(EINVAL, "allocation of 0 bytes, expected at least 1");
    if (request.align != 0 && (!std::has_single_bit(request.align) || request.align > kMaxBlockAlign))
        return fail(EINVAL, "alignment %llu, expected a power of two up to %llu", request.align, kMaxBlockAlign);
    return {};
}

}  // namespace

Result<void> Device::alloc_block(SlotKind kind, const BlockRequest& request, bounce_block& block) noexcept {
    block = bounce_block{};
    if (auto good = check(request); !good) return good;
    if (auto taken = take_block(kind, request, block); !taken) return taken;
    blocks_.fetch_add(1, std::memory_order_relaxed);
    return {};
}

Result<void> Device::alloc_blocks(SlotKind kind, const BlockRequest& request, std::span<bounce_block> blocks) noexcept {
    std::fill(blocks.begin(), blocks.end(), bounce_block{});
    if (blocks.empty()) return fail(EINVAL, "allocation of 0 blocks, expected at least 1");
    if (auto good = check(request); !good) return good;
    for (bounce_block& block : blocks) {
        auto taken = take_block(kind, request, block);
        if (taken) continue;
        // Each was handed out just above, so this cannot fail. The error stays this thread's last one.
        for (bounce_block* done = blocks.data(); done != &block; ++done) static_cast<void>(free_checked(kind, *done));
        std::fill(blocks.begin(), blocks.end(), bounce_block{});
        return taken;
    }
    blocks_.fetch_add(blocks.size(), std::memory_order_relaxed);
    return {};
}

/// Of a request that check() found good.
Result<void> Device::take_block(SlotKind kind, const BlockRequest& request, bounce_block& block) noexcept {
    if (quarantined()) return fail(EPROTO, "the device is in quarantine: it must be reset first");
    const auto slot = pool_.alloc({.bytes = request.bytes,
                                   .align = request.align == 0 ? kDefaultAlign : request.align,
                                   .max_address = kind == SlotKind::kCoherent ? coherent_dma_mask_ : dma_mask_,
                                   .kind = kind,
                                   .boundary = request.boundary,
                                   .rule = group_.rule(),
                                   .domain = group_.domain},
                                  &group_);
    if (!slot) {
        trace_no_block(slot.code(), kind, request.bytes);
        return slot.error();
    }
    // The slot holds what was there before. A buffer's content is this pool's own and the caller overwrites it.
    if (kind == SlotKind::kCoherent && !BOUNCE_MUTATED(kScrubAtAlloc)) zero_slot(slot->hva, request.bytes);
    block.ptr = slot->hva;
    block.addr = slot->gpa.value;
    block.bytes = request.bytes;
    block.device = id_;
    block.epoch = slot->epoch;
    block.handle = slot->handle.bits();
    block.kind = static_cast<std::uint8_t>(kind);
    block.state = kLiveBlock;
    if ((mode_.load(std::memory_order_relaxed) & kTagged) != 0)  // M1
        tag_slot(slot->handle, slot->gpa, request.bytes, Direction::kBidirectional);
    if (records_ != nullptr) {
        if (auto recorded = record_block(*slot, block); !recorded) {
            static_cast<void>(pool_.free(*slot, kind, &group_));
            block = bounce_block{};
            return recorded;
        }
    }
    trace_block(block, request.align);
    if (debug_ != nullptr) watch_block(block);
    return {};
}

Result<void> Device::free_block(SlotKind kind, bounce_block& block) noexcept {
    auto given = give_block(kind, block);
    if (given) blocks_.fetch_sub(1, std::memory_order_relaxed);
    return given;
}

Result<void> Device::free_blocks(SlotKind kind, std::span<bounce_block> blocks) noexcept {
    if (blocks.empty()) return fail(EINVAL, "0 blocks to free, expected at least 1");
    Result<void> first;
    std::uint64_t freed = 0;
    for (bounce_block& block : blocks) {
        auto given = give_block(kind, block);
        freed += given ? 1U : 0U;
        if (first && !given) first = given;
    }
    blocks_.fetch_sub(freed, std::memory_order_relaxed);
    return first;
}

Result<void> Device::give_block(SlotKind kind, bounce_block& block) noexcept {
    const auto freed = free_checked(kind, block);
    // In a forked child it is EOWNERDEAD, and no lock is taken.
    if (!freed && debug_ != nullptr) debug_->refused(block, freed.code());
    return freed;
}

Result<void> Device::free_checked(SlotKind kind, bounce_block& block) noexcept {
    if (block.state != kLiveBlock)
        return fail(EALREADY, "the block (address 0x%llx) is not live: never allocated, or freed before", block.addr);
    if (block.device != id_)
        return fail(EXDEV, "the block belongs to device %llu, not to this one (%llu)", block.device, id_);
    if (block.kind != static_cast<std::uint8_t>(kind))
        return fail(EPERM, "the block is of kind %llu, freed as kind %llu (2 coherent, 3 buffer)", block.kind,
                    static_cast<std::uint64_t>(kind));
    if (kind == SlotKind::kBuffer && shared_maps_.count() != 0) {
        if (const std::uint64_t mapped = shared_maps_.count_in(Gpa{block.addr}, block.bytes); mapped != 0)
            return fail(EBUSY, "%llu mappings of the buffer (address 0x%llx) exist, expected none", mapped, block.addr);
    }
    if (watched() || quarantined() || trace_.load(std::memory_order_relaxed) != nullptr) {
        // As Device::end_watched(): it is forgotten, and its end recorded, while nobody else can get the slot. In
        // quarantine it is held back.
        Pool::Ending ending;
        if (const auto begun = pool_.begin_free(slot_of(block), kind, 0, ending); !begun) return begun;
        if (debug_ != nullptr) debug_->freed(block);
        if (records_ != nullptr) records_->forget(slot_of(block));
        trace_freed(block);
        pool_.finish_free(group_, nullptr, ending);
    } else if (const auto freed = pool_.free(slot_of(block), kind, &group_); !freed) {
        return freed;
    }
    block.state = kEnded;
    return {};
}

Result<std::uint64_t> Device::shared_address(const void* ptr, std::size_t bytes, SlotKind kind,
                                             RegionId* where) const noexcept {
    if (ptr == nullptr) return fail(EINVAL, "the shared segment is NULL");
    if (bytes == 0) return fail(EINVAL, "a shared segment of 0 bytes, expected at least 1");
    if (bytes > limits_.max_segment_bytes)
        return fail(E2BIG, "a shared segment of %llu bytes, but the device's max_segment_bytes is %llu", bytes,
                    limits_.max_segment_bytes);
    const auto gpa = pool_.find_in_slot(ptr, bytes, kind, group_.domain, where);
    if (!gpa) return gpa.error();
    if (gpa->value > dma_mask_ || bytes - 1 > dma_mask_ - gpa->value)
        return fail(ERANGE, "the shared segment ends at 0x%llx, above the device's mask 0x%llx", gpa->value + bytes - 1,
                    dma_mask_);
    const std::uint64_t boundary = limits_.segment_boundary;
    if (boundary != 0 && ((gpa->value ^ (gpa->value + bytes - 1)) & (0 - boundary)) != 0)
        return fail(EDOM, "the shared segment of %llu bytes at 0x%llx crosses a multiple of 0x%llx", bytes, gpa->value,
                    boundary);
    return gpa->value;
}

}  // namespace bounce
