// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/bouncectl/target.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tools/common/command_line.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::ctl {
namespace {

namespace fs = std::filesystem;
using tools::NoTarget;
using tools::text;

constexpr std::string_view kRuntime = "XDG_RUNTIME_DIR=";

/// XDG_RUNTIME_DIR of another process, where it may be read.
std::string runtime_of(std::uint64_t pid) {
    std::ifstream in(text("/proc/", pid, "/environ"), std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(in)), {});
    std::size_t at = 0;
    while (at < all.size()) {
        const std::string one = all.c_str() + at;
        if (one.starts_with(kRuntime)) return one.substr(kRuntime.size());
        at += one.size() + 1;
    }
    return {};
}

void add_folder(const fs::path& folder, std::set<std::string>& found) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.is_socket(error)) found.insert(entry.path());
    }
}

void add_root(const std::string& root, const std::string& runtime, std::set<std::string>& found) {
    if (!runtime.empty()) add_folder(root + runtime + "/bounce", found);
    add_folder(root + "/run/bounce", found);
    std::error_code error;
    for (const auto& user : fs::directory_iterator(root + "/run/user", error))
        add_folder(user.path() / "bounce", found);
}

bool fits(const Client& client, const TargetOptions& options) {
    if (options.pid != 0 && static_cast<std::uint64_t>(client.pid()) != options.pid) return false;
    return options.name.empty() || options.name == client.hello().name || options.name == client.hello().vm_name ||
           options.name == client.hello().vm_uuid;
}

std::string whom(const TargetOptions& options) {
    std::string sentence = "no process with a pool's control was found";
    if (options.pid != 0) sentence += text(" with pid ", options.pid);
    if (!options.name.empty()) sentence += text(" by the name '", options.name, "'");
    return sentence;
}

}  // namespace

void add_target_options(CLI::App& app, TargetOptions& options, bool live_only) {
    auto* socket = app.add_option("--socket", options.socket, "the control's socket (default: the only one there is)")
                       ->type_name("PATH");
    auto* pid = tools::value_option(app, "--pid", "PID", "the process that has the pool, also in a container",
                                    [&options](const auto& in) { options.pid = tools::parse_number(in, 1, 1u << 30); });
    auto* name = app.add_option("--name", options.name, "of the pool, or the VM's name or UUID")->type_name("NAME");
    socket->excludes(pid)->excludes(name);
    if (live_only) return;
    auto* snapshot =
        app.add_option("--snapshot", options.snapshot, "a file of 'bouncectl snapshot' instead of a process")
            ->type_name("FILE")
            ->excludes(socket)
            ->excludes(pid)
            ->excludes(name);
    app.add_option("--stats", options.stats,
                   "a stats segment that somebody keeps, as /proc/PID/fd/N: also when its process is dead")
        ->type_name("PATH")
        ->excludes(socket)
        ->excludes(pid)
        ->excludes(name)
        ->excludes(snapshot);
}

std::vector<std::string> find_sockets(std::uint64_t pid) {
    std::set<std::string> found;
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    add_root("", runtime != nullptr ? runtime : "", found);
    if (pid != 0) add_root(text("/proc/", pid, "/root"), runtime_of(pid), found);
    return {found.begin(), found.end()};
}

std::vector<std::unique_ptr<Client>> find_clients(const TargetOptions& options) {
    std::vector<std::unique_ptr<Client>> clients;
    std::set<std::uint64_t> seen;
    for (const std::string& path : find_sockets(options.pid)) {
        try {
            auto client = std::make_unique<Client>(path);
            struct stat status {};
            // The same socket may be seen by two ways.
            if (::stat(path.c_str(), &status) == 0 && !seen.insert(status.st_ino).second) continue;
            if (fits(*client, options)) clients.push_back(std::move(client));
        } catch (const NoTarget&) {        // a socket that a dead process left
        } catch (const tools::Failure&) {  // somebody else's
        }
    }
    return clients;
}

std::unique_ptr<Client> find_client(const TargetOptions& options) {
    if (!options.socket.empty()) return std::make_unique<Client>(options.socket);
    auto clients = find_clients(options);
    if (clients.empty()) throw NoTarget(whom(options));
    if (clients.size() == 1) return std::move(clients[0]);
    std::string all;
    for (const auto& client : clients) all += text("\n  --socket ", client->path());
    throw tools::UsageError(text("there are ", clients.size(), " pools, say which:", all));
}

}  // namespace bounce::ctl
