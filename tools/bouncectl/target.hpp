// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which pool a command is about: one that lives, or a snapshot of one.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/bouncectl/client.hpp"
#include "tools/common/json.hpp"

namespace bounce::ctl {

struct TargetOptions {
    std::string socket;
    std::uint64_t pid = 0;
    std::string name;      // of the pool or VM
    std::string snapshot;  // a file, in place of a process
    std::string stats;     // a stats segment, the same
};

/// --socket, --pid, --name and, where a snapshot will do, --snapshot and --stats.
void add_target_options(CLI::App& app, TargetOptions& options, bool live_only = false);

/// Sockets of controls on this machine, those of dead processes included; with a pid those in its mount namespace.
std::vector<std::string> find_sockets(std::uint64_t pid = 0);

/// All that answer.
std::vector<std::unique_ptr<Client>> find_clients(const TargetOptions& options);

/// The one that is meant. Throws tools::NoTarget when there is none, tools::UsageError when there are several.
std::unique_ptr<Client> find_client(const TargetOptions& options);

}  // namespace bounce::ctl
