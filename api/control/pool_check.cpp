// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The audit of a live pool. What must hold at any moment is checked slab by slab; sums are only compared when nothing
// was allocated and freed from the beginning of the walk to its end, for a walk over a pool that works sees no moment
// of it.
#include <algorithm>
#include <cstdio>

#include "allocator/base/clock.hpp"
#include "api/control/pool_walk.hpp"

namespace bounce {
namespace {

bool same_moment(const PoolStats& a, const PoolStats& b) noexcept {
    for (unsigned kind = 1; kind <= 3; ++kind) {
        if (a.allocs_of_kind[kind] != b.allocs_of_kind[kind] || a.slots_of_kind[kind] != b.slots_of_kind[kind])
            return false;
    }
    return a.used_bytes == b.used_bytes && a.kept_bytes == b.kept_bytes && a.bytes == b.bytes &&
           a.quarantined == b.quarantined && a.grows == b.grows && a.shrinks == b.shrinks;
}

}  // namespace

void PoolCheck::found(Gpa gpa, std::uint64_t expected, std::uint64_t got, const char* text) noexcept {
    if (n_ == room_.size()) return;
    bounce_control_problem& problem = room_[n_++];
    problem = bounce_control_problem{};
    problem.gpa = gpa.value;
    problem.expected = expected;
    problem.got = got;
    std::snprintf(problem.text, sizeof problem.text, "%s", text);
}

void PoolCheck::check_extent(PoolWalk& walk, Pool& pool, RegionId id, const PoolAudit::Extent& extent) noexcept {
    const Region& region = pool.region(id);
    const Gpa start = region.address() + extent.offset;
    const std::uint64_t bytes = std::uint64_t{extent.pages} * kPageBytes;
    const bool run = extent.size_class == kRunClass;
    if (extent.offset + bytes > region.bytes())
        found(start, region.bytes(), extent.offset + bytes, "a slab or run ends beyond its region");
    if (!run && extent.size_class >= kClasses) {
        found(start, kClasses - 1, extent.size_class, "a slab of a size class that there is not");
        return;
    }
    const std::uint32_t out = walk.audit().out(id, extent);
    check_homes(walk, id, extent);
    slots_ += extent.slots;
    out_bytes_ += run ? bytes : std::uint64_t{out} * kSizeClasses[extent.size_class].bytes;
    // By address one comes to the same slab, as long as something holds it. Empty ones may go at any moment.
    if (out == 0) return;
    for (const std::uint32_t slot : {0U, extent.slots - 1}) {
        const PoolAudit::SlotState state = walk.audit().slot(id, extent, slot);
        if (!state.out) continue;
        const auto place = pool.locate(state.gpa);
        const bool good = place && place->start == state.gpa && place->found.size_class == extent.size_class &&
                          place->found.slot == slot;
        // It was there when it was looked at; is it still?
        const PoolAudit::Extent again = walk.audit().next(id, extent.offset, extent.offset + kPageBytes);
        const bool still = again.pages == extent.pages && again.size_class == extent.size_class &&
                           again.slots == extent.slots && walk.audit().slot(id, extent, slot).out;
        if (!good && still)
            found(state.gpa, extent.size_class, place ? place->found.size_class : 0,
                  "a slot that is away is not found by its address");
    }
}

/// Coherent memory and buffers are away from home. (Of mappings the state does not tell.)
void PoolCheck::check_homes(const PoolWalk& walk, RegionId id, const PoolAudit::Extent& extent) noexcept {
    const auto lies = [&](std::uint32_t slot) {
        const PoolAudit::SlotState state = walk.audit().slot(id, extent, slot);
        return !state.out && state.kind >= 2;
    };
    for (std::uint32_t slot = 0; slot < extent.slots; ++slot) {
        if (!lies(slot)) continue;
        // Bit and state are two words, and the slot may have come or gone between them; that is not so all the time.
        bool still = true;
        for (int i = 0; still && i < kLooks; ++i) still = lies(slot);
        if (still)
            found(walk.audit().slot(id, extent, slot).gpa, 0, walk.audit().slot(id, extent, slot).kind,
                  "a slot is at home, and its state says that it is handed out");
    }
}

bool PoolCheck::check_sums(PoolWalk& walk, Pool& pool) noexcept {
    const PoolStats now = pool.stats();
    const std::uint64_t away = walk.audit().away_bytes();
    const std::uint64_t accounted = now.used_bytes + now.kept_bytes + now.quarantined_bytes;
    const bool comparable = same_moment(before_, now) && away == away_before_;
    const bool differ = comparable && (out_bytes_ != away || accounted != away);
    if (differ) {
        const std::uint64_t now_ns = clock_ns();
        if (differ_since_ == 0) differ_since_ = now_ns;
        if (now_ns - differ_since_ < kSettle) return false;
    }
    differ_since_ = 0;
    if (differ && out_bytes_ != away)
        found({}, away, out_bytes_, "the slots that are away add up to other bytes than the pool counts");
    if (differ && accounted != away)
        found({}, away, accounted, "used, kept and quarantined bytes are not what is away from home");
    if (now.used_bytes > now.bytes) found({}, now.bytes, now.used_bytes, "more bytes are used than the pool has");
    const ReserveState reserve = pool.reserve();
    if (reserve.promised > reserve.floors)
        found({}, reserve.floors, reserve.promised, "more is promised than all floors together");
    if (now.quarantined == 0 && now.quarantined_bytes != 0)
        found({}, 0, now.quarantined_bytes, "bytes of no slot are in quarantine");
    return true;
}

bool PoolCheck::step(PoolWalk& walk, Pool& pool, WalkPlace& place, std::span<bounce_control_problem> room,
                     std::size_t& n) noexcept {
    room_ = room;
    n_ = 0;
    if (place.region == 0 && place.offset == 0) {
        before_ = pool.stats();
        away_before_ = walk.audit().away_bytes();
        slots_ = out_bytes_ = 0;
    }
    WalkBudget budget;
    const bool more = walk.extents(place, budget, [&](RegionId id, const PoolAudit::Extent& extent) {
        budget.spend(16 + extent.slots);
        check_extent(walk, pool, id, extent);
        return n_ + 4 < room_.size();
    });
    const bool again = !more && !check_sums(walk, pool);
    if (again) place = WalkPlace{};
    n = n_;
    return more || again;
}

}  // namespace bounce
