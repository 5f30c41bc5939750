// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/program.hpp"

#include <cstdio>

#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/standard_streams.hpp"

namespace bounce::tools {

int fail_program(const char* program, Report* report, const std::string& sentence, int status) {
    std::fprintf(stderr, "%s: %s\n", program, sentence.c_str());
    if (report != nullptr) report->write_failure(sentence);
    return status;
}

int guarded(const char* program, Report* report, const char* no_memory, const std::function<int()>& body) {
    try {
        return body();
    } catch (const UsageError& error) {
        return fail_program(program, report, error.what(), kExitUsage);
    } catch (const std::bad_alloc&) {
        return fail_program(program, report, no_memory, kExitFailure);
    } catch (const std::exception& error) {
        return fail_program(program, report, error.what(), kExitFailure);
    }
}

int run_program(const char* program, const std::function<std::optional<int>()>& parse,
                const std::function<int()>& run) {
    try {
        occupy_standard_streams();
        install_signal_handlers();
        if (const auto status = parse()) return *status;
        return run();
    } catch (const std::exception& error) {
        return fail_program(program, nullptr, error.what(), kExitFailure);
    }
}

}  // namespace bounce::tools
