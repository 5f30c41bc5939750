// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What one thread, or one queue, keeps of free slots: a stack for each size class and a few runs. The hot path of an
// allocation and of a free is a pop or a push here.
//
// A context has one owner, who alone works with it, and works only between enter() and leave():
//   mark       the owner is inside: written by the owner only
//   attention  read by every owner, written seldom: somebody wants the contexts empty. While it is set, owners do not
//              touch their stacks; frees go straight home
// Who wants them empty sets attention, runs the heavy barrier (membarrier: every thread of the process has by then
// passed a point between two instructions), and may then empty every context whose mark is 0: its owner, when it comes
// back, sees attention. That is a store-load point on both sides, mark then attention here, attention then mark there;
// the heavy barrier makes the light one of the owner, which is one for the compiler only, enough.
// Several may do so at once; they keep each other out by `taken`. An owner that finds attention set empties its own
// context in the same way, which does without the barrier.
//
// A thread that stops between enter() and leave() leaves its context as it is: what that holds counts as used. One that
// stops with a context taken leaves attention set: all go on, straight home.
//
// A slot in a context has its bit taken (slot_ops.hpp), and a state of the next generation: its slab stays, and a stale
// token for it finds it free.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "allocator/base/types.hpp"
#include "allocator/slab/size_class.hpp"
#include "allocator/slab/slot_handle.hpp"
#include "allocator/slab/slot_ops.hpp"

namespace bounce {

/// A free slot, or the first page of a free run, on its way between home and a context. The generation is the one that
/// its next token will have.
class CachedSlot {
public:
    constexpr CachedSlot() noexcept = default;
    constexpr CachedSlot(std::uint32_t head, SlotHandle handle) noexcept : head_(head), handle_(handle) {}
    constexpr CachedSlot(RegionId region, std::uint32_t head, std::uint16_t index, std::uint8_t generation) noexcept
        : CachedSlot(head, SlotHandle(region, index, generation)) {}

    /// The first page of its slab.
    [[nodiscard]] std::uint32_t head() const noexcept { return head_; }
    [[nodiscard]] SlotHandle handle() const noexcept { return handle_; }
    [[nodiscard]] RegionId region() const noexcept { return handle_.region(); }
    [[nodiscard]] std::uint16_t index() const noexcept { return handle_.index(); }
    [[nodiscard]] std::uint32_t slot() const noexcept { return handle_.slot(); }
    [[nodiscard]] std::uint8_t generation() const noexcept { return handle_.generation(); }

private:
    std::uint32_t head_ = 0;
    SlotHandle handle_;
};
static_assert(sizeof(CachedSlot) == 8);

/// The same in a context: with all that the one who is handed it wants to know, so that a pop copies it and no more.
struct KeptSlot {
    Gpa gpa;
    std::byte* hva = nullptr;
    SlotHandle handle;
};
static_assert(sizeof(KeptSlot) == 24);

/// The mark and the attention word: a protocol of its own, so that a model can run it.
template <class Policy>
struct MarkOps {
    using Word = typename Policy::template Atomic<std::uint32_t>;

    /// False: go without the context. (The mark is set already when a signal handler comes in the middle of an
    /// operation of the thread that it interrupts.)
    [[gnu::always_inline]] static bool enter(Word& mark, const Word& attention) noexcept {
        if (mark.load(std::memory_order_relaxed) != 0) [[unlikely]]
            return false;
        // M1: relaxed, with the barrier behind it; pairs with the heavy barrier after T1.
        mark.store(1, std::memory_order_relaxed);
        Policy::light_barrier();
        // M2: acquire, pairs with T2 in end_attention(): what others did with the context is done.
        if (attention.load(std::memory_order_acquire) != 0) [[unlikely]] {
            leave(mark);
            return false;
        }
        return true;
    }
    [[gnu::always_inline]] static void leave(Word& mark) noexcept {
        // M3: release, pairs with M4 in idle(): the owner is done with the stacks.
        mark.store(0, std::memory_order_release);
    }

    /// The caller runs the heavy barrier next.
    static void begin_attention(Word& attention) noexcept {
        // T1: seq_cst, before the heavy barrier; pairs with M1 and M2 in enter().
        attention.fetch_add(1, std::memory_order_seq_cst);
    }
    static void end_attention(Word& attention) noexcept {
        // T2: release, pairs with M2 in enter().
        attention.fetch_sub(1, std::memory_order_acq_rel);
    }
    /// After begin_attention() and the heavy barrier: is the owner outside, and will it stay there?
    static bool idle(const Word& mark) noexcept {
        // M4: pairs with M3 in leave().
        return mark.load(std::memory_order_acquire) == 0;
    }
    static bool take(Word& taken) noexcept {
        std::uint32_t expected = 0;
        // T3: acquire, pairs with T4 in give_up(): one after another.
        return taken.load(std::memory_order_relaxed) == 0 &&
               taken.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed);
    }
    static void give_up(Word& taken) noexcept {
        // T4: release, pairs with T3 in take().
        taken.store(0, std::memory_order_release);
    }
};

/// The free slots of one size class; the last in is the first out.
struct alignas(kCacheLine) SlotStack {
    static constexpr std::uint32_t kRoom = 63;
    static constexpr std::uint32_t kEntry = sizeof(KeptSlot);

    // In bytes of `slots`, which is how the fast path wants them.
    std::atomic<std::uint32_t> filled{0};  // written as the entries are, read by statistics
    std::uint32_t room = 0;                // the budget for so many has been granted
    std::array<KeptSlot, kRoom> slots;
    std::byte unused[528];  // for a size that is a power of two

    [[nodiscard]] std::uint32_t count() const noexcept { return filled.load(std::memory_order_relaxed) / kEntry; }
    void set_count(std::uint32_t count) noexcept { filled.store(count * kEntry, std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t limit() const noexcept { return room / kEntry; }
    void set_limit(std::uint32_t slots_granted) noexcept { room = slots_granted * kEntry; }
    /// The entry that begins at so many bytes.
    [[nodiscard]] KeptSlot& at(std::uint32_t bytes) noexcept {
        return *reinterpret_cast<KeptSlot*>(reinterpret_cast<std::byte*>(slots.data()) + bytes);
    }
};
static_assert(sizeof(SlotStack) == 2048);

/// A free run of a number of pages.
struct KeptRun {
    std::atomic<std::uint32_t> pages{0};  // 0: none
    std::uint32_t granted = 0;            // the budget for so many pages has been granted
    KeptSlot run;
};

/// Region and size class of the slot before, which mostly are those of the next one too.
///
/// A slot is looked up by what its token says, which the caller may just have written: the processor would know those
/// addresses last of all, and loads behind a store to one of them wait for it. So it compares the token with the one
/// before and goes on with that: by its prediction of the branch, without waiting. (14 % of a pair, 17 % where other
/// slots come back than went out. Of a push, where less depends on it, it makes nothing faster.)
class LastPlace {
public:
    /// A handle with the region and the size class of this one, and nothing else that could be relied on.
    [[gnu::always_inline]] SlotHandle of(SlotHandle handle) noexcept {
        const std::uint32_t asked = handle.bits() & SlotHandle::kOfPlace;
        std::uint32_t known = bits_.load(std::memory_order_relaxed);
        if (known != asked) [[unlikely]] {
            bits_.store(asked, std::memory_order_relaxed);
            return handle;
        }
        asm("" : "+r"(known));  // or the compiler sees that both are the same
        return SlotHandle(known);
    }

private:
    std::atomic<std::uint32_t> bits_{0};
};

class ContextGroup;  // allocator/pool/context_group.hpp

/// In zeroed memory, and used as it is there.
struct Context {
    static constexpr std::uint32_t kRuns = 8;
    static constexpr std::uint32_t kStacks = 2 * kClasses;

    alignas(kCacheLine) std::atomic<std::uint32_t> mark{0};
    std::atomic<std::uint32_t> taken{0};
    // Written by the owner only, inside; read by statistics.
    std::atomic<std::uint64_t> frees{0};
    std::atomic<std::uint64_t> fetched{0};  // slots that came from home, less those that went home
    std::uint64_t accepts = 0;              // a bit for each region whose slots may stay here
    std::uint64_t granted = 0;              // bytes of the pool's budget for contexts
    // What `accepts` was made for.
    std::uint8_t policy = 0;
    std::uint32_t known_regions = 0;  // indexes that there were; 0: it was not made yet
    std::uint32_t index = 0;          // among all contexts
    NodeId node;                      // of the thread, where that matters
    LastPlace last;                   // of a slot that came back
    // Who it is for.
    alignas(kCacheLine) std::atomic<std::uint64_t> group_id{0};  // 0: nobody
    std::atomic<ContextGroup*> group{nullptr};
    std::atomic<std::uint32_t> thread{0};  // number of the thread's record + 1; 0: somebody who passes it along
    std::uint32_t refusals = 0;            // grants that were refused for want of budget, in a row
    std::uint32_t victim = 0;              // stack or run that gives its grant back next
    // Who only takes, or only gives, moves as much as there is room for at a time: of two threads that hand slots on,
    // each goes home half as often. `frees` at the last refill; and where it will be when a stack is full again out of
    // which nothing was taken.
    std::uint64_t frees_at_refill = ~std::uint64_t{0};
    std::uint64_t frees_when_full = ~std::uint64_t{0};
    std::array<KeptRun, kRuns> runs;
    // What allocations take from, one for each class; and, for a group that reuses its slots in turn, what frees go to,
    // on their way home.
    std::array<SlotStack, kStacks> stacks;

    /// Of the size class of a slot like this, and so many bytes of stacks behind.
    [[nodiscard, gnu::always_inline]] SlotStack& stack_at(SlotHandle like, std::uint32_t bytes) noexcept {
        constexpr unsigned kShift = std::countr_zero(sizeof(SlotStack)) - SlotHandle::kClassShift;
        const std::uint32_t offset = (like.bits() << kShift & std::uint32_t{127} * sizeof(SlotStack)) + bytes;
        return *reinterpret_cast<SlotStack*>(reinterpret_cast<std::byte*>(stacks.data()) + offset);
    }
    [[nodiscard]] KeptRun& run_of(std::uint32_t pages) noexcept { return runs[pages % kRuns]; }
};

/// Adds without a locked instruction: for a word that one thread writes and others only read.
[[gnu::always_inline]] inline void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    // One instruction, where the compiler makes three of a load and a store.
    asm("addq %1, %0" : "+m"(counter) : "er"(by) : "cc");
#else
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
#endif
}

}  // namespace bounce
