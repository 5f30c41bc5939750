// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Memory for pages that are in use, without changing what is in them.
#pragma once

#include <cstddef>

namespace bounce::tbb_component {

/// The work of a prefault: 0 or a positive errno value.
int populate(void* unused, std::byte* begin, std::size_t bytes) noexcept;

/// How it is done where the kernel has no call for it: an atomic operation on each page that leaves it as it is. (A
/// plain read and write back would undo what somebody else writes in between.)
void touch(std::byte* begin, std::size_t bytes) noexcept;

}  // namespace bounce::tbb_component
