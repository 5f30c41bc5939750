// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// SIGINT and SIGTERM ask a tool to stop; it looks when it can and ends in an orderly way. A second one ends it at once.
#pragma once

namespace bounce::tools {

/// Installs the handlers, and ignores SIGPIPE: a closed pipe is an error of write like any other.
void install_signal_handlers();

[[nodiscard]] bool stop_requested() noexcept;

/// "SIGINT" or "SIGTERM", "" when neither came.
[[nodiscard]] const char* stop_signal_name() noexcept;

/// Throws Failure ("interrupted by SIGINT") when a stop was asked for.
void throw_if_stopped();

/// Sleeps in small steps; ends early, with false, when a stop is asked for.
bool sleep_unless_stopped(double seconds);

}  // namespace bounce::tools
