// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/trace/trace_file.hpp"
#include "tools/trace/trace_layout.hpp"

namespace bounce::tools {
namespace {

constexpr std::size_t kBufferBytes = 1u << 20;

}  // namespace

TraceWriter::TraceWriter(const std::string& path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (!file_) throw Failure(text("cannot write '", path, "': ", errno_text(errno)));
    buffer_.reserve(kBufferBytes + kFileHeaderBytes);
    // Zeros, which are no trace, until it is whole.
    const std::array<std::byte, kFileHeaderBytes> nothing{};
    put(nothing.data(), nothing.size());
    flush();
    if (::lseek(file_.get(), 0, SEEK_CUR) < 0)
        throw Failure(text("'", path, "' cannot be a trace: ", errno_text(errno), " (it must be a file)"));
}

void TraceWriter::put(const void* bytes, std::size_t n) {
    const auto* const from = static_cast<const std::byte*>(bytes);
    buffer_.insert(buffer_.end(), from, from + n);
    at_ += n;
    if (buffer_.size() >= kBufferBytes) flush();
}

void TraceWriter::flush() {
    for (std::size_t done = 0; done < buffer_.size();) {
        const ssize_t n = ::write(file_.get(), buffer_.data() + done, buffer_.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) throw Failure(text("cannot write '", path_, "': ", errno_text(errno)));
        done += static_cast<std::size_t>(n);
    }
    buffer_.clear();
}

void TraceWriter::add(std::span<const bounce_trace_record> records) {
    std::array<std::byte, kFileRecordBytes> bytes;
    for (const bounce_trace_record& record : records) {
        encode_record(record, bytes.data());
        put(bytes.data(), bytes.size());
    }
    records_ += records.size();
}

void TraceWriter::finish(const TraceClock& clock, std::uint64_t lost, std::span<const TraceHeld> held,
                         const Json& config) {
    const std::uint64_t held_at = at_;
    for (const TraceHeld& one : held) {
        std::array<std::byte, kHeldBytes> bytes;
        store_le(bytes.data(), one.addr);
        store_le(bytes.data() + 8, one.slot_bytes);
        store_le(bytes.data() + 16, one.bytes);
        store_le(bytes.data() + 24, one.device);
        store_le(bytes.data() + 28, one.kind);
        put(bytes.data(), bytes.size());
    }
    const std::uint64_t config_at = at_;
    const std::string whole = config.dump();
    put(whole.data(), whole.size());
    flush();
    std::array<std::byte, kFileWords * 8> header{};
    const auto set = [&header](FileWord word, std::uint64_t value) { store_le(header.data() + word * 8, value); };
    set(kMagic, kTraceFileMagic);
    set(kVersion, kTraceFileVersion);
    set(kHeaderBytes, kFileHeaderBytes);
    set(kRecordBytes, kFileRecordBytes);
    set(kRecordsAt, kFileHeaderBytes);
    set(kRecords, records_);
    set(kHeldAt, held_at);
    set(kHeld, held.size());
    set(kHeldRecordBytes, kHeldBytes);
    set(kConfigAt, config_at);
    set(kConfigBytes, whole.size());
    set(kLost, lost);
    set(kBeginNs, clock.begin_ns);
    set(kBeginTicks, clock.begin_ticks);
    set(kLastNs, clock.last_ns);
    set(kLastTicks, clock.last_ticks);
    if (::pwrite(file_.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()))
        throw Failure(text("cannot write '", path_, "': ", errno_text(errno)));
}

}  // namespace bounce::tools
