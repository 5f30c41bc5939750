// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The sentence of a failure. libbounce's own is out of reach here: this library knows its public header only.
#pragma once

namespace bounce::jemalloc_component {

/// Records a failure of this thread, and returns -code.
[[gnu::format(printf, 2, 3)]] int fail(int code, const char* format, ...) noexcept;

/// Hands on a failure of libbounce, with its sentence; returns `status`.
int hand_on(int status) noexcept;

/// "" when there was none.
const char* last_error() noexcept;

}  // namespace bounce::jemalloc_component
