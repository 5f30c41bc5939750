// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/subject.hpp"

#include <CLI/CLI.hpp>

namespace bounce::tools {

const char* subject_name(Subject subject) noexcept {
    switch (subject) {
        case Subject::kBounced: return "bounced";
        case Subject::kBornShared: return "born_shared";
        case Subject::kBare: return "bare";
    }
    return "";
}

void add_subject_options(CLI::App& app, std::vector<Subject>& subjects, const std::string& items) {
    auto* compare = app.add_flag_callback(
        "--compare",
        [&subjects] {
            subjects = {Subject::kBounced, Subject::kBornShared, Subject::kBare};
        },
        "three ways in turn: bounced; " + items + " born in the pool (no copy); a bare loop without the library");
    auto* born = app.add_flag_callback(
        "--born-shared", [&subjects] { subjects = {Subject::kBornShared}; },
        "only with " + items + " born in the pool");
    auto* bare = app.add_flag_callback(
        "--bare", [&subjects] { subjects = {Subject::kBare}; }, "only the bare loop");
    compare->excludes(born)->excludes(bare);
    born->excludes(bare);
}

}  // namespace bounce::tools
