// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/stats_view.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "allocator/base/sealed_memory.hpp"

namespace bounce {
namespace {

constexpr int kReadTries = 1000;
// What the first version had; a directory of fewer tables is shorter.
constexpr std::uint64_t kLeastHeader = offsetof(bounce_stats_header, directory);
constexpr std::uint64_t kMostRecord = 65536;

struct TextField {
    int table;
    std::size_t offset;
    std::size_t bytes;
};
constexpr TextField kTexts[] = {
    {BOUNCE_STATS_POOL, offsetof(bounce_stats_pool, name), sizeof(bounce_stats_pool::name)},
    {BOUNCE_STATS_POOL, offsetof(bounce_stats_pool, vm_name), sizeof(bounce_stats_pool::vm_name)},
    {BOUNCE_STATS_POOL, offsetof(bounce_stats_pool, vm_uuid), sizeof(bounce_stats_pool::vm_uuid)},
    {BOUNCE_STATS_DEVICES, offsetof(bounce_stats_device, name), sizeof(bounce_stats_device::name)},
};

}  // namespace

StatsView::~StatsView() {
    if (shared_ != nullptr) ::munmap(const_cast<std::uint64_t*>(shared_), n_words_ * sizeof(std::uint64_t));
}

Result<void> StatsView::make_room(std::uint64_t bytes) noexcept {
    if (bytes < kLeastHeader || bytes > kMostBytes || bytes % sizeof(std::uint64_t) != 0)
        return fail(EINVAL, "%llu bytes are no stats segment: expected %llu to %llu, a multiple of 8", bytes,
                    kLeastHeader, kMostBytes);
    n_words_ = bytes / sizeof(std::uint64_t);
    words_.reset(new (std::nothrow) std::uint64_t[n_words_]{});
    next_.reset(new (std::nothrow) std::uint64_t[n_words_]{});
    if (words_ == nullptr || next_ == nullptr) return fail(ENOMEM, "no memory for a picture of %llu bytes", bytes);
    return {};
}

Result<std::unique_ptr<StatsView>> StatsView::open(int fd) noexcept {
    const auto bytes = SealedMemory::check(fd, "stats segment");
    if (!bytes) return bytes.error();
    std::unique_ptr<StatsView> view(new (std::nothrow) StatsView);
    if (view == nullptr) return fail(ENOMEM, "no memory for a view");
    if (auto room = view->make_room(*bytes); !room) return room.error();
    void* const memory = ::mmap(nullptr, *bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return fail_text(ENOMEM, "mmap of a stats segment: %s", std::strerror(errno));
    view->shared_ = static_cast<const std::uint64_t*>(memory);
    if (auto first = view->refresh(); !first) return first.error();
    return view;
}

Result<std::unique_ptr<StatsView>> StatsView::parse(const void* bytes, std::size_t n) noexcept {
    std::unique_ptr<StatsView> view(new (std::nothrow) StatsView);
    if (view == nullptr) return fail(ENOMEM, "no memory for a view");
    if (auto room = view->make_room(n); !room) return room.error();
    std::memcpy(view->next_.get(), bytes, n);
    if (auto good = view->check(); !good) return good.error();
    return view;
}

/// False: never while nobody wrote.
bool StatsView::copy() noexcept {
    constexpr std::size_t kEpochWord = offsetof(bounce_stats_header, epoch) / sizeof(std::uint64_t);
    for (int tries = 0;; ++tries) {
        const std::uint64_t before = __atomic_load_n(&shared_[kEpochWord], __ATOMIC_ACQUIRE);  // E5: pairs with E4
        if (before % 2 != 0 && tries < kReadTries) continue;
        for (std::uint64_t i = 0; i < n_words_; ++i)
            next_[i] = __atomic_load_n(&shared_[i], __ATOMIC_ACQUIRE);  // E3: pairs with E2
        const bool whole = before % 2 == 0 && __atomic_load_n(&shared_[kEpochWord], __ATOMIC_RELAXED) == before;
        if (whole || tries >= kReadTries) return whole;
    }
}

Result<bool> StatsView::refresh() noexcept {
    if (shared_ == nullptr) return false;
    const bool whole = copy();
    if (auto good = check(); !good) return good.error();
    return !whole;
}

/// next_ becomes the picture when every number in it is good.
Result<void> StatsView::check() noexcept {
    bounce_stats_header header{};
    std::memcpy(&header, next_.get(), std::min<std::uint64_t>(sizeof header, n_words_ * sizeof(std::uint64_t)));
    if (header.magic != BOUNCE_STATS_MAGIC)
        return fail(EINVAL, "it begins with 0x%llx: not a stats segment", header.magic);
    if (header.version != BOUNCE_STATS_VERSION)
        return fail(ENOTSUP, "a stats segment of version %llu, this library knows %llu", header.version,
                    BOUNCE_STATS_VERSION);
    const std::uint64_t bytes = n_words_ * sizeof(std::uint64_t);
    if (header.bytes != bytes || header.header_bytes < kLeastHeader || header.header_bytes > bytes ||
        header.header_bytes % 8 != 0)
        return fail(EINVAL, "a stats segment of %llu bytes says %llu, and that its header has %llu", bytes,
                    header.bytes, header.header_bytes);
    const std::uint64_t room =
        (std::min<std::uint64_t>(header.header_bytes, sizeof header) - kLeastHeader) / sizeof(bounce_stats_directory);
    // A newer owner may have more tables than we know of; those we do not know are not looked at.
    header.tables = std::min<std::uint64_t>(header.tables, room);
    for (std::uint64_t i = header.tables; i < BOUNCE_STATS_TABLES; ++i) header.directory[i] = {};
    for (std::uint64_t i = 0; i < header.tables; ++i) {
        const bounce_stats_directory& table = header.directory[i];
        if (table.table == 0) continue;
        if (table.offset % 8 != 0 || table.offset < header.header_bytes || table.offset > bytes ||
            table.record_bytes == 0 || table.record_bytes % 8 != 0 || table.record_bytes > kMostRecord ||
            table.count > table.capacity || table.capacity > (bytes - table.offset) / table.record_bytes)
            return fail(EINVAL, "table %llu of the stats segment: %llu records of %llu bytes at %llu are not in it",
                        table.table, table.capacity, table.record_bytes, table.offset);
    }
    header_ = header;
    std::swap(words_, next_);
    return {};
}

const bounce_stats_directory* StatsView::find(int table) const noexcept {
    for (const bounce_stats_directory& one : header_.directory) {
        if (table > 0 && one.table == static_cast<std::uint64_t>(table)) return &one;
    }
    return nullptr;
}

std::uint64_t StatsView::count(int table) const noexcept {
    const bounce_stats_directory* const found = find(table);
    return found != nullptr ? found->count : 0;
}

Result<bool> StatsView::record(int table, std::uint64_t index, void* record, std::size_t bytes) const noexcept {
    const bounce_stats_directory* const found = find(table);
    if (found == nullptr || index >= found->count)
        return fail(EINVAL, "record %llu of table %llu, which has %llu", index, static_cast<std::uint64_t>(table),
                    count(table));
    const auto* const from =
        reinterpret_cast<const std::byte*>(words_.get()) + found->offset + index * found->record_bytes;
    auto* const to = static_cast<std::byte*>(record);
    const std::size_t known = std::min<std::size_t>(found->record_bytes, bytes);
    std::memcpy(to, from, known);
    std::memset(to + known, 0, bytes - known);
    for (const TextField& text : kTexts) {
        if (text.table == table && text.offset + text.bytes <= bytes) to[text.offset + text.bytes - 1] = std::byte{0};
    }
    return found->record_bytes <= bytes;
}

}  // namespace bounce
