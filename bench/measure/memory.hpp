// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory that is handed to the subjects, and how much the process has in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace bench {

/// A shared mapping of a memfd, as a pool's region is one. Sparse until it is touched.
class SharedArea {
public:
    /// align: power of two, at least 4096. Throws std::system_error.
    explicit SharedArea(std::uint64_t bytes, std::uint64_t align = 4096, bool touch = false);
    SharedArea(SharedArea&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), fd_(std::exchange(other.fd_, -1)) {}
    SharedArea& operator=(SharedArea&&) = delete;
    ~SharedArea();
    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    std::byte* data_ = nullptr;
    std::uint64_t bytes_;
    int fd_ = -1;
};

/// Resident memory of this process.
std::uint64_t resident_bytes();
/// What of it is neither shared nor of a file.
std::uint64_t private_bytes();

}  // namespace bench
