// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A core on plain memory: no region, no mapping, only offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocator/slab/slab_core.hpp"

namespace bounce {

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

class Core {
public:
    Core(std::uint64_t base, std::uint64_t bytes)
        : lines_(SlabTables::bytes_needed(Gpa{base}, bytes) / sizeof(Line) + 1),
          bytes_(bytes),
          core(Gpa{base}, bytes, lines_.data()->bytes, usage) {}

    int alloc(std::uint64_t bytes, Placement& placement, std::uint64_t align = 1) {
        return core.alloc({bytes, align, bytes_, 1}, placement);
    }

private:
    struct alignas(kCacheLine) Line {
        std::byte bytes[kCacheLine];
    };
    std::vector<Line> lines_;
    std::uint64_t bytes_;

public:
    Usage usage;
    SlabCore core;
};

}  // namespace bounce
