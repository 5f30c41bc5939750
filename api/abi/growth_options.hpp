// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#pragma once

#include "allocator/base/error.hpp"
#include "allocator/pool/growth.hpp"
#include "allocator/region/sharing.hpp"
#include "bounce/bounce.h"

namespace bounce::abi {

/// Checks what only the C struct can get wrong, hooks included; sizes and addresses are the pool's to check.
Result<GrowthConfig> read_growth_options(const bounce_pool_options& options) noexcept;

/// Hooks that call the host's and log what fails. `pool` is what they refer to, and keeps the host's.
ShareHooks share_hooks(bounce_pool& pool, const bounce_pool_options& options) noexcept;

}  // namespace bounce::abi
