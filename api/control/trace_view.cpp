// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/control/trace_view.hpp"

#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>

#include "allocator/base/bits.hpp"
#include "allocator/base/clock.hpp"
#include "allocator/base/sealed_memory.hpp"

namespace bounce {
namespace {

constexpr std::uint64_t kRecordWords = 4;
constexpr std::uint64_t kRecordBytes = kRecordWords * sizeof(std::uint64_t);

}  // namespace

TraceView::~TraceView() {
    if (mapped_) ::munmap(const_cast<std::uint64_t*>(words_), bytes_);
}

Result<std::unique_ptr<TraceView>> TraceView::over(const std::uint64_t* words, std::uint64_t bytes) noexcept {
    if (bytes < sizeof(bounce_trace_header) || bytes > kMostBytes || bytes % sizeof(std::uint64_t) != 0)
        return fail(EINVAL, "%llu bytes are no trace: expected %llu to %llu, a multiple of 8", bytes,
                    sizeof(bounce_trace_header), kMostBytes);
    std::unique_ptr<TraceView> view(new (std::nothrow) TraceView);
    if (view == nullptr) return fail(ENOMEM, "no memory for a view of a trace");
    view->words_ = words;
    view->bytes_ = bytes;
    if (auto good = view->check(); !good) return good.error();
    return view;
}

Result<std::unique_ptr<TraceView>> TraceView::open(int fd) noexcept {
    const auto bytes = SealedMemory::check(fd, "trace");
    if (!bytes) return bytes.error();
    if (*bytes == 0) return fail(EINVAL, "descriptor %llu is no trace: it is empty", static_cast<std::uint64_t>(fd));
    void* const memory = ::mmap(nullptr, *bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return fail_text(ENOMEM, "mmap of a trace: %s", std::strerror(errno));
    auto view = over(static_cast<const std::uint64_t*>(memory), *bytes);
    if (view) {
        (*view)->mapped_ = true;
    } else {
        ::munmap(memory, *bytes);
    }
    return view;
}

std::uint64_t TraceView::field(std::size_t offset) const noexcept {
    return __atomic_load_n(&words_[offset / sizeof(std::uint64_t)], __ATOMIC_ACQUIRE);
}

Result<void> TraceView::check() noexcept {
    const std::uint64_t magic = field(offsetof(bounce_trace_header, magic));
    if (magic != BOUNCE_TRACE_MAGIC) return fail(EINVAL, "it begins with 0x%llx: not a trace", magic);
    const std::uint64_t version = field(offsetof(bounce_trace_header, version));
    if (version != BOUNCE_TRACE_VERSION)
        return fail(ENOTSUP, "a trace of version %llu, this library knows %llu", version, BOUNCE_TRACE_VERSION);
    const std::uint64_t said = field(offsetof(bounce_trace_header, bytes));
    const std::uint64_t at = field(offsetof(bounce_trace_header, header_bytes));
    const std::uint64_t record = field(offsetof(bounce_trace_header, record_bytes));
    const std::uint64_t capacity = field(offsetof(bounce_trace_header, capacity));
    if (said != bytes_ || at < sizeof(bounce_trace_header) || at > bytes_ || at % kRecordBytes != 0 ||
        record != kRecordBytes || !std::has_single_bit(capacity) || capacity < 4 ||
        capacity > (bytes_ - at) / kRecordBytes)
        return fail(EINVAL,
                    "a trace of %llu bytes says that it has %llu records behind %llu bytes: they are not in it, or not "
                    "of %llu bytes",
                    bytes_, capacity, at, kRecordBytes);
    records_at_ = at / sizeof(std::uint64_t);
    capacity_ = capacity;
    turn_ = field(offsetof(bounce_trace_header, turn));
    next_ = field(offsetof(bounce_trace_header, first));
    return {};
}

/// The record next_, which is then behind us. kPassed: next_ is one that may still be there.
TraceView::Got TraceView::take(bounce_trace_record& record) noexcept {
    const std::uint64_t* const words = words_ + records_at_ + (next_ & (capacity_ - 1)) * kRecordWords;
    const std::uint64_t head = __atomic_load_n(&words[0], __ATOMIC_ACQUIRE);  // T8
    const auto ahead =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(head) - static_cast<std::uint32_t>(next_ + 1));
    if (head == 0 || ahead < 0) return Got::kNotYet;
    const std::uint64_t ticks = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);  // T6
    const std::uint64_t addr = __atomic_load_n(&words[2], __ATOMIC_ACQUIRE);
    const std::uint64_t rest = __atomic_load_n(&words[3], __ATOMIC_ACQUIRE);
    if (ahead > 0 || __atomic_load_n(&words[0], __ATOMIC_RELAXED) != head) {
        // Overwritten. What is a quarter younger than the oldest is likely to be there when we come to it.
        const std::uint64_t newest = next_ + (ahead > 0 ? static_cast<std::uint64_t>(ahead) : capacity_);
        const std::uint64_t oldest = newest >= capacity_ ? newest - capacity_ + 1 : 0;
        const std::uint64_t to = std::max(oldest + capacity_ / 4, next_ + 1);
        lost_ += to - next_;
        next_ = to;
        return Got::kPassed;
    }
    record.ticks = ticks;
    record.addr = addr;
    record.bytes = rest & ((std::uint64_t{1} << 40) - 1);
    record.device = static_cast<std::uint32_t>(rest >> 40);
    record.buffer = static_cast<std::uint16_t>(head >> 32);
    record.detail = static_cast<std::uint8_t>(head >> 48);
    record.kind = static_cast<std::uint8_t>(head >> 56);
    ++next_;
    return Got::kRecord;
}

Result<std::uint64_t> TraceView::read(std::span<bounce_trace_record> records) noexcept {
    std::uint64_t n = 0;
    // Before the records: what was written before the end is there when the end is seen.
    const bool closed = field(offsetof(bounce_trace_header, ended)) != 0;
    const std::uint64_t end = field(offsetof(bounce_trace_header, end));
    if (field(offsetof(bounce_trace_header, turn)) != turn_)
        return fail(EINVAL, "the trace has ended, and another one has begun in its memory");
    // A jump costs as much as a record, so that a writer who lies holds nobody up.
    for (std::size_t steps = 0; steps < records.size() && !ended_; ++steps) {
        if (closed && next_ >= end) {
            ended_ = true;
            break;
        }
        const Got got = take(records[n]);
        if (got != Got::kNotYet) missing_since_ = 0;
        if (got == Got::kRecord) ++n;
        if (got != Got::kNotYet) continue;
        // Nobody is there yet, or somebody is slow: then one behind it is there.
        const std::uint64_t* const after = words_ + records_at_ + ((next_ + 1) & (capacity_ - 1)) * kRecordWords;
        const std::uint64_t head = __atomic_load_n(after, __ATOMIC_ACQUIRE);
        const bool behind = head != 0 && static_cast<std::int32_t>(static_cast<std::uint32_t>(head) -
                                                                   static_cast<std::uint32_t>(next_ + 2)) >= 0;
        if (!behind && !closed) break;
        const std::uint64_t now = clock_ns();
        if (missing_since_ == 0) missing_since_ = now;
        if (now - missing_since_ < kPatience) break;
        ++lost_;
        ++next_;
        missing_since_ = now - kPatience;  // those behind it have been waited for as long
    }
    read_ += n;
    return n;
}

bounce_trace_status TraceView::status() const noexcept {
    bounce_trace_status status{};
    status.records = read_;
    status.lost = lost_;
    status.begin_ns = field(offsetof(bounce_trace_header, begin_ns));
    status.begin_ticks = field(offsetof(bounce_trace_header, begin_ticks));
    status.last_ns = field(offsetof(bounce_trace_header, last_ns));
    status.last_ticks = field(offsetof(bounce_trace_header, last_ticks));
    status.ended = ended_ ? 1 : 0;
    status.turn = turn_;
    return status;
}

}  // namespace bounce
