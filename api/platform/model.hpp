// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the emulated platforms are: a row each.
#pragma once

#include <cstdint>

#include "bounce/emulator.h"

namespace bounce::emulated {

/// What becomes of content when a page changes hands.
enum class Content : std::uint8_t { kKept, kGarbled, kZeroed };
/// A device reads, or writes, a page that is private.
enum class Reads : std::uint8_t { kPlaintext, kCiphertext, kFault };
enum class Writes : std::uint8_t { kThrough, kGarbage, kFault };

struct Model {
    const char* name;
    bounce_platform_kind kind;
    bounce_encoding encoding;
    std::uint64_t encoding_value;
    std::uint32_t granule;
    std::uint32_t flags;
    Reads reads;
    Writes writes;
    Content content;
};

/// nullptr: there is no such model.
const Model* find_model(std::uint32_t id) noexcept;

}  // namespace bounce::emulated
