// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A device that is made of an answer of the policy function.
#pragma once

#include "allocator/base/error.hpp"
#include "api/dma/device.hpp"
#include "bounce/bounce.h"

namespace bounce::abi {

/// Puts what the policy in `options` says into `config`, which has its masks. encoding: of the pool's platform. EPERM:
/// it is a refusal; ENOTSUP: its form of address is not the pool's; EINVAL: it is no answer, or the translation makes
/// no sense.
Result<void> read_policy(const bounce_device_options& options, std::uint32_t encoding, DeviceConfig& config) noexcept;

/// Are the addresses of a front-end with this policy (NULL: no) translated? EPERM, ENOTSUP, EINVAL as above; ENOTSUP
/// also for what a back-end process cannot be given.
Result<bool> read_frontend_policy(const bounce_policy* policy, std::uint32_t encoding) noexcept;

}  // namespace bounce::abi
