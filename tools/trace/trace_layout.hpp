// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How the file of a trace is laid out: docs/trace.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bounce/trace.h"
#include "tools/common/little_endian.hpp"

namespace bounce::tools {

inline constexpr std::size_t kFileRecordBytes = 32;
inline constexpr std::size_t kHeldBytes = 32;

// The header: words of 64 bits, little-endian.
enum FileWord : std::size_t {
    kMagic,
    kVersion,
    kHeaderBytes,
    kRecordBytes,
    kRecordsAt,
    kRecords,
    kHeldAt,
    kHeld,
    kHeldRecordBytes,
    kConfigAt,
    kConfigBytes,
    kLost,
    kBeginNs,
    kBeginTicks,
    kLastNs,
    kLastTicks,
    kFileWords
};
inline constexpr std::size_t kFileHeaderBytes = 4096;
static_assert(kFileWords * 8 <= kFileHeaderBytes);

inline void encode_record(const bounce_trace_record& record, std::byte* to) {
    store_le(to, record.ticks);
    store_le(to + 8, record.addr);
    store_le(to + 16, record.bytes);
    store_le(to + 24, record.device);
    store_le(to + 28, record.buffer);
    store_le(to + 30, record.kind);
    store_le(to + 31, record.detail);
}

inline bounce_trace_record decode_record(const std::byte* from) {
    bounce_trace_record record{};
    record.ticks = load_le<std::uint64_t>(from);
    record.addr = load_le<std::uint64_t>(from + 8);
    record.bytes = load_le<std::uint64_t>(from + 16);
    record.device = load_le<std::uint32_t>(from + 24);
    record.buffer = load_le<std::uint16_t>(from + 28);
    record.kind = load_le<std::uint8_t>(from + 30);
    record.detail = load_le<std::uint8_t>(from + 31);
    return record;
}

}  // namespace bounce::tools
