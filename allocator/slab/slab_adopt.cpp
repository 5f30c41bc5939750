// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which slabs and runs there are, for those who keep books of their own about them; and slabs and runs that come into
// being with slots handed out, because they existed in another process.
//
// Walking reads entries and shapes as they are at the moment. What is handed out stays where it is, so it is seen; what
// comes or goes meanwhile may be seen or not.
#include <algorithm>
#include <bit>

#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/slab_fast.hpp"

namespace bounce {

bool SlabCore::locate(std::uint64_t offset, FoundSlot& found, std::uint64_t& start) const noexcept {
    const std::uint64_t position = offset + phase_;
    auto page = static_cast<std::uint32_t>(position / kPageBytes);
    PageEntry entry = tables_.entry(page);
    // The body of a long run points back in steps.
    while (entry.kind == PageEntry::kRunBody) {
        page -= entry.distance;
        entry = tables_.entry(page);
    }
    found = FoundSlot{};
    found.size_class = entry.size_class;
    if (entry.kind == PageEntry::kRun) {
        found.head = page;
        found.bytes = std::uint64_t{tables_.run_pages(page)} * kPageBytes;
        start = std::uint64_t{page} * kPageBytes;
    } else if (entry.kind == PageEntry::kSlab) {
        const SizeClass& size_class = kSizeClasses[entry.size_class];
        found.head = page - entry.distance;
        const std::uint64_t first = std::uint64_t{found.head} * kPageBytes;
        found.slot = size_class.slot_of(position - first);
        found.bytes = found.slot < tables_.shape(found.head).slots() ? size_class.bytes : 0;
        start = first + std::uint64_t{found.slot} * size_class.bytes;
    } else {
        return false;
    }
    // In a run that ended meanwhile, or in the tail of a slab, there is nothing.
    if (position - start >= found.bytes) return false;
    start -= phase_;
    return true;
}

SlabCore::Extent SlabCore::next_extent(std::uint64_t offset, std::uint64_t until) const noexcept {
    auto page = static_cast<std::uint32_t>((offset + phase_ + kPageBytes - 1) / kPageBytes);
    const std::uint64_t last = (std::min(until, region_bytes_) + phase_ + kPageBytes - 1) / kPageBytes;
    for (const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(pages_.born_end(), last)); page < end;
         ++page) {
        const Shape shape = tables_.shape(page);
        const std::uint64_t at = std::uint64_t{page} * kPageBytes - phase_;
        // What is damaged is looked at, too.
        if (shape.is_slab())
            return {at, shape.pages(), shape.size_class(), shape.size_class() < kClasses ? shape.slots() : 0};
        if (tables_.entry(page).kind != PageEntry::kRun) continue;
        if (const std::uint32_t pages = tables_.run_pages(page); pages != 0) return {at, pages, kRunClass, 1};
    }
    return {};
}

std::uint32_t SlabCore::slots_out(const Extent& extent) const noexcept {
    if (extent.size_class == kRunClass) return 1;
    const std::uint64_t first =
        tables_.bit(static_cast<std::uint32_t>((extent.offset + phase_) / kPageBytes), 0, extent.size_class);
    std::uint32_t home = 0;
    for (std::uint64_t bit = first; bit < first + extent.slots;) {
        const auto inside = static_cast<unsigned>(bit % 64);
        const std::uint64_t rest = first + extent.slots - bit;
        const std::uint64_t mask = rest >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << rest) - 1;
        home += static_cast<std::uint32_t>(
            std::popcount(tables_.words[bit / 64].load(std::memory_order_relaxed) >> inside & mask));
        bit += 64 - inside;
    }
    return extent.slots - home;
}

SlabCore::SlotLook SlabCore::look_at(const Extent& extent, std::uint32_t slot) const noexcept {
    const auto head = static_cast<std::uint32_t>((extent.offset + phase_) / kPageBytes);
    const bool out = extent.size_class == kRunClass || !at_home(head, slot, extent.size_class);
    return {out, tables_.state(head, slot, extent.size_class).load(std::memory_order_relaxed)};
}

unsigned SlabCore::kind_of(const FoundSlot& found) const noexcept {
    return state_kind(tables_.state(found.head, found.slot, found.size_class).load(std::memory_order_relaxed));
}

Placement SlabCore::placement_of(const FoundSlot& found) const noexcept {
    const std::uint64_t inside = found.run() ? 0 : std::uint64_t{found.slot} * kSizeClasses[found.size_class].bytes;
    const std::uint64_t position = std::uint64_t{found.head} * kPageBytes + inside;
    const unsigned generation = Ops::generation(tables_.state(found.head, found.slot, found.size_class));
    const std::uint32_t birth = tables_.entry(static_cast<std::uint32_t>(position / kPageBytes)).birth;
    return {position - phase_, token_generation(generation, birth), slot_index(found.size_class, found.slot)};
}

bool SlabCore::take_extent(std::uint64_t offset, std::uint32_t pages) noexcept {
    bool unsettled = false;
    const bool taken = pages_.take(static_cast<std::uint32_t>((offset + phase_) / kPageBytes), pages, unsettled);
    if (unsettled) note_free();
    return taken;
}

void SlabCore::leave_extent(std::uint64_t offset, std::uint32_t pages) noexcept {
    pages_.free(static_cast<std::uint32_t>((offset + phase_) / kPageBytes), pages);
    note_free();
}

void SlabCore::found_extent(const Extent& extent, const std::uint8_t* kinds) noexcept {
    const auto head = static_cast<std::uint32_t>((extent.offset + phase_) / kPageBytes);
    if (extent.size_class == kRunClass) {
        Placement placement;
        found_run(head, extent.pages, kinds[0], placement);
        return;
    }
    const Shape shape = describe_slab(head, extent.size_class, extent.pages);
    std::uint64_t count = 0;
    for (std::uint32_t slot = 0; slot < shape.slots(); ++slot) {
        if (kinds[slot] == 0) continue;
        Ops::take(tables_.state(head, slot, extent.size_class), kinds[slot]);
        ++count;
    }
    Ops::adopt(tables_.bits(head, shape), [kinds](std::uint32_t slot) { return kinds[slot] != 0; });
    usage_.add(count * kSizeClasses[extent.size_class].bytes);
    publish(head, extent.size_class);
}

}  // namespace bounce
