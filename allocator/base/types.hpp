// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Distinct types for the quantities that are easily confused. An address is never a bare integer between modules.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace bounce {

/// A guest-physical address: what a device may be told.
struct Gpa {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(Gpa, Gpa) = default;
    friend constexpr Gpa operator+(Gpa a, std::uint64_t bytes) { return Gpa{a.value + bytes}; }
    friend constexpr std::uint64_t operator-(Gpa a, Gpa b) { return a.value - b.value; }
};

/// Index of a region in its pool.
struct RegionId {
    std::uint32_t value = 0;
    friend constexpr auto operator<=>(RegionId, RegionId) = default;
};

/// Operating-system index of a NUMA node; kAnyNode leaves placement to the kernel.
struct NodeId {
    std::int32_t value = -1;
    friend constexpr auto operator<=>(NodeId, NodeId) = default;
};
inline constexpr NodeId kAnyNode{};

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kChunkBytes = std::size_t{2} << 20;
inline constexpr std::size_t kPagesPerChunk = kChunkBytes / kPageBytes;
inline constexpr std::size_t kMinSlotBytes = 64;
inline constexpr std::size_t kCacheLine = 64;

}  // namespace bounce
