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

std::string FileSink::fate() const {
    return text(fd_ == STDOUT_FILENO ? "went to " : "are in ", name_);
}

void CompareSink::consume(std::span<const std::byte> bytes, std::uint64_t offset) {
    buffer_.resize(bytes.size());
    const std::size_t got = read_full(expected_, buffer_);
    if (got < bytes.size()) throw Failure(text(expected_.name(), " became shorter while it was compared"));
    if (std::memcmp(bytes.data(), buffer_.data(), bytes.size()) == 0) return;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (bytes[i] == buffer_[i]) continue;
        if (!first_) first_ = offset + i;
        ++mismatched_;
    }
}

}  // namespace bounce::blk
