// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A core that is emptied for good, and one whose memory comes bit by bit. One thread at a time does these; its owner
// sees to that. Others allocate and free meanwhile.
//
// Closing needs no handshake with who allocates. A slot can be had from a bit that is at home, or from pages. Closed,
// the page map gives no pages; sweep() takes the bits of every slab that is whole (kill(), slot_ops.hpp) and its pages
// back, and then every free page out of the map (page_gate.hpp). When no page is in use, every bit is 0 and every slab
// dead, so an allocation that read any of the tables before finds nothing in them, now or later. A slot that is out
// keeps its slab, and so the region, from getting there; so does the claimer that takes a bit between two sweeps, and
// whoever stops with pages in his hands.
#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

void SlabCore::close() noexcept {
    pages_.close();
}

void SlabCore::reopen() noexcept {
    pages_.reopen();
    note_free();  // who looked in vain looks again
}

std::uint64_t SlabCore::sweep() noexcept {
    reap();
    return std::uint64_t{pages_.drain()} * kPageBytes;
}

std::uint64_t SlabCore::bytes_in_use() const noexcept {
    return std::uint64_t{pages_.used_pages()} * kPageBytes;
}

void SlabCore::restart() noexcept {
    pages_.restart();
}

void SlabCore::extend(std::uint64_t until, bool good) noexcept {
    pages_.extend(static_cast<std::uint32_t>((until + phase_) / kPageBytes), good);
    note_free();
}

}  // namespace bounce
