// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The memory of a guest as the device side sees it: regions with holes, changed while queues run.
//
// A map is a sorted array that never changes. A change makes a new map with the next epoch and shows it; users (queues)
// go over to it with their next operation. The old map, and the memory that only it has, is in use until each user is
// past it. A user says so by three words of its own:
//   sequence     odd during an operation, so that an operation that began before the change is waited for
//   seen         epoch of the map that its operations use
//   outstanding  how many elements it has out, and `oldest`, the epoch of the first of them
// A user that is idle and has nothing out is past every map: its next operation finds the newest.
//
// Partners. U is a user, in the order of its operation; C is who changes, under the lock of the memory:
//   U1 sequence odd, U2 load of epoch (acquire)   - C1 map and epoch shown (release), C2 heavy barrier, C3 load of
//   sequence.
//      A store and a load of another word, on either side: at least one sees the other. C2 makes U1 and U2 a pair that
//      no processor has in the other order, so U1 costs nothing. Where there is no heavy barrier, U1 is an exchange,
//      and U1, U2, C1 and C3 are seq_cst.
//   U3 seen, oldest, outstanding, then U4 sequence even (release) - C3 load of sequence (acquire), C4 loads of these.
//      U1 releases, too: who sees an operation that has begun sees what the one before it left out.
//   U2 acquires the map that C1 released; U4 releases the last use of the old one to C3, before it is freed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"
#include "bounce/virtio_device.h"

namespace bounce {

struct GuestMap {
    std::uint64_t epoch = 0;
    std::uint32_t n = 0;
    std::unique_ptr<bounce_guest_region[]> regions;  // sorted by address
    bounce_dirty_fn dirty = nullptr;
    void* dirty_user = nullptr;
    std::unique_ptr<GuestMap> retired;  // the next of those that may be in use

    /// The region that has `gpa`, or nullptr. `last` is where the caller found one before.
    const bounce_guest_region* find(std::uint64_t gpa, std::uint32_t& last) const noexcept {
        if (last < n) [[likely]] {
            const bounce_guest_region& one = regions[last];
            if (gpa - one.gpa < one.bytes) [[likely]]
                return &one;
        }
        return search(gpa, last);
    }
    const bounce_guest_region* search(std::uint64_t gpa, std::uint32_t& last) const noexcept;
};

class GuestMemory;

/// One that uses guest memory, in one thread at a time; it must not outlive the memory.
class GuestMemoryUser {
public:
    explicit GuestMemoryUser(GuestMemory& memory) noexcept;
    ~GuestMemoryUser();
    GuestMemoryUser(const GuestMemoryUser&) = delete;
    GuestMemoryUser& operator=(const GuestMemoryUser&) = delete;

    /// Begins an operation. True: the map is another one than in the operation before.
    [[gnu::always_inline]] inline bool enter() noexcept;
    void leave() noexcept {
        outstanding_.store(count_, std::memory_order_relaxed);     // U3
        sequence_.store(++operation_, std::memory_order_release);  // U4: pairs with C3
    }
    /// Within an operation.
    [[nodiscard]] const GuestMap& map() const noexcept { return *map_; }

    /// An element is out that has addresses of this map. Which bin counts it: hold() and release() take turns.
    std::uint8_t hold() noexcept {
        if (bins_[newest_].epoch != epoch_) [[unlikely]]
            advance();
        ++count_;
        ++bins_[newest_].count;
        return static_cast<std::uint8_t>(newest_);
    }
    void release(std::uint8_t bin) noexcept {
        --count_;
        if (--bins_[bin].count == 0 && bin == oldest_bin_ && bin != newest_) [[unlikely]]
            settle();
    }
    [[nodiscard]] std::uint32_t outstanding() const noexcept { return count_; }

private:
    friend class GuestMemory;
    struct Bin {
        std::uint64_t epoch = 0;
        std::uint32_t count = 0;
    };
    static constexpr unsigned kBins =
        8;  // epochs told apart; elements of more than these are counted with the older ones

    void renew() noexcept;
    void advance() noexcept;
    void settle() noexcept;
    /// C3 and C4: is it past all maps before `epoch`?
    [[nodiscard]] bool past(std::uint64_t epoch) const noexcept;

    // The user's.
    GuestMemory& memory_;
    const GuestMap* map_ = nullptr;
    std::uint64_t operation_ = 0;
    std::uint64_t epoch_ = 0;
    std::uint32_t count_ = 0;
    unsigned oldest_bin_ = 0;
    unsigned newest_ = 0;
    Bin bins_[kBins];
    // What others look at.
    alignas(kCacheLine) std::atomic<std::uint64_t> sequence_{0};  // U1, U4
    std::atomic<std::uint64_t> seen_{0};                          // U3
    std::atomic<std::uint64_t> oldest_{0};                        // U3
    std::atomic<std::uint32_t> outstanding_{0};                   // U3
    GuestMemoryUser* next_ = nullptr;                             // of the memory; under its lock
};

class GuestMemory {
public:
    static Result<std::unique_ptr<GuestMemory>> create() noexcept;
    ~GuestMemory();

    Result<void> add(std::span<const bounce_guest_region> regions) noexcept;
    Result<std::uint64_t> set(std::span<const bounce_guest_region> regions) noexcept;
    Result<std::uint64_t> remove(std::uint64_t gpa, std::uint64_t bytes) noexcept;
    Result<std::uint64_t> log_dirty(bounce_dirty_fn dirty, void* user) noexcept;
    Result<void> wait(std::uint64_t ticket, std::uint32_t timeout_ms) noexcept;
    [[nodiscard]] bool used() noexcept;

private:
    friend class GuestMemoryUser;
    explicit GuestMemory(std::unique_ptr<GuestMap> first) noexcept;
    [[nodiscard]] Result<std::unique_ptr<GuestMap>> map_of(std::span<const bounce_guest_region> regions,
                                                           bool keep) const noexcept;
    [[nodiscard]] std::unique_ptr<GuestMap> next_map(std::uint32_t n) const noexcept;
    std::uint64_t show(std::unique_ptr<GuestMap> map) noexcept;
    bool all_past(std::uint64_t epoch) noexcept;
    void free_retired() noexcept;

    // Read by every operation, written by changes.
    alignas(kCacheLine) std::atomic<std::uint64_t> epoch_{1};  // C1, U2
    std::atomic<const GuestMap*> map_{nullptr};                // C1, U2
    const bool heavy_;                                         // there is a heavy barrier

    // Under the lock.
    alignas(kCacheLine) std::mutex lock_;
    std::unique_ptr<GuestMap> current_;  // with those before it behind it
    GuestMemoryUser* users_ = nullptr;
};

inline bool GuestMemoryUser::enter() noexcept {
    if (memory_.heavy_) [[likely]] {
        sequence_.store(++operation_, std::memory_order_release);                 // U1: pairs with C3, by C2
        std::atomic_signal_fence(std::memory_order_seq_cst);                      // the compiler keeps U1 before U2
        if (memory_.epoch_.load(std::memory_order_acquire) == epoch_) [[likely]]  // U2: pairs with C1
            return false;
    } else {
        sequence_.exchange(++operation_, std::memory_order_seq_cst);                 // U1: pairs with C3
        if (memory_.epoch_.load(std::memory_order_seq_cst) == epoch_) return false;  // U2: pairs with C1
    }
    renew();
    return true;
}

}  // namespace bounce
