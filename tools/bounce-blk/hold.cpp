// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// --hold: what an outsider needs to look at the pool while it is in use.
#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <optional>
#include <string_view>

#include "tools/bounce-blk/command.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::blk {
namespace {

using tools::Json;
using tools::text;

/// The process at the other end of this descriptor, when it is a connection to that socket.
std::optional<pid_t> peer_of(int fd, const std::string& path) {
    sockaddr_un address{};
    socklen_t length = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sun_family != AF_UNIX)
        return {};
    const std::string_view name(address.sun_path, ::strnlen(address.sun_path, sizeof address.sun_path));
    ucred peer{};
    length = sizeof peer;
    if (name != path || ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) return {};
    return peer.pid;
}

/// The library does not hand out its socket; but it is among our descriptors.
std::optional<pid_t> back_end_pid(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), &::closedir);
    if (!directory) return {};
    while (const dirent* entry = ::readdir(directory.get())) {
        const std::string_view name = entry->d_name;
        int fd = -1;
        const auto result = std::from_chars(name.data(), name.data() + name.size(), fd);
        if (result.ec != std::errc{}) continue;
        if (const auto pid = peer_of(fd, path)) return pid;
    }
    return {};
}

Json describe_pool(const Session& session) {
    Json regions = Json::array();
    bounce_region_info region{};
    for (std::uint32_t i = 0; bounce_pool_region(session.pool(), i, &region) == 0; ++i) {
        Json entry;
        entry["base_gpa"] = region.base_gpa;
        entry["bytes"] = region.bytes;
        entry["hva"] = reinterpret_cast<std::uintptr_t>(region.hva);
        entry["page_bytes"] = region.page_bytes;
        entry["path"] = region.fd >= 0 ? text("/proc/", ::getpid(), "/fd/", region.fd) : std::string();
        entry["fd_offset"] = region.fd_offset;
        entry["generation"] = region.generation;
        regions.push_back(std::move(entry));
    }
    return regions;
}

void print_hold(const Context& context, const Json& hold) {
    context.report.line(
        text("holding for ", tools::format_number(context.options.hold_seconds), " s, or until SIGINT"));
    context.report.line(text("  our pid       ", ::getpid()));
    const Json& peer = hold["back_end_pid"];
    context.report.line(text("  back-end pid  ", peer.is_null() ? std::string("unknown") : peer.dump()));
    for (const Json& region : hold["regions"]) {
        std::ostringstream line;
        line << "  pool region   " << region["path"].get<std::string>() << ", " << region["bytes"] << " bytes from "
             << region["fd_offset"] << std::hex << " on, GPA 0x" << region["base_gpa"].get<std::uint64_t>()
             << ", HVA 0x" << region["hva"].get<std::uint64_t>();
        context.report.line(line.str());
    }
    if (const std::string control = hold["control"]; !control.empty())
        context.report.line(text("  control       ", control));
    context.report.line(text("  canary        ", context.canary.hex()));
}

}  // namespace

void finish(Context& context, const Session& session) {
    Json& json = context.report.json();
    json["canary"] = context.canary.hex();
    if (const std::string violations = session.violations(); !violations.empty()) {
        json["violations"] = violations;
        context.report.line(text("warning: ", violations));
    }
    if (context.options.hold_seconds <= 0) {
        context.report.write_json();
        return;
    }
    Json hold;
    hold["seconds"] = context.options.hold_seconds;
    hold["pid"] = ::getpid();
    const auto peer = back_end_pid(session.config().socket);
    hold["back_end_pid"] = peer ? Json(*peer) : Json();
    hold["regions"] = describe_pool(session);
    hold["control"] = session.control_path();
    print_hold(context, hold);
    json["hold"] = std::move(hold);
    context.report.write_json();  // now: who looks needs it while there is something to see
    tools::sleep_unless_stopped(context.options.hold_seconds);
}

}  // namespace bounce::blk
