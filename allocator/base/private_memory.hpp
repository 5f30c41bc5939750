// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Zeroed private memory that no device sees and no forked child inherits: the child finds it zeroed again. Sparse: only
// what is touched costs memory.
#pragma once

#include <cstddef>
#include <utility>

#include "allocator/base/error.hpp"

namespace bounce {

class PrivateMemory {
public:
    PrivateMemory() noexcept = default;
    /// ENOMEM when there is no address space, or the kernel cannot wipe memory on fork.
    static Result<PrivateMemory> create(std::size_t bytes) noexcept;
    PrivateMemory(PrivateMemory&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    PrivateMemory& operator=(PrivateMemory&&) = delete;
    ~PrivateMemory();

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    PrivateMemory(std::byte* data, std::size_t bytes) noexcept : data_(data), bytes_(bytes) {}

    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// Tells the process that made it from a forked child, without a system call (a process id may be reused).
class ForkGuard {
public:
    static Result<ForkGuard> create() noexcept;
    /// False in a forked child, and in a guard that was moved from.
    [[nodiscard]] bool alive() const noexcept;

private:
    explicit ForkGuard(PrivateMemory memory) noexcept : memory_(std::move(memory)) {}

    PrivateMemory memory_;
};

}  // namespace bounce
