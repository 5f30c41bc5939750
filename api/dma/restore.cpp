// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "api/dma/save.hpp"

namespace bounce {

Restore::Restore(Pool& pool, Callbacks& callbacks) noexcept : pool_(pool), callbacks_(callbacks) {
    pool_.add_user();
}

Restore::~Restore() {
    pool_.drop_user();
}

Result<std::unique_ptr<Restore>> Restore::create(Pool& pool, Callbacks& callbacks,
                                                 std::span<const std::byte> given) noexcept {
    if (given.size() < SaveForm::kHeaderBytes)
        return fail(EINVAL, "a form of %llu bytes, expected at least %llu", given.size(), SaveForm::kHeaderBytes);
    // A copy, so that nobody changes it between the look at it and its use.
    std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[given.size()]);
    std::unique_ptr<Restore> restore(new (std::nothrow) Restore(pool, callbacks));
    if (copy == nullptr || restore == nullptr)
        return fail(ENOMEM, "no memory for a restore and a form of %llu bytes", given.size());
    std::memcpy(copy.get(), given.data(), given.size());
    auto form = SaveForm::parse({copy.get(), given.size()});
    if (!form) return form.error();
    if (auto taken = restore->take(*form); !taken) return taken.error();
    return restore;
}

Result<RegionId> Restore::region_of(const SavedRegion& saved) const noexcept {
    for (std::uint32_t i = 0; i < pool_.regions(); ++i) {
        const Region& region = pool_.region(RegionId{i});
        if (region.address().value != saved.base || region.bytes() != saved.bytes) continue;
        if (pool_.status(RegionId{i}).stage != RegionStage::kActive) continue;
        if (!region.imported())
            return fail(EINVAL, "the region at GPA 0x%llx is fresh memory, expected a mapping of what was saved",
                        saved.base);
        return RegionId{i};
    }
    return fail(EINVAL, "the pool has no region of %llu bytes at GPA 0x%llx, which the form speaks of", saved.bytes,
                saved.base);
}

// All that can fail comes before the pool changes.
Result<void> Restore::take(const SaveForm& form) noexcept {
    const SaveForm::Counts& counts = form.counts();
    items_.reset(new (std::nothrow) Item[counts.records + 1]);
    names_.reset(new (std::nothrow) Name[counts.devices + 1]);
    std::unique_ptr<Pool::Restored[]> extents(new (std::nothrow) Pool::Restored[counts.extents + 1]);
    // The kinds of all slots of all extents.
    std::uint64_t slots = 0;
    for (std::uint64_t i = 0; i < counts.extents; ++i) slots += form.extent(i).slots();
    std::unique_ptr<std::uint8_t[]> kinds(new (std::nothrow) std::uint8_t[slots + 1]);
    if (items_ == nullptr || names_ == nullptr || extents == nullptr || kinds == nullptr)
        return fail(ENOMEM, "no memory for %llu records and %llu slots", counts.records, slots);
    std::fill_n(kinds.get(), slots, std::uint8_t{0});

    std::uint64_t at_extent = 0;
    std::uint64_t at_record = 0;
    std::uint8_t* next_kinds = kinds.get();
    for (std::uint32_t r = 0; r < counts.regions; ++r) {
        const SavedRegion region = form.region(r);
        const auto id = region_of(region);
        if (!id) return id.error();
        for (; at_extent < counts.extents; ++at_extent) {
            const SavedExtent one = form.extent(at_extent);
            if (one.start - region.base >= region.bytes) break;
            extents[at_extent] = {*id, {one.start - region.base, one.pages, one.size_class, one.slots()}, next_kinds};
            for (; at_record < counts.records; ++at_record) {
                const SavedRecord record = form.record(at_record);
                if (record.addr - one.start >= one.bytes()) break;
                next_kinds[(record.addr - one.start) / one.slot_bytes()] = record.kind;
                items_[at_record] = {record, State::kWaiting};
            }
            next_kinds += one.slots();
        }
    }
    for (std::uint32_t i = 0; i < counts.devices; ++i)
        std::memcpy(names_[i].text, form.device(i), SaveForm::kNameBytes);
    n_items_ = counts.records;
    n_names_ = counts.devices;
    return pool_.restore(extents.get(), counts.extents);
}

/// As long as it waits, what is there is this.
Slot Restore::slot_of(const Item& item) const noexcept {
    const auto place = pool_.locate(Gpa{item.record.addr});
    return place ? pool_.token_at(*place) : Slot{};
}

Result<Restore::Item*> Restore::find(const Device& device, Gpa addr, bool mapping) noexcept {
    if (&device.pool() != &pool_) return fail(EXDEV, "the device is of another pool");
    Item* const end = items_.get() + n_items_;
    Item* const at = std::lower_bound(items_.get(), end, addr.value,
                                      [](const Item& item, std::uint64_t value) { return item.record.addr < value; });
    if (at == end || at->record.addr != addr.value)
        return fail(EFAULT, "nothing that was saved begins at GPA 0x%llx", addr.value);
    const char* const name = names_[at->record.device].text;
    if (std::strcmp(name, device.name()) != 0)
        return fail_text(EXDEV, "what was saved at GPA 0x%llx is of the device '%s', not of '%s'",
                         static_cast<unsigned long long>(addr.value), name, device.name());
    if (at->state != State::kWaiting)
        return fail(EALREADY, "what was saved at GPA 0x%llx is claimed, or quarantined (state %llu)", addr.value,
                    static_cast<std::uint64_t>(at->state));
    if (mapping != (at->record.kind == static_cast<std::uint8_t>(SlotKind::kStreaming)))
        return fail(EPERM, "what was saved at GPA 0x%llx is of kind %llu (1 mapping, 2 coherent, 3 buffer)", addr.value,
                    at->record.kind);
    return at;
}

Result<void> Restore::claim(Device& device, Gpa addr, void* buf, std::size_t bytes, bounce_mapping& mapping) noexcept {
    mapping = bounce_mapping{};
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const auto item = find(device, addr, true);
    if (!item) return item.error();
    const SavedRecord& record = (*item)->record;
    if (buf == nullptr) return fail(EINVAL, "the private buffer is NULL");
    if (reinterpret_cast<std::uintptr_t>(buf) > UINTPTR_MAX - record.bytes)
        return fail(EINVAL, "a buffer of %llu bytes at 0x%llx wraps around the address space", record.bytes,
                    reinterpret_cast<std::uintptr_t>(buf));
    if (bytes != 0 && bytes != record.bytes)
        return fail(EINVAL, "%llu bytes are claimed at GPA 0x%llx, but %llu are mapped there", bytes, addr.value,
                    record.bytes);
    const Slot slot = slot_of(**item);
    mapping.addr = slot.gpa.value;
    mapping.slot = slot.hva;
    mapping.epoch = slot.epoch;
    mapping.handle = slot.handle.bits();
    if (auto adopted = device.adopt(mapping, buf, record.bytes, Direction{record.direction}, record.flags); !adopted) {
        mapping = bounce_mapping{};
        return adopted;
    }
    (*item)->state = State::kClaimed;
    return {};
}

Result<void> Restore::claim(Device& device, Gpa addr, bounce_block& block) noexcept {
    block = bounce_block{};
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    const auto item = find(device, addr, false);
    if (!item) return item.error();
    const Slot slot = slot_of(**item);
    block.ptr = slot.hva;
    block.addr = slot.gpa.value;
    block.epoch = slot.epoch;
    block.handle = slot.handle.bits();
    const SavedRecord& record = (*item)->record;
    if (auto adopted = device.adopt(static_cast<SlotKind>(record.kind), record.bytes, block); !adopted) {
        block = bounce_block{};
        return adopted;
    }
    (*item)->state = State::kClaimed;
    return {};
}

std::uint64_t Restore::visit(bounce_saved_fn tell_one, void* user) noexcept {
    const std::lock_guard lock(lock_);
    for (std::uint64_t i = 0; i < n_items_; ++i) {
        const SavedRecord& record = items_[i].record;
        const bounce_saved saved{names_[record.device].text,
                                 record.addr,
                                 record.bytes,
                                 record.orig,
                                 record.kind,
                                 record.flags,
                                 record.direction,
                                 static_cast<int>(items_[i].state)};
        tell_one(user, &saved);
    }
    return n_items_;
}

std::uint64_t Restore::finish() noexcept {
    const std::lock_guard lock(lock_);
    finished_ = true;
    std::uint64_t left = 0;
    for (std::uint64_t i = 0; i < n_items_; ++i) {
        Item& item = items_[i];
        if (item.state == State::kWaiting) {
            Name& name = names_[item.record.device];
            if (name.left++ == 0) name.first = item.record.addr;
            item.state = State::kQuarantined;
        }
        if (item.state == State::kQuarantined) ++left;
    }
    for (std::uint32_t i = 0; i < n_names_; ++i) {
        const std::uint64_t fresh = std::exchange(names_[i].left, 0);
        if (fresh == 0) continue;
        callbacks_.log(BOUNCE_LOG_WARNING,
                       "restore: nobody claimed %llu mappings and blocks of the device '%s', the first at GPA 0x%llx: "
                       "they are quarantined",
                       static_cast<unsigned long long>(fresh), names_[i].text,
                       static_cast<unsigned long long>(names_[i].first));
    }
    return left;
}

Result<std::uint64_t> Restore::release(const char* device) noexcept {
    if (!pool_.alive()) return fail(EOWNERDEAD, kForked);
    const std::lock_guard lock(lock_);
    if (!finished_) return fail(EBUSY, "clients may still claim: bounce_restore_finish() has not been called");
    std::uint64_t released = 0;
    for (std::uint64_t i = 0; i < n_items_; ++i) {
        Item& item = items_[i];
        if (item.state != State::kQuarantined) continue;
        if (device != nullptr && std::strcmp(names_[item.record.device].text, device) != 0) continue;
        if (auto freed = pool_.release(slot_of(item), static_cast<SlotKind>(item.record.kind)); !freed)
            return freed.error();
        item.state = State::kReleased;
        ++released;
    }
    return released;
}

}  // namespace bounce
