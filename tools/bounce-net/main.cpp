// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-net: a virtio-net client over vhost-user whose packets the device sees only in the pool.
#include "tools/bounce-net/command.hpp"
#include "tools/bounce-net/options.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/program.hpp"
#include "tools/common/report.hpp"

namespace {

using bounce::net::Command;
using bounce::net::Context;

int run_command(Context& context) {
    switch (context.options.command) {
        case Command::kInfo: return run_info(context);
        case Command::kLoop: return run_loop(context);
        case Command::kBench: return run_bench(context);
        case Command::kNone: break;
    }
    return bounce::tools::kExitUsage;
}

int run(const bounce::net::Options& options) {
    bounce::tools::Report report(command_name(options.command), options.json, options.quiet);
    return bounce::tools::guarded(
        "bounce-net", &report,
        "not enough memory for the private buffers; choose a smaller --queue-size or --rx-buffer", [&] {
            const auto canary =
                options.canary.empty() ? bounce::tools::Canary() : bounce::tools::Canary(options.canary);
            Context context{options, canary, report};
            return run_command(context);
        });
}

}  // namespace

int main(int argc, char** argv) {
    bounce::net::Options options;
    return bounce::tools::run_program(
        "bounce-net", [&] { return parse_options(argc, argv, options); }, [&] { return run(options); });
}
