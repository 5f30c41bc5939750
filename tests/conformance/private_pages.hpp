// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Pages of the guest's own.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <unordered_set>

#include "tests/conformance/device_process.hpp"

namespace bounce::conformance {

class PrivatePages {
public:
    explicit PrivatePages(std::size_t bytes)
        : data_(static_cast<std::byte*>(
              ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
          bytes_(bytes) {
        if (static_cast<void*>(data_) == MAP_FAILED) throw std::bad_alloc();
    }
    ~PrivatePages() { ::munmap(data_, bytes_); }
    PrivatePages(const PrivatePages&) = delete;
    PrivatePages& operator=(const PrivatePages&) = delete;

    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] Bytes copy() const { return {data_, data_ + bytes_}; }
    void fill(const Bytes& with) {
        for (std::size_t at = 0; at < bytes_; ++at) data_[at] = with[at % with.size()];
    }

private:
    std::byte* data_;
    std::size_t bytes_;
};

/// Does any 8 bytes in a row of the secret occur in `seen`?
inline bool shows(const Bytes& seen, const Bytes& secret) {
    std::unordered_set<std::uint64_t> words;
    std::uint64_t word = 0;
    for (std::size_t at = 0; at + sizeof word <= secret.size(); ++at) {
        std::memcpy(&word, secret.data() + at, sizeof word);
        words.insert(word);
    }
    for (std::size_t at = 0; at + sizeof word <= seen.size(); ++at) {
        std::memcpy(&word, seen.data() + at, sizeof word);
        if (words.count(word) != 0) return true;
    }
    return false;
}

}  // namespace bounce::conformance
