// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#pragma once

#include "allocator/base/error.hpp"
#include "allocator/region/region.hpp"
#include "bounce/bounce.h"

namespace bounce::abi {

/// Checks what only the C struct can get wrong; sizes, addresses and alignment are Region::create()'s to check.
Result<RegionConfig> read_region_options(const bounce_region_options* given, const char* what) noexcept;

}  // namespace bounce::abi
