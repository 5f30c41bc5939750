// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// May this device get this address? A pure function from what is known of a device to what it gets. The words are those
// of the public header, bounce/policy.h.
//
// It goes in four steps, each of which may only make the answer stricter: what the machine and the device demand, what
// the transport can carry, what the caller asks for, what the caller's hook says.
#pragma once

#include "allocator/base/error.hpp"
#include "bounce/policy.h"

namespace bounce {

/// `policy` is a refusal with its reason unless this succeeds. EINVAL: malformed; EPERM: the hook tried to loosen.
Result<void> decide_access(const bounce_policy_options& options, bounce_policy& policy) noexcept;

const char* decision_name(std::uint32_t decision) noexcept;
const char* level_name(std::uint32_t level) noexcept;

}  // namespace bounce
