// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What debugging knows of one mapping or block, and all of those of a device by their address. One thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "api/dma/interval_tree.hpp"

namespace bounce {

/// How it was mapped, and how it is to be ended.
enum class DebugApi : std::uint8_t { kSingle, kList, kCoherent, kBuffer };

struct PrivateSpan : Interval {};
struct DeviceSpan : Interval {};

struct DebugEntry : PrivateSpan, DeviceSpan {  // of mappings
    static constexpr std::size_t kTagBytes = 32;

    DebugEntry* next = nullptr;
    std::uint64_t addr = 0;
    std::uint64_t bytes = 0;
    std::uint32_t handle = 0;
    std::uint8_t direction = 0;
    DebugApi api = DebugApi::kSingle;
    bool cpu_owns = false;      // between sync_for_cpu and sync_for_device
    std::uint64_t list = 0;     // number of the scatter list,
    std::uint64_t members = 0;  // which has so many
    const void* site = nullptr;
    std::uint64_t mapped_ns = 0;
    std::unique_ptr<std::byte[]> copy;  // of the private buffer, where the device reads it
    char tag[kTagBytes] = {};

    [[nodiscard]] bool mapping() const noexcept { return api == DebugApi::kSingle || api == DebugApi::kList; }
};

/// One that was ended lately.
struct DebugPast {
    std::uint64_t addr = 0;
    std::uint64_t bytes = 0;
    std::uint32_t handle = 0;
    std::uint8_t direction = 0;
    const void* map_site = nullptr;
    const void* end_site = nullptr;
    std::uint64_t mapped_ns = 0;
    char tag[DebugEntry::kTagBytes] = {};
};

class DebugTable {
public:
    static constexpr std::size_t kBuckets = 4096;
    static constexpr std::size_t kPast = 1024;

    DebugTable() noexcept = default;
    DebugTable(const DebugTable&) = delete;
    DebugTable& operator=(const DebugTable&) = delete;
    ~DebugTable() {
        for (DebugEntry* entry : buckets_) {
            while (entry != nullptr) delete std::exchange(entry, entry->next);
        }
    }

    void insert(std::unique_ptr<DebugEntry> entry) noexcept {
        DebugEntry*& bucket = bucket_of(entry->addr);
        entry->next = bucket;
        bucket = entry.get();
        if (entry->mapping()) {
            private_.insert(static_cast<PrivateSpan&>(*entry));
            device_.insert(static_cast<DeviceSpan&>(*entry));
        }
        ++count_;
        static_cast<void>(entry.release());
    }
    /// By address, and by handle unless that is nullptr.
    [[nodiscard]] DebugEntry* find(std::uint64_t addr, const std::uint32_t* handle) const noexcept {
        DebugEntry* entry = buckets_[index_of(addr)];
        while (entry != nullptr && (entry->addr != addr || (handle != nullptr && entry->handle != *handle)))
            entry = entry->next;
        return entry;
    }
    /// Takes out one that is in it.
    std::unique_ptr<DebugEntry> take(DebugEntry& entry) noexcept {
        DebugEntry** at = &bucket_of(entry.addr);
        while (*at != &entry) at = &(*at)->next;
        *at = entry.next;
        if (entry.mapping()) {
            private_.remove(static_cast<PrivateSpan&>(entry));
            device_.remove(static_cast<DeviceSpan&>(entry));
        }
        --count_;
        return std::unique_ptr<DebugEntry>(&entry);
    }
    /// Remembers one that was taken out.
    void bury(const DebugEntry& entry, const void* site) noexcept {
        DebugPast& past = past_[buried_++ % kPast];
        past = {entry.addr, entry.bytes, entry.handle, entry.direction, entry.site, site, entry.mapped_ns, {}};
        std::copy_n(entry.tag, DebugEntry::kTagBytes, past.tag);
    }
    /// The last one that was, as find().
    [[nodiscard]] const DebugPast* find_past(std::uint64_t addr, const std::uint32_t* handle) const noexcept {
        for (std::size_t i = 0; i < kPast && i < buried_; ++i) {
            const DebugPast& past = past_[(buried_ - 1 - i) % kPast];
            if (past.addr == addr && (handle == nullptr || past.handle == *handle)) return &past;
        }
        return nullptr;
    }
    /// visit(entry) for mappings whose private buffer overlaps [begin, begin + bytes), until it returns false.
    template <class Visit>
    void over_private(std::uint64_t begin, std::uint64_t bytes, Visit&& visit) const noexcept {
        private_.overlapping(begin, begin + bytes, [&](Interval& span) {
            return visit(static_cast<DebugEntry&>(static_cast<PrivateSpan&>(span)));
        });
    }
    /// A mapping that [addr, addr + bytes) touches, or nullptr.
    [[nodiscard]] DebugEntry* touched(std::uint64_t addr, std::uint64_t bytes) const noexcept {
        DebugEntry* first = nullptr;
        device_.overlapping(addr, addr + bytes, [&](Interval& span) {
            first = &static_cast<DebugEntry&>(static_cast<DeviceSpan&>(span));
            return false;
        });
        return first;
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    template <class Visit>
    void visit(Visit&& visit) const noexcept {
        for (const DebugEntry* entry : buckets_) {
            for (; entry != nullptr; entry = entry->next) visit(*entry);
        }
    }

private:
    static std::size_t index_of(std::uint64_t addr) noexcept {
        return static_cast<std::size_t>((addr >> 6) * 0x9e37'79b9'7f4a'7c15U >> 52);
    }
    DebugEntry*& bucket_of(std::uint64_t addr) noexcept { return buckets_[index_of(addr)]; }
    static_assert(kBuckets == 1u << 12);

    std::array<DebugEntry*, kBuckets> buckets_{};
    IntervalTree private_;
    IntervalTree device_;
    std::uint64_t count_ = 0;
    std::array<DebugPast, kPast> past_{};
    std::size_t buried_ = 0;
};

}  // namespace bounce
