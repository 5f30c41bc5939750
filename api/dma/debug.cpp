// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/debug.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "allocator/base/bits.hpp"
#include "allocator/base/clock.hpp"
#include "allocator/base/mutation.hpp"
#include "api/dma/call_site.hpp"
#include "api/dma/token.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kNoChange = ~std::uint64_t{0};

/// Offset of the first byte of [from, to) that differs.
std::uint64_t first_change(const std::byte* now, const std::byte* before, std::uint64_t from,
                           std::uint64_t to) noexcept {
    if (from >= to || std::memcmp(now + from, before + from, to - from) == 0) return kNoChange;
    while (now[from] == before[from]) ++from;
    return from;
}

const std::byte* private_of(const DebugEntry& entry) noexcept {
    return reinterpret_cast<const std::byte*>(
        static_cast<std::uintptr_t>(static_cast<const PrivateSpan&>(entry).begin));
}

DebugApi api_of(const bounce_block& block) noexcept {
    return block.kind == static_cast<std::uint8_t>(SlotKind::kCoherent) ? DebugApi::kCoherent : DebugApi::kBuffer;
}

}  // namespace

Result<std::unique_ptr<Debug>> Debug::create(Callbacks& callbacks, const char* device,
                                             const DebugConfig& config) noexcept {
    std::unique_ptr<Debug> debug(new (std::nothrow) Debug(callbacks, device, config));
    if (debug == nullptr) return fail(ENOMEM, "no memory for the debugging of a device");
    return debug;
}

bool Debug::take_turn() noexcept {
    if (turns_.fetch_add(1, std::memory_order_relaxed) % sample() == 0) return true;
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return false;
}

bool Debug::add(std::unique_ptr<DebugEntry> entry) noexcept {
    entry->site = call_site().at;
    entry->mapped_ns = clock_ns();
    if (const char* const tag = call_tag()) std::snprintf(entry->tag, sizeof entry->tag, "%s", tag);
    Report report(BOUNCE_DEBUG_OVERLAP);
    bool overlaps = false;
    {
        const std::lock_guard lock(lock_);
        if (entry->mapping()) {
            const PrivateSpan& span = *entry;
            table_.over_private(span.begin, entry->bytes, [&](const DebugEntry& other) {
                if (entry->direction == BOUNCE_TO_DEVICE && other.direction == BOUNCE_TO_DEVICE) return true;
                overlaps = true;
                describe(*entry, report);
                report.other_site = other.site;
                report.expected = other.addr;
                report.got = entry->addr;
                return false;
            });
        }
        table_.insert(std::move(entry));
    }
    if (overlaps) tell(report);
    return true;
}

// What the device is to read stays as it is. The CPU gets the buffer by sync_for_cpu, and gives it back.
void Debug::watch_content(DebugEntry& entry) noexcept {
    entry.copy.reset(new (std::nothrow) std::byte[entry.bytes]);
    if (entry.copy == nullptr) {
        no_memory_.fetch_add(1, std::memory_order_relaxed);
    } else {
        std::memcpy(entry.copy.get(), private_of(entry), entry.bytes);
    }
}

bool Debug::mapped(const bounce_mapping& mapping, std::uint64_t list, std::uint64_t members) noexcept {
    std::unique_ptr<DebugEntry> entry(new (std::nothrow) DebugEntry);
    if (entry == nullptr) {
        no_memory_.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    entry->addr = mapping.addr;
    entry->bytes = mapping.bytes;
    entry->handle = mapping.handle;
    entry->direction = mapping.direction;
    entry->api = list != 0 ? DebugApi::kList : DebugApi::kSingle;
    entry->list = list;
    entry->members = members;
    entry->cpu_owns = (mapping.flags & BOUNCE_MAP_SKIP_SYNC) != 0;
    PrivateSpan& span = *entry;
    span.begin = reinterpret_cast<std::uintptr_t>(mapping.orig);
    span.end = span.begin + mapping.bytes;
    DeviceSpan& seen = *entry;
    seen.begin = mapping.addr;
    seen.end = mapping.addr + mapping.bytes;
    if (mapping.direction != BOUNCE_FROM_DEVICE) watch_content(*entry);
    return add(std::move(entry));
}

bool Debug::allocated(const bounce_block& block) noexcept {
    std::unique_ptr<DebugEntry> entry(new (std::nothrow) DebugEntry);
    if (entry == nullptr) {
        no_memory_.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    entry->addr = block.addr;
    entry->bytes = block.bytes;
    entry->handle = block.handle;
    entry->api = api_of(block);
    return add(std::move(entry));
}

void Debug::mark_failed(bounce_mapping& mapping, std::uint32_t device) noexcept {
    mapping = bounce_mapping{};
    mapping.slot = const_cast<void*>(call_site().at);  // whose mapping failed
    mapping.device = device;
    mapping.state = kFailedMapping;
}

void Debug::check_end(const bounce_mapping& mapping, DebugApi api) noexcept {
    Report report(0);
    {
        const std::lock_guard lock(lock_);
        const DebugEntry* const entry = table_.find(mapping.addr, &mapping.handle);
        if (entry == nullptr) return;  // refused(), or it is not watched
        describe(*entry, report);
        if (!entry->mapping() || (entry->api != api && mapping.state == kWatchedMapping)) {
            report.kind = BOUNCE_DEBUG_WRONG_FUNCTION;
            report.expected = static_cast<std::uint64_t>(entry->api);
            report.got = static_cast<std::uint64_t>(api);
        } else if (entry->bytes != mapping.bytes) {
            report.kind = BOUNCE_DEBUG_WRONG_SIZE;
            report.expected = entry->bytes;
            report.got = mapping.bytes;
        } else if (entry->direction != mapping.direction) {
            report.kind = BOUNCE_DEBUG_WRONG_DIRECTION;
            report.expected = entry->direction;
            report.got = mapping.direction;
        }
    }
    if (report.kind != 0) tell(report);
}

void Debug::check_list(std::span<const bounce_mapping> mappings) noexcept {
    Report report(BOUNCE_DEBUG_SG_COUNT);
    {
        const std::lock_guard lock(lock_);
        const DebugEntry* const first = table_.find(mappings[0].addr, &mappings[0].handle);
        if (first == nullptr || first->api != DebugApi::kList) return;
        std::uint64_t members = 0;
        for (const bounce_mapping& mapping : mappings) {
            const DebugEntry* const entry = table_.find(mapping.addr, &mapping.handle);
            if (entry != nullptr && entry->list == first->list) ++members;
        }
        if (members == first->members && members == mappings.size()) return;
        describe(*first, report);
        report.expected = first->members;
        report.got = mappings.size();
    }
    tell(report);
}

void Debug::ended(const bounce_mapping& mapping) noexcept {
    std::unique_ptr<DebugEntry> entry;
    {
        const std::lock_guard lock(lock_);
        DebugEntry* const found = table_.find(mapping.addr, &mapping.handle);
        if (found == nullptr) return;
        entry = table_.take(*found);
        table_.bury(*entry, call_site().at);
    }
    if (entry->copy == nullptr || entry->cpu_owns || BOUNCE_MUTATED(kPrivateWrite)) return;
    const std::uint64_t at = first_change(private_of(*entry), entry->copy.get(), 0, entry->bytes);
    if (at == kNoChange) return;
    Report report(BOUNCE_DEBUG_PRIVATE_WRITE);
    describe(*entry, report);
    report.got = at;
    tell(report);
}

void Debug::freed(const bounce_block& block) noexcept {
    const std::lock_guard lock(lock_);
    DebugEntry* const found = table_.find(block.addr, &block.handle);
    if (found != nullptr) table_.bury(*table_.take(*found), call_site().at);
}

// Under the lock. What a refusal means, by what is, or was, at the address.
void Debug::classify(std::uint64_t addr, const std::uint32_t* handle, std::uint64_t bytes, int code,
                     Report& report) noexcept {
    report.addr = addr;
    report.bytes = bytes;
    report.got = addr;
    const DebugEntry* const entry = table_.find(addr, nullptr);
    const DebugPast* const past = table_.find_past(addr, handle);
    report.kind = BOUNCE_DEBUG_UNKNOWN_ADDRESS;
    if (code == EXDEV) {
        report.kind = BOUNCE_DEBUG_WRONG_DEVICE;
    } else if (code == EPERM) {
        report.kind = BOUNCE_DEBUG_WRONG_FUNCTION;
        if (entry != nullptr) describe(*entry, report);
    } else if (code == EFAULT && entry != nullptr && entry->bytes != bytes) {
        report.kind = BOUNCE_DEBUG_WRONG_SIZE;
        describe(*entry, report);
        report.expected = entry->bytes;
        report.got = bytes;
    } else if ((code == EALREADY || code == ESTALE) && past != nullptr) {
        report.kind = BOUNCE_DEBUG_DOUBLE_UNMAP;
        describe_past(*past, report);
    } else if (code == ESTALE) {
        report.kind = BOUNCE_DEBUG_DOUBLE_UNMAP;  // too long ago to know more
    }
}

void Debug::refused(const bounce_mapping& mapping, int code) noexcept {
    if (code == EOWNERDEAD) return;
    Report report(0);
    if (mapping.state == kFailedMapping) {
        report.kind = BOUNCE_DEBUG_UNCHECKED_ERROR;
        report.map_site = mapping.slot;
    } else {
        const std::lock_guard lock(lock_);
        classify(mapping.addr, &mapping.handle, mapping.bytes, code, report);
    }
    tell(report);
}

void Debug::refused(std::uint64_t addr, int code) noexcept {
    if (code == EOWNERDEAD) return;
    Report report(0);
    {
        const std::lock_guard lock(lock_);
        classify(addr, nullptr, 0, code, report);
    }
    tell(report);
}

void Debug::refused(const bounce_block& block, int code) noexcept {
    if (code == EOWNERDEAD) return;
    Report report(0);
    {
        const std::lock_guard lock(lock_);
        classify(block.addr, &block.handle, block.bytes, code, report);
    }
    tell(report);
}

void Debug::misstated(int kind, std::uint64_t addr, std::uint64_t expected, std::uint64_t got) noexcept {
    Report report(kind);
    {
        const std::lock_guard lock(lock_);
        report.addr = addr;
        if (const DebugEntry* const entry = table_.find(addr, nullptr)) describe(*entry, report);
        report.expected = expected;
        report.got = got;
    }
    tell(report);
}

void Debug::check_sync(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes, int direction,
                       bool for_cpu) noexcept {
    Report report(0);
    {
        const std::lock_guard lock(lock_);
        const DebugEntry* const entry = table_.find(mapping.addr, &mapping.handle);
        if (entry == nullptr) return;
        describe(*entry, report);
        if (bytes == 0 || !fits(offset, bytes, entry->bytes)) {
            report.kind = BOUNCE_DEBUG_SYNC_RANGE;
            report.expected = entry->bytes;
            report.got = offset + bytes;
        } else if (entry->direction != BOUNCE_BIDIRECTIONAL && entry->direction != direction) {
            report.kind = BOUNCE_DEBUG_WRONG_DIRECTION;
            report.expected = entry->direction;
            report.got = static_cast<std::uint64_t>(direction);
        } else if (entry->copy != nullptr && !entry->cpu_owns) {
            // Who syncs for the device says that what is synced was written on purpose.
            const std::uint64_t from = for_cpu ? entry->bytes : offset;
            const std::uint64_t to = for_cpu ? entry->bytes : offset + bytes;
            std::uint64_t at = first_change(private_of(*entry), entry->copy.get(), 0, from);
            if (at == kNoChange) at = first_change(private_of(*entry), entry->copy.get(), to, entry->bytes);
            if (at != kNoChange) {
                report.kind = BOUNCE_DEBUG_PRIVATE_WRITE;
                report.got = at;
                std::memcpy(entry->copy.get(), private_of(*entry), entry->bytes);  // each once
            }
        }
    }
    if (report.kind != 0) tell(report);
}

void Debug::synced(const bounce_mapping& mapping, std::size_t offset, std::size_t bytes, bool for_cpu) noexcept {
    const std::lock_guard lock(lock_);
    DebugEntry* const entry = table_.find(mapping.addr, &mapping.handle);
    if (entry == nullptr || !fits(offset, bytes, entry->bytes)) return;
    entry->cpu_owns = for_cpu;
    if (entry->copy != nullptr) std::memcpy(entry->copy.get() + offset, private_of(*entry) + offset, bytes);
}

bool Debug::peeked(std::uint64_t addr, std::uint64_t bytes) noexcept {
    Report report(BOUNCE_DEBUG_PEEK);
    {
        const std::lock_guard lock(lock_);
        const DebugEntry* const entry = table_.touched(addr, bytes);
        if (entry == nullptr || BOUNCE_MUTATED(kPeek)) return false;
        describe(*entry, report);
        report.expected = entry->addr;
        report.got = addr;
    }
    tell(report);
    return true;
}

}  // namespace bounce
