// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/trace/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tools/common/failure.hpp"
#include "tools/trace/trace_layout.hpp"

namespace bounce::tools {
namespace {

constexpr std::uint64_t kMostConfig = 64u << 20;
constexpr std::uint64_t kMostHeld = std::uint64_t{1} << 26;
constexpr std::uint64_t kMostDemand = std::uint64_t{1} << 40;  // bytes of one request
constexpr std::uint8_t kMostAlign = 21;
constexpr std::size_t kRecordsAtOnce = 16384;

/// "" when it is good.
std::string wrong_with(const bounce_trace_record& record) {
    if (record.kind < BOUNCE_TRACE_MAP || record.kind > BOUNCE_TRACE_NO_BLOCK)
        return text("kind ", int{record.kind}, ", expected 1 to ", int{BOUNCE_TRACE_NO_BLOCK});
    if (record.bytes == 0 || record.bytes > kMostDemand)
        return text(record.bytes, " bytes, expected 1 to ", kMostDemand);
    const bool places =
        record.kind == BOUNCE_TRACE_MAP || record.kind == BOUNCE_TRACE_COHERENT || record.kind == BOUNCE_TRACE_BUFFER;
    if (places && record.detail > kMostAlign)
        return text("an alignment of 2^", int{record.detail}, ", expected at most 2^", int{kMostAlign});
    if (record.kind == BOUNCE_TRACE_NO_BLOCK && record.addr != BOUNCE_TRACE_COHERENT &&
        record.addr != BOUNCE_TRACE_BUFFER)
        return text("a block of kind ", record.addr, ", expected 6 or 7");
    return {};
}

}  // namespace

TraceReader::TraceReader(const std::string& path) : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (!file_ && errno == ENOENT) throw NoTarget(text("there is no trace '", path, "'"));
    if (!file_) throw Failure(text("cannot read '", path, "': ", errno_text(errno)));
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) refuse("not a file");
    bytes_ = static_cast<std::uint64_t>(status.st_size);
    read_header();
}

void TraceReader::refuse(const std::string& why) const {
    throw Failure(text("'", path_, "' is no trace of 'bouncectl record': ", why));
}

void TraceReader::read(void* to, std::size_t n, std::uint64_t at) const {
    for (std::size_t done = 0; done < n;) {
        const ssize_t got =
            ::pread(file_.get(), static_cast<char*>(to) + done, n - done, static_cast<off_t>(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw Failure(text("cannot read '", path_, "': ", errno_text(errno)));
        if (got == 0) refuse(text("it ends at byte ", at + done, ", in the middle"));
        done += static_cast<std::size_t>(got);
    }
}

void TraceReader::read_header() {
    if (bytes_ == 0) refuse("it is empty");
    std::array<std::byte, kFileWords * 8> header;
    if (bytes_ < header.size()) refuse(text("it has ", bytes_, " bytes, expected at least ", header.size()));
    read(header.data(), header.size(), 0);
    const auto get = [&header](FileWord word) { return load_le<std::uint64_t>(header.data() + word * 8); };
    if (get(kMagic) == 0) refuse("the recording was not ended, so it does not say what is in it");
    if (get(kMagic) != kTraceFileMagic) refuse("it begins with something else");
    if (get(kVersion) != kTraceFileVersion)
        throw Failure(
            text("'", path_, "' is a trace of version ", get(kVersion), ", this program knows ", kTraceFileVersion));
    // A later version may have more behind each record.
    const auto inside = [this](const char* what, std::uint64_t at, std::uint64_t n, std::uint64_t each) {
        if (at > bytes_ || (n != 0 && n > (bytes_ - at) / each))
            refuse(text(n, " ", what, " of ", each, " bytes at ", at, " are not in its ", bytes_, " bytes"));
    };
    if (get(kRecordBytes) != kFileRecordBytes || get(kHeldRecordBytes) != kHeldBytes)
        refuse(text("its records have ", get(kRecordBytes), " and ", get(kHeldRecordBytes), " bytes, expected ",
                    kFileRecordBytes, " and ", kHeldBytes));
    inside("records", get(kRecordsAt), get(kRecords), kFileRecordBytes);
    inside("records of what was held", get(kHeldAt), get(kHeld), kHeldBytes);
    inside("bytes of configuration", get(kConfigAt), get(kConfigBytes), 1);
    if (get(kConfigBytes) > kMostConfig || get(kHeld) > kMostHeld)
        refuse(text("it has ", get(kConfigBytes), " bytes of configuration and ", get(kHeld),
                    " records of what was held, expected at most ", kMostConfig, " and ", kMostHeld));
    records_at_ = get(kRecordsAt);
    records_ = get(kRecords);
    lost_ = get(kLost);
    clock_ = {get(kBeginNs), get(kBeginTicks), get(kLastNs), get(kLastTicks)};
    std::vector<std::byte> held(get(kHeld) * kHeldBytes);
    read(held.data(), held.size(), get(kHeldAt));
    for (std::size_t at = 0; at < held.size(); at += kHeldBytes) {
        TraceHeld one;
        one.addr = load_le<std::uint64_t>(&held[at]);
        one.slot_bytes = load_le<std::uint64_t>(&held[at + 8]);
        one.bytes = load_le<std::uint64_t>(&held[at + 16]);
        one.device = load_le<std::uint32_t>(&held[at + 24]);
        one.kind = load_le<std::uint32_t>(&held[at + 28]);
        if (one.kind < 1 || one.kind > 3 || one.slot_bytes == 0 || one.slot_bytes > kMostDemand ||
            one.bytes > kMostDemand || one.addr > UINT64_MAX - one.slot_bytes)
            refuse(text("what was held at ", one.addr, " has kind ", one.kind, " and ", one.slot_bytes, " bytes"));
        held_.push_back(one);
    }
    std::string config(get(kConfigBytes), '\0');
    read(config.data(), config.size(), get(kConfigAt));
    try {
        read_config(config);
    } catch (const Failure& failure) {
        refuse(text("its configuration: ", failure.what()));
    }
}

void TraceReader::each(const std::function<void(const bounce_trace_record&)>& visit) const {
    std::vector<std::byte> bytes(kRecordsAtOnce * kFileRecordBytes);
    for (std::uint64_t done = 0; done < records_;) {
        const std::uint64_t n = std::min<std::uint64_t>(kRecordsAtOnce, records_ - done);
        read(bytes.data(), n * kFileRecordBytes, records_at_ + done * kFileRecordBytes);
        for (std::uint64_t i = 0; i < n; ++i) {
            const bounce_trace_record record = decode_record(&bytes[i * kFileRecordBytes]);
            if (const std::string wrong = wrong_with(record); !wrong.empty())
                refuse(text("record ", done + i, " has ", wrong));
            visit(record);
        }
        done += n;
    }
}

}  // namespace bounce::tools
