// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl policy: may this device get this address?
#include "bounce/policy.h"

#include <unistd.h>

#include <memory>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/policy_names.hpp"
#include "tools/bouncectl/policy_report.hpp"
#include "tools/bouncectl/policy_table.hpp"
#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

using tools::UsageError;
using tools::value_option;

struct PolicyCommand {
    bounce_policy_options options{};
    bool table = false;
    bool json = false;
    bool pretty = false;
};

/// "32": addresses of so many bits.
std::uint64_t parse_bits(const std::string& input) {
    return UINT64_MAX >> (64 - tools::parse_number(input, 12, 64));
}

std::uint64_t parse_align(const std::string& input) {
    constexpr std::uint64_t kMost = 2u << 20;
    const std::uint64_t bytes = tools::parse_size(input);
    if (bytes == 0 || bytes > kMost || (bytes & (bytes - 1)) != 0)
        throw UsageError(tools::text("'", input, "' is not a power of two from 1 to 2M"));
    return bytes;
}

int run_policy(const PolicyCommand& command) {
    std::string whole;
    if (command.table) {
        whole = command.json ? json_text(policy_table_json(), command.pretty) : policy_table_text();
    } else {
        const bounce_policy policy = ask_policy(command.options);
        tools::Json json = {{"schema_version", kPolicySchema}};
        json.update(policy_json(policy));
        whole = command.json ? json_text(json, command.pretty) : policy_text(policy);
    }
    tools::write_all(STDOUT_FILENO, whole.data(), whole.size(), "stdout");
    return tools::kExitOk;
}

void add_question(CLI::App& app, bounce_policy_options& o) {
    value_option(app, "--platform", "NAME",
                 "plain, sev, snp, snp-vtom, tdx, s390, s390-pv, pef, cca, pkvm, xen, xen-grant",
                 [&o](const auto& in) { o.platform = parse_platform(in); });
    value_option(app, "--transport", "NAME", "ccw, pci, mmio, vhost-user, vdpa",
                 [&o](const auto& in) { o.transport = parse_transport(in); });
    value_option(app, "--features", "NAME,...",
                 "what was negotiated: version_1, access_platform, ... or numbers of bits",
                 [&o](const auto& in) { o.features = parse_features(in); });
    app.add_flag_callback(
        "--iommu", [&o] { o.flags |= BOUNCE_POLICY_IOMMU; }, "an IOMMU is between the device and memory");
    auto* trusted = app.add_flag_callback(
        "--trusted", [&o] { o.flags |= BOUNCE_POLICY_TRUSTED; },
        "the device is trusted with all memory; where that is private, it was let in (TDISP, or of the paravisor)");
    app.add_flag_callback(
           "--untrusted", [] {}, "it is not (the default)")
        ->excludes(trusted);
    value_option(app, "--dma-bits", "N", "bits of the addresses that it takes for data, 12 to 64 (default 64)",
                 [&o](const auto& in) { o.dma_mask = parse_bits(in); });
    value_option(app, "--coherent-bits", "N", "the same for rings and control blocks",
                 [&o](const auto& in) { o.coherent_dma_mask = parse_bits(in); });
    value_option(app, "--memory-bits", "N", "bits of the highest address of memory, 12 to 64 (default 64: not known)",
                 [&o](const auto& in) { o.highest_address = parse_bits(in); });
    value_option(app, "--align", "SIZE", "data has to begin at multiples of this, a power of two up to 2M (default 1)",
                 [&o](const auto& in) { o.align = parse_align(in); });
    value_option(app, "--without-access-platform", "refuse|bounce",
                 "private memory and no ACCESS_PLATFORM: refuse (the default), or bounce by GPA",
                 [&o](const auto& in) { o.without_access_platform = parse_without(in); });
    value_option(app, "--bounce", "WHEN", "auto (the default), never, when-needed, always, refuse: at least that",
                 [&o](const auto& in) { o.bounce = parse_level(in); });
    value_option(app, "--address", "FORM,...", "gpa, iova, region-offset, grant: none but these (default: any)",
                 [&o](const auto& in) { o.addresses = parse_addresses(in); });
}

/// What only several options together can get wrong.
void check(const CLI::App& app, bool table) {
    for (const CLI::Option* option : app.get_options()) {
        const std::string name = option->get_name();
        const bool output = name == "--json" || name == "--pretty" || name == "--table" || name == "--help";
        if (table && !output && option->count() != 0)
            throw CLI::ValidationError(name, "--table asks its own questions, and takes none");
    }
    if (table) return;
    for (const char* name : {"--platform", "--transport"}) {
        if (app.get_option(name)->count() == 0) throw CLI::RequiredError(name);
    }
}

}  // namespace

void add_policy(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("policy", "Say which addresses a device may get, and why.");
    sub.footer(
        "Example:\n"
        "  bouncectl policy --platform tdx --transport pci --features version_1,access_platform\n"
        "  bouncectl policy --table");
    const auto command = std::make_shared<PolicyCommand>();
    command->options.size = sizeof command->options;
    add_question(sub, command->options);
    sub.add_flag("--table", command->table, "every kind of system that there is a rule for, and its answer");
    sub.add_flag("-j,--json", command->json, "the answer as JSON, in one line");
    sub.add_flag_callback(
        "-p,--pretty", [command] { command->json = command->pretty = true; }, "the answer as JSON, indented");
    sub.callback([&sub, &run, command] {
        check(sub, command->table);
        run = [command] { return run_policy(*command); };
    });
}

}  // namespace bounce::ctl
