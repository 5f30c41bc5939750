// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bounce-blk/source.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "tools/common/failure.hpp"
#include "tools/common/files.hpp"
#include "tools/common/little_endian.hpp"
#include "tools/common/random.hpp"
#include "tools/common/signals.hpp"

namespace bounce::blk {

using tools::errno_text;
using tools::Failure;
using tools::text;

std::size_t read_full(Source& source, std::span<std::byte> into) {
    std::size_t filled = 0;
    while (filled < into.size()) {
        tools::throw_if_stopped();
        const auto got = source.read_some(into.subspan(filled));
        if (!got) {
            source.wait();
        } else if (*got == 0) {
            break;
        } else {
            filled += *got;
        }
    }
    return filled;
}

FileSource::FileSource(const std::string& path, std::uint64_t skip, std::optional<std::uint64_t> limit)
    : name_(path == "-" ? "stdin" : text("'", path, "'")), left_(limit) {
    if (path == "-") {
        fd_ = STDIN_FILENO;
    } else {
        owned_ = tools::open_file(path, O_RDONLY);
        fd_ = owned_.get();
    }
    if (fd_ < 0) throw Failure(text("cannot open ", name_, ": ", errno_text(errno)));
    find_size(skip);
}

void FileSource::find_size(std::uint64_t skip) {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) throw Failure(text("cannot read ", name_, ": ", errno_text(errno)));
    if (S_ISDIR(status.st_mode)) throw Failure(text("cannot read ", name_, ": it is a directory"));
    // A file on stdin may stand somewhere in its middle already.
    const off_t here = ::lseek(fd_, 0, SEEK_CUR);
    const off_t end = here >= 0 && !S_ISCHR(status.st_mode) ? ::lseek(fd_, 0, SEEK_END) : -1;
    if (end < here || end < 0) {
        may_block_ = !S_ISREG(status.st_mode);
        skip_by_reading(skip);
        return;
    }
    const auto there = static_cast<std::uint64_t>(end - here);
    if (skip > there) {
        throw Failure(text("cannot leave out the first ", skip, " bytes of ", name_, ": it has only ", there));
    }
    if (::lseek(fd_, here + static_cast<off_t>(skip), SEEK_SET) < 0) {
        throw Failure(text("cannot seek in ", name_, ": ", errno_text(errno)));
    }
    size_ = std::min(there - skip, left_.value_or(there));
}

void FileSource::skip_by_reading(std::uint64_t bytes) {
    const auto limit = std::exchange(left_, std::nullopt);
    std::vector<std::byte> scratch(std::min<std::uint64_t>(bytes, 65536));
    while (bytes > 0) {
        const std::size_t step = std::min<std::uint64_t>(bytes, scratch.size());
        const std::size_t got = read_full(*this, std::span(scratch).first(step));
        if (got < step) throw Failure(text(name_, " ended before the bytes to leave out did"));
        bytes -= got;
    }
    left_ = limit;
}

std::optional<std::size_t> FileSource::read_some(std::span<std::byte> into) {
    if (left_) into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), *left_)));
    if (into.empty()) return 0;
    if (may_block_) {
        pollfd ready{fd_, POLLIN, 0};
        if (::poll(&ready, 1, 0) == 0) return std::nullopt;
    }
    const ssize_t got = ::read(fd_, into.data(), into.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return std::nullopt;
    if (got < 0) throw Failure(text("cannot read ", name_, ": ", errno_text(errno)));
    if (left_) *left_ -= static_cast<std::uint64_t>(got);
    return static_cast<std::size_t>(got);
}

void FileSource::wait() {
    pollfd ready{fd_, POLLIN, 0};
    ::poll(&ready, 1, 50);
}

PatternSource::PatternSource(std::uint64_t seed, std::uint64_t offset, std::uint64_t bytes)
    : seed_(seed), at_(offset), end_(offset + bytes), size_(bytes) {}

std::optional<std::size_t> PatternSource::read_some(std::span<std::byte> into) {
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), end_ - at_));
    for (std::size_t done = 0; done < bytes;) {
        const std::uint64_t word_index = (at_ + done) / 8;
        const std::size_t skip = (at_ + done) % 8;
        std::array<std::byte, 8> word{};
        tools::store_le(word.data(), tools::mix(seed_ ^ tools::mix(word_index)));
        const std::size_t step = std::min(bytes - done, 8 - skip);
        std::memcpy(into.data() + done, word.data() + skip, step);
        done += step;
    }
    at_ += bytes;
    return bytes;
}

}  // namespace bounce::blk
