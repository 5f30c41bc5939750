// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk: a virtio-blk client over vhost-user whose buffers the device never sees.
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "tools/bounce-blk/command.hpp"
#include "tools/bounce-blk/options.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/standard_streams.hpp"

namespace {

using bounce::blk::Command;
using bounce::blk::Context;

int run_command(Context& context) {
    switch (context.options.command) {
        case Command::kInfo: return run_info(context);
        case Command::kRead: return run_read(context);
        case Command::kWrite: return run_write(context);
        case Command::kCopyIn: return run_copy_in(context);
        case Command::kCopyOut: return run_copy_out(context);
        case Command::kVerify: return run_verify(context);
        case Command::kBench: return run_bench(context);
        case Command::kNone: break;
    }
    return bounce::tools::kExitUsage;
}

int fail(bounce::tools::Report* report, const std::string& sentence, int status) {
    std::fprintf(stderr, "bounce-blk: %s\n", sentence.c_str());
    if (report != nullptr) report->write_failure(sentence);
    return status;
}

int run(const bounce::blk::Options& options) {
    bounce::tools::Report report(command_name(options.command), options.json, options.quiet);
    try {
        const auto canary = options.canary.empty() ? bounce::tools::Canary() : bounce::tools::Canary(options.canary);
        Context context{options, canary, report};
        return run_command(context);
    } catch (const bounce::tools::UsageError& error) {
        return fail(&report, error.what(), bounce::tools::kExitUsage);
    } catch (const std::bad_alloc&) {
        return fail(&report, "not enough memory for the private buffers; choose a smaller --qd or --bs",
                    bounce::tools::kExitFailure);
    } catch (const std::exception& error) {
        return fail(&report, error.what(), bounce::tools::kExitFailure);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        bounce::tools::occupy_standard_streams();
        bounce::tools::install_signal_handlers();
        bounce::blk::Options options;
        if (const auto status = parse_options(argc, argv, options)) return *status;
        return run(options);
    } catch (const std::exception& error) {
        return fail(nullptr, error.what(), bounce::tools::kExitFailure);
    }
}
