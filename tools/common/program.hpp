// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a tool begins and ends.
#pragma once

#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include "tools/common/report.hpp"

namespace bounce::tools {

/// Says on stderr what failed, and in the report, if there is one. Returns the status.
int fail_program(const char* program, Report* report, const std::string& sentence, int status);

/// Calls body(); what it throws becomes a sentence and an exit status. no_memory: what to say of std::bad_alloc.
int guarded(const char* program, Report* report, const char* no_memory, const std::function<int()>& body);

/// Standard streams and signals, then parse() (nullopt: go on), then run().
int run_program(const char* program, const std::function<std::optional<int>()>& parse, const std::function<int()>& run);

}  // namespace bounce::tools
