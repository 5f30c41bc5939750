// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#pragma once

#include "allocator/base/error.hpp"
#include "allocator/region/address_form.hpp"
#include "allocator/region/sharing.hpp"
#include "api/abi/handles.hpp"
#include "bounce/platform.h"

namespace bounce::abi {

/// A copy of what the host handed in, once it makes sense.
Result<bounce_platform> read_platform(const bounce_platform* given) noexcept;

AddressForm address_form(const bounce_platform& platform) noexcept;

/// Hooks that call those of `pool.platform` and log what fails.
ShareHooks platform_hooks(bounce_pool& pool) noexcept;

}  // namespace bounce::abi
