// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Walks through a live pool in bounded steps: what is handed out, how full its chunks are, whether what it says of
// itself fits together, and how many slots of each class there are. A step begins where the one before ended; what
// comes and goes meanwhile is seen or not.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "allocator/pool/pool_audit.hpp"
#include "api/dma/telemetry.hpp"
#include "bounce/control.h"
#include "bounce/stats.h"

namespace bounce {

/// Where a walk is: a region, and an offset in it. From the wire: every value is one.
struct WalkPlace {
    std::uint64_t region = 0;
    std::uint64_t offset = 0;
};

/// What a step may still do: each page looked at and each slot costs one.
class WalkBudget {
public:
    static constexpr std::uint64_t kStep = 16384;

    [[nodiscard]] bool used_up() const noexcept { return left_ == 0; }
    [[nodiscard]] std::uint64_t left() const noexcept { return left_; }
    void spend(std::uint64_t n) noexcept { left_ -= n < left_ ? n : left_; }

private:
    std::uint64_t left_ = kStep;
};

class PoolWalk {
public:
    PoolWalk(Pool& pool, Telemetry& telemetry) noexcept : pool_(pool), audit_(pool), telemetry_(telemetry) {}

    struct Wanted {
        std::uint64_t device = 0;  // id; 0: any
        std::uint64_t age_ms = 0;  // at least
    };
    /// What is handed out from `place` on, as far as there is room; place moves on. False: that was all.
    bool held(WalkPlace& place, const Wanted& wanted, std::span<bounce_control_held> room, std::size_t& n) noexcept;
    /// What is at an address, as the device says it. EFAULT: nothing.
    Result<bounce_control_held> find(Gpa gpa) noexcept;
    /// The same of chunks. A run that goes over a border counts in the chunk where it begins, as far as that has pages.
    bool chunks(WalkPlace& place, std::span<bounce_control_chunk> room, std::size_t& n) noexcept;

    /// Calls visit(region, extent) for slabs and runs from `place` on while the budget lasts and visit returns true;
    /// place is then behind the last one that it returned true for. False: that was all.
    template <class Visit>
    bool extents(WalkPlace& place, WalkBudget& budget, Visit&& visit) noexcept {
        for (; place.region < pool_.regions(); place = {place.region + 1, 0}) {
            const RegionId id{static_cast<std::uint32_t>(place.region)};
            if (!audit_.there(id)) continue;
            const std::uint64_t end = pool_.region(id).bytes();
            while (place.offset < end) {
                if (budget.used_up()) return true;
                const std::uint64_t pages = budget.left() < kPagesAtOnce ? budget.left() : kPagesAtOnce;
                const std::uint64_t until = place.offset + pages * kPageBytes;
                const PoolAudit::Extent extent = audit_.next(id, place.offset, until);
                if (extent.pages == 0) {
                    budget.spend(pages);
                    place.offset = until;
                    continue;
                }
                budget.spend((extent.offset - place.offset) / kPageBytes + 1);
                if (!visit(id, extent)) return true;
                place.offset = extent.offset + std::uint64_t{extent.pages} * kPageBytes;
            }
        }
        return false;
    }
    [[nodiscard]] const PoolAudit& audit() const noexcept { return audit_; }

private:
    static constexpr std::uint64_t kPagesAtOnce = 1024;

    /// False: it is free.
    bool describe(RegionId id, const PoolAudit::Extent& extent, std::uint32_t slot, bounce_control_held& held) noexcept;

    Pool& pool_;
    PoolAudit audit_;
    Telemetry& telemetry_;
};

/// Size classes, counted over many steps.
class ClassScan {
public:
    /// One step; the rows are those of the last walk that came to its end.
    void step(PoolWalk& walk) noexcept;
    [[nodiscard]] std::span<const bounce_stats_class> rows() const noexcept { return {rows_.data(), n_rows_}; }

private:
    static constexpr std::size_t kRows = kClasses + 1;  // the last one: runs

    WalkPlace place_;
    std::array<bounce_stats_class, kRows> counting_{};
    std::array<bounce_stats_class, kRows> rows_{};
    std::size_t n_rows_ = 0;
    std::uint64_t scans_ = 0;
};

/// The audit of one client, over many steps.
class PoolCheck {
public:
    /// One step; from the beginning when place is that. False: that was all, the sums included. Sums that differ are
    /// looked at again from the beginning until they have differed for kSettle: a thread that was stopped between a
    /// slot and its count goes on by then.
    bool step(PoolWalk& walk, Pool& pool, WalkPlace& place, std::span<bounce_control_problem> room,
              std::size_t& n) noexcept;
    [[nodiscard]] std::uint64_t slots() const noexcept { return slots_; }

private:
    static constexpr std::uint64_t kSettle = 200'000'000;  // ns
    static constexpr int kLooks = 16;

    void check_extent(PoolWalk& walk, Pool& pool, RegionId id, const PoolAudit::Extent& extent) noexcept;
    void check_homes(const PoolWalk& walk, RegionId id, const PoolAudit::Extent& extent) noexcept;
    /// False: to be looked at again.
    [[nodiscard]] bool check_sums(PoolWalk& walk, Pool& pool) noexcept;
    void found(Gpa gpa, std::uint64_t expected, std::uint64_t got, const char* text) noexcept;

    PoolStats before_{};
    std::uint64_t away_before_ = 0;
    std::uint64_t slots_ = 0;
    std::uint64_t out_bytes_ = 0;
    std::uint64_t differ_since_ = 0;  // ns; 0: they did not when last looked at
    std::span<bounce_control_problem> room_;
    std::size_t n_ = 0;
};

}  // namespace bounce
