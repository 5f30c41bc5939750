// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/stats_segment.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace bounce {
namespace {

struct TableShape {
    int table;
    std::uint64_t record_bytes;
    std::uint64_t capacity;
};
constexpr TableShape kTables[] = {
    {BOUNCE_STATS_POOL, sizeof(bounce_stats_pool), 1},
    {BOUNCE_STATS_REGIONS, sizeof(bounce_stats_region), StatsSegment::kRegions},
    {BOUNCE_STATS_CLASSES, sizeof(bounce_stats_class), StatsSegment::kClassRows},
    {BOUNCE_STATS_DEVICES, sizeof(bounce_stats_device), StatsSegment::kDevices},
    {BOUNCE_STATS_RINGS, sizeof(bounce_stats_ring), StatsSegment::kRings},
    {BOUNCE_STATS_HISTOGRAMS, sizeof(bounce_stats_histogram), StatsSegment::kHistograms},
};
constexpr std::size_t kTableCount = sizeof kTables / sizeof kTables[0];
static_assert(kTableCount <= BOUNCE_STATS_TABLES);

constexpr std::uint64_t segment_bytes() noexcept {
    std::uint64_t bytes = sizeof(bounce_stats_header);
    for (const TableShape& shape : kTables) bytes += shape.record_bytes * shape.capacity;
    return (bytes + 4095) / 4096 * 4096;
}

}  // namespace

Result<std::unique_ptr<StatsSegment>> StatsSegment::create(std::uint64_t now_ns) noexcept {
    std::unique_ptr<StatsSegment> made(new (std::nothrow) StatsSegment);
    if (made == nullptr) return fail(ENOMEM, "no memory for a stats segment");
    made->words_ = segment_bytes() / sizeof(std::uint64_t);
    made->picture_.reset(new (std::nothrow) std::uint64_t[made->words_]{});
    if (made->picture_ == nullptr) return fail(ENOMEM, "no memory for a stats segment of %llu bytes", made->bytes());
    auto memory = SealedMemory::create("bounce-stats", made->bytes());
    if (!memory) return memory.error();
    made->shown_ = std::move(*memory);
    bounce_stats_header& header = made->header();
    header.magic = BOUNCE_STATS_MAGIC;
    header.version = BOUNCE_STATS_VERSION;
    header.header_bytes = sizeof header;
    header.bytes = made->bytes();
    header.created_ns = now_ns;
    header.pid = static_cast<std::uint64_t>(::getpid());
    header.library = bounce_version();
    header.tables = kTableCount;
    std::uint64_t offset = sizeof header;
    for (std::size_t i = 0; i < kTableCount; ++i) {
        header.directory[i] = {
            static_cast<std::uint64_t>(kTables[i].table), offset, kTables[i].record_bytes, 0, kTables[i].capacity, 0};
        offset += kTables[i].record_bytes * kTables[i].capacity;
    }
    return made;
}

StatsSegment::~StatsSegment() = default;

void StatsSegment::begin() noexcept {
    for (std::size_t i = 0; i < kTableCount; ++i) header().directory[i].count = header().directory[i].left_out = 0;
}

void StatsSegment::put(int table, const void* record) noexcept {
    bounce_stats_directory& directory = header().directory[table - 1];
    if (directory.count == directory.capacity) {
        ++directory.left_out;
        return;
    }
    std::memcpy(
        reinterpret_cast<std::byte*>(picture_.get()) + directory.offset + directory.count++ * directory.record_bytes,
        record, directory.record_bytes);
}

void StatsSegment::publish(std::uint64_t now_ns) noexcept {
    constexpr std::size_t kEpochWord = offsetof(bounce_stats_header, epoch) / sizeof(std::uint64_t);
    std::uint64_t* const shown = shown_.words();
    header().published_ns = now_ns;
    ++header().publications;
    __atomic_store_n(&shown[kEpochWord], ++epoch_, __ATOMIC_RELAXED);  // E1
    for (std::uint64_t i = 0; i < words_; ++i) {
        // What a table does not use any more stays: nobody looks there.
        if (i != kEpochWord) __atomic_store_n(&shown[i], picture_[i], __ATOMIC_RELEASE);  // E2
    }
    __atomic_store_n(&shown[kEpochWord], ++epoch_, __ATOMIC_RELEASE);  // E4
}

}  // namespace bounce
