// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Where a tool's words go: text for people, JSON for programs. With JSON on stdout, or raw data there, the text goes to
// stderr.
#pragma once

#include <string>
#include <string_view>

#include "tools/common/descriptor.hpp"
#include "tools/common/json.hpp"

namespace bounce::tools {

class Report {
public:
    /// json_path: empty for none, "-" for stdout. The file is opened now, for an unwritable path is better said before
    /// the work than after it, and once, for it may be a FIFO; a regular one keeps what is in it until it is written.
    /// Throws Failure when it cannot be opened.
    Report(std::string_view command, std::string json_path, bool quiet);

    /// stdout carries data: text for people goes to stderr from now on.
    void text_to_stderr() noexcept { text_on_stdout_ = false; }

    /// One line for people; nothing with --quiet.
    void line(std::string_view line) const;

    /// The JSON object, begun with schema_version, command and ok.
    Json& json() noexcept { return json_; }
    [[nodiscard]] bool json_on_stdout() const noexcept { return json_path_ == "-"; }
    [[nodiscard]] bool quiet() const noexcept { return quiet_; }

    /// Writes the JSON object, when there is to be one and it has not been written yet.
    void write_json();

    /// The same for a run that failed: ok becomes false, error the sentence. Throws nothing.
    void write_failure(std::string_view sentence) noexcept;

private:
    void write_file(std::string_view whole);

    std::string json_path_;
    Descriptor json_file_;
    bool json_rewritable_ = false;  // a regular file: the last one written counts
    bool quiet_;
    bool text_on_stdout_;
    bool written_ = false;
    Json json_;
};

/// Writes everything to a descriptor. Throws Failure, naming what, when that cannot be done.
void write_all(int fd, const void* data, std::size_t bytes, std::string_view what);

}  // namespace bounce::tools
