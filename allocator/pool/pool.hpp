// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The pool: regions cut into chunks, pages, slabs and slots, and the front door to all of them. All state is private
// memory that a forked child does not inherit.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "allocator/base/error.hpp"
#include "allocator/base/private_memory.hpp"
#include "allocator/base/types.hpp"
#include "allocator/region/region.hpp"
#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/usage.hpp"

namespace bounce {

/// What a slot is used for; part of its state, checked at free.
enum class SlotKind : std::uint8_t { kStreaming = 1, kCoherent = 2, kBuffer = 3 };

/// A slot that was handed out. Plain data in private memory: the caller's token.
struct Slot {
    Gpa gpa;
    std::byte* hva = nullptr;
    std::uint32_t epoch = 0;  // of its region
    RegionId region;
    std::uint8_t generation = 0;
};

struct AllocRequest {
    std::uint64_t bytes = 0;                        // > 0
    std::uint64_t align = 1;                        // power of two, at most 2 MiB; of the GPA
    std::uint64_t max_address = ~std::uint64_t{0};  // last byte must not lie above
    SlotKind kind = SlotKind::kStreaming;
    std::uint64_t boundary = 0;  // power of two >= bytes whose multiples (as GPA) are not crossed; 0: none
};

struct PoolStats {
    std::uint64_t bytes, used_bytes, used_bytes_hiwater, slots, full;
    std::uint64_t slots_of_kind[4];   // by SlotKind
    std::uint64_t allocs_of_kind[4];  // ever
    std::uint32_t regions;
};

class Pool {
public:
    static constexpr std::size_t kMaxRegions = 64;

    static Result<std::unique_ptr<Pool>> create(const RegionConfig& first) noexcept;
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// ENOSPC full, E2BIG never, ERANGE mask, EINVAL, EOWNERDEAD. Contiguous in GPA. Thread-safe.
    Result<Slot> alloc(const AllocRequest& request) noexcept;

    /// EFAULT (foreign, misaligned, out of range), EALREADY or ESTALE (generation), EPERM (kind), EOWNERDEAD; an error
    /// changes nothing. A slot whose region was renewed since is freed like any other. Thread-safe.
    Result<void> free(const Slot& slot, SlotKind kind) noexcept;

    /// The two halves of free(), for a holder that has to copy something out first. begin_free() is the
    /// compare-exchange that decides: of several holders of copies of one slot exactly one wins. The slot then stays
    /// out of reach of alloc() until the winner calls finish_free(). Errors as free(); also EFAULT when slot.hva is not
    /// the address of slot.gpa, or when the slot is shorter than `bytes`.
    Result<void> begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes) noexcept;
    void finish_free(const Slot& slot) noexcept;

    /// Is this slot live, with this kind and generation, and has it `bytes`? Errors as begin_free().
    Result<void> check(const Slot& slot, SlotKind kind, std::uint64_t bytes = 0) const noexcept;

    /// The GPA of [hva, hva + bytes) when that lies in one live slot of this kind; else EFAULT, EPERM for another kind.
    Result<Gpa> find_in_slot(const void* hva, std::uint64_t bytes, SlotKind kind) const noexcept;

    /// The index of the new region; EINVAL when it overlaps or there are too many. Nothing is handed out of it while
    /// the pool is lent, until use_regions().
    Result<RegionId> add_region(const RegionConfig& config) noexcept;
    [[nodiscard]] std::uint32_t regions() const noexcept;
    /// How many of them, from the first, alloc() takes from.
    [[nodiscard]] std::uint32_t usable_regions() const noexcept;
    /// id must be below regions(). The reference stays good for the life of the pool.
    [[nodiscard]] const Region& region(RegionId id) const noexcept;

    /// Renews every region; ENOTSUP, and nothing changes, when one is imported.
    Result<void> renew() noexcept;
    /// Renews what can be renewed if there may be old content of somebody's in it and nothing that lives: no device,
    /// and something was handed out since the last time. Imported regions stay as they are.
    Result<void> forget() noexcept;

    /// EFAULT unless [gpa, gpa + bytes) lies in one region.
    Result<std::byte*> to_hva(Gpa gpa, std::uint64_t bytes) const noexcept;
    Result<Gpa> to_gpa(const void* hva, std::uint64_t bytes) const noexcept;

    [[nodiscard]] PoolStats stats() const noexcept;

    /// Devices count themselves here: a pool in use is not destroyed.
    void add_user() noexcept;
    void drop_user() noexcept;
    [[nodiscard]] std::uint32_t users() const noexcept;

    /// The memory is lent to one process peer at a time (a trust domain each): EBUSY while it is. What a peer sees are
    /// the usable regions; it may be shown more, and then use_regions() makes them usable.
    Result<void> lend() noexcept;
    void use_regions(std::uint32_t count) noexcept;
    void take_back() noexcept;
    /// In place of take_back(): a peer that was not proven to have stopped has memory that could not be renewed. The
    /// next lend() tries once more.
    void write_off() noexcept;
    [[nodiscard]] bool lent() const noexcept { return lending_.load(std::memory_order_relaxed) == Lending::kLent; }

    /// False in a forked child.
    [[nodiscard]] bool alive() const noexcept { return guard_.alive(); }

private:
    /// A region and the private tables over it.
    struct Part {
        Part(Region&& shared, PrivateMemory&& private_tables, Usage& usage) noexcept
            : region(std::move(shared)),
              tables(std::move(private_tables)),
              core(region.base(), region.bytes(), tables.data(), usage) {}

        Region region;
        PrivateMemory tables;
        SlabCore core;
    };

    enum class Lending : std::uint8_t { kFree, kLent, kWrittenOff };

    explicit Pool(ForkGuard guard) noexcept : guard_(std::move(guard)) {}

    Result<void> renew_locked() noexcept;
    [[nodiscard]] Error why_not(const AllocRequest& request) noexcept;
    [[nodiscard]] static SlabCore::Request request_of(const AllocRequest& request, const Region& region) noexcept;
    [[nodiscard]] Part* part_of(const Slot& slot, SlotKind kind) const noexcept;
    [[nodiscard]] Error no_part(const Slot& slot, SlotKind kind) const noexcept;
    static Placement placement_of(const Part& part, const Slot& slot) noexcept;
    static Error refuse(int code, const Slot& slot) noexcept;
    static Error misplaced(const Slot& slot) noexcept;

    ForkGuard guard_;
    // P1: parts_[i] is written before the count passes i (release), and never changes afterwards.
    std::array<std::unique_ptr<Part>, kMaxRegions> parts_;
    std::atomic<std::uint32_t> count_{0};
    std::atomic<std::uint32_t> usable_{0};  // P2: as P1, what is below it
    std::atomic<std::uint32_t> users_{0};
    std::atomic<Lending> lending_{Lending::kFree};  // changed under the lock
    mutable std::mutex lock_;                       // adding, renewing and lending regions
    std::uint64_t allocs_forgotten_ = 0;            // allocations before the last forget()
    std::atomic<std::uint64_t> full_{0};
    Usage usage_;
};

}  // namespace bounce
