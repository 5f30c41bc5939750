// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How what is outstanding is written down for another process: version 1, all little-endian.
//
//   header  64  "BNCESAVE" | u32 version | u32 bytes of the header | u64 bytes in all | u64 CRC-64 of all, itself as 0
//   |
//               u32 regions | u32 devices | u64 extents | u64 records | u64 0
//   region  16  u64 base GPA | u64 bytes                                        in the order of addresses
//   device  64  name, filled up with zeros                                      in the order of names, none twice
//   extent  16  u64 GPA of a slab or run | u32 pages | u32 size class (127: run) in the order of addresses
//   record  32  u64 GPA | u64 bytes | u64 private address | u32 device | u8 direction | u8 flags | u8 kind | u8 0
//                                                                               in the order of addresses
//
// A form is believed only as a whole: parse() looks at all of it before anything is done with any of it. Then each
// extent is what the slab core could have made, lies in one region, and no two overlap; each record is a slot of an
// extent, and each extent has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"
#include "allocator/slab/slab_tables.hpp"

namespace bounce {

struct SavedRegion {
    static constexpr std::size_t kBytes = 16;
    std::uint64_t base;
    std::uint64_t bytes;
};

struct SavedExtent {
    static constexpr std::size_t kBytes = 16;
    std::uint64_t start;
    std::uint32_t pages;
    std::uint32_t size_class;

    [[nodiscard]] bool run() const noexcept { return size_class == kRunClass; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{pages} * kPageBytes; }
    [[nodiscard]] std::uint64_t slot_bytes() const noexcept { return run() ? bytes() : kSizeClasses[size_class].bytes; }
    [[nodiscard]] std::uint32_t slots() const noexcept { return run() ? 1 : kSizeClasses[size_class].slots(pages); }
};

struct SavedRecord {
    static constexpr std::size_t kBytes = 32;
    std::uint64_t addr;
    std::uint64_t bytes;
    std::uint64_t orig;
    std::uint32_t device;
    std::uint8_t direction;
    std::uint8_t flags;
    std::uint8_t kind;
};

/// Of a form. Counts are those of the header.
class SaveForm {
public:
    static constexpr std::size_t kHeaderBytes = 64;
    static constexpr std::size_t kNameBytes = 64;
    static constexpr std::uint32_t kVersion = 1;

    struct Counts {
        std::uint32_t regions = 0;
        std::uint32_t devices = 0;
        std::uint64_t extents = 0;
        std::uint64_t records = 0;
    };
    [[nodiscard]] static std::size_t bytes_for(const Counts& counts) noexcept;

    /// EINVAL with a sentence that says what is wrong, or ENOTSUP for another version. The bytes must stay as they are.
    static Result<SaveForm> parse(std::span<const std::byte> bytes) noexcept;

    /// Writes length and checksum into a form that has been changed (tests, fuzzers).
    static void seal(std::span<std::byte> bytes) noexcept;

    [[nodiscard]] const Counts& counts() const noexcept { return counts_; }
    [[nodiscard]] SavedRegion region(std::uint32_t i) const noexcept;
    [[nodiscard]] const char* device(std::uint32_t i) const noexcept;
    [[nodiscard]] SavedExtent extent(std::uint64_t i) const noexcept;
    [[nodiscard]] SavedRecord record(std::uint64_t i) const noexcept;

private:
    SaveForm() noexcept = default;
    Result<void> check_header() noexcept;
    Result<void> check_regions() const noexcept;
    Result<void> check_devices() const noexcept;
    Result<void> check_extents() const noexcept;
    Result<void> check_records() const noexcept;

    std::span<const std::byte> bytes_;
    Counts counts_;
    const std::byte* regions_ = nullptr;
    const std::byte* devices_ = nullptr;
    const std::byte* extents_ = nullptr;
    const std::byte* records_ = nullptr;
};

/// Fills a form whose counts are known. What is added beyond them is dropped, and finish() says false.
class SaveWriter {
public:
    SaveWriter(std::byte* form, const SaveForm::Counts& counts) noexcept;
    void add(const SavedRegion& region) noexcept;
    void add(const char* device) noexcept;
    void add(const SavedExtent& extent) noexcept;
    void add(const SavedRecord& record) noexcept;
    /// Seals it. False: it did not get what its counts say, and is none.
    bool finish() noexcept;

private:
    std::byte* form_;
    SaveForm::Counts want_;
    SaveForm::Counts have_;
};

}  // namespace bounce
