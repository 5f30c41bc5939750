// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The pool: regions cut into chunks, pages, slabs and slots, the contexts that keep some of them for a thread or a
// queue, and the front door to all of them. All state is private memory that a forked child does not inherit.
//
// A slot is at home (its bit in the slab is set), kept by a context, or handed out. Slots for streaming mappings go by
// contexts (pool_fast.hpp: a pop, a push); everything else, and what contexts cannot do, goes straight from home and to
// home (pool_alloc.cpp). Before anything is told that the pool is full, all contexts are emptied (pool_contexts.cpp).
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "allocator/base/bits.hpp"
#include "allocator/base/error.hpp"
#include "allocator/base/mutation.hpp"
#include "allocator/base/private_memory.hpp"
#include "allocator/base/types.hpp"
#include "allocator/pool/contexts.hpp"
#include "allocator/pool/domains.hpp"
#include "allocator/pool/growth.hpp"
#include "allocator/pool/home_watch.hpp"
#include "allocator/pool/placement.hpp"
#include "allocator/pool/pool_nodes.hpp"
#include "allocator/pool/quarantine.hpp"
#include "allocator/pool/service_signal.hpp"
#include "allocator/region/region.hpp"
#include "allocator/slab/slab_core.hpp"
#include "allocator/slab/usage.hpp"

namespace bounce {

inline constexpr const char* kForked = "a forked child has no pool: it stayed with its parent";

/// What a slot is used for; part of its state, checked at free.
enum class SlotKind : std::uint8_t { kStreaming = 1, kCoherent = 2, kBuffer = 3 };

/// A slot that was handed out. Plain data in private memory: the caller's token.
struct Slot {
    Gpa gpa;  // as the device says it: Region::address()
    std::byte* hva = nullptr;
    std::uint32_t epoch = 0;  // of its region
    SlotHandle handle;

    [[nodiscard]] RegionId region() const noexcept { return handle.region(); }
};

struct AllocRequest {
    std::uint64_t bytes = 0;                        // > 0
    std::uint64_t align = 1;                        // power of two, at most 2 MiB; of the GPA
    std::uint64_t max_address = ~std::uint64_t{0};  // last byte must not lie above
    SlotKind kind = SlotKind::kStreaming;
    std::uint64_t boundary = 0;  // power of two >= bytes whose multiples (as GPA) are not crossed; 0: none
    NumaRule rule{};
    RegionMask domain = 0;  // domains.hpp
    bool attempt = false;   // less will be asked for when it fails: not counted as a failure
    bool priority = false;  // the reserve is for it, too
    Colour colour{};        // of the context that asks
    // The pool's own: nothing that is promised to others, or reserved; and from slabs that are there.
    bool spare_only = false;
    bool from_slabs = false;
    bool marked = false;  // of these, those that others beyond their floors have something of
};

/// Of a group, in bytes of slots and pages.
struct QuotaState {
    std::uint64_t floor, ceiling, used;  // ceiling 0: none
    bool priority;
};
/// Of a pool.
struct ReserveState {
    std::uint64_t reserve;   // for requests with priority
    std::uint64_t floors;    // of all groups
    std::uint64_t promised;  // of these, what the groups have not taken yet
};

/// What a streaming slot has to be like, besides what its group asks for.
struct Wish {
    std::uint64_t bytes = 0;     // > 0
    std::uint64_t align = 1;     // as in AllocRequest
    std::uint64_t boundary = 0;  // as in AllocRequest
    bool attempt = false;        // as in AllocRequest
    bool priority = false;       // as in AllocRequest
};

struct PoolStats {
    std::uint64_t bytes, used_bytes, used_bytes_hiwater, slots, full;
    std::uint64_t grows, shrinks;                  // regions that came and went by service() and in line
    std::uint64_t slots_of_kind[4];                // by SlotKind
    std::uint64_t allocs_of_kind[4];               // ever
    std::uint64_t quarantined, quarantined_bytes;  // slots, not among those above, and their bytes, not among the used
    std::uint64_t kept_bytes;                      // of slots that contexts keep; not among the used
    std::uint32_t regions;
};

struct PoolConfig {
    bool checked = true;                          // frees of streaming slots are checked for who holds them
    NumaPolicy numa_policy = NumaPolicy::kLocal;  // of devices which do not have one of their own
};

/// Of a region: active -> draining -> retiring -> gone, and from gone back to active with fresh memory.
enum class RegionStage : std::uint8_t { kActive, kDraining, kRetiring, kGone };

struct RegionStatus {
    RegionStage stage;
    bool usable;                  // slots are taken from it, or were until it was drained
    std::uint64_t bytes_in_use;   // pages of slabs and runs
    std::uint64_t refused_bytes;  // chunks that could not be shared or unshared
    bool restricted;
};

class Pool {
    struct Part;
    friend class PoolAudit;   // pool_audit.hpp
    friend class PoolTuning;  // pool_tuning.hpp
    friend class PoolFault;   // tests/unit/api/control: plants what PoolCheck has to find

public:
    static constexpr std::size_t kMaxRegions = RegionOrder::kMaxRegions;
    static constexpr std::uint32_t kChunksPerService = 8;

    /// A free that was begun.
    struct Ending {
        KeptSlot slot;            // as a context would keep it
        std::uint32_t pages = 0;  // of a run; 0: a slot
        SlotKind kind{};
    };

    /// All regions of the pool are shared by the hooks of the first, and have its address form. Node errors as
    /// add_region().
    static Result<std::unique_ptr<Pool>> create(const RegionConfig& first, const GrowthConfig& growth = {},
                                                const PoolConfig& config = {}) noexcept;
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// ENOSPC full, E2BIG never, ERANGE mask, EINVAL, EOWNERDEAD. Contiguous in GPA. With NumaPolicy::kStrict the first
    /// three are said of the regions at the node, as if there were no others. Thread-safe.
    /// EDQUOT: beyond the ceiling of `payer`, whose quota it counts for, and by which it must be freed; nullptr: the
    /// pool's direct users.
    Result<Slot> alloc(const AllocRequest& request, ContextGroup* payer = nullptr) noexcept;

    /// EFAULT (foreign, misaligned, out of range), EALREADY or ESTALE (generation), EPERM (kind), EOWNERDEAD; an error
    /// changes nothing. A slot whose region was renewed since is freed like any other. Thread-safe.
    Result<void> free(const Slot& slot, SlotKind kind, ContextGroup* payer = nullptr) noexcept;

    /// A streaming slot of a group, by a context of that group or, with nullptr, without. `context` is of the calling
    /// thread or queue. What one of a group gets must come back by the same group. In pool_fast.hpp.
    Result<void> alloc(ContextGroup& group, Context* context, std::uint64_t bytes, Slot& slot) noexcept;
    /// The same for a slot that is at hand, of which sink(kept slot, epoch of its region) tells; false when none is.
    template <class Sink>
    bool alloc_at_hand(Context* context, std::uint64_t bytes, Sink&& sink) noexcept;
    /// The rest of alloc(), when none was at hand. In pool_alloc.cpp.
    Result<void> alloc_slow(ContextGroup& group, Context* context, std::uint64_t bytes, Slot& slot,
                            bool priority = false) noexcept;

    /// The same for one that has to lie somewhere; errors as alloc(). From the context too, where its classes lie as
    /// they should. In pool_placed.cpp.
    Result<void> alloc_placed(ContextGroup& group, Context* context, const Wish& wish, Slot& slot) noexcept;

    /// A request that was made in parts found the pool full.
    void count_full() noexcept { full_.fetch_add(1, std::memory_order_relaxed); }

    /// A streaming slot comes back. In pool_fast.hpp.
    Result<void> free(ContextGroup& group, Context* context, const Slot& slot) noexcept;
    /// The two halves of free(), for a holder that has to copy something out first. begin_free() is the
    /// compare-exchange that decides: of several holders of copies of one slot exactly one wins. The slot then stays
    /// out of reach of alloc() until the winner calls finish_free(), once. Errors as free(); also EFAULT when slot.hva
    /// is not the address of slot.gpa, or when the slot is shorter than `bytes`.
    Result<void> begin_free(const Slot& slot, SlotKind kind, std::uint64_t bytes, Ending& ending) noexcept;
    void finish_free(ContextGroup& group, Context* context, const Ending& ending) noexcept;
    void finish_free(const Ending& ending) noexcept;
    /// The same in parts, for a hot path that keeps all of it in registers: begin(), then finish() if it said kYes, and
    /// begin_slow() with what it said otherwise. In pool_fast.hpp.
    enum class Begun : std::uint8_t { kYes, kNotHere, kMoved };
    Begun begin(Context* context, const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva,
                KeptSlot& ended) noexcept;
    void finish(ContextGroup& group, Context* context, const KeptSlot& ended) noexcept;
    Result<void> begin_slow(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva, Begun why,
                            Ending& ending) noexcept;

    /// Many at once cost less each. All or nothing: on failure `slots` are empty. In pool_bulk.cpp.
    Result<void> alloc_bulk(ContextGroup& group, Context* context, std::uint64_t bytes, Slot* slots,
                            std::uint32_t n) noexcept;
    /// All that can be freed are; the first error.
    Result<void> free_bulk(ContextGroup& group, Context* context, const Slot* slots, std::uint32_t n) noexcept;
    /// The two in parts, as alloc_at_hand() and finish() are. Slot i of n has bytes_of(i); sink(i, kept slot, epoch)
    /// is told of it. On failure `done` of them have been handed out. In pool_bulk.hpp.
    static constexpr std::uint32_t kBulk = 32;  // endings that are collected at a time
    struct EndedSlots {
        EndedSlots() noexcept {}  // not cleared: that would take a tenth of the time
        union {
            KeptSlot slots[kBulk];
        };
    };
    template <class BytesOf, class Sink>
    Result<void> alloc_many(ContextGroup& group, Context* context, std::uint32_t n, BytesOf&& bytes_of, Sink&& sink,
                            std::uint32_t& done) noexcept;
    void finish_many(ContextGroup& group, Context* context, const KeptSlot* ended, std::uint32_t n) noexcept;

    /// The group of those who use the pool without a device.
    [[nodiscard]] ContextGroup& direct() noexcept { return direct_; }
    /// The context of this thread in a group; nullptr when there is none to be had. In pool_fast.hpp.
    Context* context(ContextGroup& group) noexcept;
    /// A context for a queue, which one thread at a time uses; nullptr when there is none to be had.
    Context* open_context(ContextGroup& group) noexcept;
    /// What it keeps goes home. Not while it is used; nullptr does nothing.
    void close_context(Context* context) noexcept;
    /// Closes all of a group. Nobody uses them any more.
    void close_group(ContextGroup& group) noexcept;
    /// Allocations and frees of a group: frees first, so that the difference is never too small.
    struct GroupCounts {
        std::uint64_t frees, allocs;
    };
    [[nodiscard]] GroupCounts count(const ContextGroup& group) const noexcept;
    /// From now on the group reuses its slots in turn, over about so many bytes of each size class (in each region); 0:
    /// the one that was freed last first, as it is at the beginning. Thread-safe; takes effect little by little.
    void set_reuse(ContextGroup& group, std::uint64_t window) noexcept;

    /// pool_quota.cpp. EINVAL: floor above ceiling; ENOSPC: the pool has not so much to promise. Thread-safe.
    Result<void> set_quota(ContextGroup& group, std::uint64_t floor, std::uint64_t ceiling) noexcept;
    [[nodiscard]] QuotaState quota(const ContextGroup& group) const noexcept;
    /// ENOSPC as set_quota().
    Result<void> set_reserve(std::uint64_t bytes) noexcept;
    [[nodiscard]] ReserveState reserve() const noexcept;

    /// pool_waiting.cpp. Who looks after those that wait; made by the first who asks. nullptr: no memory.
    HomeWatch* watch(std::unique_ptr<HomeWatch> (*make)(Pool&) noexcept) noexcept;
    /// From now on until end_waiting() the watch is told. True: what contexts keep is known to be home; otherwise
    /// empty_for_waiters() has to say so once.
    bool begin_waiting() noexcept { return contexts_.begin_waiting(); }
    void end_waiting() noexcept { contexts_.end_waiting(); }
    bool empty_for_waiters() noexcept;
    /// One try for somebody who waits: 0, ENOSPC or EDQUOT, without a sentence; EOWNERDEAD.
    int try_for_waiter(ContextGroup& group, const Wish& wish, Slot& slot) noexcept;
    /// Could more than the ceiling allows ever be had?
    [[nodiscard]] static bool beyond_ceiling(const ContextGroup& group, const Wish& wish) noexcept;

    /// For thread_record.cpp: the thread with this number ends.
    void end_thread(std::uint32_t number) noexcept;

    /// Is this slot live, with this kind and generation, and has it `bytes`? Errors as begin_free().
    Result<void> check(const Slot& slot, SlotKind kind, std::uint64_t bytes = 0) const noexcept;
    /// The same, inlined, for slots of slabs: true only when it is; false says nothing. In pool_fast.hpp.
    [[nodiscard]] bool is_live(const Slot& slot, SlotKind kind, std::uint64_t bytes) const noexcept;

    /// The address for the device of [hva, hva + bytes) when that lies in one live slot of this kind; else EFAULT,
    /// EPERM for another kind, EXDEV when it is not in a region of the domain.
    /// `where`, when not nullptr: the region.
    Result<Gpa> find_in_slot(const void* hva, std::uint64_t bytes, SlotKind kind, RegionMask domain = 0,
                             RegionId* where = nullptr) const noexcept;
    /// The same of coherent memory and buffers, for what is in one region and no very long run. False: ask
    /// find_in_slot(). In pool_fast.hpp.
    bool find_block_near(RegionId region, const void* hva, std::uint64_t bytes, RegionMask domain,
                         Gpa& address) const noexcept;

    /// pool_restore.cpp. What is at an address (as the device says it): the slot or run around it, whoever has it.
    /// EFAULT when there is none.
    struct Place {
        RegionId region;
        FoundSlot found;
        Gpa start;
    };
    [[nodiscard]] Result<Place> locate(Gpa gpa) const noexcept;
    /// The token of what is handed out there, as far as the pool knows it: a slot at home has one as well.
    [[nodiscard]] Slot token_at(const Place& place) const noexcept;
    /// The next slab or run of a region at or behind an offset; its `pages` are 0 when there is none.
    [[nodiscard]] SlabCore::Extent next_extent(RegionId id, std::uint64_t offset) const noexcept;

    /// Slabs and runs of another process come into being here, at the same addresses, with slots handed out (kinds[i],
    /// a SlotKind, is that of slot i; 0: at home). All or nothing. EBUSY: something was handed out before, or such
    /// pages are not to be had; ENOTSUP: hooks scrubbed the memory. Not while others allocate.
    struct Restored {
        RegionId region;
        SlabCore::Extent extent;
        const std::uint8_t* kinds;
    };
    Result<void> restore(const Restored* extents, std::size_t n) noexcept;
    /// A slot that restore() handed out is that of a group from now on, which pays for it.
    void adopt_slot(ContextGroup& group, const Slot& slot, std::uint64_t bytes, SlotKind kind) noexcept;
    /// One that is no group's goes home.
    Result<void> release(const Slot& slot, SlotKind kind) noexcept;

    /// The index of the new region, or of a removed one that had the same range and node; EINVAL when it overlaps,
    /// there are too many or the node does not exist, or the hook's error when no chunk of it could be shared. Nothing
    /// is handed out of it while the pool is lent, until use_regions().
    Result<RegionId> add_region(const RegionConfig& config) noexcept;
    /// Indexes: of regions that are there, and of removed ones.
    [[nodiscard]] std::uint32_t regions() const noexcept;
    /// How many of them the pool uses, and which. While it is lent: those that the peer was shown.
    [[nodiscard]] std::uint32_t usable_regions() const noexcept;
    [[nodiscard]] RegionMask usable() const noexcept;
    /// Of these those that are not restricted: what a peer sees while the pool is lent.
    [[nodiscard]] RegionMask shown() const noexcept { return usable() & ~domains_.restricted(); }
    [[nodiscard]] RegionStatus status(RegionId id) const noexcept;

    /// pool_regions.cpp. No new slots from it; frees go on. EINVAL: there is no such region, or it is removed.
    Result<void> drain_region(RegionId id) noexcept;
    /// EBUSY: not drained, or not empty, or a peer sees it. ENOMEM: to be called again. A hook's error: it is removed,
    /// but for a chunk that stays mapped for ever.
    Result<void> remove_region(RegionId id) noexcept;

    /// pool_service.cpp. A region of so many bytes as growing would bring it, at this node (kAnyNode: that of grown
    /// regions): in the addresses that are reserved, and within the limit. Service opens it where that is done chunk by
    /// chunk, and whoever lends the pool shows it to the peer, as with every grown one. ENOTSUP: the pool does not
    /// grow; EINVAL: not a multiple of 4 KiB, the granule or the huge page, or too small; ENOSPC: beyond the limit, the
    /// addresses, or what a peer can see.
    Result<RegionId> grow_by(std::uint64_t bytes, NodeId node) noexcept;
    /// Grows and shrinks by a bounded step; true: there is more to do at once.
    Result<bool> service() noexcept;
    /// Readable when service is wanted; -1 when the pool does not grow.
    [[nodiscard]] int event_fd() const noexcept { return event_fd_; }
    /// id must be below regions(). The reference stays good for the life of the pool.
    [[nodiscard]] const Region& region(RegionId id) const noexcept;

    [[nodiscard]] NumaPolicy numa_policy() const noexcept { return numa_policy_; }
    /// Of a group, from now on. What its contexts keep goes home, but for those in the middle of an operation, which
    /// keep to the one before until they ask for more. Thread-safe.
    void set_numa_policy(ContextGroup& group, NumaPolicy policy) noexcept;
    /// EINVAL when the machine has no such node.
    Result<void> check_node(NodeId node) noexcept;

    /// Renews every region that is not retired; ENOTSUP, and nothing changes, when one is imported.
    Result<void> renew() noexcept;
    /// The same of those that a peer may have been shown.
    Result<void> renew_open() noexcept;
    /// Renews what can be renewed if there may be old content of somebody's in it and nothing that lives: no device,
    /// and something was handed out since the last time. Imported regions stay as they are.
    Result<void> forget() noexcept;

    /// EFAULT unless [gpa, gpa + bytes) lies in one region.
    Result<std::byte*> to_hva(Gpa gpa, std::uint64_t bytes) const noexcept;
    Result<Gpa> to_gpa(const void* hva, std::uint64_t bytes) const noexcept;
    /// From GPA to the address for the device, and back.
    Result<Gpa> to_address(Gpa gpa, std::uint64_t bytes) const noexcept;
    Result<Gpa> from_address(Gpa address, std::uint64_t bytes) const noexcept;

    [[nodiscard]] PoolStats stats() const noexcept;

    /// Devices count themselves here: a pool in use is not destroyed.
    void add_user() noexcept;
    void drop_user() noexcept;
    [[nodiscard]] std::uint32_t users() const noexcept;

    /// pool_domains.cpp. A device that names regions comes, and goes. EINVAL, EBUSY (domains.hpp). What devices before
    /// left in the regions of a domain without one is renewed away, or zeroed where that cannot be done.
    Result<void> join_domain(RegionMask domain) noexcept;
    void leave_domain(RegionMask domain) noexcept;

    /// The memory is lent to one process peer at a time (a trust domain each): EBUSY while it is. What a peer sees are
    /// the usable regions that are not restricted; it may be shown more, and then use_regions() makes them usable.
    Result<void> lend() noexcept;
    void use_regions(RegionMask shown) noexcept;
    /// pool_quarantine.cpp. The device of the group may still write what it was given: from now on nothing is handed
    /// out to the group (EPROTO), and what comes back of its stays out of reach. Room is made for what the group has
    /// now and `blocks` more; what comes back when there is none left is away for good. ENOMEM: nothing has changed.
    /// EBUSY: a thread has stopped in the middle of an operation of the group; all is as after success, but for what
    /// that thread has kept for itself.
    Result<void> quarantine(ContextGroup& group, const char* name, std::uint64_t blocks) noexcept;
    /// The device was reset: what was held back goes home (how many), and the group is as before.
    std::uint64_t release(ContextGroup& group) noexcept;
    /// The group ends; what was held back of it stays so.
    void leave_quarantine(ContextGroup& group) noexcept;
    /// Frees a slot of a group that is in quarantine, whatever its kind.
    void hold_back(ContextGroup& group, const Ending& ending) noexcept;
    struct QuarantineInfo {
        char name[64];  // of the device
        std::uint64_t slots, bytes;
        bool device_lives;
    };
    /// Of those that there ever were; EINVAL when there is no such.
    Result<QuarantineInfo> quarantine_info(std::uint32_t index) const noexcept;
    /// For one whose device is gone: what it holds goes home. EINVAL: there is no such; EBUSY: the device is there.
    Result<std::uint64_t> release_quarantine(std::uint32_t index) noexcept;
    /// Nothing is handed out of the region any more, nor is it shown to a peer again, until it was removed. What was
    /// held back of it goes home there. EINVAL: there is no such region, or it is removed.
    Result<void> retire_region(RegionId id) noexcept;

    /// What may be shown. None of it is removed before use_regions() says what was.
    RegionMask hold_regions() noexcept;
    /// Regions that the peer sees and that are drained and empty: they are not used again before they are shown again.
    RegionMask leave_regions() noexcept;
    /// How many the peer can see at most: the pool does not grow beyond.
    void limit_regions(std::uint32_t most) noexcept;
    void take_back() noexcept;
    /// A peer that was not proven to have stopped may write to what it was shown: that is renewed, or retired where it
    /// cannot be. The peer is gone; take_back() is still to be called.
    void write_off() noexcept;
    [[nodiscard]] bool lent() const noexcept { return lending_.load(std::memory_order_relaxed) == Lending::kLent; }

    /// False in a forked child.
    [[nodiscard]] bool alive() const noexcept { return guard_.alive(); }

private:
    /// A region and the private tables over it.
    struct Part {
        Part(Region&& shared, PrivateMemory&& private_tables, Usage& usage, bool checked) noexcept
            : region(std::move(shared)),
              tables(std::move(private_tables)),
              core(region.address(), region.bytes(), tables.data(), usage, checked) {}

        [[nodiscard]] bool opening() const noexcept { return next_chunk < region.chunks(); }

        Region region;
        PrivateMemory tables;
        SlabCore core;
        // Written under the pool's lock; what others see of it are the pool's masks.
        std::atomic<RegionStage> stage{RegionStage::kActive};
        std::atomic<std::uint64_t> refused_bytes{0};
        std::uint64_t ready_bytes = 0;     // in open chunks
        std::uint32_t next_chunk = 0;      // to be opened or, retiring, to be closed
        std::atomic<bool> retired{false};  // a former peer may write to it: it is on its way out
        bool grown = false;                // by the pool itself
        bool by_service = false;           // drained so
    };

    /// What the hot path needs of a region, in one cache line.
    struct View : SlotView {
        /// Makes it that of `part`; other threads may look at it meanwhile.
        void open(const Part& part) noexcept;
        [[nodiscard]] KeptSlot kept(CachedSlot slot) const noexcept {
            const std::uint64_t position = position_of(slot.head(), slot.handle());
            return {first_gpa + position, reinterpret_cast<std::byte*>(first_hva + position), slot.handle()};
        }
        [[nodiscard]] CachedSlot cached(const KeptSlot& slot) const noexcept {
            return {head_of(slot.gpa - first_gpa, slot.handle), slot.handle};
        }

        Gpa first_gpa;                 // of page 0
        std::uintptr_t first_hva = 0;  // of page 0
        const Region* region = nullptr;
    };
    static_assert(sizeof(View) == kCacheLine);

    /// Operations that went by no context, and those of contexts that were closed; by kind.
    struct alignas(kCacheLine) Counts {
        std::atomic<std::uint64_t> allocs[4]{};
        std::atomic<std::uint64_t> frees[4]{};
    };

    enum class Lending : std::uint8_t { kFree, kLent };

    Pool(ForkGuard guard, Contexts contexts, const PoolConfig& config) noexcept
        : guard_(std::move(guard)),
          contexts_(std::move(contexts)),
          checked_(config.checked && !BOUNCE_MUTATED(kGenerationCheck)),
          numa_policy_(config.numa_policy),
          direct_(~std::uint64_t{0}, {config.numa_policy, kAnyNode}) {}

    /// Why a try to take from home took nothing, and where it was tried.
    struct Tried {
        int code = ENOSPC;
        RegionMask regions = ~RegionMask{0};  // that the request may be served from
        bool by_node = false;                 // because of its NUMA rule
        NodeId home = kAnyNode;               // which kStrict does not leave
    };

    static constexpr std::uint64_t kNoGpa = ~std::uint64_t{0};

    [[nodiscard]] RegionMask present() const noexcept;
    [[nodiscard]] RegionMask accepted() const noexcept;

    // pool_regions.cpp; under the lock
    Result<void> check_room(const RegionConfig& config, bool growing) const noexcept;
    [[nodiscard]] Part* find_gone(const RegionConfig& config) const noexcept;
    Result<RegionId> add_region_locked(const RegionConfig& config, bool growing) noexcept;
    [[nodiscard]] Result<void> check_addresses(const Region& region) const noexcept;
    Result<RegionId> make_part(const RegionConfig& config) noexcept;
    Result<void> revive(Part& part, const RegionConfig& config) noexcept;
    Result<void> open_chunks(Part& part, std::uint32_t most) noexcept;
    Result<void> open_all(Part& part) noexcept;
    void start_drain(Part& part, bool by_service) noexcept;
    void retire_locked(Part& part) noexcept;
    [[nodiscard]] bool is_empty(Part& part) noexcept;
    void start_retiring(Part& part) noexcept;
    Result<void> retire_chunks(Part& part, std::uint32_t most) noexcept;
    void note_refused(Part& part, const Extent& at) noexcept;
    void update() noexcept;
    Result<void> check_region(RegionId id) const noexcept;
    [[nodiscard]] RegionMask bit_of(const Part& part) const noexcept;
    template <class Visit>
    void for_parts(Visit&& visit) const noexcept {
        for (std::uint32_t i = 0; i < count_.load(std::memory_order_relaxed); ++i) visit(*parts_[i]);
    }

    // pool_service.cpp
    void note_pressure() noexcept {
        // Relaxed: a hint; who misses the new value crosses it again.
        if (usage_.bytes() > pressure_mark_.load(std::memory_order_relaxed)) [[unlikely]]
            want_service();
    }
    void want_service() noexcept;
    void want_growth(std::uint64_t bytes) noexcept;
    [[nodiscard]] bool growth_helps(const AllocRequest& request, NodeId home) const noexcept;
    Result<void> grow_or_fail(const AllocRequest& request, const Context* own, Tried tried, Slot& slot) noexcept;
    bool grow_for(std::uint64_t bytes, std::uint64_t seen) noexcept;
    Result<void> set_growth(const RegionConfig& first, const GrowthConfig& growth) noexcept;
    [[nodiscard]] GrowthState growth_state(std::uint64_t wanted) const noexcept;
    [[nodiscard]] std::uint64_t growable_bytes() const noexcept;
    [[nodiscard]] std::uint64_t window_bytes() const noexcept;
    Result<void> grow(std::uint64_t wanted) noexcept;
    Result<void> add_grown(std::uint64_t wanted) noexcept;
    Result<void> service_step() noexcept;
    Result<void> shrink_step(const GrowthState& state) noexcept;
    [[nodiscard]] bool work_left() const noexcept;
    template <class Test>
    [[nodiscard]] Part* last_part(Test&& test) const noexcept {
        Part* last = nullptr;
        for_parts([&](Part& part) { last = test(part) ? &part : last; });
        return last;
    }
    /// Slots that threads keep for themselves go home, of regions that are not accepted for ever. Called under the
    /// lock.
    void empty_contexts() noexcept;

    /// Those of them that are not retired.
    Result<void> renew_locked(RegionMask regions) noexcept;
    [[nodiscard]] RegionMask retired() const noexcept;  // that are still there
    Result<void> freshen(Part& part) noexcept;
    [[nodiscard]] std::uint64_t ever_allocated() const noexcept;

    // pool_fast.hpp
    template <class Sink>
    bool pop_inside(SlotStack& stack, Sink&& sink) noexcept;
    bool push_inside(ContextGroup& group, Context& context, const KeptSlot& slot) noexcept;
    template <class BytesOf, class Sink>
    std::uint32_t pop_many(Context& context, std::uint32_t from, std::uint32_t n, BytesOf&& bytes_of,
                           Sink&& sink) noexcept;
    std::uint32_t push_many(ContextGroup& group, Context& context, const KeptSlot* ended, std::uint32_t from,
                            std::uint32_t n) noexcept;
    template <class Sink>
    bool pop(Context& context, std::uint32_t size_class, Sink&& sink) noexcept;
    bool push(ContextGroup& group, Context& context, const KeptSlot& slot) noexcept;
    /// By bytes: the shift and the mask are those of the field.
    [[nodiscard, gnu::always_inline]] const View& view_of(SlotHandle handle) const noexcept {
        constexpr unsigned kShift = SlotHandle::kRegionShift - std::countr_zero(sizeof(View));
        const std::uint32_t offset = handle.bits() >> kShift & (kMaxRegions - 1) * sizeof(View);
        return *reinterpret_cast<const View*>(reinterpret_cast<const std::byte*>(views_.data()) + offset);
    }
    [[nodiscard, gnu::always_inline]] std::uint32_t epoch_of(SlotHandle handle) const noexcept {
        return view_of(handle).region->epoch();
    }
    Result<void> begin_by_address(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva, Begun why,
                                  Ending& ending) noexcept;
    void take_back(const Slot& slot, SlotKind kind) noexcept;
    [[nodiscard]] Part* part_of(const Slot& slot, SlotKind kind) const noexcept;
    [[nodiscard]] static Placement placement_of(const Part& part, const Slot& slot) noexcept;

    // pool_quarantine.cpp
    [[nodiscard]] Quarantine* find_quarantine(const ContextGroup& group, const char* name) noexcept;
    void give_held(const HeldSlot& held) noexcept;
    static Error in_quarantine(const ContextGroup& group) noexcept;

    // pool_placed.cpp
    void unget(ContextGroup& group, Context* context, const Slot& slot) noexcept;

    // pool_alloc.cpp: straight from home and to home, and between home and contexts
    Result<void> alloc_home(const AllocRequest& request, const Context* own, Slot& slot) noexcept;
    int take_from(std::uint32_t index, const AllocRequest& request, Slot& slot) noexcept;
    bool take_home(const AllocRequest& request, Slot& slot, Tried& tried) noexcept;
    bool take_by_node(const AllocRequest& request, Slot& slot, Tried& tried) noexcept;
    bool take_last(const AllocRequest& request, const Context* own, Slot& slot, Tried& tried) noexcept;
    bool take_kept(ContextGroup& group, Context& context, std::uint64_t bytes, Slot& slot) noexcept;
    bool refill(ContextGroup& group, Context& context, std::uint64_t bytes, Slot& slot) noexcept;
    void finish_free_slow(ContextGroup& group, Context* context, const Ending& ending) noexcept;
    void hand_out(const KeptSlot& kept, Slot& slot) const noexcept;
    std::uint32_t fetch(const ContextGroup& group, const Context& context, std::uint32_t size_class, std::uint32_t want,
                        bool limited, CachedSlot* slots) noexcept;
    [[nodiscard]] bool could_hold(const AllocRequest& request, RegionMask regions) const noexcept;
    bool make_room(Context& context, std::uint32_t stack) noexcept;
    void put_home(const Ending& ending) noexcept;
    /// Slots of one class, and at most as many as a context keeps of it.
    void give_home(std::uint32_t size_class, const KeptSlot* slots, std::uint32_t count) noexcept;
    [[nodiscard]] static SlabCore::Request request_of(const AllocRequest& request, const Region& region) noexcept;
    [[nodiscard]] Error why_not(const AllocRequest& request, const Tried& tried) noexcept;
    [[nodiscard]] Error no_part(const Slot& slot, SlotKind kind) const noexcept;
    static Error refuse(int code, const Slot& slot) noexcept;
    static Error misplaced(const Slot& slot) noexcept;

    // pool_quota.cpp
    Result<void> alloc_paid(ContextGroup& group, AllocRequest request, const Context* own, Slot& slot) noexcept;
    bool take_paid(ContextGroup& group, AllocRequest request, Slot& slot, int& code) noexcept;
    bool take_spare(AllocRequest request, Slot& slot, Tried& tried) noexcept;
    [[nodiscard]] bool pay_pages(SlabCore& core, std::uint32_t head, bool priority) noexcept;
    [[nodiscard]] bool spare(std::uint64_t needed, bool priority) const noexcept;
    bool free_slabs() noexcept;
    [[nodiscard]] bool limited(const ContextGroup& group, const Credit::Step& step, bool priority) const noexcept;
    void settle(const Credit::Step& step) noexcept;
    void settle_size(ContextGroup& group, std::uint64_t paid, const Slot& slot, std::uint64_t bytes) noexcept;
    void refund(ContextGroup& group, std::uint64_t bytes) noexcept;
    [[nodiscard]] bool give_up_kept(ContextGroup& group) noexcept;
    [[nodiscard]] std::uint64_t ready_bytes() const noexcept;
    void begin_promises(bool wanted) noexcept;
    [[nodiscard]] Result<void> check_promises(std::uint64_t floors, std::uint64_t reserve) const noexcept;
    [[nodiscard]] bool can_spare_region(std::uint64_t bytes) const noexcept;
    [[nodiscard]] static std::uint64_t bytes_of(const Ending& ending) noexcept {
        return ending.pages != 0 ? ending.pages * kPageBytes : kSlotBytes[ending.slot.handle.size_class()];
    }
    [[nodiscard]] static Error over_quota(const ContextGroup& group, std::uint64_t bytes) noexcept;
    [[nodiscard]] static Error behind_waiters(const ContextGroup& group, std::uint64_t bytes) noexcept;

    // pool_waiting.cpp
    /// At the end of whatever may have brought something home.
    void look() noexcept {
        if (contexts_.waiting()) [[unlikely]]
            wake();
    }
    void wake() noexcept;
    /// look(), after the lock that is taken behind it.
    struct LookAfter {
        Pool& pool;
        ~LookAfter() { pool.look(); }
    };

    // pool_runs.cpp: runs that a context keeps
    Result<void> free_slow(ContextGroup& group, Context* context, const Slot& slot, Begun why) noexcept;
    bool take_run(Context& context, std::uint64_t bytes, Slot& slot) noexcept;
    bool begin_run(const Slot& slot, SlotKind kind, std::uint64_t bytes, bool with_hva, Ending& ending) noexcept;
    bool keep_granted(Context& context, const Ending& ending) noexcept;
    bool keep_run(Context& context, const Ending& ending) noexcept;

    // pool_contexts.cpp
    Context* find_context(ContextGroup& group) noexcept;
    bool follow_thread(const ContextGroup& group, Context& context) noexcept;
    void raise_limit(Context& context, std::uint32_t index) noexcept;
    [[nodiscard]] static bool keeps_nothing(const Context& context) noexcept;
    void empty(Context& context) noexcept;
    bool gives_up(Context& context, std::uint32_t place) noexcept;
    void empty_stack(Context& context, std::uint32_t index) noexcept;
    void empty_run(Context& context, KeptRun& kept) noexcept;
    void heed_attention(Context& context) noexcept;
    void close_taken(Context& context) noexcept;

    ForkGuard guard_;
    Contexts contexts_;
    // P1: parts_[i] is written before the count passes i (release), and never changes afterwards.
    std::array<std::unique_ptr<Part>, kMaxRegions> parts_;
    std::array<View, kMaxRegions> views_;  // P1: as parts_
    std::atomic<std::uint32_t> count_{0};
    // P2: as P1, the regions in it. Which of them are there at all (their memory is mapped); which of these are shown
    // to the peer, if any; and which of these new slots are taken from.
    std::atomic<RegionMask> present_{0};
    std::atomic<RegionMask> usable_{0};
    std::atomic<RegionMask> accepted_{0};
    const bool checked_;
    const NumaPolicy numa_policy_;
    ContextGroup direct_;
    std::atomic<std::uint32_t> users_{0};
    std::atomic<Lending> lending_{Lending::kFree};  // changed under the lock
    mutable std::mutex lock_;                       // adding, renewing and lending regions
    std::uint64_t allocs_forgotten_ = 0;            // allocations before the last forget()
    RegionMask held_ = 0;                           // the peer sees them, or is about to
    std::uint32_t peer_regions_ = kMaxRegions;      // that it can see
    ShareHooks hooks_;                              // of all regions, as form_
    AddressForm form_;
    GrowthPolicy policy_{GrowthConfig{}};
    RegionConfig grown_region_;      // what grown regions are like
    std::uint64_t window_used_ = 0;  // of the window for their GPAs
    std::uint64_t retry_at_ms_ = 0;  // after a failure to grow
    bool growth_failed_ = false;
    int event_fd_ = -1;
    std::atomic<std::uint64_t> grows_{0};
    std::atomic<std::uint64_t> shrinks_{0};
    std::atomic<std::uint64_t> changes_{0};           // memory became ready so many times
    std::atomic<std::uint64_t> growable_{0};          // the largest request that growing could serve
    std::atomic<std::uint64_t> refused_gpa_{kNoGpa};  // the first chunk that could not be shared
    // Read by every allocation, written by few.
    alignas(kCacheLine) std::atomic<std::uint64_t> pressure_mark_{~std::uint64_t{0}};
    ServiceSignal<StdAtomics> signal_;
    std::atomic<std::uint64_t> wanted_bytes_{0};
    std::atomic<std::uint64_t> full_{0};
    std::atomic<std::uint32_t> turn_{0};  // of NumaPolicy::kInterleave
    PoolNodes nodes_;
    HeldTotal held_total_;
    std::unique_ptr<Quarantine> quarantines_;  // the first of a list that only grows; under the lock
    Domains domains_;
    Counts counts_;
    Usage usage_;
    Usage restricted_usage_;  // of restricted regions, which no growing relieves
    // Read by those who are beyond their floor, written by those who are not (pool_quota.cpp).
    alignas(kCacheLine) std::atomic<std::int64_t> promised_{0};
    std::atomic<std::uint64_t> reserve_{0};  // written under the lock
    std::atomic<std::uint64_t> intents_{0};
    std::atomic<std::uint64_t> floors_{0};  // all of them; written under the lock
    std::atomic<std::uint64_t> ready_{0};   // bytes that slots are taken from
    std::atomic<HomeWatch*> watch_{nullptr};
    std::unique_ptr<HomeWatch> own_watch_;  // the same; last, so that it goes first
};

}  // namespace bounce
