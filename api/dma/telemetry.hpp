// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What can be seen of a pool's devices from the side: which there are, their rings, events, and tags of who has which
// slot since when. Nobody who maps waits for any of it.
//
// Tags. A word for each slot, in private tables that are made for a region when tagging is on: who has it, since when,
// how long, and the generation of its token. Written at map, by who was handed the slot and so without asking the pool
// about it, by a few instructions; and left alone at unmap: it
// counts as long as the slot is away from home and has the generation of the tag (allocator/pool/pool_audit.hpp), so it
// does not survive its mapping. (But by chance: one in 64, of a slot that was mapped again while tagging was off.) Time
// is that of the last set_now(): no clock is read at map.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "allocator/base/private_memory.hpp"
#include "allocator/pool/pool_audit.hpp"
#include "api/dma/trace.hpp"
#include "bounce/control.h"

namespace bounce {

class Device;

/// Of one ring: written by its thread only, read by anybody.
struct RingCounters {
    std::uint32_t device = 0;  // Device::id()
    std::uint32_t index = 0;
    std::uint32_t size = 0;
    std::atomic<std::uint64_t> added{0};
    std::atomic<std::uint64_t> completed{0};  // those that were aborted count as well
    std::atomic<std::uint64_t> bytes_out{0};
    std::atomic<std::uint64_t> bytes_in{0};
    std::atomic<std::uint64_t> kicks{0};
    std::atomic<std::uint64_t> violations{0};
    RingCounters* next = nullptr;  // under the lock of Telemetry
};

/// What a tag says.
struct SlotTag {
    std::uint32_t device = 0;  // its number here; 0: no tag
    std::uint8_t generation = 0;
    std::uint8_t direction = 0;
    std::uint64_t bytes = 0;
    std::uint64_t age_ms = 0;
};

class Telemetry {
public:
    static constexpr std::uint32_t kMostDevices = 4095;  // that tags can tell apart
    static constexpr std::size_t kEvents = 1024;
    static constexpr std::size_t kNameBytes = 64;

    Telemetry() noexcept = default;
    ~Telemetry();
    Telemetry(const Telemetry&) = delete;
    Telemetry& operator=(const Telemetry&) = delete;

    /// A device comes: its number, or 0 when there are too many. And goes, before anything of it does.
    std::uint32_t join(Device& device) noexcept;
    void leave(Device& device) noexcept;
    /// visit(device) for each one, and all of them stay meanwhile.
    template <class Visit>
    void visit(Visit&& visit_one) noexcept {
        const std::lock_guard lock(lock_);
        for (Device* device = first_; device != nullptr; device = next_of(*device)) visit_one(*device);
    }
    void add_ring(RingCounters& ring) noexcept;
    void drop_ring(RingCounters& ring) noexcept;
    template <class Visit>
    void visit_rings(Visit&& visit_one) noexcept {
        const std::lock_guard lock(lock_);
        for (const RingCounters* ring = rings_; ring != nullptr; ring = ring->next) visit_one(*ring);
    }

    /// From now on there are events. ENOMEM.
    Result<void> keep_events() noexcept;
    void event(std::uint32_t kind, const char* text, std::uint64_t a, std::uint64_t b = 0,
               std::uint64_t c = 0) noexcept;
    /// Those from a number on, as far as they are kept and there is room; and the number of the next one.
    std::size_t events(std::uint64_t from, std::span<bounce_control_event> room, std::uint64_t& next) noexcept;
    /// How many there ever were.
    [[nodiscard]] std::uint64_t event_count() noexcept;
    /// A request found the pool full. Relaxed: a hint for the event that tells of it.
    void note_full(std::uint32_t device) noexcept { full_device_.store(device, std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t full_device() const noexcept { return full_device_.load(std::memory_order_relaxed); }

    /// What devices that come have to do from their beginning: Device::set_observed().
    void want(bool tags, std::uint32_t sample) noexcept {
        want_tags_.store(tags, std::memory_order_relaxed);
        want_sample_.store(sample, std::memory_order_relaxed);
    }
    /// The trace of the pool, made when it was first asked for; it stays. ENOMEM. One thread at a time.
    Result<Trace*> make_trace() noexcept;
    /// Devices that come record into it from their beginning; nullptr: not.
    void want_trace(Trace* trace) noexcept { want_trace_.store(trace, std::memory_order_release); }             // G2
    [[nodiscard]] Trace* wanted_trace() const noexcept { return want_trace_.load(std::memory_order_acquire); }  // G2
    [[nodiscard]] bool wants_tags() const noexcept { return want_tags_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t wanted_sample() const noexcept { return want_sample_.load(std::memory_order_relaxed); }
    /// Tables for the regions that have none. ENOMEM. One thread at a time.
    Result<void> prepare_tags(const Pool& pool) noexcept;
    void set_now(std::uint64_t now_ns) noexcept { now_.store(now_ns / kTickNs << kTimeAt, std::memory_order_relaxed); }
    /// The holder of a slot or run that begins at gpa: it was handed to a device just now, for so many bytes.
    void tag(const Pool& pool, SlotHandle handle, Gpa gpa, std::uint32_t device, std::uint64_t bytes,
             std::uint32_t direction) noexcept;
    [[nodiscard]] SlotTag read_tag(RegionId region, std::uint64_t place, std::uint64_t slot_bytes) const noexcept;
    /// The device with a number; its id and name. False: it is gone.
    bool describe(std::uint32_t number, std::uint64_t& id, char (&name)[kNameBytes]) noexcept;

private:
    using Word = std::atomic<std::uint64_t>;
    struct Table {
        // G1: stored with release when the rest is there, loaded with acquire; never changed afterwards. A region that
        // was removed and came again is as large as before.
        std::atomic<Word*> words{nullptr};
        std::uint64_t count = 0;
        std::unique_ptr<PrivateMemory> memory;
    };
    static constexpr std::uint64_t kTickNs = 4'000'000;
    // A tag: 0..11 device | 12..17 generation | 18..19 direction | 20..27 length, in 255ths of the slot | 28..63 time.
    static constexpr unsigned kGenerationAt = 12;
    static constexpr unsigned kDirectionAt = 18;
    static constexpr unsigned kLengthAt = 20;
    static constexpr unsigned kTimeAt = 28;
    static constexpr std::uint64_t kLengthParts = 255;

    static Device* next_of(const Device& device) noexcept;
    [[nodiscard]] Word* word_at(RegionId region, std::uint64_t place) const noexcept;
    static std::uint64_t run_length(std::uint64_t bytes) noexcept;

    std::mutex lock_;  // devices, rings, events
    Device* first_ = nullptr;
    RingCounters* rings_ = nullptr;
    std::unique_ptr<bounce_control_event[]> events_;  // a ring
    std::uint64_t event_count_ = 0;
    std::unique_ptr<Device*[]> numbers_;  // kMostDevices + 1, when there was a device
    std::uint32_t last_number_ = 0;
    std::atomic<std::uint32_t> full_device_{0};
    std::atomic<std::uint64_t> now_{0};  // where tags have it
    std::atomic<bool> want_tags_{false};
    std::atomic<std::uint32_t> want_sample_{0};
    std::unique_ptr<Trace> trace_;
    // G2: stored with release when it is complete, loaded with acquire.
    std::atomic<Trace*> want_trace_{nullptr};
    std::array<Table, Pool::kMaxRegions> tables_;
};

inline Telemetry::Word* Telemetry::word_at(RegionId region, std::uint64_t place) const noexcept {
    static_assert(sizeof(Word) == 8 && Word::is_always_lock_free);  // zeroed memory is used as it is
    const Table& table = tables_[region.value];
    // G1: acquire, pairs with the release in prepare_tags().
    Word* const words = table.words.load(std::memory_order_acquire);
    return words != nullptr && place < table.count ? words + place : nullptr;
}

[[gnu::always_inline]] inline void Telemetry::tag(const Pool& pool, SlotHandle handle, Gpa gpa, std::uint32_t device,
                                                  std::uint64_t bytes, std::uint32_t direction) noexcept {
    Word* const word = word_at(handle.region(), PoolAudit(pool).place_of(handle, gpa));
    if (word == nullptr) [[unlikely]]
        return;
    std::uint64_t length = 0;
    if (handle.size_class() < kClasses) [[likely]] {
        // Rounded up, and exact: what slot_of() says of itself holds up to here.
        static_assert(std::uint64_t{kMaxSlotBytes} * (kLengthParts + 1) < std::uint64_t{1} << 23);
        const SizeClass& slot = kSizeClasses[handle.size_class()];
        length = slot.slot_of(bytes * kLengthParts + slot.bytes - 1);
    } else {
        length = run_length(bytes);
    }
    // Relaxed: one word, and nothing is concluded from it.
    word->store(device | std::uint64_t{PoolAudit::generation_of(handle)} << kGenerationAt |
                    std::uint64_t{direction & 3U} << kDirectionAt | length << kLengthAt |
                    now_.load(std::memory_order_relaxed),
                std::memory_order_relaxed);
}

}  // namespace bounce
