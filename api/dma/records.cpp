// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/records.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>

#include "allocator/base/bits.hpp"
#include "allocator/base/clock.hpp"

namespace bounce {
namespace {

// Word 1: bytes - 1 in 43 bits (a region has at most 8 TiB) | direction 2 | flags 2 | kind 2 | generation 8 |
// align_bits 5 | valid.
constexpr unsigned kDirectionShift = 43;
constexpr unsigned kFlagsShift = 45;
constexpr unsigned kKindShift = 47;
constexpr unsigned kGenerationShift = 49;
constexpr unsigned kAlignShift = 57;
constexpr std::uint64_t kValid = std::uint64_t{1} << 63;
static_assert(Region::kMaxBytes == std::uint64_t{1} << kDirectionShift);

// Word 2: time in ms 32 | the region's epoch 16 | device 16.
constexpr unsigned kEpochShift = 16;
constexpr unsigned kTimeShift = 32;

std::uint64_t pack(const Records::Record& record) noexcept {
    return (record.bytes - 1) | std::uint64_t{record.direction} << kDirectionShift |
           std::uint64_t{record.flags} << kFlagsShift | static_cast<std::uint64_t>(record.kind) << kKindShift |
           std::uint64_t{record.slot.handle.generation()} << kGenerationShift |
           std::uint64_t{record.align_bits} << kAlignShift | kValid;
}

// Records lie as their slots do: that of a slot is so many behind that of its slab's first page.
constexpr std::size_t kSlotsPerPage = kPageBytes / kMinSlotBytes;

}  // namespace

Result<std::unique_ptr<Records>> Records::create(const Pool& pool) noexcept {
    std::unique_ptr<Records> records(new (std::nothrow) Records(pool));
    if (records == nullptr) return fail(ENOMEM, "no memory for the records of a pool");
    return records;
}

Records::~Records() {
    for (auto& table : tables_) delete table.load(std::memory_order_relaxed);
}

Result<std::uint32_t> Records::enroll(const char* name) noexcept {
    const std::lock_guard lock(lock_);
    std::uint32_t at = 0;
    while (at < n_names_ && names_[at].text[0] != '\0') ++at;
    if (at == kMostDevices) return fail(ENOSPC, "a pool has at most %llu devices with records", kMostDevices);
    if (at == room_) {
        const std::uint32_t more = room_ == 0 ? 8 : room_ * 2;
        std::unique_ptr<Name[]> grown(new (std::nothrow) Name[more]{});
        if (grown == nullptr) return fail(ENOMEM, "no memory for the names of %llu devices", more);
        std::copy_n(names_.get(), n_names_, grown.get());
        names_ = std::move(grown);
        room_ = more;
    }
    // No name is empty here: that marks what is free.
    std::snprintf(names_[at].text, kNameBytes, "%s", *name != '\0' ? name : "device");
    n_names_ = std::max(n_names_, at + 1);
    return at;
}

void Records::leave(std::uint32_t device) noexcept {
    const std::lock_guard lock(lock_);
    names_[device].text[0] = '\0';
}

void Records::name_of(std::uint32_t device, char (&name)[kNameBytes]) const noexcept {
    const std::lock_guard lock(lock_);
    std::fill_n(name, kNameBytes, '\0');
    if (device < n_names_) std::snprintf(name, kNameBytes, "%s", names_[device].text);
}

std::uint32_t Records::devices() const noexcept {
    const std::lock_guard lock(lock_);
    return n_names_;
}

Result<void> Records::prepare(const Slot& slot) noexcept {
    auto& table = tables_[slot.region().value];
    // Q2: acquire, pairs with the release below.
    if (table.load(std::memory_order_acquire) != nullptr) [[likely]]
        return {};
    const Region& region = pool_.region(slot.region());
    const std::uint64_t pages = div_up(region.address().value % kChunkBytes + region.bytes(), kPageBytes);
    auto memory = PrivateMemory::create(pages * kSlotsPerPage * kWords * sizeof(Word));
    if (!memory) return memory.error();
    std::unique_ptr<PrivateMemory> made(new (std::nothrow) PrivateMemory(std::move(*memory)));
    if (made == nullptr) return fail(ENOMEM, "no memory for the records of a region");
    PrivateMemory* expected = nullptr;
    // Q2: release, pairs with the acquire above and in words_at(). Who comes second drops his own.
    if (table.compare_exchange_strong(expected, made.get(), std::memory_order_release, std::memory_order_relaxed))
        static_cast<void>(made.release());
    return {};
}

Records::Word* Records::words_at(RegionId region, std::uint32_t head, std::uint32_t slot) const noexcept {
    // Q2: acquire, pairs with the release in prepare().
    const PrivateMemory* const table = tables_[region.value].load(std::memory_order_acquire);
    if (table == nullptr) return nullptr;
    static_assert(sizeof(Word) == 8 && Word::is_always_lock_free);  // zeroed memory is used as it is
    return reinterpret_cast<Word*>(table->data()) + (std::size_t{head} * kSlotsPerPage + slot) * kWords;
}

Records::Word* Records::words_of(const Slot& slot) const noexcept {
    const std::uint64_t first = pool_.region(slot.region()).address().value;
    const std::uint64_t position = slot.gpa.value - round_down(first, kChunkBytes);
    const SlotHandle handle = slot.handle;
    return words_at(handle.region(), SlotView::head_of(position, handle), handle.slot());
}

void Records::note(const Record& record) noexcept {
    Word* const words = words_of(record.slot);
    // Relaxed: Q1 publishes them, and who ends the slot has it handed over by its state and bits.
    words[0].store(reinterpret_cast<std::uintptr_t>(record.orig), std::memory_order_relaxed);
    words[2].store(clock_ms(CLOCK_MONOTONIC_COARSE) << kTimeShift |
                       std::uint64_t{record.slot.epoch & 0xffffU} << kEpochShift | record.device,
                   std::memory_order_relaxed);
    // Q1: release, pairs with the acquire in read().
    words[1].store(pack(record), std::memory_order_release);
}

void Records::forget(const Slot& slot) noexcept {
    Word* const words = words_of(slot);
    // Q3: relaxed: the next one to write here is the next holder of the slot. A table there is: it was noted, or it
    // never will be.
    if (words != nullptr) words[1].store(0, std::memory_order_relaxed);
}

bool Records::read(const Pool::Place& place, Record& record) const noexcept {
    Word* const words = words_at(place.region, place.found.head, place.found.slot);
    if (words == nullptr) return false;
    // Q1: acquire, pairs with the release in note().
    const std::uint64_t what = words[1].load(std::memory_order_acquire);
    if ((what & kValid) == 0) return false;
    // Acquire: before the second look, which finds the same word when they belong together. (But for a record that was
    // replaced by one that differs in nothing but these two.)
    const std::uint64_t orig = words[0].load(std::memory_order_acquire);
    const std::uint64_t who = words[2].load(std::memory_order_acquire);
    if (words[1].load(std::memory_order_relaxed) != what) return false;
    const Region& region = pool_.region(place.region);
    record.orig = reinterpret_cast<void*>(static_cast<std::uintptr_t>(orig));
    record.bytes = field(what, 0, kDirectionShift) + 1;
    record.direction = static_cast<std::uint8_t>(field(what, kDirectionShift, 2));
    record.flags = static_cast<std::uint8_t>(field(what, kFlagsShift, 2));
    record.kind = static_cast<SlotKind>(field(what, kKindShift, 2));
    record.align_bits = static_cast<std::uint8_t>(field(what, kAlignShift, 5));
    record.device = static_cast<std::uint32_t>(field(who, 0, 16));
    record.age_ms = (clock_ms(CLOCK_MONOTONIC_COARSE) - field(who, kTimeShift, 32)) & 0xffff'ffffU;
    const std::uint32_t epoch = region.epoch();
    record.slot.gpa = place.start;
    record.slot.hva = region.hva() + (place.start - region.address());
    record.slot.epoch = epoch - ((epoch - static_cast<std::uint32_t>(field(who, kEpochShift, 16))) & 0xffffU);
    record.slot.handle = SlotHandle(place.region, slot_index(place.found.size_class, place.found.slot),
                                    static_cast<std::uint8_t>(field(what, kGenerationShift, 8)));
    return true;
}

Result<Records::Record> Records::find(Gpa gpa) const noexcept {
    const auto place = pool_.locate(gpa);
    if (!place) return place.error();
    Record record;
    if (!read(*place, record))
        return fail(EALREADY, "nothing is recorded at GPA 0x%llx: it is not mapped, or not by a device with records",
                    gpa.value);
    return record;
}

}  // namespace bounce
