// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The memory of the bare subjects, which have no pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tools/common/descriptor.hpp"

namespace bounce::tools {

/// Shared memory of its own, not of a pool.
class BareMemory {
public:
    BareMemory(const char* name, std::uint64_t bytes, bool hugepages);
    ~BareMemory();
    BareMemory(const BareMemory&) = delete;
    BareMemory& operator=(const BareMemory&) = delete;

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return bytes_; }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
    Descriptor fd_;
    std::uint64_t bytes_;
    std::byte* data_ = nullptr;
};

}  // namespace bounce::tools
