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
inline constexpr std::uint8_t kLiveShared = 0xa3;    // shared_maps.hpp
inline constexpr std::uint8_t kLiveSpecial = 0xb6;   // ends by device_special.cpp
inline constexpr std::uint8_t kLiveListHead = 0xb9;  // the first of a slot of a list: it stands for the slot
inline constexpr std::uint8_t kLiveListPart = 0xba;  // another piece in the slot of the head before it
inline constexpr std::uint8_t kLiveDirect = 0x96;    // no slot: device_direct.cpp
inline constexpr std::uint8_t kLiveBlock = 0xc7;
inline constexpr std::uint8_t kEnded = 0x5d;
// Of devices that are watched: live, but ended and synced the long way; and failed, which debugging knows again.
inline constexpr std::uint8_t kWatchedMapping = 0xa9;
inline constexpr std::uint8_t kFailedMapping = 0xe1;

inline Slot slot_of(const bounce_mapping& mapping) noexcept {
    return Slot{Gpa{mapping.addr}, static_cast<std::byte*>(mapping.slot), mapping.epoch, SlotHandle(mapping.handle)};
}

inline Slot slot_of(const bounce_block& block) noexcept {
    return Slot{Gpa{block.addr}, static_cast<std::byte*>(block.ptr), block.epoch, SlotHandle(block.handle)};
}

}  // namespace bounce
