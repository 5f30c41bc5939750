// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bounce-blk: a virtio-blk client over vhost-user whose buffers the device never sees.
#include "tools/bounce-blk/command.hpp"
#include "tools/bounce-blk/options.hpp"
#include "tools/common/canary.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/program.hpp"
#include "tools/common/report.hpp"

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

int run(const bounce::blk::Options& options) {
    bounce::tools::Report report(command_name(options.command), options.json, options.quiet);
    return bounce::tools::guarded(
        "bounce-blk", &report, "not enough memory for the private buffers; choose a smaller --qd or --bs", [&] {
            const auto canary =
                options.canary.empty() ? bounce::tools::Canary() : bounce::tools::Canary(options.canary);
            Context context{options, canary, report};
            return run_command(context);
        });
}

}  // namespace

int main(int argc, char** argv) {
    bounce::blk::Options options;
    return bounce::tools::run_program(
        "bounce-blk", [&] { return parse_options(argc, argv, options); }, [&] { return run(options); });
}
