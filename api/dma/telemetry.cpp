// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/telemetry.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>

#include "allocator/base/bits.hpp"
#include "allocator/base/clock.hpp"
#include "api/dma/device.hpp"

namespace bounce {
Telemetry::~Telemetry() = default;

Device* Telemetry::next_of(const Device& device) noexcept {
    return device.next_device();
}

std::uint32_t Telemetry::join(Device& device) noexcept {
    std::uint32_t number = 0;
    {
        const std::lock_guard lock(lock_);
        device.set_next_device(first_);
        first_ = &device;
        if (numbers_ == nullptr) numbers_.reset(new (std::nothrow) Device* [kMostDevices + 1] {});
        // In turn, so that a number does not mean somebody else at once.
        for (std::uint32_t i = 0; numbers_ != nullptr && number == 0 && i < kMostDevices; ++i) {
            last_number_ = last_number_ % kMostDevices + 1;
            if (numbers_[last_number_] == nullptr) number = last_number_;
        }
        if (number != 0) numbers_[number] = &device;
    }
    event(BOUNCE_EVENT_DEVICE, device.name(), device.id(), 1);
    return number;
}

void Telemetry::leave(Device& device) noexcept {
    {
        const std::lock_guard lock(lock_);
        if (first_ == &device) first_ = device.next_device();
        for (Device* at = first_; at != nullptr; at = at->next_device()) {
            if (at->next_device() == &device) at->set_next_device(device.next_device());
        }
        if (device.number() != 0) numbers_[device.number()] = nullptr;
    }
    event(BOUNCE_EVENT_DEVICE, device.name(), device.id(), 0);
}

void Telemetry::add_ring(RingCounters& ring) noexcept {
    const std::lock_guard lock(lock_);
    ring.next = rings_;
    rings_ = &ring;
}

void Telemetry::drop_ring(RingCounters& ring) noexcept {
    const std::lock_guard lock(lock_);
    for (RingCounters** at = &rings_; *at != nullptr; at = &(*at)->next) {
        if (*at != &ring) continue;
        *at = ring.next;
        return;
    }
}

Result<void> Telemetry::keep_events() noexcept {
    const std::lock_guard lock(lock_);
    if (events_ == nullptr) events_.reset(new (std::nothrow) bounce_control_event[kEvents]{});
    return events_ != nullptr ? Result<void>() : fail(ENOMEM, "no memory for %llu events", kEvents);
}

void Telemetry::event(std::uint32_t kind, const char* text, std::uint64_t a, std::uint64_t b,
                      std::uint64_t c) noexcept {
    const std::lock_guard lock(lock_);
    if (events_ == nullptr) return;
    bounce_control_event& event = events_[event_count_ % kEvents];
    event = bounce_control_event{};
    event.number = ++event_count_;
    event.time_ns = clock_ns(CLOCK_REALTIME);
    event.kind = kind;
    event.arg[0] = a;
    event.arg[1] = b;
    event.arg[2] = c;
    std::snprintf(event.text, sizeof event.text, "%s", text);
}

std::size_t Telemetry::events(std::uint64_t from, std::span<bounce_control_event> room, std::uint64_t& next) noexcept {
    const std::lock_guard lock(lock_);
    const std::uint64_t first = event_count_ > kEvents ? event_count_ - kEvents + 1 : 1;
    std::uint64_t number = std::max(from, first);
    std::size_t n = 0;
    for (; number <= event_count_ && n < room.size(); ++number) room[n++] = events_[(number - 1) % kEvents];
    next = std::min(number, event_count_ + 1);
    return n;
}

std::uint64_t Telemetry::event_count() noexcept {
    const std::lock_guard lock(lock_);
    return event_count_;
}

Result<void> Telemetry::prepare_tags(const Pool& pool) noexcept {
    const PoolAudit audit(pool);
    for (std::uint32_t i = 0; i < pool.regions(); ++i) {
        Table& table = tables_[i];
        const RegionId id{i};
        if (!audit.there(id) || table.memory != nullptr) continue;
        auto memory = PrivateMemory::create(audit.places(id) * sizeof(Word));
        if (!memory) return memory.error();
        table.memory.reset(new (std::nothrow) PrivateMemory(std::move(*memory)));
        if (table.memory == nullptr) return fail(ENOMEM, "no memory for the tags of a region");
        table.count = audit.places(id);
        // G1: release, pairs with the acquire in word_at().
        table.words.store(reinterpret_cast<Word*>(table.memory->data()), std::memory_order_release);
    }
    return {};
}

Result<Trace*> Telemetry::make_trace() noexcept {
    if (trace_ == nullptr) {
        auto made = Trace::create();
        if (!made) return made.error();
        trace_ = std::move(*made);
    }
    return trace_.get();
}

/// In 255ths of the pages that so many bytes take.
std::uint64_t Telemetry::run_length(std::uint64_t bytes) noexcept {
    const std::uint64_t pages = round_up(bytes, kPageBytes) / kPageBytes;
    return pages < (std::uint64_t{1} << 40) ? (bytes * kLengthParts + pages * kPageBytes - 1) / (pages * kPageBytes)
                                            : kLengthParts;
}

SlotTag Telemetry::read_tag(RegionId region, std::uint64_t place, std::uint64_t slot_bytes) const noexcept {
    const Word* const word = word_at(region, place);
    const std::uint64_t tag = word != nullptr ? word->load(std::memory_order_relaxed) : 0;
    const std::uint64_t age =
        ((now_.load(std::memory_order_relaxed) >> kTimeAt) - (tag >> kTimeAt)) << kTimeAt >> kTimeAt;
    return {static_cast<std::uint32_t>(field(tag, 0, kGenerationAt)),
            static_cast<std::uint8_t>(field(tag, kGenerationAt, 6)),
            static_cast<std::uint8_t>(field(tag, kDirectionAt, 2)),
            field(tag, kLengthAt, 8) * slot_bytes / kLengthParts, age * (kTickNs / 1'000'000)};
}

bool Telemetry::describe(std::uint32_t number, std::uint64_t& id, char (&name)[kNameBytes]) noexcept {
    const std::lock_guard lock(lock_);
    const Device* const device = numbers_ != nullptr && number <= kMostDevices ? numbers_[number] : nullptr;
    id = device != nullptr ? device->id() : 0;
    std::snprintf(name, kNameBytes, "%s", device != nullptr ? device->name() : "");
    return device != nullptr;
}

}  // namespace bounce
