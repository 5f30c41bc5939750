// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/sink.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "tools/common/failure.hpp"
#include "tools/common/files.hpp"
#include "tools/common/report.hpp"
#include "tools/common/signals.hpp"

namespace bounce::blk {

using tools::errno_text;
using tools::Failure;
using tools::text;

FileSink::FileSink(const std::string& path, std::uint64_t skip) : name_(path == "-" ? "stdout" : text("'", path, "'")) {
    if (path == "-") {
        fd_ = STDOUT_FILENO;
    } else {
        owned_ = tools::open_file(path, O_WRONLY | O_CREAT | (skip == 0 ? O_TRUNC : 0));
        fd_ = owned_.get();
    }
    if (fd_ < 0) throw Failure(text("cannot open ", name_, " for writing: ", errno_text(errno)));
    if (skip == 0) return;
    if (skip > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) ||
        ::lseek(fd_, static_cast<off_t>(skip), SEEK_CUR) < 0) {
        throw Failure(text("cannot begin at byte ", skip, " of ", name_, ": ", errno_text(errno != 0 ? errno : EFBIG)));
    }
}

void FileSink::consume(std::span<const std::byte> bytes, std::uint64_t /*offset*/) {
    tools::write_all(fd_, bytes.data(), bytes.size(), name_);
}

std::string FileSink::state(std::uint64_t given, std::uint64_t length) const {
    return text(given, " of ", length, " bytes ", fd_ == STDOUT_FILENO ? "went to " : "are in ", name_);
}

void CompareSink::consume(std::span<const std::byte> bytes, std::uint64_t offset) {
    while (taken_ < bytes.size()) {
        tools::throw_if_stopped();
        taken_ += compare_some(bytes.subspan(taken_), offset + taken_);
    }
    taken_ = 0;
}

std::size_t CompareSink::compare_some(std::span<const std::byte> bytes, std::uint64_t offset) {
    buffer_.resize(bytes.size());
    const auto got = expected_.read_some(buffer_);
    if (!got) {
        while_waiting_();
        expected_.wait();
        return 0;
    }
    if (*got == 0) {
        ended_early_ = true;
        if (expected_.size()) throw Failure(text(expected_.name(), " became shorter while it was compared"));
        throw Failure(text(expected_.name(), " ended after ", compared_, " bytes; --length says ", length_));
    }
    compared_ += *got;
    if (std::memcmp(bytes.data(), buffer_.data(), *got) == 0) return *got;
    for (std::size_t i = 0; i < *got; ++i) {
        if (bytes[i] == buffer_[i]) continue;
        if (!first_) first_ = offset + i;
        ++mismatched_;
    }
    return *got;
}

std::string CompareSink::state(std::uint64_t /*given*/, std::uint64_t length) const {
    const std::string compared = text(compared_, " of ", length, " bytes were compared");
    if (!first_) return compared_ > 0 ? text(compared, " and are the same") : compared;
    return text(compared, ", of which ", mismatched_, " differ, the first at offset ", *first_, " of the device");
}

}  // namespace bounce::blk
