// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Tables and bars for people.
#pragma once

#include <string>
#include <vector>

#include "tools/common/json.hpp"

namespace bounce::ctl {

/// Columns as wide as what is in them; those whose title begins with '>' stand to the right.
class Table {
public:
    explicit Table(std::vector<std::string> titles) : titles_(std::move(titles)) {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
    [[nodiscard]] std::string text() const;

private:
    std::vector<std::string> titles_;
    std::vector<std::vector<std::string>> rows_;
};

/// "######....": so much of the whole.
std::string bar(std::uint64_t part, std::uint64_t whole, std::size_t width);
/// "12.5 %".
std::string percent(std::uint64_t part, std::uint64_t whole);
/// "0x100000000".
std::string hex(std::uint64_t value);
/// Of a field that is a number of bytes; "-" for none.
std::string bytes_of(const tools::Json& json, const char* field);
std::string number_of(const tools::Json& json, const char* field);
/// "3 min", "2.5 s"; "unknown" for null.
std::string age_text(const tools::Json& age_ms);

/// May colours be used: a terminal, and NO_COLOR is not set.
bool colours_wanted();

struct Output {
    bool json = false;
    bool pretty = false;
};
/// Writes the JSON if it is asked for, else the text.
void print(const Output& output, const tools::Json& json, const std::string& text);

}  // namespace bounce::ctl
