// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How answers of the policy function are shown.
#pragma once

#include <string>

#include "bounce/policy.h"
#include "tools/common/json.hpp"

namespace bounce::ctl {

inline constexpr int kPolicySchema = 1;

/// Asks the library. Throws tools::Failure when the question itself is wrong.
bounce_policy ask_policy(const bounce_policy_options& options);

/// decision, reason, rings, address, bounce.
tools::Json policy_json(const bounce_policy& policy);
std::string policy_text(const bounce_policy& policy);

/// One JSON value and a newline, indented or in one line.
std::string json_text(const tools::Json& json, bool pretty);

}  // namespace bounce::ctl
