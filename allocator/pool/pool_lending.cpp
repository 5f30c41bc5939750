// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that is lent to a peer, shown to it and taken from it, and what is renewed when.
#include <bit>
#include <cerrno>

#include "allocator/pool/pool.hpp"

namespace bounce {
Result<void> Pool::renew() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    return renew_locked(present());
}

Result<void> Pool::renew_open() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    return renew_locked(present() & ~domains_.restricted());
}

Result<void> Pool::forget() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const std::uint64_t allocs = ever_allocated();
    // No device can come while the lock is held, so nobody writes while this goes on.
    // Those of restricted regions have nothing in the others.
    if (users() != domains_.users() || allocs == allocs_forgotten_) return {};
    for (RegionMask rest = present() & ~domains_.restricted() & ~retired(); rest != 0; rest &= rest - 1) {
        Region& region = parts_[static_cast<std::size_t>(std::countr_zero(rest))]->region;
        if (!region.renewable()) continue;
        if (auto renewed = region.renew(); !renewed) return renewed;
    }
    allocs_forgotten_ = allocs;
    return {};
}

Result<void> Pool::renew_locked(RegionMask regions) noexcept {
    regions &= ~retired();
    for (RegionMask rest = regions; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(rest));
        const Region& region = parts_[i]->region;
        if (region.imported()) {
            return fail(ENOTSUP, "region %llu is a mapping handed in by the caller: it cannot be renewed", i);
        }
        if (!region.renewable()) return fail(ENOTSUP, "region %llu is shared by hooks: it cannot be renewed", i);
    }
    for (RegionMask rest = regions; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<std::uint32_t>(std::countr_zero(rest));
        if (auto renewed = parts_[i]->region.renew(); !renewed) {
            return fail(renewed.code(), "no fresh memory for region %llu; of %llu regions, those before it are renewed",
                        i, this->regions());
        }
    }
    return {};
}

RegionMask Pool::retired() const noexcept {
    RegionMask retired = 0;
    for_parts([&](const Part& part) {
        if (part.retired.load(std::memory_order_relaxed)) retired |= bit_of(part);
    });
    return retired;
}

void Pool::add_user() noexcept {
    const std::lock_guard lock(lock_);  // not while forget() finds that there is none
    users_.fetch_add(1, std::memory_order_relaxed);
}

void Pool::drop_user() noexcept {
    // Release, pairs with the acquire in users(): what the user did to the pool is done.
    users_.fetch_sub(1, std::memory_order_release);
}

std::uint32_t Pool::users() const noexcept {
    // Acquire, pairs with the release in drop_user().
    return users_.load(std::memory_order_acquire);
}

Result<void> Pool::lend() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    if (lent()) return fail(EBUSY, "the pool is lent to another back-end");
    if (shown() == 0) {
        return fail(
            EBUSY,
            "a former back-end may still write to the pool's memory, which could not be renewed: it is retired, "
            "and there is no other to lend");
    }
    lending_.store(Lending::kLent, std::memory_order_relaxed);
    held_ = shown();
    peer_regions_ = kMaxRegions;
    return {};
}

void Pool::use_regions(RegionMask shown) noexcept {
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    held_ = shown;
    usable_.store(shown, std::memory_order_relaxed);
    update();
}

RegionMask Pool::hold_regions() noexcept {
    const std::lock_guard lock(lock_);
    RegionMask held = shown();
    // What is being drained, and has not been shown, is on its way out.
    for_parts([&](const Part& part) {
        if (part.stage.load(std::memory_order_relaxed) == RegionStage::kActive) held |= bit_of(part);
    });
    held &= ~domains_.restricted();
    held_ |= held;
    return held;
}

RegionMask Pool::leave_regions() noexcept {
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    RegionMask leaving = 0;
    for_parts([&](Part& part) {
        if (part.stage.load(std::memory_order_relaxed) == RegionStage::kDraining && is_empty(part)) {
            leaving |= bit_of(part);
        }
    });
    leaving &= shown();
    usable_.store(usable() & ~leaving, std::memory_order_relaxed);
    update();
    return leaving;
}

void Pool::limit_regions(std::uint32_t most) noexcept {
    const std::lock_guard lock(lock_);
    peer_regions_ = most;
    update();
}

void Pool::take_back() noexcept {
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    lending_.store(Lending::kFree, std::memory_order_relaxed);
    update();
}

}  // namespace bounce
