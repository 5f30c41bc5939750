// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What command lines of tools have in common, over CLI11.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bounce::tools {

/// An option with a value; what the setter finds wrong (UsageError) becomes an error that names the option.
CLI::Option* value_option(CLI::App& app, const std::string& name, const char* kind, const std::string& help,
                          std::function<void(const std::string&)> setter);

/// What --help and --version ask for. Not by way of std::cout, which would not say why it could not be written: throws
/// Failure then. Returns the exit status.
int print_asked(const CLI::App& app, const CLI::Success& asked);

/// "bounce-blk 1.2.3", of the library.
std::string version_text(std::string_view program);

/// "1,32": the items between the commas.
std::vector<std::string> split_list(const std::string& input);

}  // namespace bounce::tools
