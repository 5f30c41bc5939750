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

/// Columns, words and --version as all tools have them; one command is required.
void dress(CLI::App& app);

/// Says on stderr what is wrong with the command line, and where to look. Returns the exit status.
int refuse(std::string_view program, std::string_view sentence);
/// The same of what CLI11 found; when no command was recognized, which there are.
int refuse(const CLI::App& app, int argc, char** argv, const CLI::ParseError& error);

/// "bounce-blk 1.2.3", of the library.
std::string version_text(std::string_view program);

/// "1,32": the items between the commas.
std::vector<std::string> split_list(const std::string& input);

}  // namespace bounce::tools
