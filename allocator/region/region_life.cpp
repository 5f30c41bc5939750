// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Chunks that open and close, and memory that leaves a region and comes back.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "allocator/base/bits.hpp"
#include "allocator/region/region.hpp"
#include "allocator/region/shared_memory.hpp"

namespace bounce {

void Region::take_name(const char* name) noexcept {
    if (name == name_) return;
    std::snprintf(name_, sizeof name_, "%s", name == nullptr ? "bounce" : name);
}

std::uint32_t Region::chunks() const noexcept {
    return static_cast<std::uint32_t>(div_up(base_.value % kChunkBytes + bytes_, kChunkBytes));
}

Extent Region::chunk(std::uint32_t index) const noexcept {
    const std::uint64_t phase = base_.value % kChunkBytes;
    const std::uint64_t start = std::uint64_t{index} * kChunkBytes;
    const std::uint64_t first = std::max(start, phase) - phase;
    return {first, std::min(start + kChunkBytes - phase, bytes_) - first};
}

Result<void> Region::open_chunk(std::uint32_t index) noexcept {
    const Extent at = chunk(index);
    if (!imported_) {
        // What is converted must be there, and scrubbing must not be what finds out that it cannot be.
        auto filled = populate(fd(), hva_ + at.offset, at.offset, at.bytes, page_bytes());
        if (!filled) return filled;
    }
    return sharing_.share(index, place_of(at));
}

Result<void> Region::close_chunk(std::uint32_t index) noexcept {
    return sharing_.unshare(index, place_of(chunk(index)));
}

Extent Region::next_stretch(std::uint32_t& index) const noexcept {
    if (!sharing_.by_hooks()) {  // none is ever lost
        const bool all = std::exchange(index, chunks()) == 0;
        return {0, all ? bytes_ : 0};
    }
    while (index < chunks() && lost(index)) ++index;
    if (index == chunks()) return {};
    const std::uint64_t first = chunk(index).offset;
    while (index < chunks() && !lost(index)) ++index;
    const Extent last = chunk(index - 1);
    return {first, last.offset + last.bytes - first};
}

Result<void> Region::retire() noexcept {
    if (!imported_) {
        std::uint32_t at = 0;
        for (Extent good = next_stretch(at); good.bytes != 0; good = next_stretch(at)) {
            auto gone = vacate(fd(), hva_ + good.offset, good.offset, good.bytes);
            if (!gone) return gone;
        }
    }
    if (const int old = fd_.exchange(-1, std::memory_order_relaxed); old >= 0) ::close(old);
    return {};
}

Result<void> Region::revive(const RegionConfig& config) noexcept {
    if (imported_) return fail(ENOTSUP, "the region at GPA 0x%llx is the caller's mapping", base_.value);
    auto memory = SharedMemory::create({config.name, bytes_, base_.value, config.node, config.hugepages,
                                        config.prefault && !config.prefault_by_chunk});
    if (!memory) return memory.error();
    // R4: seq_cst, as in renew(): what was handed out before is of other memory.
    const std::uint32_t next = renewing_.fetch_add(1, std::memory_order_seq_cst) + 1;
    // R2: release, as in renew(). Nothing is handed out of a region that could not be revived.
    epoch_.store(next, std::memory_order_release);
    std::uint32_t at = 0;
    for (Extent good = next_stretch(at); good.bytes != 0; good = next_stretch(at)) {
        auto moved = memory->move_piece_over(hva_ + good.offset, good.offset, good.bytes);
        if (!moved) return moved;
    }
    take_name(config.name);
    node_ = config.node;
    hugepages_ = config.hugepages;
    prefault_ = config.prefault && !config.prefault_by_chunk;
    prefault_by_chunk_ = config.prefault_by_chunk;
    page_bytes_.store(memory->page_bytes(), std::memory_order_relaxed);
    if (const int old = fd_.exchange(memory->release_fd(), std::memory_order_relaxed); old >= 0) ::close(old);
    return {};
}

}  // namespace bounce
