// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that this process writes and others look at: a memfd that nobody makes smaller or larger, and that nobody can
// write to but by the mapping made here. Not for devices: those have regions.
#pragma once

#include <fcntl.h>
#include <linux/memfd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "allocator/base/error.hpp"

namespace bounce {

class SealedMemory {
public:
    static constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

    SealedMemory() noexcept = default;
    /// bytes: a multiple of 4096; they are zeroed. name: shown in /proc/PID/maps. ENOMEM.
    static Result<SealedMemory> create(const char* name, std::size_t bytes) noexcept;
    SealedMemory(SealedMemory&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)),
          words_(std::exchange(other.words_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    SealedMemory& operator=(SealedMemory&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(words_, other.words_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    SealedMemory(const SealedMemory&) = delete;
    SealedMemory& operator=(const SealedMemory&) = delete;
    ~SealedMemory();

    /// Read-only, and its own.
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// A forked child does not have the mapping.
    [[nodiscard]] std::uint64_t* words() const noexcept { return words_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// In a forked child: nothing is unmapped there.
    void forget() noexcept { words_ = nullptr; }

    /// Has the memfd behind a descriptor these seals? EINVAL; `what` it should be.
    static Result<std::uint64_t> check(int fd, const char* what) noexcept;

private:
    int fd_ = -1;
    std::uint64_t* words_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace bounce
