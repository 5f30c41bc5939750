// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/save.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace bounce {
namespace {

constexpr std::uint32_t kNoDevice = ~std::uint32_t{0};

/// One device of the old process that has something outstanding.
struct Owner {
    std::uint32_t enrolled;
    std::uint32_t index;  // in the form
    char name[Records::kNameBytes];
};

/// The regions of a pool that are there, in the order of addresses.
struct Regions {
    explicit Regions(const Pool& pool) noexcept {
        for (std::uint32_t i = 0; i < pool.regions(); ++i) {
            if (pool.status(RegionId{i}).stage != RegionStage::kGone) ids[n++] = RegionId{i};
        }
        std::sort(ids.begin(), ids.begin() + n,
                  [&pool](RegionId a, RegionId b) { return pool.region(a).address() < pool.region(b).address(); });
    }
    std::array<RegionId, Pool::kMaxRegions> ids;
    std::uint32_t n = 0;
};

/// Calls on_extent(extent, region) for each that has a record, and on_record(record).
template <class OnExtent, class OnRecord>
void walk(const Pool& pool, const Records* records, OnExtent&& on_extent, OnRecord&& on_record) noexcept {
    if (records == nullptr) return;
    const Regions regions(pool);
    for (std::uint32_t i = 0; i < regions.n; ++i) {
        std::uint64_t last = ~std::uint64_t{0};
        records->visit(regions.ids[i], [&](const Records::Record& record, const SlabCore::Extent& extent) {
            if (extent.offset != last) on_extent(extent, pool.region(regions.ids[i]));
            last = extent.offset;
            on_record(record);
        });
    }
}

/// Which devices the form speaks of: those with records. Sorted by their names.
class Owners {
public:
    Result<void> find(const Pool& pool, const Records* records, SaveForm::Counts& counts) noexcept {
        const std::uint32_t most = records != nullptr ? records->devices() : 0;
        owners_.reset(new (std::nothrow) Owner[std::max(most, 1U)]);
        index_of_.reset(new (std::nothrow) std::uint32_t[std::max(most, 1U)]);
        if (owners_ == nullptr || index_of_ == nullptr) return fail(ENOMEM, "no memory for %llu devices", most);
        known_ = most;
        std::fill_n(index_of_.get(), most, kNoDevice);
        walk(
            pool, records, [&](const SlabCore::Extent&, const Region&) { ++counts.extents; },
            [&](const Records::Record& record) {
                ++counts.records;
                padded_ = padded_ || record.padding() != 0;
                if (record.device >= known_ || index_of_[record.device] != kNoDevice) return;
                index_of_[record.device] = 0;
                owners_[n_].enrolled = record.device;
                records->name_of(record.device, owners_[n_++].name);
            });
        std::sort(owners_.get(), owners_.get() + n_,
                  [](const Owner& a, const Owner& b) { return std::strcmp(a.name, b.name) < 0; });
        for (std::uint32_t i = 0; i < n_; ++i) {
            index_of_[owners_[i].enrolled] = i;
            if (i != 0 && std::strcmp(owners_[i - 1].name, owners_[i].name) == 0)
                return fail_text(EINVAL,
                                 "two devices with something outstanding are called '%s': names tell whose it is",
                                 owners_[i].name);
        }
        counts.devices = n_;
        return {};
    }
    [[nodiscard]] std::uint32_t n() const noexcept { return n_; }
    [[nodiscard]] bool padded() const noexcept { return padded_; }
    [[nodiscard]] const char* name(std::uint32_t i) const noexcept { return owners_[i].name; }
    [[nodiscard]] std::uint32_t index_of(std::uint32_t device) const noexcept {
        return device < known_ ? index_of_[device] : kNoDevice;
    }

private:
    std::unique_ptr<Owner[]> owners_;
    std::unique_ptr<std::uint32_t[]> index_of_;  // by the number in Records
    std::uint32_t known_ = 0;
    std::uint32_t n_ = 0;
    bool padded_ = false;
};

Error in_use() noexcept {
    return fail(EBUSY, "the pool is in use: what is outstanding changed while it was saved");
}

}  // namespace

Result<std::size_t> save(const Pool& pool, const Records* records, std::span<std::byte> form) noexcept {
    const Regions regions(pool);
    for (std::uint32_t i = 0; i < regions.n; ++i) {
        if (pool.region(regions.ids[i]).by_hooks())
            return fail(ENOTSUP, "the pool has share hooks: the new process would scrub what is saved");
    }
    SaveForm::Counts counts{.regions = regions.n};
    Owners owners;
    if (auto found = owners.find(pool, records, counts); !found) return found.error();
    if (owners.padded())
        return fail(ENOTSUP,
                    "a mapping of a device with min_align_mask begins behind the start of its slot: it cannot "
                    "be saved");
    // The new process would hand it out.
    if (const std::uint64_t held = pool.stats().quarantined; held != 0)
        return fail(EBUSY, "%llu slots are in quarantine, expected none: what is there a device may still write", held);
    if (const std::uint64_t slots = pool.stats().slots; slots != counts.records)
        return fail(EBUSY, "%llu slots are handed out, but %llu have records: the others are those of devices without",
                    slots, counts.records);
    const std::size_t bytes = SaveForm::bytes_for(counts);
    if (form.empty()) return bytes;
    if (form.size() < bytes)
        return fail(E2BIG, "the form has %llu bytes, but there is room for %llu", bytes, form.size());
    SaveWriter writer(form.data(), counts);
    for (std::uint32_t i = 0; i < regions.n; ++i) {
        const Region& region = pool.region(regions.ids[i]);
        writer.add(SavedRegion{region.address().value, region.bytes()});
    }
    for (std::uint32_t i = 0; i < owners.n(); ++i) writer.add(owners.name(i));
    walk(
        pool, records,
        [&](const SlabCore::Extent& extent, const Region& region) {
            writer.add(SavedExtent{region.address().value + extent.offset, extent.pages, extent.size_class});
        },
        [&](const Records::Record& record) {
            writer.add(SavedRecord{.addr = record.slot.gpa.value,
                                   .bytes = record.bytes,
                                   .orig = reinterpret_cast<std::uintptr_t>(record.orig),
                                   .device = owners.index_of(record.device),
                                   .direction = record.direction,
                                   .flags = record.flags,
                                   .kind = static_cast<std::uint8_t>(record.kind)});
        });
    if (!writer.finish() || !SaveForm::parse(form.first(bytes))) return in_use();
    return bytes;
}

}  // namespace bounce
