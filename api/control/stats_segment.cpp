// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/stats_segment.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "allocator/base/descriptor.hpp"

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
    if (auto memory = made->make_memory(); !memory) return memory.error();
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

Result<void> StatsSegment::make_memory() noexcept {
    const int fd = above_stdio(::memfd_create("bounce-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0) return fail_text(ENOMEM, "memfd_create for the stats segment: %s", std::strerror(errno));
    void* memory = MAP_FAILED;
    if (::ftruncate(fd, static_cast<off_t>(bytes())) == 0)
        memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    // A forked child does not write to what is its parent's.
    const bool good =
        memory != MAP_FAILED && ::madvise(memory, bytes(), MADV_DONTFORK) == 0 && ::fcntl(fd, F_ADD_SEALS, kSeals) == 0;
    const int code = errno;
    if (memory != MAP_FAILED) shown_ = static_cast<std::uint64_t*>(memory);
    if (!good) {
        ::close(fd);
        return fail_text(ENOMEM, "the memory of the stats segment: %s", std::strerror(code));
    }
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    // Without /proc it stays the one that can be written to; but the seal keeps others from it.
    fd_ = above_stdio(::open(path, O_RDONLY | O_CLOEXEC));
    if (fd_ < 0) {
        fd_ = fd;
    } else {
        ::close(fd);
    }
    return {};
}

StatsSegment::~StatsSegment() {
    if (shown_ != nullptr) ::munmap(shown_, bytes());
    if (fd_ >= 0) ::close(fd_);
}

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
    header().published_ns = now_ns;
    ++header().publications;
    __atomic_store_n(&shown_[kEpochWord], ++epoch_, __ATOMIC_RELAXED);  // E1
    for (std::uint64_t i = 0; i < words_; ++i) {
        // What a table does not use any more stays: nobody looks there.
        if (i != kEpochWord) __atomic_store_n(&shown_[i], picture_[i], __ATOMIC_RELEASE);  // E2
    }
    __atomic_store_n(&shown_[kEpochWord], ++epoch_, __ATOMIC_RELEASE);  // E4
}

}  // namespace bounce
