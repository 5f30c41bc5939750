// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What devices with records know of their slots without a token: a private side table of a pool, three words a slot.
//
// A table for each region, made when the first slot of it is noted; it is sparse, so a page of it costs memory when a
// slot of those 170 was noted. A record is written by who holds the slot and by nobody else: after it was handed out,
// and before it goes home. What another thread may do is look at it at any moment, and rely on nothing: whoever ends a
// mapping by its address takes the generation from the record, and the compare-exchange on the slot's state decides as
// ever. (A stale address is not seen to be stale when the slot has a holder again: it ends that one's mapping.)
//
// Words: 0 the private buffer; 1 what it is, with kValid; 2 who has it, since when. Q1 publishes: word 1 is written
// last (release), and cleared first. A reader that sees the same valid word 1 before and after the others has one
// record. A thread that stops while it writes leaves no record; one that stops before it clears leaves one whose slot
// is its own.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "allocator/pool/pool.hpp"

namespace bounce {

class Records {
public:
    static constexpr std::size_t kWords = 3;
    static constexpr std::uint32_t kMostDevices = 65535;
    static constexpr std::size_t kNameBytes = 64;

    /// Of a slot or run that is handed out. Plain data.
    struct Record {
        Slot slot;
        void* orig = nullptr;     // of mappings
        std::uint64_t bytes = 0;  // as asked for
        std::uint8_t direction = 0;
        std::uint8_t flags = 0;  // BOUNCE_MAP_*
        SlotKind kind{};
        std::uint8_t align_bits = 0;  // so many of the low bits of orig's address are also those of the mapping's
        std::uint32_t device = 0;     // as enroll() said
        std::uint64_t age_ms = 0;

        /// How far behind the start of its slot the mapping begins.
        [[nodiscard]] std::uint64_t padding() const noexcept {
            return reinterpret_cast<std::uintptr_t>(orig) & ((std::uint64_t{1} << align_bits) - 1);
        }
    };

    static Result<std::unique_ptr<Records>> create(const Pool& pool) noexcept;
    ~Records();
    Records(const Records&) = delete;
    Records& operator=(const Records&) = delete;

    /// A device comes: its number here. ENOSPC: there are too many; ENOMEM.
    Result<std::uint32_t> enroll(const char* name) noexcept;
    /// It goes; it has no record any more.
    void leave(std::uint32_t device) noexcept;
    /// Copies the name of a device, at most kNameBytes with its end; "" for none.
    void name_of(std::uint32_t device, char (&name)[kNameBytes]) const noexcept;
    /// The lowest number that no device has or had.
    [[nodiscard]] std::uint32_t devices() const noexcept;

    /// Makes sure that a slot can be noted. ENOMEM. Thread-safe, as all that follows.
    Result<void> prepare(const Slot& slot) noexcept;
    /// By the slot's holder, after prepare(). record.slot says which.
    void note(const Record& record) noexcept;
    /// By the slot's holder, before it goes home.
    void forget(const Slot& slot) noexcept;

    /// The record of the slot around an address. EFAULT: there is no slot; EALREADY: it has no record.
    Result<Record> find(Gpa gpa) const noexcept;
    /// Calls visit(record, slab or run that it is in) for all of a region, in the order of addresses. A snapshot.
    template <class Visit>
    void visit(RegionId region, Visit&& visit) const noexcept;

private:
    using Word = std::atomic<std::uint64_t>;
    struct Name {
        char text[kNameBytes];
    };

    explicit Records(const Pool& pool) noexcept : pool_(pool) {}
    [[nodiscard]] Word* words_at(RegionId region, std::uint32_t head, std::uint32_t slot) const noexcept;
    [[nodiscard]] Word* words_of(const Slot& slot) const noexcept;
    bool read(const Pool::Place& place, Record& record) const noexcept;

    const Pool& pool_;
    // Q2: stored with release when it is complete, loaded with acquire; never changed afterwards.
    std::array<std::atomic<PrivateMemory*>, Pool::kMaxRegions> tables_{};
    mutable std::mutex lock_;  // the list of devices
    std::unique_ptr<Name[]> names_;
    std::uint32_t n_names_ = 0;
    std::uint32_t room_ = 0;
};

template <class Visit>
void Records::visit(RegionId region, Visit&& visit) const noexcept {
    // Q2: acquire, pairs with the release in prepare().
    if (tables_[region.value].load(std::memory_order_acquire) == nullptr) return;
    for (SlabCore::Extent extent = pool_.next_extent(region, 0); extent.pages != 0;
         extent = pool_.next_extent(region, extent.offset + extent.pages * kPageBytes)) {
        const bool run = extent.size_class == kRunClass;
        const std::uint64_t slot_bytes = run ? extent.pages * kPageBytes : kSizeClasses[extent.size_class].bytes;
        for (std::uint32_t slot = 0; slot < extent.slots; ++slot) {
            const auto place = pool_.locate(pool_.region(region).address() + (extent.offset + slot * slot_bytes));
            Record record;
            if (place && place->found.slot == slot && read(*place, record)) visit(record, extent);
        }
    }
}

}  // namespace bounce
