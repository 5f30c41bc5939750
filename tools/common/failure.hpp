// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// How a tool ends: what it throws, the exit status that goes with it, and text built from pieces.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace bounce::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNoTarget = 3;

/// Something went wrong while working: exit status 1.
class Failure : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The command line is wrong in itself: exit status 2.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// What the command is about is not there, or not any more: exit status 3.
class NoTarget : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The pieces, one after the other.
template <class... Pieces>
std::string text(const Pieces&... pieces) {
    std::ostringstream stream;
    (stream << ... << pieces);
    return stream.str();
}

/// "No such file or directory" and the like, for an errno value.
std::string errno_text(int code);

}  // namespace bounce::tools
