// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A core that is emptied for good, and one whose memory comes bit by bit.
//
// Closing needs no handshake with who allocates. A slot can be had from a bit that is at home, or from pages. Closed,
// the page table gives no pages; sweep() takes the bits of every slab that is whole (kill(), slot_ops.hpp) and its
// pages back. When no page is in use, every bit is 0 and every slab dead, so an allocation that read any of the tables
// before finds nothing in them, now or later. A slot that is out keeps its slab, and so the region, from getting there;
// so does the claimer that takes a bit between two sweeps.
#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

void SlabCore::close() noexcept {
    const std::lock_guard lock(page_lock_);
    pages_.close(true);
}

void SlabCore::reopen() noexcept {
    {
        const std::lock_guard lock(page_lock_);
        pages_.close(false);
    }
    note_free();  // who looked in vain looks again
}

std::uint64_t SlabCore::sweep() noexcept {
    const std::lock_guard lock(page_lock_);
    reap();
    return std::uint64_t{pages_.used_pages()} * kPageBytes;
}

std::uint64_t SlabCore::bytes_in_use() const noexcept {
    const std::lock_guard lock(page_lock_);
    return std::uint64_t{pages_.used_pages()} * kPageBytes;
}

void SlabCore::restart() noexcept {
    const std::lock_guard lock(page_lock_);
    pages_.restart();
}

void SlabCore::extend(std::uint64_t until, bool good) noexcept {
    {
        const std::lock_guard lock(page_lock_);
        pages_.extend(static_cast<std::uint32_t>((until + phase_) / kPageBytes), good);
    }
    note_free();
}

}  // namespace bounce
