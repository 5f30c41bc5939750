// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/command_line.hpp"

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <sstream>
#include <utility>

#include "bounce/bounce.h"
#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"

namespace bounce::tools {

CLI::Option* value_option(CLI::App& app, const std::string& name, const char* kind, const std::string& help,
                          std::function<void(const std::string&)> setter) {
    return app
        .add_option_function<std::string>(
            name,
            [name, setter = std::move(setter)](const std::string& input) {
                try {
                    setter(input);
                } catch (const UsageError& error) {
                    throw CLI::ValidationError(name, error.what());
                }
            },
            help)
        ->type_name(kind);
}

void dress(CLI::App& app) {
    app.get_formatter()->column_width(28);
    app.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app.get_formatter()->label("Subcommands", "Commands");
    app.require_subcommand(1);
    app.set_version_flag(
        "--version", [name = app.get_name()] { return version_text(name); }, "print the version");
}

int refuse(std::string_view program, std::string_view sentence) {
    std::cerr << program << ": " << sentence << "\nTry '" << program << " --help' or '" << program
              << " COMMAND --help'.\n";
    return kExitUsage;
}

int refuse(const CLI::App& app, int argc, char** argv, const CLI::ParseError& error) {
    if (!app.get_subcommands().empty()) return refuse(app.get_name(), error.what());
    std::string commands;
    for (const CLI::App* command : app.get_subcommands({}))
        commands += text(commands.empty() ? "" : ", ", command->get_name());
    return refuse(app.get_name(), argc < 2 ? text("a command is missing: one of ", commands)
                                           : text("'", argv[1], "' is not a command: expected one of ", commands));
}

int print_asked(const CLI::App& app, const CLI::Success& asked) {
    std::ostringstream output;
    const int status = app.exit(asked, output, std::cerr);
    const std::string whole = output.str();
    write_all(STDOUT_FILENO, whole.data(), whole.size(), "stdout");
    return status;
}

std::string version_text(std::string_view program) {
    const std::uint32_t version = bounce_version();
    return text(program, " ", version >> 16, ".", (version >> 8) & 0xff, ".", version & 0xff);
}

std::vector<std::string> split_list(const std::string& input) {
    std::vector<std::string> items;
    std::size_t begin = 0;
    for (;;) {
        const std::size_t comma = input.find(',', begin);
        items.push_back(input.substr(begin, comma - begin));
        if (comma == std::string::npos) return items;
        begin = comma + 1;
    }
}

}  // namespace bounce::tools
