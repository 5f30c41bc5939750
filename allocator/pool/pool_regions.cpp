// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Regions that come and go. A part, once made, stays: its tables know what was ever handed out of it, so that a token
// of a removed region is an error for ever. When memory comes back to its range, it is the same part that lives on.
//
// Taking the memory of a region away needs no handshake with who allocates or frees. A drained region is empty when no
// slot of it is out and none can be had again (slab_drain.cpp); who unmaps a mapping holds its slot until it has copied
// the content out. A thread that read a mask before it changed finds nothing in the tables, and touches no memory.
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <new>

#include "allocator/base/bits.hpp"
#include "allocator/pool/pool.hpp"
#include "allocator/pool/thread_record.hpp"

namespace bounce {
namespace {

bool overlap(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b, std::uint64_t b_bytes) noexcept {
    return a <= b ? b - a < a_bytes : a - b < b_bytes;
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::create(const RegionConfig& first, const GrowthConfig& growth,
                                           const PoolConfig& config) noexcept {
    auto guard = ForkGuard::create();
    if (!guard) return guard.error();
    auto contexts = Contexts::create();
    if (!contexts) return contexts.error();
    std::unique_ptr<Pool> pool(new (std::nothrow) Pool(std::move(*guard), std::move(*contexts), config));
    if (pool == nullptr) return fail(ENOMEM, "no private memory for a pool");
    pool->hooks_ = first.hooks;
    pool->form_ = first.form;
    if (auto good = pool->set_growth(first, growth); !good) return good.error();
    if (auto added = pool->add_region(first); !added) return added.error();
    pool->grown_region_.name = pool->parts_[0]->region.name();
    remember_pool(*pool);
    return pool;
}

Pool::~Pool() {
    if (alive()) forget_pool(*this);
    if (event_fd_ >= 0 && alive()) ::close(event_fd_);
}

Result<RegionId> Pool::add_region(const RegionConfig& config) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const bool mattered = nodes_.matter({});
    auto added = add_region_locked(config, false);
    if (!added) return added;
    Part& part = *parts_[added->value];
    if (auto opened = open_all(part); !opened) {
        // There is no chunk to unshare, so this only gives memory back.
        start_retiring(part);
        while (part.stage.load(std::memory_order_relaxed) != RegionStage::kGone && retire_chunks(part, ~0U)) {
        }
        update();
        return opened.error();
    }
    update();
    // What they keep was taken as if all regions were as good.
    if (!mattered && nodes_.matter({})) empty_contexts();
    return added;
}

Result<void> Pool::check_room(const RegionConfig& config, bool growing) const noexcept {
    for (std::uint32_t i = 0; i < count_.load(std::memory_order_relaxed); ++i) {
        if (parts_[i]->stage.load(std::memory_order_relaxed) == RegionStage::kGone) continue;
        const Region& other = parts_[i]->region;
        if (overlap(config.base_gpa.value, config.bytes, other.base().value, other.bytes())) {
            return fail(EINVAL, "%llu bytes from GPA 0x%llx overlap the region at GPA 0x%llx (%llu bytes)",
                        config.bytes, config.base_gpa.value, other.base().value, other.bytes());
        }
        if (config.imported_hva != nullptr &&
            overlap(reinterpret_cast<std::uintptr_t>(config.imported_hva), config.bytes,
                    reinterpret_cast<std::uintptr_t>(other.hva()), other.bytes())) {
            return fail(EINVAL, "the mapping handed in overlaps that of region %llu", i);
        }
    }
    const GrowthConfig& growth = policy_.config();
    if (!growing && policy_.grows() &&
        overlap(config.base_gpa.value, config.bytes, growth.base_gpa.value, growth.limit_bytes)) {
        return fail(EINVAL, "%llu bytes from GPA 0x%llx overlap the %llu bytes from 0x%llx that the pool grows into",
                    config.bytes, config.base_gpa.value, growth.limit_bytes, growth.base_gpa.value);
    }
    return {};
}

/// A removed region of this very range and node, which can have memory again. (The node of a part stays: it decides
/// about allocations that go on meanwhile.)
Pool::Part* Pool::find_gone(const RegionConfig& config) const noexcept {
    if (config.imported_hva != nullptr) return nullptr;
    return last_part([&](const Part& part) {
        return part.stage.load(std::memory_order_relaxed) == RegionStage::kGone && !part.region.imported() &&
               part.region.base() == config.base_gpa && part.region.bytes() == config.bytes &&
               part.region.node() == config.node;
    });
}

Result<RegionId> Pool::add_region_locked(const RegionConfig& given, bool growing) noexcept {
    RegionConfig config = given;
    config.hooks = hooks_;
    config.form = form_;
    if (auto good = check_room(config, growing); !good) return good.error();
    if (Part* const part = find_gone(config)) {
        if (auto revived = revive(*part, config); !revived) return revived.error();
        return RegionId{static_cast<std::uint32_t>(std::countr_zero(bit_of(*part)))};
    }
    return make_part(config);
}

void Pool::View::open(const Part& part) noexcept {
    const SlotView& tables = part.core.view();
    const std::uint64_t begin = part.region.address().value % kChunkBytes;
    entries = tables.entries;
    states = tables.states;
    checked = tables.checked;
    first_gpa = Gpa{part.region.address().value - begin};
    first_hva = reinterpret_cast<std::uintptr_t>(part.region.hva()) - begin;
    region = &part.region;
    // V1: release, pairs with the acquire in Pool::begin().
    end.store(begin + part.region.bytes(), std::memory_order_release);
}

/// Devices must be able to tell the regions apart, those that are gone, too: their addresses are never given up.
Result<void> Pool::check_addresses(const Region& region) const noexcept {
    Result<void> result;
    for_parts([&](const Part& part) {
        const Region& other = part.region;
        // Where GPAs overlap they were allowed to: a region that is gone, and nothing was moved.
        if (overlap(region.base().value, region.bytes(), other.base().value, other.bytes())) return;
        if (overlap(region.address().value, region.bytes(), other.address().value, other.bytes()))
            result = fail(EINVAL,
                          "for the device, the region at GPA 0x%llx begins at 0x%llx, where it has that at GPA 0x%llx",
                          region.base().value, region.address().value, other.base().value);
    });
    return result;
}

Result<RegionId> Pool::make_part(const RegionConfig& config) noexcept {
    const std::uint32_t count = count_.load(std::memory_order_relaxed);
    if (count == kMaxRegions) return fail(EINVAL, "the pool has %llu regions, which is the most", kMaxRegions);
    NodeId node = config.node;
    if (auto known = nodes_.check(node); !known) {
        // Of a mapping of the caller's it is a hint, and nobody has to bind it there.
        if (known.code() != EINVAL || config.imported_hva == nullptr) return known.error();
        node = kAnyNode;
    }
    auto region = Region::create(config);
    if (!region) return region.error();
    if (auto good = check_addresses(*region); !good) return good.error();
    auto tables = PrivateMemory::create(SlabTables::bytes_needed(config.base_gpa, config.bytes));
    if (!tables) return tables.error();
    parts_[count].reset(new (std::nothrow) Part(std::move(*region), std::move(*tables), usage_, checked_));
    if (parts_[count] == nullptr) return fail(ENOMEM, "no private memory for a region");
    Part& part = *parts_[count];
    views_[count].open(part);
    if (part.region.opens_by_chunk()) {
        part.core.restart();
    } else {
        part.next_chunk = part.region.chunks();
        part.ready_bytes = part.region.bytes();
    }
    nodes_.add(count, node);
    // P1: release, pairs with the acquire in regions().
    count_.store(count + 1, std::memory_order_release);
    return RegionId{count};
}

Result<void> Pool::revive(Part& part, const RegionConfig& config) noexcept {
    if (auto revived = part.region.revive(config); !revived) return revived;
    part.core.restart();
    part.core.reopen();
    part.next_chunk = 0;
    part.ready_bytes = 0;
    part.refused_bytes.store(0, std::memory_order_relaxed);
    const bool whole = !part.region.opens_by_chunk();
    if (whole) {
        part.next_chunk = part.region.chunks();
        part.ready_bytes = part.region.bytes();
    }
    part.by_service = false;
    part.stage.store(RegionStage::kActive, std::memory_order_relaxed);
    // Pages last: who still goes by the masks of the time before the region went gets one as soon as there is one.
    update();
    if (whole) {
        part.core.extend(part.region.bytes(), true);
        contexts_.clear_full();
    }
    return {};
}

/// Chunks that cannot be opened are left out; the error is that of the last of them.
Result<void> Pool::open_chunks(Part& part, std::uint32_t most) noexcept {
    Result<void> result;
    for (; most != 0 && part.opening(); --most, ++part.next_chunk) {
        const Extent at = part.region.chunk(part.next_chunk);
        bool good = !part.region.lost(part.next_chunk);
        if (good) {
            const auto opened = part.region.open_chunk(part.next_chunk);
            good = static_cast<bool>(opened);
            if (!good) result = opened;
        }
        part.core.extend(at.offset + at.bytes, good);
        contexts_.clear_full();
        if (good) {
            part.ready_bytes += at.bytes;
        } else {
            note_refused(part, at);
        }
    }
    // Release, pairs with the acquire in grow_or_fail(): who saw the value before has not tried what is new.
    changes_.fetch_add(1, std::memory_order_release);
    return result;
}

/// An error only when not one chunk of it can be used.
Result<void> Pool::open_all(Part& part) noexcept {
    auto opened = open_chunks(part, ~0U);
    return part.ready_bytes != 0 ? Result<void>() : opened;
}

void Pool::note_refused(Part& part, const Extent& at) noexcept {
    part.refused_bytes.fetch_add(at.bytes, std::memory_order_relaxed);
    std::uint64_t none = kNoGpa;
    refused_gpa_.compare_exchange_strong(none, (part.region.base() + at.offset).value, std::memory_order_relaxed);
}

Result<void> Pool::check_node(NodeId node) noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    return nodes_.check(node);
}

Result<void> Pool::check_region(RegionId id) const noexcept {
    if (!alive()) return fail(EOWNERDEAD, kForked);
    if (id.value >= regions()) return fail(EINVAL, "region %llu, but the pool has %llu", id.value, regions());
    return {};
}

Result<void> Pool::drain_region(RegionId id) noexcept {
    if (auto good = check_region(id); !good) return good;
    const std::lock_guard lock(lock_);
    Part& part = *parts_[id.value];
    switch (part.stage.load(std::memory_order_relaxed)) {
        case RegionStage::kActive: start_drain(part, false); return {};
        case RegionStage::kDraining: part.by_service = false; return {};
        default: return fail(EINVAL, "region %llu is removed", id.value);
    }
}

void Pool::start_drain(Part& part, bool by_service) noexcept {
    part.by_service = by_service;
    part.stage.store(RegionStage::kDraining, std::memory_order_relaxed);
    update();
    part.core.close();
    empty_contexts();
}

/// Of a region that is drained: is every slot home?
bool Pool::is_empty(Part& part) noexcept {
    if (part.core.sweep() == 0) return true;
    empty_contexts();
    return part.core.sweep() == 0;
}

Result<void> Pool::remove_region(RegionId id) noexcept {
    if (auto good = check_region(id); !good) return good;
    const std::lock_guard lock(lock_);
    Part& part = *parts_[id.value];
    switch (part.stage.load(std::memory_order_relaxed)) {
        case RegionStage::kActive: return fail(EBUSY, "region %llu is not being drained", id.value);
        case RegionStage::kGone: return fail(EINVAL, "region %llu is removed", id.value);
        case RegionStage::kRetiring: break;
        case RegionStage::kDraining:
            if (!is_empty(part)) {
                return fail(EBUSY, "%llu bytes of pages of region %llu are in use, expected none",
                            part.core.bytes_in_use(), id.value);
            }
            if ((held_ & bit_of(part)) != 0) {
                return fail(EBUSY,
                            "a back-end sees region %llu: bounce_frontend_sync_regions() takes it away where that can "
                            "be done",
                            id.value);
            }
            start_retiring(part);
    }
    return retire_chunks(part, ~0U);
}

void Pool::start_retiring(Part& part) noexcept {
    part.stage.store(RegionStage::kRetiring, std::memory_order_relaxed);
    part.next_chunk = part.region.by_hooks() ? 0 : part.region.chunks();
    update();
}

/// At most so many chunks are unshared; the last one done, the memory goes. The error is that of the last that is lost.
Result<void> Pool::retire_chunks(Part& part, std::uint32_t most) noexcept {
    Result<void> result;
    for (; most != 0 && part.opening(); --most, ++part.next_chunk) {
        const auto closed = part.region.close_chunk(part.next_chunk);
        if (closed) continue;
        result = closed;
        note_refused(part, part.region.chunk(part.next_chunk));
    }
    if (part.opening()) return result;
    if (auto gone = part.region.retire(); !gone) return gone;
    part.ready_bytes = 0;
    part.stage.store(RegionStage::kGone, std::memory_order_relaxed);
    update();
    return result;
}

RegionMask Pool::bit_of(const Part& part) const noexcept {
    std::uint32_t i = 0;
    while (parts_[i].get() != &part) ++i;
    return RegionMask{1} << i;
}

/// The masks and marks that everybody reads, from what is known under the lock.
void Pool::update() noexcept {
    RegionMask there = 0;
    RegionMask active = 0;
    for_parts([&](const Part& part) {
        const RegionStage stage = part.stage.load(std::memory_order_relaxed);
        if (stage == RegionStage::kActive) active |= bit_of(part);
        if (stage <= RegionStage::kDraining) there |= bit_of(part);
    });
    if (!lent()) held_ = 0;
    const RegionMask shown = lent() ? usable() & there : there;
    // P2: release, pairs with the acquire in present(), usable() and accepted().
    present_.store(there, std::memory_order_release);
    usable_.store(shown, std::memory_order_release);
    accepted_.store(shown & active, std::memory_order_release);
    std::uint64_t bytes = 0;
    for_parts([&](const Part& part) { bytes += (active & bit_of(part)) != 0 ? part.ready_bytes : 0; });
    contexts_.set_pool_bytes(bytes);
    if (!policy_.grows()) return;
    const std::uint64_t growable = growable_bytes();
    growable_.store(growable, std::memory_order_relaxed);
    pressure_mark_.store(policy_.pressure_mark(growth_state(0), growable != 0 && !growth_failed_),
                         std::memory_order_relaxed);
}

std::uint32_t Pool::regions() const noexcept {
    // P1: acquire, pairs with the release in make_part().
    return count_.load(std::memory_order_acquire);
}

RegionMask Pool::present() const noexcept {
    // P2: acquire, pairs with the release in update().
    return present_.load(std::memory_order_acquire);
}

RegionMask Pool::usable() const noexcept {
    // P2: acquire, as in present().
    return usable_.load(std::memory_order_acquire);
}

RegionMask Pool::accepted() const noexcept {
    // P2: acquire, as in present().
    return accepted_.load(std::memory_order_acquire);
}

std::uint32_t Pool::usable_regions() const noexcept {
    return static_cast<std::uint32_t>(std::popcount(usable()));
}

RegionStatus Pool::status(RegionId id) const noexcept {
    const Part& part = *parts_[id.value];
    return {part.stage.load(std::memory_order_relaxed), (usable() >> id.value & 1) != 0, part.core.bytes_in_use(),
            part.refused_bytes.load(std::memory_order_relaxed)};
}

}  // namespace bounce
