// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The ways in which clients send their data, for `bench` to compare.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace bounce::tools {

enum class Subject { kBounced, kBornShared, kBare };

/// "bounced", "born_shared", "bare".
[[nodiscard]] const char* subject_name(Subject subject) noexcept;

/// --compare, --born-shared and --bare; `items` are what is sent: "packets".
void add_subject_options(CLI::App& app, std::vector<Subject>& subjects, const std::string& items);

}  // namespace bounce::tools
