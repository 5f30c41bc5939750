// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Shared memory as the kernel gives it: a sealed memfd, mapped once at an address of its own. What a region is made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "allocator/base/error.hpp"
#include "allocator/base/types.hpp"

namespace bounce {

struct SharedMemoryConfig {
    const char* name = "bounce";
    std::uint64_t bytes = 0;
    std::uint64_t phase = 0;  // the address is congruent to this modulo 2 MiB
    NodeId node = kAnyNode;
    bool hugepages = false;
    bool prefault = false;
};

/// Owns the descriptor and the mapping until they are released or moved over another mapping.
/// Fills a piece of shared memory, of pages of page_bytes, with pages; `data` is where its first byte is mapped. ENOMEM
/// where touching it would kill with SIGBUS.
Result<void> populate(int fd, std::byte* data, std::uint64_t offset, std::uint64_t bytes,
                      std::uint32_t page_bytes) noexcept;
/// Nothing is there any more, but the addresses stay reserved; the pages of the piece are free. ENOMEM.
Result<void> vacate(int fd, std::byte* data, std::uint64_t offset, std::uint64_t bytes) noexcept;

class SharedMemory {
public:
    /// Zeroed, sealed against any change of size, not inherited by children. ENOMEM, EINVAL (no such node), ENOTSUP.
    static Result<SharedMemory> create(const SharedMemoryConfig& config) noexcept;
    SharedMemory(SharedMemory&& other) noexcept;
    SharedMemory& operator=(SharedMemory&&) = delete;
    ~SharedMemory();

    [[nodiscard]] std::uint32_t page_bytes() const noexcept { return page_bytes_; }

    /// The mapping and the descriptor become the caller's.
    [[nodiscard]] std::byte* release_mapping() noexcept;
    [[nodiscard]] int release_fd() noexcept;

    /// The mapping takes the place of `bytes` of another one at `target`, in one step for other threads. On failure
    /// nobody can tell what is there. A child that is forked during the call may inherit hugepages.
    Result<void> move_over(std::byte* target) noexcept;
    /// The same with one piece of the mapping after the other, in ascending order. What is not moved is unmapped.
    Result<void> move_piece_over(std::byte* target, std::uint64_t offset, std::uint64_t bytes) noexcept;

private:
    SharedMemory(int fd, std::uint64_t bytes, std::uint32_t page_bytes) noexcept
        : fd_(fd), bytes_(bytes), page_bytes_(page_bytes) {}
    static Result<SharedMemory> create_pages(const SharedMemoryConfig& config, bool huge) noexcept;
    Result<void> seal() const noexcept;
    Result<void> map(std::uint64_t phase) noexcept;
    Result<void> map_at(std::byte* target, std::uint64_t offset, std::uint64_t bytes, int protection) const noexcept;

    int fd_;
    std::byte* data_ = nullptr;
    std::uint64_t bytes_;
    std::uint64_t moved_ = 0;  // what lies below is not mapped here any more
    std::uint32_t page_bytes_;
};

}  // namespace bounce
