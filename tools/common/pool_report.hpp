// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A pool, for people and for programs.
#pragma once

#include <string>
#include <string_view>

#include "bounce/bounce.h"
#include "tools/common/json.hpp"
#include "tools/common/report.hpp"

namespace bounce::tools {

/// "  name        value", names in one column.
void report_line(const Report& report, std::string_view name, const std::string& value);

Json pool_json(bounce_pool* pool);
/// What pool_json() returned.
void print_pool(const Report& report, const Json& pool);

}  // namespace bounce::tools
