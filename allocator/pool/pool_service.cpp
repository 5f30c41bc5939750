// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Growing and shrinking, step by step, in the thread that asks for it.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "allocator/base/bits.hpp"
#include "allocator/base/clock.hpp"
#include "allocator/base/descriptor.hpp"
#include "allocator/base/probes.hpp"
#include "allocator/pool/pool.hpp"

namespace bounce {
namespace {

// In-line growth is tried so often for one request: others may be faster and take what it grew.
constexpr int kInlineTries = 16;

bool is(const std::atomic<RegionStage>& stage, RegionStage value) noexcept {
    return stage.load(std::memory_order_relaxed) == value;
}

}  // namespace

Result<void> Pool::set_growth(const RegionConfig& first, const GrowthConfig& given) noexcept {
    GrowthConfig growth = given;
    if (growth.limit_bytes == 0) return {};
    if (growth.base_gpa.value == 0) growth.base_gpa = Gpa{round_up(first.base_gpa.value + first.bytes, kChunkBytes)};
    growth.limit_bytes = round_down(growth.limit_bytes, std::max<std::uint64_t>(kPageBytes, first.hooks.granule));
    if (growth.limit_bytes < first.bytes)
        return fail(EINVAL, "the limit is %llu bytes, expected at least those of the first region, %llu",
                    growth.limit_bytes, first.bytes);
    const std::uint64_t base = growth.base_gpa.value;
    if (!is_multiple(base, kChunkBytes))
        return fail(EINVAL, "growth base GPA 0x%llx, expected a multiple of 2 MiB", base);
    if (base + (growth.limit_bytes - 1) < base || (base == 0 && first.base_gpa.value != 0))
        return fail(EINVAL, "%llu bytes from growth base GPA 0x%llx reach beyond the last address", growth.limit_bytes,
                    base);
    policy_ = GrowthPolicy(growth);
    grown_region_.node = first.node;
    grown_region_.hugepages = first.hugepages && first.imported_hva == nullptr;
    grown_region_.prefault = growth.prefault;
    grown_region_.prefault_by_chunk = growth.prefault;
    event_fd_ = above_stdio(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (event_fd_ < 0) return fail(EMFILE, "no descriptor for the pool's event");
    return {};
}

void Pool::want_service() noexcept {
    if (event_fd_ < 0 || !alive() || !signal_.raise()) return;
    const std::uint64_t one = 1;
    (void)!::write(event_fd_, &one, sizeof one);
}

/// Growing would serve a request of so many bytes.
void Pool::want_growth(std::uint64_t bytes) noexcept {
    std::uint64_t most = wanted_bytes_.load(std::memory_order_relaxed);
    // Relaxed: the signal orders it.
    while (most < bytes && !wanted_bytes_.compare_exchange_weak(most, bytes, std::memory_order_relaxed)) {
    }
    want_service();
}

bool Pool::growth_helps(const AllocRequest& request, NodeId home) const noexcept {
    // Grown regions are at the node of the first.
    const NodeId node = grown_region_.node;
    if (request.domain != 0) return false;  // grown regions are not restricted
    if (request.rule.policy == NumaPolicy::kStrict && node != kAnyNode && node != home) return false;
    // Relaxed: a hint; the growing is decided under the lock.
    if (request.bytes > growable_.load(std::memory_order_relaxed)) return false;
    if (form_.locate != nullptr) return true;  // only the hook knows where
    const std::uint64_t lowest = policy_.config().base_gpa.value + form_.bias;
    return request.max_address >= lowest && request.max_address - lowest >= request.bytes - 1;
}

Result<void> Pool::grow_or_fail(const AllocRequest& request, const Context* own, Tried tried, Slot& slot) noexcept {
    if (!growth_helps(request, tried.home)) return why_not(request, tried);
    want_growth(request.bytes);
    for (int i = 0; policy_.config().in_line && i < kInlineTries; ++i) {
        // Acquire, pairs with the release in open_chunks() and grow().
        const std::uint64_t seen = changes_.load(std::memory_order_acquire);
        if (take_last(request, own, slot, tried)) return {};
        if (!grow_for(request.bytes, seen)) break;
    }
    return why_not(request, tried);
}

/// True: there is memory that was not there when changes_ was `seen`.
bool Pool::grow_for(std::uint64_t bytes, std::uint64_t seen) noexcept {
    if (!alive()) return false;
    const std::lock_guard lock(lock_);
    if (changes_.load(std::memory_order_relaxed) != seen) return true;
    if (growth_failed_ && clock_ms() < retry_at_ms_) return false;
    const std::uint64_t before = growth_state(0).ready;
    Part* part = last_part([&](const Part& each) {
        return is(each.stage, RegionStage::kActive) && each.opening() && (usable() & bit_of(each)) != 0;
    });
    if (part == nullptr) {
        if (!policy_.short_of_memory(growth_state(bytes)) || !grow(bytes)) {
            update();
            return false;
        }
        part = last_part([](const Part& each) { return is(each.stage, RegionStage::kActive) && each.opening(); });
    }
    // A run of chunks that holds it, wherever the first one begins.
    if (part != nullptr) (void)open_chunks(*part, static_cast<std::uint32_t>(bytes / kChunkBytes) + 2);
    update();
    return growth_state(0).ready > before || (part != nullptr && part->opening());
}

GrowthState Pool::growth_state(std::uint64_t wanted) const noexcept {
    GrowthState state;
    state.used = usage_.bytes();
    state.wanted = wanted;
    for_parts([&](const Part& part) {
        const RegionStage stage = part.stage.load(std::memory_order_relaxed);
        if (stage == RegionStage::kGone) return;
        state.total += part.region.bytes();
        if (stage != RegionStage::kActive || (domains_.restricted() & bit_of(part)) != 0) return;
        const bool shown = (usable() & bit_of(part)) != 0;
        const std::uint64_t good = part.region.bytes() - part.refused_bytes.load(std::memory_order_relaxed);
        state.ready += shown ? part.ready_bytes : 0;
        state.coming += shown ? good - part.ready_bytes : good;
    });
    return state;
}

/// What is left of the window for the GPAs of grown regions.
std::uint64_t Pool::window_bytes() const noexcept {
    return policy_.window_bytes() - std::min(window_used_, policy_.window_bytes());
}

/// The largest region that growing could bring now; 0: it cannot grow.
std::uint64_t Pool::growable_bytes() const noexcept {
    std::uint64_t most = 0;
    std::uint32_t there = 0;
    const std::uint64_t room = policy_.room(growth_state(0).total);
    const auto can_have = [&](std::uint64_t bytes) { most = std::max(most, bytes); };
    for_parts([&](const Part& part) {
        const RegionStage stage = part.stage.load(std::memory_order_relaxed);
        const std::uint64_t bytes = part.region.bytes();
        if ((domains_.restricted() & bit_of(part)) != 0) return;
        if (stage == RegionStage::kActive && part.opening()) can_have(bytes);
        if (stage == RegionStage::kDraining && part.by_service) can_have(bytes);
        there += stage != RegionStage::kGone ? 1 : 0;
    });
    if (lent() && there >= peer_regions_) return most;
    for_parts([&](const Part& part) {
        const bool gone = part.grown && is(part.stage, RegionStage::kGone);
        if (gone && part.region.bytes() <= room) can_have(part.region.bytes());
    });
    const std::uint64_t fresh = std::min(room, window_bytes());
    if (count_.load(std::memory_order_relaxed) < kMaxRegions && fresh >= Region::kMinBytes) can_have(fresh);
    return most;
}

/// One step: a region that was being drained stays, or one comes.
Result<void> Pool::grow(std::uint64_t wanted) noexcept {
    Part* const drained =
        last_part([](const Part& part) { return is(part.stage, RegionStage::kDraining) && part.by_service; });
    if (drained != nullptr) {
        drained->stage.store(RegionStage::kActive, std::memory_order_relaxed);
        drained->core.reopen();
    } else {
        auto added = add_grown(wanted);
        growth_failed_ = !added;
        if (!added) {
            retry_at_ms_ = clock_ms() + GrowthPolicy::kRetryMilliseconds;
            return added;
        }
        grows_.fetch_add(1, std::memory_order_relaxed);
    }
    // Release, as in open_chunks().
    changes_.fetch_add(1, std::memory_order_release);
    return {};
}

/// The range of a region that was there before is taken first, the oldest that will do: ranges do not last for ever.
Result<void> Pool::add_grown(std::uint64_t wanted) noexcept {
    const std::uint64_t total = growth_state(0).total;
    const std::uint64_t room = policy_.room(total);
    Part* large_enough = nullptr;
    Part* any = nullptr;
    for_parts([&](Part& part) {
        if (!part.grown || !is(part.stage, RegionStage::kGone) || part.region.bytes() > room) return;
        any = any == nullptr ? &part : any;
        if (large_enough == nullptr && part.region.bytes() >= wanted) large_enough = &part;
    });
    RegionConfig config = grown_region_;
    std::uint64_t bytes = std::min(policy_.next_region(total, wanted, config.hugepages), window_bytes());
    if (bytes < Region::kMinBytes || count_.load(std::memory_order_relaxed) == kMaxRegions) bytes = 0;
    Part* const old = large_enough != nullptr ? large_enough : bytes == 0 ? any : nullptr;
    if (old == nullptr && bytes == 0) return fail(ENOSPC, "the pool has reached its limit");
    config.base_gpa = old != nullptr ? old->region.base() : policy_.config().base_gpa + window_used_;
    config.bytes = old != nullptr ? old->region.bytes() : bytes;
    auto added = add_region_locked(config, true);
    if (!added) return added.error();
    if (old == nullptr) window_used_ += round_up(bytes, kChunkBytes);
    parts_[added->value]->grown = true;
    update();
    probes::grow(added->value, config.bytes, total + config.bytes);
    return {};
}

Result<RegionId> Pool::grow_by(std::uint64_t bytes, NodeId node) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    if (!policy_.grows()) return fail(ENOTSUP, "the pool was created without a limit: no addresses are reserved");
    RegionConfig config = grown_region_;
    if (node != kAnyNode) config.node = node;
    config.bytes = bytes;
    const std::uint64_t unit = std::max<std::uint64_t>(config.hugepages ? kChunkBytes : kPageBytes, hooks_.granule);
    if (bytes < Region::kMinBytes || !is_multiple(bytes, unit))
        return fail(EINVAL, "a region of %llu bytes, expected a multiple of %llu from %llu on", bytes, unit,
                    Region::kMinBytes);
    std::uint32_t there = 0;
    for_parts([&](const Part& part) {
        const bool restricted = (domains_.restricted() & bit_of(part)) != 0;
        there += is(part.stage, RegionStage::kGone) || restricted ? 0U : 1U;
    });
    if (lent() && there >= peer_regions_)
        return fail(ENOSPC, "the back-end sees %llu regions, and can see no more", there);
    const std::uint64_t total = growth_state(0).total;
    if (const std::uint64_t room = policy_.room(total); bytes > room)
        return fail(ENOSPC, "a region of %llu bytes, but the pool's limit leaves %llu", bytes, room);
    // The addresses of one that was there before, or new ones.
    const Part* const old = last_part([&](const Part& part) {
        return part.grown && is(part.stage, RegionStage::kGone) && part.region.bytes() == bytes &&
               part.region.node() == config.node;
    });
    if (old == nullptr && bytes > window_bytes())
        return fail(ENOSPC, "a region of %llu bytes, but of the addresses that were reserved %llu are left", bytes,
                    window_bytes());
    config.base_gpa = old != nullptr ? old->region.base() : policy_.config().base_gpa + window_used_;
    const bool mattered = nodes_.matter({});
    auto added = add_region_locked(config, true);
    if (!added) return added;
    if (old == nullptr) window_used_ += std::min(round_up(bytes, kChunkBytes), window_bytes());
    parts_[added->value]->grown = true;
    update();
    // Release, as in open_chunks().
    changes_.fetch_add(1, std::memory_order_release);
    if (!mattered && nodes_.matter({})) empty_contexts();
    probes::grow(added->value, bytes, total + bytes);
    want_service();
    return added;
}

Result<bool> Pool::service() noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const LookAfter look_after{*this};
    const std::lock_guard lock(lock_);
    std::uint64_t count = 0;
    if (event_fd_ >= 0) (void)!::read(event_fd_, &count, sizeof count);
    signal_.lower();  // after the event, service_signal.hpp says why
    auto done = service_step();
    update();
    if (!done) {
        if (work_left()) want_service();  // or else it would be forgotten
        return done.error();
    }
    return work_left();
}

/// The first of these that is to be done: open chunks of what came, grow, shrink.
Result<void> Pool::service_step() noexcept {
    Part* const opening =
        last_part([](const Part& part) { return is(part.stage, RegionStage::kActive) && part.opening(); });
    if (opening != nullptr) return open_chunks(*opening, kChunksPerService);
    const GrowthState state = growth_state(wanted_bytes_.exchange(0, std::memory_order_relaxed));
    if (policy_.grows() && policy_.short_of_memory(state) && growable_bytes() != 0) {
        (void)policy_.spare_for_long(false, 0);
        return grow(state.wanted);
    }
    return shrink_step(state);
}

Result<void> Pool::shrink_step(const GrowthState& state) noexcept {
    Part* part = last_part([](const Part& each) { return each.by_service && is(each.stage, RegionStage::kRetiring); });
    if (part == nullptr) {
        part = last_part([](const Part& each) { return each.by_service && is(each.stage, RegionStage::kDraining); });
        // The peer is to be asked first, which its front-end does.
        if (part != nullptr && (held_ & bit_of(*part)) == 0 && is_empty(*part)) {
            start_retiring(*part);
        } else if (part != nullptr) {
            return {};
        }
    }
    if (part != nullptr) {
        auto retired = retire_chunks(*part, kChunksPerService);
        if (is(part->stage, RegionStage::kGone)) {
            shrinks_.fetch_add(1, std::memory_order_relaxed);
            probes::shrink(static_cast<std::uint32_t>(std::countr_zero(bit_of(*part))), part->region.bytes(),
                           growth_state(0).total);
        }
        return retired;
    }
    part = last_part([&](const Part& each) { return each.grown && (accepted() & bit_of(each)) != 0; });
    const bool spare =
        part != nullptr && policy_.spare(state, part->region.bytes()) && can_spare_region(part->ready_bytes);
    if (policy_.spare_for_long(spare, clock_ms())) {
        start_drain(*part, true);
        (void)policy_.spare_for_long(false, 0);  // the next one has a delay of its own
    }
    return {};
}

/// What service() would do at once, without waiting for anything.
bool Pool::work_left() const noexcept {
    const Part* const unfinished = last_part([](const Part& part) {
        return (is(part.stage, RegionStage::kActive) && part.opening()) ||
               (is(part.stage, RegionStage::kRetiring) && part.by_service);
    });
    if (unfinished != nullptr) return true;
    const GrowthState state = growth_state(wanted_bytes_.load(std::memory_order_relaxed));
    return policy_.grows() && !growth_failed_ && policy_.short_of_memory(state) && growable_bytes() != 0;
}

}  // namespace bounce
