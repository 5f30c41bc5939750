// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/platform/window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "allocator/base/descriptor.hpp"

namespace bounce::emulated {
namespace {

/// Other pages at the address, in one step, which forked children do not get.
int replace(void* hva, std::uint64_t bytes, int flags, int fd, std::uint64_t offset) noexcept {
    if (::mmap(hva, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, static_cast<off_t>(offset)) == MAP_FAILED)
        return ENOMEM;
    (void)::madvise(hva, bytes, MADV_DONTFORK);
    return 0;
}

}  // namespace

Window::~Window() {
    if (fd_ >= 0) ::close(fd_);
}

int Window::open() noexcept {
    fd_ = above_stdio(::memfd_create("bounce-emulated", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd_ < 0) return errno;
    if (::ftruncate(fd_, static_cast<off_t>(kSlots * kSlotBytes)) != 0) return errno;
    return ::fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 ? 0 : errno;
}

int Window::share(const bounce_range& range, const std::byte* content) {
    pieces_.reserve(pieces_.size() + 1);
    free_slots_.reserve(slots_used_ + 1);  // so that giving one back cannot fail
    if (free_slots_.empty() && slots_used_ == kSlots) return ENOMEM;
    const std::uint64_t slot = free_slots_.empty() ? slots_used_ : free_slots_.back();
    const std::uint64_t offset = slot * kSlotBytes + range.gpa % kSlotBytes;
    // Fails where touching the pages would kill.
    if (::fallocate(fd_, 0, static_cast<off_t>(offset), static_cast<off_t>(range.bytes)) != 0) return ENOMEM;
    if (const int code = replace(range.hva, range.bytes, MAP_SHARED, fd_, offset); code != 0) return code;
    std::memcpy(range.hva, content, range.bytes);
    pieces_.push_back({range.gpa, range.bytes, offset, false});
    if (free_slots_.empty()) {
        ++slots_used_;
    } else {
        free_slots_.pop_back();
    }
    return 0;
}

int Window::unshare(const bounce_range& range, const std::byte* content) {
    const auto piece = std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& each) {
        return each.gpa == range.gpa && each.bytes >= range.bytes;
    });
    if (piece == pieces_.end()) return EINVAL;
    if (const int code = replace(range.hva, range.bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); code != 0) return code;
    std::memcpy(range.hva, content, range.bytes);
    (void)::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(piece->offset),
                      static_cast<off_t>(range.bytes));
    piece->gpa += range.bytes;
    piece->offset += range.bytes;
    piece->bytes -= range.bytes;
    if (piece->bytes == 0) {
        free_slots_.push_back((piece->offset - 1) / kSlotBytes);
        pieces_.erase(piece);
    }
    return 0;
}

const Window::Piece* Window::find(std::uint64_t gpa) const noexcept {
    for (const Piece& piece : pieces_) {
        if (gpa - piece.gpa < piece.bytes) return &piece;
    }
    return nullptr;
}

bool Window::overlaps(std::uint64_t gpa, std::uint64_t bytes) const noexcept {
    return std::any_of(pieces_.begin(), pieces_.end(),
                       [&](const Piece& piece) { return gpa - piece.gpa < piece.bytes || piece.gpa - gpa < bytes; });
}

void Window::write_off(std::uint64_t gpa, std::uint64_t bytes) noexcept {
    for (Piece& piece : pieces_) piece.lost |= gpa - piece.gpa < piece.bytes || piece.gpa - gpa < bytes;
}

std::uint64_t Window::bytes(bool lost_too) const noexcept {
    std::uint64_t sum = 0;
    for (const Piece& piece : pieces_) sum += piece.lost && !lost_too ? 0 : piece.bytes;
    return sum;
}

}  // namespace bounce::emulated
