// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the clients of vhost-user devices have in common: how a device is lost, handles that close themselves, and the
// library's failures as exceptions.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "bounce/bounce.h"

namespace bounce::tools {

/// The back-end is gone, silent, or broke the protocol: the connection is of no use any more, another one might be.
class DeviceLost : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Throws DeviceLost or Failure when code is an error, with the library's sentence. Returns the code.
int check(int code, const char* what);

/// The code of a call that may have waited. When it failed after a stop was asked for, that is what is to be said.
int stoppable(int code);

/// Is this a reason for which waiting for the back-end to come back makes sense?
[[nodiscard]] bool may_come_back(int code) noexcept;

/// The socket, looked at before the library does: the usual mistakes, in the words of the one who made them. Throws
/// Failure.
void check_socket(const std::string& path);

/// UsageError when it cannot be the path of a socket.
void check_socket_option(const std::string& path);

/// Throws Failure when a pool of so many bytes cannot be there: the machine has less memory (then with the hint), or it
/// would end beyond 64 bits.
void check_pool(std::uint64_t bytes, std::uint64_t base_gpa, const std::string& hint);

/// The flag, or none.
constexpr std::uint32_t flag_if(bool set, std::uint32_t flag) {
    return set ? flag : 0;
}

struct PoolDeleter {
    void operator()(bounce_pool* pool) const noexcept { bounce_pool_destroy(pool); }
};
struct FrontendDeleter {
    void operator()(bounce_frontend* frontend) const noexcept { bounce_frontend_close(frontend); }
};
using PoolHandle = std::unique_ptr<bounce_pool, PoolDeleter>;
using FrontendHandle = std::unique_ptr<bounce_frontend, FrontendDeleter>;

/// The library's log on stderr: errors, and warnings unless it is to be quiet. Must outlive the pool, in its place.
struct LibraryLog {
    const char* program;
    bool quiet;
    void attach(bounce_pool_options& options) noexcept;
};

}  // namespace bounce::tools
