// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/device.hpp"

#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <limits>

#include "tools/common/failure.hpp"
#include "tools/common/machine.hpp"
#include "tools/common/signals.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {
namespace {

bool is_lost(int code) noexcept {
    return code == -ECONNRESET || code == -ETIMEDOUT || code == -EPROTO || code == -EPIPE;
}

void log_line(void* user, int level, const char* line) {
    const auto* log = static_cast<const LibraryLog*>(user);
    if (level == BOUNCE_LOG_ERROR || (level == BOUNCE_LOG_WARNING && !log->quiet)) {
        std::fprintf(stderr, "%s: libbounce: %s\n", log->program, line);
    }
}

}  // namespace

int check(int code, const char* what) {
    if (code >= 0) return code;
    const char* sentence = bounce_last_error();
    const std::string message = text(what, ": ", *sentence != '\0' ? sentence : bounce_error_text(code));
    if (is_lost(code)) throw DeviceLost(message);
    throw Failure(message);
}

int stoppable(int code) {
    if (code < 0) throw_if_stopped();
    return code;
}

bool may_come_back(int code) noexcept {
    return is_lost(code) || code == -ENOENT || code == -ECONNREFUSED || code == -EAGAIN || code == -EINTR;
}

void check_socket(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) {
            throw Failure(
                text("cannot connect to '", path, "': there is no such socket; is the device's back-end running?"));
        }
        throw Failure(text("cannot connect to '", path, "': ", errno_text(errno)));
    }
    if (!S_ISSOCK(status.st_mode)) throw Failure(text("cannot connect to '", path, "': it is not a socket"));
}

void check_socket_option(const std::string& path) {
    constexpr std::size_t kMost = sizeof(sockaddr_un{}.sun_path) - 1;
    if (path.empty() || path.size() > kMost) {
        throw UsageError(text("--socket: expected a path of 1 to ", kMost, " bytes, got ", path.size()));
    }
}

void check_pool(std::uint64_t bytes, std::uint64_t base_gpa, const std::string& hint) {
    const std::uint64_t memory = machine_facts().memory_bytes;
    if (memory != 0 && bytes > memory) {
        throw Failure(
            text("a pool of ", format_bytes(bytes), " does not fit into this machine's ", format_bytes(memory), hint));
    }
    if (std::numeric_limits<std::uint64_t>::max() - bytes < base_gpa) {
        throw Failure(text("a pool of ", format_bytes(bytes), " at --base-gpa ", base_gpa, " ends beyond 64 bits"));
    }
}

void LibraryLog::attach(bounce_pool_options& options) noexcept {
    options.log = log_line;
    options.log_user = this;
}

}  // namespace bounce::tools
