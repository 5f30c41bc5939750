// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Bytes as hexadecimal digits and back.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace bounce::tools {

std::string to_hex(std::span<const std::byte> bytes);

/// Fills `bytes` from exactly twice as many digits; false when they are not.
bool from_hex(std::string_view digits, std::span<std::byte> bytes);

}  // namespace bounce::tools
