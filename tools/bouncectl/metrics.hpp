// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A picture as OpenMetrics text.
#pragma once

#include <string>

#include "tools/common/json.hpp"

namespace bounce::ctl {

/// Of several pictures, each of a pool; with the end mark.
std::string metrics_text(const std::vector<tools::Json>& pictures);

}  // namespace bounce::ctl
