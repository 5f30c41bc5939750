// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/pool_walk.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace bounce {
namespace {

constexpr std::uint64_t kUnknownAge = std::numeric_limits<std::uint64_t>::max();

}  // namespace

bool PoolWalk::describe(RegionId id, const PoolAudit::Extent& extent, std::uint32_t slot,
                        bounce_control_held& held) noexcept {
    const PoolAudit::SlotState state = audit_.slot(id, extent, slot);
    held = bounce_control_held{};
    held.gpa = state.gpa.value;
    held.slot_bytes = state.bytes;
    held.region = id.value;
    held.size_class = extent.size_class;
    if (!state.out) return false;
    const SlotTag tag = telemetry_.read_tag(id, state.place, state.bytes);
    const bool tagged = tag.device != 0 && tag.generation == state.generation;
    // A mapping looks like a free slot that a thread keeps, but for its tag.
    if (state.kind == 0 && !tagged) return false;
    held.kind = state.kind == 0 ? 1 : state.kind;
    held.age_ms = kUnknownAge;
    if (!tagged) return true;
    held.age_ms = tag.age_ms;
    held.bytes = tag.bytes;
    held.direction = held.kind == 1 ? tag.direction : 0;
    static_cast<void>(telemetry_.describe(tag.device, held.device, held.device_name));
    return true;
}

bool PoolWalk::held(WalkPlace& place, const Wanted& wanted, std::span<bounce_control_held> room,
                    std::size_t& n) noexcept {
    n = 0;
    WalkBudget budget;
    // A slab may have more than there is room for: which of its slots is next is in the bits that pages leave free.
    const std::uint64_t resumed = place.offset - place.offset % kPageBytes;
    auto next_slot = static_cast<std::uint32_t>(place.offset % kPageBytes);
    std::uint64_t stopped = 0;
    place.offset = resumed;
    const bool more = extents(place, budget, [&](RegionId id, const PoolAudit::Extent& extent) {
        std::uint32_t slot = extent.offset == resumed ? std::exchange(next_slot, 0) : 0;
        for (; slot < extent.slots; ++slot) {
            if (n == room.size()) {
                stopped = extent.offset + slot;
                return false;
            }
            budget.spend(1);
            bounce_control_held one;
            if (!describe(id, extent, slot, one)) continue;
            if ((wanted.device != 0 && one.device != wanted.device) || one.age_ms < wanted.age_ms) continue;
            room[n++] = one;
        }
        return true;
    });
    if (stopped != 0) place.offset = stopped;
    return more;
}

Result<bounce_control_held> PoolWalk::find(Gpa gpa) noexcept {
    const auto place = pool_.locate(gpa);
    if (!place) return place.error();
    const std::uint64_t start = place->start - pool_.region(place->region).address();
    const bool run = place->found.run();
    const std::uint64_t slot_bytes = run ? 0 : kSizeClasses[place->found.size_class].bytes;
    const PoolAudit::Extent extent = audit_.next(place->region, start - place->found.slot * slot_bytes,
                                                 start - place->found.slot * slot_bytes + kPageBytes);
    bounce_control_held held{};
    if (extent.pages == 0 || extent.size_class != place->found.size_class)
        return fail(EFAULT, "address 0x%llx is in a slab that has just gone", gpa.value);
    static_cast<void>(describe(place->region, extent, place->found.slot, held));
    return held;
}

bool PoolWalk::chunks(WalkPlace& place, std::span<bounce_control_chunk> room, std::size_t& n) noexcept {
    n = 0;
    for (; place.region < pool_.regions(); place = {place.region + 1, 0}) {
        const RegionId id{static_cast<std::uint32_t>(place.region)};
        if (!audit_.there(id)) continue;
        const std::uint64_t end = pool_.region(id).bytes();
        const std::uint64_t phase = pool_.region(id).address().value % kChunkBytes;
        while (place.offset < end) {
            if (n == room.size() || n * kPagesPerChunk >= WalkBudget::kStep) return true;
            // Up to the next boundary of the GPA.
            const std::uint64_t from = place.offset;
            const std::uint64_t until = std::min(end, (from + phase) / kChunkBytes * kChunkBytes + kChunkBytes - phase);
            bounce_control_chunk& chunk = room[n++];
            chunk = bounce_control_chunk{};
            chunk.gpa = (pool_.region(id).address() + from).value;
            chunk.region = id.value;
            chunk.pages = static_cast<std::uint32_t>((until - from) / kPageBytes);
            std::array<std::uint32_t, kRunClass + 1> pages{};
            std::uint64_t at = from;
            while (at < until) {
                const PoolAudit::Extent extent = audit_.next(id, at, until);
                const std::uint64_t next = extent.pages != 0 ? extent.offset : until;
                chunk.longest_hole = std::max(chunk.longest_hole, static_cast<std::uint32_t>((next - at) / kPageBytes));
                if (extent.pages == 0) break;
                at = extent.offset + std::uint64_t{extent.pages} * kPageBytes;
                const auto inside = static_cast<std::uint32_t>((std::min(at, until) - extent.offset) / kPageBytes);
                chunk.used_pages += inside;
                chunk.slots += extent.slots;
                chunk.out += audit_.out(id, extent);
                pages[extent.size_class & kRunClass] += inside;
            }
            chunk.size_class = static_cast<std::uint32_t>(std::max_element(pages.begin(), pages.end()) - pages.begin());
            place.offset = std::max(at, until);
        }
    }
    return false;
}

void ClassScan::step(PoolWalk& walk) noexcept {
    WalkBudget budget;
    const bool more = walk.extents(place_, budget, [&](RegionId id, const PoolAudit::Extent& extent) {
        if (extent.size_class >= kClasses && extent.size_class != kRunClass) return true;  // PoolCheck tells
        bounce_stats_class& row = counting_[extent.size_class == kRunClass ? kRows - 1 : extent.size_class];
        const std::uint64_t slot_bytes =
            extent.size_class == kRunClass ? extent.pages * kPageBytes : kSizeClasses[extent.size_class].bytes;
        const std::uint32_t out = walk.audit().out(id, extent);
        ++row.slabs;
        row.bytes += extent.pages * kPageBytes;
        row.slots += extent.slots;
        row.out += out;
        row.out_bytes += out * slot_bytes;
        return true;
    });
    if (more) return;
    ++scans_;
    n_rows_ = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
        if (counting_[i].slabs == 0) continue;
        counting_[i].slot_bytes = i == kRows - 1 ? 0 : kSizeClasses[i].bytes;
        counting_[i].scans = scans_;
        rows_[n_rows_++] = counting_[i];
    }
    counting_ = {};
    place_ = {};
}

}  // namespace bounce
