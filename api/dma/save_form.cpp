// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/save_form.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include "allocator/base/bits.hpp"
#include "allocator/region/region.hpp"
#include "bounce/bounce.h"

namespace bounce {
namespace {

constexpr char kMagic[8] = {'B', 'N', 'C', 'E', 'S', 'A', 'V', 'E'};
constexpr std::size_t kChecksumAt = 24;

template <class T>
T load(const std::byte* at) noexcept {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(at[i]) << (8 * i));
    return value;
}

template <class T>
void store(std::byte* at, T value) noexcept {
    for (std::size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

/// CRC-64 of ECMA-182, reflected (as xz has it): it finds every change of up to 64 bits in a row.
constexpr auto kCrcTable = [] {
    std::array<std::uint64_t, 256> table{};
    for (std::uint64_t i = 0; i < 256; ++i) {
        std::uint64_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xc96c'5795'd787'0f42U : 0);
        table[i] = crc;
    }
    return table;
}();

std::uint64_t crc(std::uint64_t seed, const std::byte* at, std::size_t bytes) noexcept {
    for (std::size_t i = 0; i < bytes; ++i)
        seed = seed >> 8 ^ kCrcTable[(seed ^ static_cast<std::uint64_t>(at[i])) & 0xff];
    return seed;
}

/// Of a whole form, with its own field as zeros.
std::uint64_t checksum(const std::byte* form, std::size_t bytes) noexcept {
    constexpr std::byte kZeros[8] = {};
    std::uint64_t sum = crc(~std::uint64_t{0}, form, kChecksumAt);
    sum = crc(sum, kZeros, sizeof kZeros);
    return ~crc(sum, form + kChecksumAt + sizeof kZeros, bytes - kChecksumAt - sizeof kZeros);
}

}  // namespace

std::size_t SaveForm::bytes_for(const Counts& counts) noexcept {
    return kHeaderBytes + counts.regions * SavedRegion::kBytes + counts.devices * kNameBytes +
           counts.extents * SavedExtent::kBytes + counts.records * SavedRecord::kBytes;
}

SavedRegion SaveForm::region(std::uint32_t i) const noexcept {
    const std::byte* const at = regions_ + i * SavedRegion::kBytes;
    return {load<std::uint64_t>(at), load<std::uint64_t>(at + 8)};
}

const char* SaveForm::device(std::uint32_t i) const noexcept {
    return reinterpret_cast<const char*>(devices_ + i * kNameBytes);
}

SavedExtent SaveForm::extent(std::uint64_t i) const noexcept {
    const std::byte* const at = extents_ + i * SavedExtent::kBytes;
    return {load<std::uint64_t>(at), load<std::uint32_t>(at + 8), load<std::uint32_t>(at + 12)};
}

SavedRecord SaveForm::record(std::uint64_t i) const noexcept {
    const std::byte* const at = records_ + i * SavedRecord::kBytes;
    return {load<std::uint64_t>(at),      load<std::uint64_t>(at + 8), load<std::uint64_t>(at + 16),
            load<std::uint32_t>(at + 24), load<std::uint8_t>(at + 28), load<std::uint8_t>(at + 29),
            load<std::uint8_t>(at + 30)};
}

Result<SaveForm> SaveForm::parse(std::span<const std::byte> bytes) noexcept {
    SaveForm form;
    form.bytes_ = bytes;
    if (auto good = form.check_header(); !good) return good.error();
    form.regions_ = bytes.data() + kHeaderBytes;
    form.devices_ = form.regions_ + form.counts_.regions * SavedRegion::kBytes;
    form.extents_ = form.devices_ + form.counts_.devices * kNameBytes;
    form.records_ = form.extents_ + form.counts_.extents * SavedExtent::kBytes;
    if (auto good = form.check_regions(); !good) return good.error();
    if (auto good = form.check_devices(); !good) return good.error();
    if (auto good = form.check_extents(); !good) return good.error();
    if (auto good = form.check_records(); !good) return good.error();
    return form;
}

Result<void> SaveForm::check_header() noexcept {
    const std::byte* const at = bytes_.data();
    const std::size_t size = bytes_.size();
    if (size < kHeaderBytes) return fail(EINVAL, "a form of %llu bytes, expected at least %llu", size, kHeaderBytes);
    if (std::memcmp(at, kMagic, sizeof kMagic) != 0) return fail(EINVAL, "the form does not begin as one does");
    if (const auto version = load<std::uint32_t>(at + 8); version != kVersion)
        return fail(ENOTSUP, "the form is of version %llu, this library knows version %llu", version, kVersion);
    if (const auto total = load<std::uint64_t>(at + 16); total != size)
        return fail(EINVAL, "the form has %llu bytes, but says that it has %llu", size, total);
    if (load<std::uint64_t>(at + kChecksumAt) != checksum(at, size))
        return fail(EINVAL, "the form's checksum is wrong: it was damaged");
    if (load<std::uint32_t>(at + 12) != kHeaderBytes || load<std::uint64_t>(at + 56) != 0)
        return fail(EINVAL, "the form's header has %llu bytes and 0x%llx in its last field, expected %llu and 0",
                    load<std::uint32_t>(at + 12), load<std::uint64_t>(at + 56), kHeaderBytes);
    counts_ = {load<std::uint32_t>(at + 32), load<std::uint32_t>(at + 36), load<std::uint64_t>(at + 40),
               load<std::uint64_t>(at + 48)};
    // Each alone first, so that the sum cannot overflow.
    if (counts_.regions > size || counts_.devices > size || counts_.extents > size || counts_.records > size ||
        bytes_for(counts_) != size)
        return fail(EINVAL,
                    "the form speaks of %llu regions, %llu devices, %llu extents and %llu records, which is not "
                    "what its length says",
                    counts_.regions, counts_.devices, counts_.extents, counts_.records);
    return {};
}

Result<void> SaveForm::check_regions() const noexcept {
    std::uint64_t from = 0;  // where the next one may begin
    for (std::uint32_t i = 0; i < counts_.regions; ++i) {
        const SavedRegion one = region(i);
        const std::uint64_t last = one.base + (one.bytes - 1);
        if (one.bytes < Region::kMinBytes || one.bytes > Region::kMaxBytes || !is_multiple(one.bytes, kPageBytes) ||
            !is_multiple(one.base, kPageBytes) || last < one.base || one.base < from || (i != 0 && from == 0))
            return fail(EINVAL, "region %llu of the form: %llu bytes at GPA 0x%llx", i, one.bytes, one.base);
        from = last + 1;
    }
    return {};
}

Result<void> SaveForm::check_devices() const noexcept {
    for (std::uint32_t i = 0; i < counts_.devices; ++i) {
        const char* const name = device(i);
        const std::size_t length = strnlen(name, kNameBytes);
        bool good = length != 0 && length != kNameBytes;
        for (std::size_t j = length; good && j < kNameBytes; ++j) good = name[j] == '\0';
        good = good && (i == 0 || std::strcmp(device(i - 1), name) < 0);
        if (!good) return fail(EINVAL, "device %llu of the form has no proper name, or is out of order", i);
    }
    return {};
}

Result<void> SaveForm::check_extents() const noexcept {
    std::uint32_t at = 0;
    std::uint64_t from = 0;
    for (std::uint64_t i = 0; i < counts_.extents; ++i) {
        const SavedExtent one = extent(i);
        bool good = one.size_class < kClasses || one.run();
        good = good && one.pages != 0 && is_multiple(one.start, kPageBytes) && one.start >= from;
        if (good && !one.run()) {
            const SizeClass& geometry = kSizeClasses[one.size_class];
            good = one.pages >= geometry.min_pages && one.pages <= geometry.max_pages;
        }
        // Region after region, as they are both in order.
        while (at < counts_.regions && one.start - region(at).base >= region(at).bytes) ++at;
        good = good && at < counts_.regions && fits(one.start - region(at).base, one.bytes(), region(at).bytes);
        if (!good)
            return fail(EINVAL, "extent %llu of the form: %llu pages of size class %llu at GPA 0x%llx", i, one.pages,
                        one.size_class, one.start);
        from = one.start + one.bytes();  // 0 after the last address: then nothing fits any more
        if (from == 0) from = ~std::uint64_t{0};
    }
    return {};
}

Result<void> SaveForm::check_records() const noexcept {
    constexpr std::uint8_t kBoth = BOUNCE_MAP_PRESERVE | BOUNCE_MAP_SKIP_SYNC;
    std::uint64_t at = 0;     // of the extents
    std::uint64_t in_it = 0;  // records in that one
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < counts_.records; ++i) {
        const SavedRecord one = record(i);
        if (at < counts_.extents && in_it != 0 && one.addr - extent(at).start >= extent(at).bytes()) {
            ++at;
            in_it = 0;
        }
        bool good = at < counts_.extents && (i == 0 || one.addr > last);
        if (good) {
            const SavedExtent around = extent(at);
            const std::uint64_t offset = one.addr - around.start;
            good = offset < around.bytes() && offset % around.slot_bytes() == 0 &&
                   offset / around.slot_bytes() < around.slots() && one.bytes != 0 && one.bytes <= around.slot_bytes();
        }
        const bool mapping = one.kind == 1;
        good = good && one.device < counts_.devices && (one.kind == 1 || one.kind == 2 || one.kind == 3) &&
               one.direction <= BOUNCE_FROM_DEVICE && one.flags < kBoth && mapping == (one.orig != 0) &&
               (mapping || (one.direction == 0 && one.flags == 0)) &&
               load<std::uint8_t>(records_ + i * SavedRecord::kBytes + 31) == 0;
        if (!good)
            return fail(EINVAL, "record %llu of the form: %llu bytes at GPA 0x%llx of kind %llu", i, one.bytes,
                        one.addr, one.kind);
        last = one.addr;
        ++in_it;
    }
    // The last extent too has one, and none was left over.
    if (counts_.extents != (counts_.records != 0 ? at + 1 : 0))
        return fail(EINVAL, "the form has %llu extents, but records in %llu of them", counts_.extents,
                    counts_.records != 0 ? at + 1 : 0);
    return {};
}

void SaveForm::seal(std::span<std::byte> bytes) noexcept {
    store(bytes.data() + 16, std::uint64_t{bytes.size()});
    store(bytes.data() + kChecksumAt, checksum(bytes.data(), bytes.size()));
}

SaveWriter::SaveWriter(std::byte* form, const SaveForm::Counts& counts) noexcept : form_(form), want_(counts) {}

void SaveWriter::add(const SavedRegion& region) noexcept {
    if (have_.regions++ >= want_.regions) return;
    std::byte* const at = form_ + SaveForm::kHeaderBytes + (have_.regions - 1) * SavedRegion::kBytes;
    store(at, region.base);
    store(at + 8, region.bytes);
}

void SaveWriter::add(const char* device) noexcept {
    if (have_.devices++ >= want_.devices) return;
    SaveForm::Counts before = want_;
    before.devices = have_.devices - 1;
    before.extents = before.records = 0;
    char name[SaveForm::kNameBytes] = {};
    std::memcpy(name, device, strnlen(device, SaveForm::kNameBytes - 1));
    std::memcpy(form_ + SaveForm::bytes_for(before), name, sizeof name);
}

void SaveWriter::add(const SavedExtent& extent) noexcept {
    if (have_.extents++ >= want_.extents) return;
    SaveForm::Counts before = want_;
    before.extents = have_.extents - 1;
    before.records = 0;
    std::byte* const at = form_ + SaveForm::bytes_for(before);
    store(at, extent.start);
    store(at + 8, extent.pages);
    store(at + 12, extent.size_class);
}

void SaveWriter::add(const SavedRecord& record) noexcept {
    if (have_.records++ >= want_.records) return;
    SaveForm::Counts before = want_;
    before.records = have_.records - 1;
    std::byte* const at = form_ + SaveForm::bytes_for(before);
    store(at, record.addr);
    store(at + 8, record.bytes);
    store(at + 16, record.orig);
    store(at + 24, record.device);
    store(at + 28, record.direction);
    store(at + 29, record.flags);
    store(at + 30, record.kind);
    store(at + 31, std::uint8_t{0});
}

bool SaveWriter::finish() noexcept {
    if (have_.regions != want_.regions || have_.devices != want_.devices || have_.extents != want_.extents ||
        have_.records != want_.records)
        return false;
    const std::size_t bytes = SaveForm::bytes_for(want_);
    std::memcpy(form_, kMagic, sizeof kMagic);
    store(form_ + 8, SaveForm::kVersion);
    store(form_ + 12, static_cast<std::uint32_t>(SaveForm::kHeaderBytes));
    store(form_ + 32, want_.regions);
    store(form_ + 36, want_.devices);
    store(form_ + 40, want_.extents);
    store(form_ + 48, want_.records);
    store(form_ + 56, std::uint64_t{0});
    SaveForm::seal({form_, bytes});
    return true;
}

}  // namespace bounce
