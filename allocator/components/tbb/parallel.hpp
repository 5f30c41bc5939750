// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Work on a long stretch of memory, cut into pieces that threads of one NUMA node take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bounce::tbb_component {

/// Pieces end at multiples of this address-wise: what a hugepage has, no two threads fight over.
inline constexpr std::size_t kPieceBytes = std::size_t{2} << 20;

struct Job {
    std::byte* begin = nullptr;
    std::size_t bytes = 0;
    int node = -1;              // operating system index; -1: any
    std::uint32_t threads = 0;  // 0: all there are
    /// 0 or a positive errno value, for one piece.
    int (*work)(void* context, std::byte* begin, std::size_t bytes) noexcept = nullptr;
    void* context = nullptr;
};

/// All pieces have been worked on: 0. Else the error of one of them, and pieces that nobody had begun are left out;
/// ENOMEM when threads or their memory cannot be had.
int run(const Job& job) noexcept;

}  // namespace bounce::tbb_component
