// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What the library's part of a token says. A token is the caller's memory: every field is checked before it is used,
// except the address of the private buffer, which only the caller knows.
#pragma once

#include <cstdint>

#include "allocator/pool/pool.hpp"
#include "bounce/bounce.h"

namespace bounce {

// Values of `state`; anything else is not live either.
inline constexpr std::uint8_t kLiveMapping = 0xb5;
inline constexpr std::uint8_t kLiveDirect = 0x96;  // no slot: device_direct.cpp
inline constexpr std::uint8_t kLiveBlock = 0xc7;
inline constexpr std::uint8_t kEnded = 0x5d;

inline Slot slot_of(const bounce_mapping& mapping) noexcept {
    return Slot{Gpa{mapping.addr}, static_cast<std::byte*>(mapping.slot), mapping.epoch, SlotHandle(mapping.handle)};
}

inline Slot slot_of(const bounce_block& block) noexcept {
    return Slot{Gpa{block.addr}, static_cast<std::byte*>(block.ptr), block.epoch, SlotHandle(block.handle)};
}

}  // namespace bounce
