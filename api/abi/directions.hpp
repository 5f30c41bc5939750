// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#pragma once

#include <cerrno>

#include "allocator/base/error.hpp"
#include "api/dma/device.hpp"

namespace bounce::abi {

inline Result<Direction> read_direction(int direction) noexcept {
    if (direction >= BOUNCE_BIDIRECTIONAL && direction <= BOUNCE_FROM_DEVICE) [[likely]]
        return static_cast<Direction>(direction);
    return fail(EINVAL, "direction is %lld, expected 0 (bidirectional), 1 (to_device) or 2 (from_device)",
                static_cast<std::uint64_t>(direction));
}

}  // namespace bounce::abi
