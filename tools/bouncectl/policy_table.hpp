// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Every kind of system that there is a rule for. A row is a question; its answers are the policy function's.
#pragma once

#include <string>

#include "tools/common/json.hpp"

namespace bounce::ctl {

/// A Markdown table.
std::string policy_table_text();
/// schema_version, rows.
tools::Json policy_table_json();

}  // namespace bounce::ctl
