// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The one place that includes the JSON library.
#pragma once

#include <nlohmann/json.hpp>

namespace bounce::tools {

using Json = nlohmann::ordered_json;

}  // namespace bounce::tools
