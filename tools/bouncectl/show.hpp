// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What several commands show, and how.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "tools/bouncectl/table.hpp"
#include "tools/common/json.hpp"

namespace bounce::ctl {

/// -j and -p.
void add_output_options(CLI::App& app, Output& output);

/// A picture's pool and regions for people.
std::string show_pool(const tools::Json& picture);

}  // namespace bounce::ctl
