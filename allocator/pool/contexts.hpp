// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// All contexts of a pool: where they are, who has which, and the budget of what they may keep together, 1/64 of the
// pool. What is in them is the pool's business.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <span>

#include "allocator/base/error.hpp"
#include "allocator/base/membarrier.hpp"
#include "allocator/base/private_memory.hpp"
#include "allocator/pool/credit.hpp"
#include "allocator/pool/domains.hpp"
#include "allocator/pool/placement.hpp"
#include "allocator/slab/colour.hpp"
#include "allocator/slab/context.hpp"

namespace bounce {

class Quarantine;

/// Who maps, and may keep slots: a device, or the pool's direct users. A context belongs to one group, so what is in it
/// fits the group's limits.
class ContextGroup {
public:
    explicit ContextGroup(std::uint64_t max_address = ~std::uint64_t{0}, const NumaRule& rule = {},
                          RegionMask domain = 0) noexcept;

    /// Where its allocations come from. Relaxed: whoever allocates goes by the one before or by this one.
    [[nodiscard]] NumaRule rule() const noexcept { return {numa_policy.load(std::memory_order_relaxed), numa_node}; }

    const std::uint64_t id;               // never 0, never used again
    const std::uint64_t max_address;      // of the last byte of what its contexts keep
    std::atomic<NumaPolicy> numa_policy;  // changed by Pool::set_numa_policy()
    const NodeId numa_node;               // where the device is
    const RegionMask domain;              // domains.hpp
    // 0: the slot that was freed last is reused first. Else slots are reused in turn, over so many bytes of each class.
    // Relaxed: what is kept already goes the way it came.
    std::atomic<std::uint64_t> window{0};
    // In bytes of stacks: 0, or kClasses of them when slots are reused in turn: into which stacks frees go.
    std::atomic<std::uint32_t> push_base{0};
    [[nodiscard]] std::uint32_t push_first() const noexcept {
        return push_base.load(std::memory_order_relaxed) / static_cast<std::uint32_t>(sizeof(SlotStack));
    }
    // Not null: what comes back goes there, and nothing is handed out. While it is, no context of the group has room,
    // so that all of it goes by the slow paths, which look. Pool::quarantine() and release() change it
    // (pool_quarantine.cpp).
    std::atomic<Quarantine*> quarantine{nullptr};
    // Operations that went by no context, and those of contexts that were closed.
    alignas(kCacheLine) std::atomic<std::uint32_t> moving{0};  // contexts whose counts are coming over here
    std::atomic<std::uint32_t> moves{0};                       // that have
    std::atomic<std::uint64_t> allocs{0};
    std::atomic<std::uint64_t> frees{0};
    Credit credit;  // of all that is away from home for the group, what its contexts keep included
    // It was refused by its ceiling or by what others are promised: its contexts keep nothing until it has less than
    // this. 0: they do. Relaxed: a hint; what is kept all the same is found by the next one who is refused.
    std::atomic<std::uint64_t> tight_below{0};
    std::atomic<bool> priority{false};      // the reserve of the pool is for it, too
    std::atomic<std::uint32_t> waiting{0};  // requests that wait; written under their gate
};

class Contexts {
public:
    static constexpr std::uint32_t kMost = 1024;
    static constexpr std::uint32_t kShareOfPool = 64;
    static constexpr std::uint64_t kMostBytesOfClass = 128 << 10;
    // A context that was refused so often, though it has less than its share, makes all others give theirs up.
    static constexpr std::uint32_t kPatience = 1024;

    using Ops = MarkOps<StdAtomics>;
    static constexpr std::uint32_t kFull = std::uint32_t{1} << 31;
    static constexpr std::uint32_t kWaiting = std::uint32_t{1} << 30;

    /// ENOMEM.
    static Result<Contexts> create() noexcept;
    Contexts(Contexts&&) noexcept;
    Contexts& operator=(Contexts&&) = delete;
    ~Contexts() = default;

    [[nodiscard, gnu::always_inline]] bool enter(Context& context) const noexcept {
        return Ops::enter(context.mark, attention_);
    }
    /// Runs visit(context) on every context that is open, whose owner is outside and kept out, and that nobody else is
    /// emptying; and then, before any owner is let in again, then(all of them?). `own` is the caller's, for which there
    /// is no waiting: when its owner is inside, the caller is a signal handler in the middle of it. When the kernel has
    /// come to forbid the heavy barrier, the others empty theirs themselves, at their next operation, and count as
    /// done: up to the budget may then be missed. With a group: only its contexts.
    template <class Visit, class Then>
    void visit_idle(const Context* own, Visit&& visit, Then&& then, const ContextGroup* only = nullptr) noexcept;

    /// Somebody found the pool full, nothing is in the contexts, and no slot came home since.
    [[nodiscard]] bool full() const noexcept {
        // F1: acquire, pairs with F2 in set_full().
        return (attention_.load(std::memory_order_acquire) & kFull) != 0;
    }
    void set_full() noexcept { attention_.fetch_or(kFull, std::memory_order_release); }  // F2: pairs with F1
    /// After a slot came home.
    void clear_full() noexcept {
        if (full()) attention_.fetch_and(~kFull, std::memory_order_acq_rel);
    }
    /// Somebody waits for memory: contexts get nothing, everything goes straight home, and who brings something home
    /// looks whom it helps. True: contexts are known to be empty, since the pool was full.
    bool begin_waiting() noexcept {
        // S1: seq_cst, the store before the waiter looks for memory at home; pairs with S2: who came home too late for
        // that look sees that somebody waits. For what owners do inside, the heavy barrier of visit_idle() follows.
        return (attention_.fetch_or(kWaiting, std::memory_order_seq_cst) & kFull) != 0;
    }
    void end_waiting() noexcept { attention_.fetch_and(~kWaiting, std::memory_order_acq_rel); }
    [[nodiscard]] bool waiting() const noexcept {
        // S2: seq_cst, the load after something came home (W2 in slot_ops.hpp, H3 in page_map.hpp); pairs with S1.
        return (attention_.load(std::memory_order_seq_cst) & kWaiting) != 0;
    }
    [[nodiscard]] bool attention() const noexcept { return attention_.load(std::memory_order_relaxed) != 0; }

    /// A context of this group; nullptr when all are in use.
    Context* open(ContextGroup& group, std::uint32_t thread) noexcept;
    Context* find(const ContextGroup& group, std::uint32_t thread) noexcept;
    /// An empty one, taken by the caller.
    void close(Context& context) noexcept;
    /// All that were ever open.
    [[nodiscard]] std::span<Context> all() const noexcept {
        return {contexts(), used_.load(std::memory_order_acquire)};
    }

    /// Which slots it takes first: others than its neighbours do.
    [[nodiscard]] Colour colour(const Context& context) const noexcept {
        return {context.index, std::min(std::bit_ceil(used_.load(std::memory_order_relaxed)), kColours)};
    }

    /// May the context keep so many bytes more? Within the budget, and within its share of it.
    bool grant(Context& context, std::uint64_t bytes) noexcept;
    void give_back(Context& context, std::uint64_t bytes) noexcept;
    [[nodiscard]] std::uint64_t share() const noexcept;
    /// 0: no context keeps anything.
    [[nodiscard]] std::uint64_t granted() const noexcept { return granted_.load(std::memory_order_relaxed); }
    void set_pool_bytes(std::uint64_t bytes) noexcept;
    /// Of the pool, that they may keep together: one in so many bytes; 0: none. From the next set_pool_bytes() on.
    void set_part(std::uint32_t part) noexcept { part_.store(part, std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t part() const noexcept { return part_.load(std::memory_order_relaxed); }

private:
    Contexts(PrivateMemory memory, bool usable) noexcept : memory_(std::move(memory)), usable_(usable) {}
    [[nodiscard]] Context* contexts() const noexcept { return reinterpret_cast<Context*>(memory_.data()); }

    PrivateMemory memory_;
    bool usable_;  // the kernel has the heavy barrier; else nobody gets a context
    // Read by every operation, written seldom: how many want the contexts empty, kFull and kWaiting.
    alignas(kCacheLine) std::atomic<std::uint32_t> attention_{0};
    alignas(kCacheLine) std::atomic<std::uint32_t> used_{0};  // contexts that were ever open, from the first
    std::atomic<std::uint32_t> open_{0};
    std::atomic<std::uint64_t> budget_{0};
    std::atomic<std::uint64_t> granted_{0};
    std::atomic<std::uint32_t> part_{kShareOfPool};
};

template <class Visit, class Then>
void Contexts::visit_idle(const Context* own, Visit&& visit, Then&& then, const ContextGroup* only) noexcept {
    Ops::begin_attention(attention_);
    bool all_of_them = true;
    const bool others = heavy_barrier();
    for (Context& context : all()) {
        const std::uint64_t group = context.group_id.load(std::memory_order_acquire);
        if (group == 0 || (only != nullptr && group != only->id)) continue;
        if (!others && &context != own) continue;
        // Most owners that are inside are on their way out.
        for (int i = 0; i < 200 && &context != own && !Ops::idle(context.mark); ++i) relax();
        if (!Ops::idle(context.mark) || !Ops::take(context.taken)) {
            all_of_them = false;
            continue;
        }
        visit(context);
        Ops::give_up(context.taken);
    }
    then(all_of_them);
    Ops::end_attention(attention_);
}

}  // namespace bounce
