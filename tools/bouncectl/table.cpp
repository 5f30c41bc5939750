// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/table.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {

std::string Table::text() const {
    std::vector<std::size_t> widths;
    std::vector<bool> right;
    std::vector<std::string> titles;
    for (const std::string& title : titles_) {
        right.push_back(title.starts_with('>'));
        titles.push_back(right.back() ? title.substr(1) : title);
        widths.push_back(titles.back().size());
    }
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string whole;
    const auto line = [&](const std::vector<std::string>& row) {
        std::string text;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string space(widths[i] - row[i].size(), ' ');
            text += (i == 0 ? "" : "  ") + (right[i] ? space + row[i] : row[i] + space);
        }
        text.erase(text.find_last_not_of(' ') + 1);
        whole += text + '\n';
    };
    line(titles);
    for (const auto& row : rows_) line(row);
    return whole;
}

std::string bar(std::uint64_t part, std::uint64_t whole, std::size_t width) {
    const double share = whole == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
    auto full = static_cast<std::size_t>(share * static_cast<double>(width) + 0.5);
    if (part != 0 && full == 0) full = 1;
    return std::string(full, '#') + std::string(width - full, '.');
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
    const double share = whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
    return tools::format_fixed(share, 1) + " %";
}

std::string hex(std::uint64_t value) {
    std::ostringstream text;
    text << "0x" << std::hex << value;
    return text.str();
}

std::string bytes_of(const tools::Json& json, const char* field) {
    return json[field].is_null() ? "-" : tools::format_bytes(json[field].get<std::uint64_t>());
}

std::string number_of(const tools::Json& json, const char* field) {
    return json[field].is_null() ? "-" : std::to_string(json[field].get<std::uint64_t>());
}

std::string age_text(const tools::Json& age_ms) {
    if (age_ms.is_null()) return "unknown";
    const double seconds = static_cast<double>(age_ms.get<std::uint64_t>()) / 1000;
    if (seconds < 120) return tools::format_fixed(seconds, 1) + " s";
    if (seconds < 7200) return tools::format_fixed(seconds / 60, 1) + " min";
    return tools::format_fixed(seconds / 3600, 1) + " h";
}

bool colours_wanted() {
    const char* const without = std::getenv("NO_COLOR");
    return (without == nullptr || *without == '\0') && ::isatty(STDOUT_FILENO) != 0;
}

void print(const Output& output, const tools::Json& json, const std::string& text) {
    const std::string whole =
        output.json ? json.dump(output.pretty ? 2 : -1, ' ', false, tools::Json::error_handler_t::replace) + "\n"
                    : text;
    tools::write_all(STDOUT_FILENO, whole.data(), whole.size(), "stdout");
}

}  // namespace bounce::ctl
