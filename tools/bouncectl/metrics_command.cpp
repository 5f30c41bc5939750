// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// bouncectl metrics: once, or to everybody who connects to a unix socket.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "tools/bouncectl/command.hpp"
#include "tools/bouncectl/metrics.hpp"
#include "tools/bouncectl/picture.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/report.hpp"
#include "tools/common/signals.hpp"

namespace bounce::ctl {
namespace {

using tools::Failure;
using tools::Json;
using tools::text;

constexpr int kPatienceMs = 500;

struct MetricsCommand {
    TargetOptions target;
    std::string serve;
};

/// Of all pools there are, or of the one that is meant.
std::string collect(const TargetOptions& target) {
    std::vector<Json> pictures;
    if (!target.snapshot.empty() || !target.stats.empty() || !target.socket.empty() || target.pid != 0 ||
        !target.name.empty()) {
        pictures.push_back(picture_of(target, kStats));
        return metrics_text(pictures);
    }
    for (const auto& client : find_clients(target)) {
        try {
            pictures.push_back(take_picture(*client, kStats));
        } catch (const tools::NoTarget&) {  // it has just gone
        }
    }
    return metrics_text(pictures);
}

/// Answers as an HTTP server would, as far as a scrape needs, or just with the text to who says nothing.
void answer(int fd, const TargetOptions& target) {
    pollfd wait{fd, POLLIN, 0};
    char request[2048] = {};
    ssize_t n = 0;
    if (::poll(&wait, 1, kPatienceMs) == 1) n = ::recv(fd, request, sizeof request - 1, MSG_DONTWAIT);
    std::string body = collect(target);
    if (n >= 4 && std::strncmp(request, "GET ", 4) == 0)
        body = text(
            "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
            "Content-Length: ",
            body.size(), "\r\nConnection: close\r\n\r\n", body);
    const timeval patience{kPatienceMs / 1000 + 1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (std::size_t sent = 0; sent < body.size();) {
        const ssize_t more = ::send(fd, body.data() + sent, body.size() - sent, MSG_NOSIGNAL);
        if (more <= 0) return;
        sent += static_cast<std::size_t>(more);
    }
}

int serve(const MetricsCommand& command) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (command.serve.size() >= sizeof address.sun_path) throw tools::UsageError("--serve: the path is too long");
    std::memcpy(address.sun_path, command.serve.c_str(), command.serve.size() + 1);
    const tools::Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener || ::fchmod(listener.get(), 0660) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 16) != 0)
        throw Failure(text("cannot serve on '", command.serve, "': ", tools::errno_text(errno)));
    while (!tools::stop_requested()) {
        pollfd wait{listener.get(), POLLIN, 0};
        if (::poll(&wait, 1, kPatienceMs) != 1) continue;
        const tools::Descriptor client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) continue;
        try {
            answer(client.get(), command.target);
        } catch (const tools::NoTarget&) {  // the next scrape may find it
        } catch (const Failure&) {
        }
    }
    ::unlink(command.serve.c_str());
    return tools::kExitOk;
}

int run_metrics(const MetricsCommand& command) {
    if (!command.serve.empty()) return serve(command);
    const std::string whole = collect(command.target);
    tools::write_all(STDOUT_FILENO, whole.data(), whole.size(), "stdout");
    return tools::kExitOk;
}

}  // namespace

void add_metrics(CLI::App& app, Run& run) {
    CLI::App& sub = *app.add_subcommand("metrics", "Print metrics of all pools as OpenMetrics text, or serve them.");
    sub.footer("Example:\n  bouncectl metrics --name vm7\n  bouncectl metrics --serve /run/bounce-metrics.sock");
    const auto command = std::make_shared<MetricsCommand>();
    sub.add_option("--serve", command->serve, "a unix socket to serve on, until SIGINT (HTTP/1.0 and plain)")
        ->type_name("PATH");
    add_target_options(sub, command->target);
    sub.callback([&run, command] { run = [command] { return run_metrics(*command); }; });
}

}  // namespace bounce::ctl
